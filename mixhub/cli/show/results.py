"""`mixhub results`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import WorkspaceOption, counts, names, workspace_if_any

if TYPE_CHECKING:
    import pandas

    from mixhub.analysis.comparison import Comparison, Contrast
    from mixhub.analysis.evidence import Evidence
    from mixhub.analysis.scores import Score
    from mixhub.analysis.selection import Selection
    from mixhub.analysis.statistics import Interval, Spread
    from mixhub.analysis.survey import Survey
    from mixhub.analysis.tables import ScoreTable
    from mixhub.workspace.paths import Workspace


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


class MeasureName(StrEnum):
    """What the figures are."""

    SCORE = "score"
    BITS_PER_BYTE = "bits_per_byte"
    ANSWER_PROBABILITY = "answer_probability"


def results(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Families, lm-eval's results (files or folders) or tables (.md, .csv); else the workspace's family.",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare the sources: two by their difference, several by their ranks.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help="The same mixtures at another size, in the same order, with commas.", metavar="SOURCES"),
    ] = None,
    measure: Annotated[MeasureName, typer.Option(help="What the figures are.")] = MeasureName.SCORE,
    published: Annotated[
        bool, typer.Option("--published", help="Published scores, also where there are measured ones.")
    ] = False,
    allow_incomplete: Annotated[
        bool, typer.Option("--allow-incomplete", help="Show means over what is there, marked with how much that is.")
    ] = False,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="The rows are seeds of one recipe, whatever their revisions are called.")
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples/--no-samples", help="Read samples where they are there: exact standard errors.")
    ] = True,
    tasks: Annotated[str | None, typer.Option(help="Only these, with commas.", metavar="NAMES")] = None,
    num_fewshot: Annotated[
        str | None, typer.Option(help="Only these shot counts, as 0,5 or 0-5.", metavar="COUNTS")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    suite: Annotated[
        str | None, typer.Option(help="The family whose tasks and shot counts are wanted.", metavar="NAME")
    ] = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Show scores, seeds × tasks, with their spread over seeds and their sampling error; or compare families.

    A score is the mean over shot counts of acc_norm, else acc. What is not whole is not averaged. Published scores are
    shown apart, and never mixed with what was measured.
    """
    from mixhub.analysis.evidence import find_evidence
    from mixhub.analysis.scores import measure_named
    from mixhub.analysis.selection import Selection
    from mixhub.cli.common.console import progress
    from mixhub.errors import UsageError
    from mixhub.spec import catalog

    place = workspace_if_any(workspace)
    wanted = Selection(
        suite=(place.family(suite) if place else catalog.get(suite)).evaluation if suite else None,
        tasks=tuple(names("--tasks", tasks)) if tasks is not None else None,
        num_fewshot=tuple(counts(num_fewshot)) if num_fewshot else None,
        measure=measure_named(measure.value),
        allow_incomplete=allow_incomplete,
        rows_are_seeds=seeds,
        samples=samples,
        only_common=compare,
    )
    if against and not compare:
        raise UsageError("--against goes with --compare", hint="mixhub results --compare A B --against C,D")
    if compare and allow_incomplete:
        raise UsageError("--allow-incomplete does not go with --compare: what is not whole is not compared")
    if form is Format.CSV and allow_incomplete:
        raise UsageError("--allow-incomplete: a CSV cannot mark what is not whole", hint="--format json, or table")
    own, others = _sources(sources, place), names("--against", against) if against else []
    if compare and len({*own, *others}) < len([*own, *others]):
        raise UsageError(f"{', '.join([*own, *others])}: each must stand once", hint="name two families or more")
    everything = [find_evidence(source, place, progress()) for source in (*own, *others)]
    evidence = _told_apart(everything, [*own, *others])
    if compare:
        _compare(evidence[: len(own)], evidence[len(own) :], wanted, published, form)
        return
    _show(_tables(evidence, wanted, published), form)


def _sources(given: Sequence[str] | None, place: Workspace | None) -> list[str]:
    from mixhub.errors import UsageError

    if given:
        return list(given)
    if place is None:
        raise UsageError(
            "results of what? There is no workspace here",
            hint="mixhub results human-1b, mixhub results FOLDER, or go to a workspace",
        )
    return [place.config.family]


