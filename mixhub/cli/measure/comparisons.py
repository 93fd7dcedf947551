"""How comparisons of families are printed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mixhub.cli.measure.tables import Format, records, say_csv, show_grid, shown_figure, shown_range

if TYPE_CHECKING:
    from mixhub.analysis.comparison import Comparison, Contrast
    from mixhub.analysis.statistics import Interval, Spread
    from mixhub.analysis.survey import Survey
    from mixhub.analysis.tables import ScoreTable


def show_comparison(comparison: Comparison, form: Format) -> None:
    """Prints the comparison of two families."""
    from mixhub.cli.common.console import say, say_json

    a, b = comparison.a, comparison.b
    if form is Format.JSON:
        say_json({"a": a.name, "b": b.name, "measure": a.measure.name, "contrasts": records(comparison.frame())})
        return
    if form is Format.CSV:
        say_csv(comparison.frame())
        return
    say(f"{a.name} less {b.name}: {a.measure.title}, {a.standing}")
    for line in _primary_lines(comparison):
        say(line)
    say("")
    headers = [
        "task",
        "detectable",
        a.name,
        b.name,
        "difference",
        "95 % over seeds",
        "seeds × documents",
        "p",
        "p (Holm)",
    ]
    rows = [_contrast_row(a, contrast) for contrast in comparison.tasks]
    show_grid(headers, rows, "tasks, exploratory", form)
    for note in _task_notes(comparison):
        say(note)


def _primary_lines(comparison: Comparison) -> Iterator[str]:
    """What can be found with so many seeds, then what was found of the primary endpoint."""
    a, primary = comparison.a, comparison.primary
    if primary.reason or primary.difference is None or primary.a is None or primary.b is None:
        yield f"the average, the primary endpoint, is not compared: {primary.reason or 'no figures'}"
        return
    seeds = f"{primary.a.n} and {primary.b.n} seeds"
    if primary.welch is not None and primary.detectable is None:
        yield f"what can be detected: nothing: of {seeds} some have no spread, which tells nothing of other seeds"
    elif primary.detectable is None:
        yield f"what can be detected: nothing: a statement on mixtures takes two seeds or more of each, not {seeds}"
    else:
        sds = f"{shown_figure(a, primary.a.sd)} and {shown_figure(a, primary.b.sd)}"
        yield (
            f"what can be detected: with {seeds} of sd {sds}, a true difference of "
            f"{shown_figure(a, primary.detectable)} is found 4 times in 5"
        )
    means = f"{shown_figure(a, primary.a.mean)} and {shown_figure(a, primary.b.mean)}"
    yield f"average, the primary endpoint: {means}, difference {shown_figure(a, primary.difference, signed=True)}"
    if primary.welch is not None and primary.permutation is not None:
        yield (
            f"  over seeds (Welch): 95 % {shown_range(a, primary.welch.low, primary.welch.high, signed=True)}, "
            f"p = {primary.welch.p:.2g}; permutation p = {primary.permutation.p:.2g}, "
            f"which with so many seeds is at least {primary.permutation.smallest:.2g}"
        )
    if primary.two_level is not None:
        two = primary.two_level
        yield f"  over seeds and documents: 95 % {shown_range(a, two.low, two.high, signed=True)}, p = {two.p:.2g}"
    if primary.these_checkpoints is not None:
        own = primary.these_checkpoints
        interval = shown_range(a, own.low, own.high, signed=True)
        yield f"  these checkpoints, over documents: 95 % {interval}; it says nothing on mixtures"
    if primary.interval is not None:
        yield _verdict(comparison, primary.interval)


def _verdict(comparison: Comparison, interval: Interval) -> str:
    if comparison.primary.detectable is None:
        return "no verdict: seeds without any spread tell nothing of other seeds"
    by = "the interval over seeds" + (" and documents" if comparison.primary.two_level else "")
    if interval.low <= 0 <= interval.high:
        return f"{by} holds 0: these seeds do not tell {comparison.a.name} and {comparison.b.name} apart"
    higher = interval.low > 0
    better = comparison.a if higher == comparison.a.measure.higher_is_better else comparison.b
    return f"{by} does not hold 0: {better.name} is better"


def _contrast_row(table: ScoreTable, contrast: Contrast) -> list[str]:
    spreads = [_spread(table, contrast.a), _spread(table, contrast.b)]
    if contrast.reason:
        return [contrast.title, "-", *spreads, f"- ({contrast.reason})", "-", "-", "-", "-"]
    welch, two = contrast.welch, contrast.two_level
    return [
        contrast.title,
        shown_figure(table, contrast.detectable),
        *spreads,
        shown_figure(table, contrast.difference, signed=True),
        shown_range(table, welch.low, welch.high, signed=True) if welch else "-",
        shown_range(table, two.low, two.high, signed=True) if two else "-",
        f"{welch.p:.2g}" if welch else "-",
        f"{contrast.p_holm:.2g}" if contrast.p_holm is not None else "-",
    ]


def _spread(table: ScoreTable, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return shown_figure(table, spread.mean) + (f" ± {shown_figure(table, spread.sd)}" if spread.sd is not None else "")


def _task_notes(comparison: Comparison) -> Iterator[str]:
    from mixhub.analysis.comparison import ALPHA

    yield "± is the sd over seeds."
    least = [contrast.permutation.smallest for contrast in comparison.tasks if contrast.permutation]
    lifted = min(1.0, max(least, default=0.0) * len(least))
    if lifted > ALPHA:
        yield (
            f"A permutation of so many seeds has p of at least {max(least):.2g}, which Holm over {len(least)} tasks "
            f"lifts to {lifted:.2g}: claims on single tasks need more seeds."
        )
    for table in (comparison.a, comparison.b):
        for note in table.notes:
            yield f"note: {table.name}: {note}"


def show_survey(survey: Survey, form: Format) -> None:
    """Prints several families by their ranks, and what tells them apart."""
    from mixhub.cli.common.console import say, say_json

    table = survey.tables[0]
    frames = {"ranking": survey.ranking_frame(), "agreements": survey.agreements_frame(), "tasks": survey.frame()}
    if form is Format.JSON:
        say_json({"seeds_agree": survey.seeds} | {name: records(frame) for name, frame in frames.items()})
        return
    if form is Format.CSV:
        say_csv(survey.ranking_frame())
        return
    show_grid(
        ["rank", "mixture", "mean", "sd over seeds", "seeds"],
        [
            [
                str(one.rank),
                one.name,
                shown_figure(table, one.spread.mean),
                shown_figure(table, one.spread.sd),
                str(one.spread.n),
            ]
            for one in survey.ranking
        ],
        f"mixtures by their average, {table.measure.title}, {table.standing}",
        form,
    )
    _show_pairs(survey, form)
    _show_agreements(survey, form)
    _show_signals(survey, form)
    for one in survey.tables:
        for note in one.notes:
            say(f"note: {one.name}: {note}")


def _show_pairs(survey: Survey, form: Format) -> None:
    if not survey.pairs:
        return
    table = survey.tables[0]
    rows = []
    for pair in survey.pairs:
        welch, two = pair.welch, pair.two_level
        rows.append(
            [
                pair.title,
                shown_figure(table, pair.detectable),
                shown_figure(table, pair.difference, signed=True) if not pair.reason else f"- ({pair.reason})",
                shown_range(table, welch.low, welch.high, signed=True) if welch else "-",
                shown_range(table, two.low, two.high, signed=True) if two else "-",
                f"{welch.p:.2g}" if welch else "-",
                f"{pair.p_holm:.2g}" if pair.p_holm is not None else "-",
            ]
        )
    headers = ["the first less the second", "detectable", "difference", "95 % over seeds", "seeds × documents"]
    headers += ["p (Welch)", "p (Holm)"]
    show_grid(headers, rows, "pairs, by their average", form)


def _show_agreements(survey: Survey, form: Format) -> None:
    from mixhub.cli.common.console import say

    if survey.seeds is not None:
        say(f"seeds agree: one seed of each mixture ranks {survey.seeds:.0%} of pairs as the mean of the others does")
    if not survey.agreements:
        return
    rows = []
    for one in survey.agreements:
        own = one.agreement
        rows.append(
            [
                one.what,
                f"{own.accuracy:.0%}",
                str(own.pairs),
                f"{own.low:.0%} … {own.high:.0%}"
                if own.low is not None and own.high is not None
                else "too few mixtures",
                "-" if own.spearman is None else f"{own.spearman:.2f}",
            ]
        )
    headers = ["two ways to rank", "decision accuracy", "pairs", "95 % over mixtures", "Spearman"]
    show_grid(headers, rows, "agreement: the share of pairs of mixtures that both rank alike", form)


def _show_signals(survey: Survey, form: Format) -> None:
    table = survey.tables[0]
    rows = []
    for signal in survey.signals:
        own, noise = signal.component, signal.noise
        rows.append(
            [
                signal.title,
                *(
                    [
                        shown_figure(table, own.mixture_sd),
                        shown_figure(table, own.seed_sd),
                        f"{own.low:.0%} … {own.high:.0%}",
                        f"{own.p:.2g}",
                    ]
                    if own
                    else ["-"] * 4
                ),
                shown_figure(table, noise.document_sd if noise else None),
                f"{noise.ratio:.1f}" if noise and noise.ratio is not None else "-",
            ]
        )
    headers = [
        "task",
        "sd over mixtures",
        "sd over seeds",
        "share of mixtures, 95 %",
        "p",
        "documents alone",
        "seeds / documents",
    ]
    if any(figure != "-" for row in rows for figure in row[1:]):
        show_grid(headers, rows, "what tells mixtures apart, and what varies: seeds or documents", form)
