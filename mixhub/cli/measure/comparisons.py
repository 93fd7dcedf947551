"""How comparisons of families are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mixhub.cli.common.console import say, say_json
from mixhub.cli.measure.tables import Format, records, remark, say_csv, show_grid, shown_figure, shown_range
from mixhub.phrases import listed, plural

if TYPE_CHECKING:
    from mixhub.analysis.comparison import Comparison, Contrast
    from mixhub.analysis.statistics.seeds import Estimate, Interval, Spread
    from mixhub.analysis.survey import Signal, Survey
    from mixhub.analysis.tables import ScoreTable


def show_compared(compared: Comparison | Survey, form: Format) -> None:
    """Print a comparison of two families, or of several."""
    from mixhub.analysis.comparison import Comparison

    if isinstance(compared, Comparison):
        show_comparison(compared, form)
    else:
        show_survey(compared, form)


def show_comparison(comparison: Comparison, form: Format) -> None:
    """Print the comparison of two families."""

    a, b = comparison.a, comparison.b
    if form is Format.JSON:
        say_json(_comparison_json(comparison))
        return
    if form is Format.CSV:
        say_csv(comparison.frame())
        return
    standing = " and ".join(dict.fromkeys((a.standing, b.standing)))
    for line in (f"{a.name} minus {b.name}: {a.measure.title}, {standing}", *_primary_lines(comparison)):
        remark(line, form)
    say("")
    headers = [a.measure.columns, "detectable", a.name, b.name, *_difference_headers(comparison.tasks)]
    rows = []
    for one in comparison.tasks:
        detectable, *rest = _contrast_cells(a, one, comparison.tasks)
        rows.append([one.title, detectable, _spread(a, one.a), _spread(a, one.b), *rest])
    show_grid(headers, rows, f"{a.measure.columns}s, exploratory", form)
    remark("± is the sd over seeds.", form)
    for line in _permutation_note(comparison):
        remark(line, form)
    _show_notes((a, b), form)


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    a, b, pairs = comparison.a, comparison.b, comparison.pairs
    shared = None if pairs is None else {"shared": pairs.shared, "rows": [list(pair) for pair in pairs.rows]}
    names = {"a": a.name, "b": b.name, "measure": a.measure.name, "pairs": shared}
    return names | {"contrasts": records(comparison.frame())}


def _primary_lines(comparison: Comparison) -> Iterator[str]:
    """What this many seeds can detect, then the result for the primary endpoint."""
    a, primary = comparison.a, comparison.primary
    if primary.reason or primary.difference is None or primary.a is None or primary.b is None:
        yield f"the average, the primary endpoint, is not compared: {primary.reason or 'no figures'}"
        return
    if comparison.pairs is not None:
        yield f"pairs: {plural(len(comparison.pairs.rows), 'seed')} of each share {comparison.pairs.shared}"
    yield from _detectable_lines(comparison)
    means = f"{shown_figure(a, primary.a.mean)} and {shown_figure(a, primary.b.mean)}"
    yield f"average, the primary endpoint: {means}, difference {shown_figure(a, primary.difference, signed=True)}"
    if (one := primary.paired) is not None:
        yield f"  over pairs of seeds (Student): 95 % {_interval(a, one)}, p = {one.p:.2g}"
    elif comparison.pairs is not None:
        yield "  over pairs of seeds: no interval, because all pairs differ by the same amount"
    if primary.welch is not None and primary.permutation is not None:
        unpaired = ", unpaired" if comparison.pairs is not None else ""
        welch, shuffled = primary.welch, primary.permutation
        yield (
            f"  over seeds (Welch{unpaired}): 95 % {_interval(a, welch)}, p = {welch.p:.2g}; permutation "
            f"p = {shuffled.p:.2g}, at least {shuffled.smallest:.2g} with this many seeds"
        )
    elif min(primary.a.n, primary.b.n) > 1:
        yield "  over seeds: no interval, because no seed differs from another of its family"
    else:
        few = [table.name for table, side in ((a, primary.a), (comparison.b, primary.b)) if side.n < 2]
        has = "has" if len(few) == 1 else "have"
        yield f"  over seeds: no interval, because {listed(few, last='and')} {has} one seed"
    if (two := primary.two_level) is not None:
        by = "pairs of seeds" if comparison.pairs is not None else "seeds"
        yield f"  over {by} and documents: 95 % {_interval(a, two)}, p = {two.p:.2g}"
    if primary.these_checkpoints is not None:
        interval = _interval(a, primary.these_checkpoints)
        yield f"  these checkpoints, over documents: 95 % {interval}; this is not a claim about mixtures"
    if primary.interval is not None:
        yield _verdict(comparison, primary.interval)


def _detectable_lines(comparison: Comparison) -> Iterator[str]:
    """The true differences that this many seeds find, in pairs if there are pairs, and without."""
    a, primary = comparison.a, comparison.primary
    assert primary.a is not None
    assert primary.b is not None
    seeds = f"{primary.a.n} and {primary.b.n} seeds"
    if primary.paired is not None and primary.detectable_paired is not None and comparison.pairs is not None:
        pairs = len(comparison.pairs.rows)
        sd, found = shown_figure(a, primary.paired.stderr * pairs**0.5), shown_figure(a, primary.detectable_paired)
        what = f"{pairs} pairs whose differences have sd {sd}"
        yield f"detectable: {what} find a true difference of {found} 4 times out of 5"
    if primary.detectable is not None:
        sds = f"{shown_figure(a, primary.a.sd)} and {shown_figure(a, primary.b.sd)}"
        found, unpaired = shown_figure(a, primary.detectable), "unpaired, " if primary.paired is not None else ""
        yield f"detectable: {unpaired}{seeds} with sd {sds} find a true difference of {found} 4 times out of 5"
    elif primary.paired is None and min(primary.a.n, primary.b.n) > 1:
        yield f"detectable: unknown, because some of {seeds} do not vary, which says nothing about other seeds"
    elif primary.paired is None:
        yield f"detectable: nothing: a claim about mixtures needs two or more seeds of each, not {seeds}"


def _verdict(comparison: Comparison, interval: Interval) -> str:
    a, b = comparison.a, comparison.b
    if comparison.primary.detectable is None and comparison.primary.paired is None:
        return "no verdict: seeds that do not vary say nothing about other seeds"
    by = "the interval over " + ("pairs of seeds" if comparison.primary.paired is not None else "seeds")
    by += " and documents" if comparison.primary.two_level else ""
    if interval.low <= 0 <= interval.high:
        return f"{by} includes 0: these seeds do not distinguish {a.name} and {b.name}"
    better = a if (interval.low > 0) == a.measure.higher_is_better else b
    return f"{by} excludes 0: {better.name} is better"


def _difference_headers(contrasts: Sequence[Contrast]) -> list[str]:
    """The headers of a difference: of pairs and of documents only if any of the contrasts has them."""
    pairs, documents = _parts(contrasts)
    headers = ["difference", *(["95 % over pairs", "95 % unpaired"] if pairs else ["95 % over seeds"])]
    return [*headers, *(["seeds × documents"] if documents else []), "p", "p (Holm)"]


def _parts(contrasts: Sequence[Contrast]) -> tuple[bool, bool]:
    """Whether any contrast is over pairs, and over documents."""
    return any(one.paired for one in contrasts), any(one.two_level for one in contrasts)


def _contrast_cells(table: ScoreTable, contrast: Contrast, contrasts: Sequence[Contrast]) -> list[str]:
    """The detectable difference, then the cells below the headers of the contrasts."""
    pairs, documents = _parts(contrasts)
    reason = f" ({contrast.reason})" if contrast.reason else ""
    detectable = contrast.detectable if contrast.detectable_paired is None else contrast.detectable_paired
    return [
        shown_figure(table, detectable),
        shown_figure(table, contrast.difference, signed=True) + reason,
        *([_interval(table, contrast.paired)] if pairs else []),
        _interval(table, contrast.welch),
        *([_interval(table, contrast.two_level)] if documents else []),
        f"{contrast.over_seeds.p:.2g}" if contrast.over_seeds else "-",
        f"{contrast.p_holm:.2g}" if contrast.p_holm is not None else "-",
    ]


def _interval(table: ScoreTable, interval: Interval | Estimate | None) -> str:
    return "-" if interval is None else shown_range(table, interval.low, interval.high, signed=True)


def _spread(table: ScoreTable, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return shown_figure(table, spread.mean) + (f" ± {shown_figure(table, spread.sd)}" if spread.sd is not None else "")


def _permutation_note(comparison: Comparison) -> Iterator[str]:
    from mixhub.analysis.statistics.seeds import ALPHA

    unpaired = [contrast for contrast in comparison.tasks if contrast.paired is None]
    least = [contrast.permutation.smallest for contrast in unpaired if contrast.permutation]
    noun = comparison.a.measure.columns
    lifted = min(1.0, max(least, default=0.0) * len(least))
    if lifted > ALPHA:
        yield (
            f"A permutation of this many seeds has p of at least {max(least):.2g}, which Holm over "
            f"{plural(len(least), noun)} raises to {lifted:.2g}: claims about single {noun}s need more seeds."
        )


def _show_notes(tables: Sequence[ScoreTable], form: Format) -> None:
    for table in tables:
        for note in table.notes:
            remark(f"note: {table.name}: {note}", form)


def show_survey(survey: Survey, form: Format) -> None:
    """Print several families by their ranks, and what distinguishes them."""

    table = survey.tables[0]
    if form is Format.JSON:
        frames = {"ranking": survey.ranking_frame(), "agreements": survey.agreements_frame(), "tasks": survey.frame()}
        say_json({"seeds_agree": survey.seeds} | {name: records(frame) for name, frame in frames.items()})
        return
    if form is Format.CSV:
        say_csv(survey.ranking_frame())
        return
    ranking = [
        [
            str(one.rank),
            one.name,
            *(shown_figure(table, v) for v in (one.spread.mean, one.spread.sd)),
            str(one.spread.n),
        ]
        for one in survey.ranking
    ]
    title = f"mixtures by their average, {table.measure.title}, {table.standing}"
    show_grid(["rank", "mixture", "mean", "sd over seeds", "seeds"], ranking, title, form)
    if survey.pairs:
        pairs = [[pair.title, *_contrast_cells(table, pair, survey.pairs)] for pair in survey.pairs]
        headers = ["first minus second", "detectable", *_difference_headers(survey.pairs)]
        show_grid(headers, pairs, "pairs, by their average", form)
    if survey.seeds is not None:
        ranks = f"one seed of each mixture ranks {survey.seeds:.0%} of pairs as the mean of the others does"
        remark(f"seeds agree: {ranks}", form)
    if survey.agreements:
        _show_agreements(survey, form)
    signals = [[signal.title, *_signal_cells(table, signal)] for signal in survey.signals]
    if any(figure != "-" for row in signals for figure in row[1:]):
        headers = [table.measure.columns, "sd over mixtures", "sd over seeds", "share of mixtures, 95 %", "p"]
        headers += ["documents alone", "seeds / documents"]
        show_grid(headers, signals, "what distinguishes mixtures, and what varies: seeds or documents", form)
        if any(one.component is not None and one.component.low == one.component.high for one in survey.signals):
            remark("no interval of the share: the mixtures differ less than their seeds, so it is unknown", form)
    _show_notes(survey.tables, form)


def _show_agreements(survey: Survey, form: Format) -> None:
    rows = []
    for what, agreement in survey.agreements.items():
        interval = "too few mixtures"
        if agreement.low is not None and agreement.high is not None:
            interval = _shown_shares(agreement.low, agreement.high)
        spearman = "-" if agreement.spearman is None else f"{agreement.spearman:.2f}"
        rows.append([what, f"{agreement.accuracy:.0%}", str(agreement.pairs), interval, spearman])
    headers = ["two ways to rank", "decision accuracy", "pairs", "95 % over mixtures", "Spearman"]
    show_grid(headers, rows, "agreement: the share of pairs of mixtures that both rank the same way", form)


def _shown_shares(low: float, high: float) -> str:
    """An interval of shares; `-` if it has no width."""
    digits = 0 if f"{low:.0%}" != f"{high:.0%}" else 2
    return "-" if low == high else f"{low:.{digits}%} … {high:.{digits}%}"


def _signal_cells(table: ScoreTable, signal: Signal) -> list[str]:
    component, noise, cells = signal.component, signal.noise, ["-"] * 6
    if component:
        cells[0], cells[1] = shown_figure(table, component.mixture_sd), shown_figure(table, component.seed_sd)
        cells[2], cells[3] = _shown_shares(component.low, component.high), f"{component.p:.2g}"
    if noise:
        cells[4] = shown_figure(table, noise.document_sd)
        cells[5] = "-" if noise.ratio is None else f"{noise.ratio:.1f}"
    return cells