def _told_apart(evidence: Sequence[Evidence], sources: Sequence[str]) -> list[Evidence]:
    """The evidence, with the source in the name where two have the same, as local checkpoints of two mixtures may."""
    taken = [one.name for one in evidence]
    return [
        replace(one, name=f"{one.name} in {source}") if taken.count(one.name) > 1 else one
        for one, source in zip(evidence, sources, strict=True)
    ]


def _tables(evidence: Sequence[Evidence], wanted: Selection, published: bool) -> list[ScoreTable]:
    """What was measured and what was published, as tables of their own."""
    from mixhub.analysis.building import measured_tables, published_scores
    from mixhub.analysis.results import nothing_there
    from mixhub.cli.common.console import progress

    measured = [one for one in evidence if one.measured and not published]
    by_name = dict(zip(map(id, measured), measured_tables(measured, wanted, progress()), strict=True))
    tables = []
    for one in evidence:
        own = by_name.get(id(one))
        is_asked = wanted.measure.name == MeasureName.SCORE and wanted.num_fewshot is None
        printed = published_scores(one, wanted) if is_asked or own is None else None
        found = [table for table in (own, printed) if table is not None]
        if not found:
            raise nothing_there(one, published=published)
        tables += found
    return tables


def _compare(
    evidence: Sequence[Evidence], others: Sequence[Evidence], wanted: Selection, published: bool, form: Format
) -> None:
    from mixhub.analysis.building import measured_tables
    from mixhub.analysis.comparison import compare
    from mixhub.analysis.survey import survey
    from mixhub.cli.common.console import progress
    from mixhub.errors import UsageError

    everything = [*evidence, *others]
    if published or not any(one.measured for one in everything):
        made = [_printed(one, wanted, published) for one in everything]
    else:
        if printed := [one.name for one in everything if not one.measured]:
            there = ", ".join(one.name for one in everything if one.measured)
            raise UsageError(
                f"{', '.join(printed)} was not measured here, {there} was: published scores are never mixed in",
                hint="measure it: mixhub evaluate; or compare what was published: --published",
            )
        made = measured_tables(everything, wanted, progress())
    own, against = made[: len(evidence)], made[len(evidence) :]
    if len(own) == 2 and not against and all(table.kind == "seed" for table in own):
        _show_comparison(compare(*own), form)
    elif len(own) == 1 and own[0].kind != "index":
        raise UsageError(f"{own[0].name}: has nothing to be compared with", hint="name two families or more")
    else:
        _show_survey(survey(own, against), form)


def _printed(evidence: Evidence, wanted: Selection, published: bool) -> ScoreTable:
    from mixhub.analysis.building import published_scores
    from mixhub.analysis.results import nothing_there

    table = published_scores(evidence, wanted)
    if table is None:
        raise nothing_there(evidence, published=published)
    return table


def _show(tables: Sequence[ScoreTable], form: Format) -> None:
    from mixhub.cli.common.console import say

    if form is Format.JSON:
        _say_json([_table_json(table) for table in tables])
    elif form is Format.CSV:
        _say_csv(_wide(tables))
    else:
        for number, table in enumerate(tables):
            if number:
                say("")
            _show_table(table, form)


def _wide(tables: Sequence[ScoreTable]) -> pandas.DataFrame:
    """Revisions × tasks of all tables, each line with its name and standing."""
    import pandas as pd

    frames = []
    for table in tables:
        frame = table.frame()
        taken = {name: f"{name} (column)" for name in ("name", "standing", "revision") if name in frame.columns}
        frame = frame.rename(columns=taken).reset_index()
        frame.insert(0, "standing", table.standing)
        frame.insert(0, "name", table.name)
        frame.attrs = {}
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _show_table(table: ScoreTable, form: Format) -> None:
    from mixhub.cli.common.console import say

    headers, rows = _grid(table)
    if form is Format.TABLE and len(headers) > len(rows) + 1:  # the longer side goes down the page
        turned = [list(line) for line in zip(headers, *rows, strict=True)]
        headers, rows = ["task", *turned[0][1:]], turned[1:]
    _show_grid(headers, rows, _title(table), form)
    if table.standing == "measured":
        scores = [score for row in table.rows for score in row.scores.values()]
        present, expected = sum(score.present for score in scores), sum(score.expected for score in scores)
        say(f"cells: {present:,} of {expected:,}")
    else:
        say(f"source: {table.source}")
    reasons = dict.fromkeys(over.reason for over in table.over_seeds.values() if over.reason)
    for reason in reasons:
        say(f"no mean over rows: {reason}")
    if any(score.stderr_is_bound for row in table.rows for score in row.scores.values()):
        say("stderr: at most, from the cells alone; samples of all shot counts would make it exact")
    for note in table.notes:
        say(f"note: {note}")


def _title(table: ScoreTable) -> str:
    what = f"{table.name}: {table.measure.title}"
    if table.standing == "published":
        return f"{what}, published, not measured again"
    alike = {column.num_fewshot for column in table.columns}
    shots = f"shots {', '.join(map(str, *alike))}" if len(alike) == 1 else "the shots of each task"
    return f"{what}, mean over {shots}, measured"


def _grid(table: ScoreTable) -> tuple[list[str], list[list[str]]]:
    """Revisions × tasks, and below them what the rows say together."""
    headings = table.headings
    rows = [[row.revision, *(_shown(table, table.score(row, column)) for column in headings)] for row in table.rows]
    summaries = {column: table.summary(column) for column in headings}
    seeds = {over.spread.n for over in table.over_seeds.values() if over.spread}
    lines = {
        f"mean over {', '.join(map(str, sorted(seeds)))} seeds": ("mean",),
        "sd over seeds": ("sd",),
        "95 % over seeds": ("low", "high"),
        "stderr over documents": ("stderr",),
        "chance": ("chance",),
        "best constant": ("constant",),
    }
    for name, keys in lines.items():
        line = [_range(table, *(own[key] for key in keys)) for own in summaries.values()]
        if any(figure != "-" for figure in line):
            rows.append([name, *line])
    return [table.kind, *headings.values()], rows


def _show_grid(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str, form: Format) -> None:
    """A grid of text, as Markdown or for a terminal."""
    from mixhub.cli.common.console import say, show_table

    if form is not Format.MARKDOWN:
        show_table(headers, rows, title=title)
        return
    from tabulate import tabulate

    say(f"**{title}**\n")
    align = ["left", *["right"] * (len(headers) - 1)]
    say(tabulate(rows, headers=headers, tablefmt="pipe", colalign=align, disable_numparse=True) + "\n")


def _shown(table: ScoreTable, score: Score) -> str:
    if score.value is None:
        return f"- ({score.reason})" if score.reason else "-"
    marked = f" ({score.reason})" if score.reason else ""
    return _figure(table, score.value) + marked


def _figure(table: ScoreTable, value: float | None, *, signed: bool = False) -> str:
    digits = 2 if table.measure.scale == 100 else 4
    return "-" if value is None else f"{value:{'+' if signed else ''}.{digits}f}"


def _range(table: ScoreTable, *ends: float | None, signed: bool = False) -> str:
    """One figure, or an interval from its low to its high end."""
    return "-" if None in ends else " … ".join(_figure(table, end, signed=signed) for end in ends)


def _table_json(table: ScoreTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "standing": table.standing,
        "source": table.source,
        "measure": table.measure.name,
        "over": table.kind,
        "columns": [{"task": c.task, "title": c.title, "num_fewshot": list(c.num_fewshot)} for c in table.columns],
        "figures": _records(table.scores_frame()),
        "over_seeds": _records(table.spread_frame()),
        "notes": list(table.notes),
        "superseded": [
            {"path": str(one.record.path), "cell": one.record.name, "by": str(one.by.path)} for one in table.superseded
        ],
    }


def _records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """The lines of a frame as plain data; NaN is null, since JSON has none."""
    lines: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return lines


def _say_json(data: object) -> None:
    from mixhub.cli.common.console import say

    say(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))


def _say_csv(frame: pandas.DataFrame) -> None:
    from mixhub.cli.common.console import say

    say(frame.to_csv(index=False).rstrip("\n"))


def _show_comparison(found: Comparison, form: Format) -> None:
    from mixhub.cli.common.console import say

    a, b = found.a, found.b
    if form is Format.JSON:
        _say_json({"a": a.name, "b": b.name, "measure": a.measure.name, "contrasts": _records(found.frame())})
        return
    if form is Format.CSV:
        _say_csv(found.frame())
        return
    say(f"{a.name} less {b.name}: {a.measure.title}, {a.standing}")
    for line in _primary_lines(found):
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
    rows = [_contrast_row(a, contrast) for contrast in found.tasks]
    _show_grid(headers, rows, "tasks, exploratory", form)
    for note in _task_notes(found):
        say(note)


def _primary_lines(found: Comparison) -> Iterator[str]:
    """What can be found with so many seeds, then what was found of the primary endpoint."""
    a, primary = found.a, found.primary
    if primary.reason or primary.difference is None or primary.a is None or primary.b is None:
        yield f"the average, the primary endpoint, is not compared: {primary.reason or 'no figures'}"
        return
    seeds = f"{primary.a.n} and {primary.b.n} seeds"
    if primary.welch is not None and primary.detectable is None:
        yield f"what can be detected: nothing: of {seeds} some have no spread, which tells nothing of other seeds"
    elif primary.detectable is None:
        yield f"what can be detected: nothing: a statement on mixtures takes two seeds or more of each, not {seeds}"
    else:
        sds = f"{_figure(a, primary.a.sd)} and {_figure(a, primary.b.sd)}"
        yield (
            f"what can be detected: with {seeds} of sd {sds}, a true difference of {_figure(a, primary.detectable)} is "
            "found 4 times in 5"
        )
    means = f"{_figure(a, primary.a.mean)} and {_figure(a, primary.b.mean)}"
    yield f"average, the primary endpoint: {means}, difference {_figure(a, primary.difference, signed=True)}"
    if primary.welch is not None and primary.permutation is not None:
        yield (
            f"  over seeds (Welch): 95 % {_range(a, primary.welch.low, primary.welch.high, signed=True)}, "
            f"p = {primary.welch.p:.2g}; permutation p = {primary.permutation.p:.2g}, "
            f"which with so many seeds is at least {primary.permutation.smallest:.2g}"
        )
    if primary.two_level is not None:
        two = primary.two_level
        yield f"  over seeds and documents: 95 % {_range(a, two.low, two.high, signed=True)}, p = {two.p:.2g}"
    if primary.these_checkpoints is not None:
        own = primary.these_checkpoints
        interval = _range(a, own.low, own.high, signed=True)
        yield f"  these checkpoints, over documents: 95 % {interval}; it says nothing on mixtures"
    if primary.interval is not None:
        yield _verdict(found, primary.interval)


def _verdict(found: Comparison, interval: Interval) -> str:
    if found.primary.detectable is None:
        return "no verdict: seeds without any spread tell nothing of other seeds"
    by = "the interval over seeds" + (" and documents" if found.primary.two_level else "")
    if interval.low <= 0 <= interval.high:
        return f"{by} holds 0: these seeds do not tell {found.a.name} and {found.b.name} apart"
    higher = interval.low > 0
    better = found.a if higher == found.a.measure.higher_is_better else found.b
    return f"{by} does not hold 0: {better.name} is better"


def _contrast_row(table: ScoreTable, contrast: Contrast) -> list[str]:
    spreads = [_spread(table, contrast.a), _spread(table, contrast.b)]
    if contrast.reason:
        return [contrast.title, "-", *spreads, f"- ({contrast.reason})", "-", "-", "-", "-"]
    welch, two = contrast.welch, contrast.two_level
    return [
        contrast.title,
        _figure(table, contrast.detectable),
        *spreads,
        _figure(table, contrast.difference, signed=True),
        _range(table, welch.low, welch.high, signed=True) if welch else "-",
        _range(table, two.low, two.high, signed=True) if two else "-",
        f"{welch.p:.2g}" if welch else "-",
        f"{contrast.p_holm:.2g}" if contrast.p_holm is not None else "-",
    ]


def _spread(table: ScoreTable, spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return _figure(table, spread.mean) + (f" ± {_figure(table, spread.sd)}" if spread.sd is not None else "")


def _task_notes(found: Comparison) -> Iterator[str]:
    from mixhub.analysis.comparison import ALPHA

    yield "± is the sd over seeds."
    least = [contrast.permutation.smallest for contrast in found.tasks if contrast.permutation]
    lifted = min(1.0, max(least, default=0.0) * len(least))
    if lifted > ALPHA:
        yield (
            f"A permutation of so many seeds has p of at least {max(least):.2g}, which Holm over {len(least)} tasks "
            f"lifts to {lifted:.2g}: claims on single tasks need more seeds."
        )
    for table in (found.a, found.b):
        for note in table.notes:
            yield f"note: {table.name}: {note}"


def _show_survey(found: Survey, form: Format) -> None:
    from mixhub.cli.common.console import say

    table = found.tables[0]
    frames = {"ranking": found.ranking_frame(), "agreements": found.agreements_frame(), "tasks": found.frame()}
    if form is Format.JSON:
        _say_json({"seeds_agree": found.seeds} | {name: _records(frame) for name, frame in frames.items()})
        return
    if form is Format.CSV:
        _say_csv(found.ranking_frame())
        return
    _show_grid(
        ["rank", "mixture", "mean", "sd over seeds", "seeds"],
        [
            [str(one.rank), one.name, _figure(table, one.spread.mean), _figure(table, one.spread.sd), str(one.spread.n)]
            for one in found.ranking
        ],
        f"mixtures by their average, {table.measure.title}, {table.standing}",
        form,
    )
    _show_pairs(found, form)
    _show_agreements(found, form)
    _show_signals(found, form)
    for one in found.tables:
        for note in one.notes:
            say(f"note: {one.name}: {note}")


def _show_pairs(found: Survey, form: Format) -> None:
    if not found.pairs:
        return
    table = found.tables[0]
    rows = []
    for pair in found.pairs:
        welch, two = pair.welch, pair.two_level
        rows.append(
            [
                pair.title,
                _figure(table, pair.detectable),
                _figure(table, pair.difference, signed=True) if not pair.reason else f"- ({pair.reason})",
                _range(table, welch.low, welch.high, signed=True) if welch else "-",
                _range(table, two.low, two.high, signed=True) if two else "-",
                f"{welch.p:.2g}" if welch else "-",
                f"{pair.p_holm:.2g}" if pair.p_holm is not None else "-",
            ]
        )
    headers = ["the first less the second", "detectable", "difference", "95 % over seeds", "seeds × documents"]
    headers += ["p (Welch)", "p (Holm)"]
    _show_grid(headers, rows, "pairs, by their average", form)


def _show_agreements(found: Survey, form: Format) -> None:
    from mixhub.cli.common.console import say

    if found.seeds is not None:
        say(f"seeds agree: one seed of each mixture ranks {found.seeds:.0%} of pairs as the mean of the others does")
    if not found.agreements:
        return
    rows = []
    for one in found.agreements:
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
    _show_grid(headers, rows, "agreement: the share of pairs of mixtures that both rank alike", form)


def _show_signals(found: Survey, form: Format) -> None:
    table = found.tables[0]
    rows = []
    for signal in found.signals:
        own, noise = signal.component, signal.noise
        rows.append(
            [
                signal.title,
                *(
                    [
                        _figure(table, own.mixture_sd),
                        _figure(table, own.seed_sd),
                        f"{own.low:.0%} … {own.high:.0%}",
                        f"{own.p:.2g}",
                    ]
                    if own
                    else ["-"] * 4
                ),
                _figure(table, noise.document_sd if noise else None),
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
        _show_grid(headers, rows, "what tells mixtures apart, and what varies: seeds or documents", form)
