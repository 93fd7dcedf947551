"""The score table: revisions × tasks, its spread over seeds, and what knowing nothing scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from mixhub.analysis.evidence import Evidence, common_columns, family_columns, find_evidence
from mixhub.analysis.lm_eval_files import Superseded
from mixhub.analysis.published import PublishedTable, require_columns
from mixhub.analysis.samples import Baseline, DocumentScores, SampleSummary, read_scores
from mixhub.analysis.scores import (
    SCORE,
    Column,
    Measure,
    Score,
    ScoreRow,
    average,
    disagreement,
    measure_named,
    score_row,
)
from mixhub.analysis.statistics import Interval, Spread, spread, t_interval
from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.spec.family import Evaluation
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.paths import Workspace
from mixhub.workspace.records import Record

if TYPE_CHECKING:
    import pandas

AVERAGE = "average"
"""What stands for the average where others are named by their task."""
NO_DOCUMENTS = DocumentScores(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
"""Where no samples were read."""

Standing = Literal["measured", "imported", "published"]
"""`measured`: from cells. `imported`: from other people's files of lm-eval. `published`: printed by somebody, and not
measured again."""


@dataclass(frozen=True)
class OverSeeds:
    """One column over its seeds."""

    spread: Spread | None
    """Mean and sd; None where there is no saying."""
    interval: Interval | None
    """95 % for the mean over seeds, by Student's t."""
    reason: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of the revisions of one family or model."""

    name: str
    """Of the family or model."""
    standing: Standing
    """Whether it was measured, and by whom."""
    source: str
    """Where published scores stand; empty for measured ones."""
    measure: Measure
    """What the figures are."""
    kind: str
    """What varies over the rows: `seed`, `index` or `revision`."""
    columns: tuple[Column, ...]
    """The tasks."""
    rows: tuple[ScoreRow, ...]
    """One a revision."""
    over_seeds: Mapping[str, OverSeeds]
    """By task, and for the average."""
    baselines: Mapping[str, Baseline]
    """By task, where its documents tell."""
    records: Mapping[str, tuple[Record, ...]]
    """The cells, by revision."""
    documents: DocumentScores
    """What each document contributed, where samples were read."""
    notes: tuple[str, ...]
    """What a reader should know, a sentence each."""
    superseded: tuple[Superseded, ...] = ()
    """Cells that were measured again later, and are not used."""

    def score(self, row: ScoreRow, column: str) -> Score:
        """The score of a task in a row, or the row's average."""
        return row.average if column == AVERAGE else row.scores[column]

    @property
    def headings(self) -> dict[str, str]:
        """Title by task, and that of the average, in order."""
        return {**{column.task: column.title for column in self.columns}, AVERAGE: "Average"}

    def values(self, column: str) -> list[float]:
        """The figures of a column that are whole, in the order of the rows."""
        scores = [self.score(row, column) for row in self.rows]
        return [found.value for found in scores if found.complete and found.value is not None]

    def frame(self) -> pandas.DataFrame:
        """Revisions × tasks: (R, T + 1) float64, columns the titles and `Average`; NaN for no value.

        Only what is whole, unless an incomplete table was asked for. `attrs` says standing, measure and notes.
        """
        import pandas as pd

        values = [[self.score(row, column).value for column in self.headings] for row in self.rows]
        index = pd.Index([row.revision for row in self.rows], name="revision")
        frame = pd.DataFrame(values, index=index, columns=list(self.headings.values()), dtype="float64")
        frame.attrs = {
            "name": self.name,
            "standing": self.standing,
            "source": self.source,
            "measure": self.measure.name,
            "notes": list(self.notes),
        }
        return frame

    def scores_frame(self) -> pandas.DataFrame:
        """A line a figure: revision, task, title, metric, value, stderr, stderr_is_bound, present, expected, reason."""
        import pandas as pd

        return pd.DataFrame([line for row in self.rows for line in self._lines(row)])

    def _lines(self, row: ScoreRow) -> list[dict[str, Any]]:
        return [
            {"revision": row.revision, "task": column, "title": title, **_figure(self.score(row, column))}
            for column, title in self.headings.items()
        ]

    def spread_frame(self) -> pandas.DataFrame:
        """A line a column: task, title, n, mean, sd, low, high (95 % over seeds), stderr (median over the rows),
        stderr_is_bound, chance, constant, reason."""
        import pandas as pd

        lines = [{"task": column, "title": title, **self.summary(column)} for column, title in self.headings.items()]
        return pd.DataFrame(lines)

    def summary(self, column: str) -> dict[str, Any]:
        """A column over its seeds, its sampling error, and what knowing nothing scores."""
        over, (stderr, is_bound) = self.over_seeds[column], self.stderr(column)
        baseline = self.baselines.get(column, Baseline(None, None))
        return {
            "n": over.spread.n if over.spread else len(self.values(column)),
            "mean": over.spread.mean if over.spread else None,
            "sd": over.spread.sd if over.spread else None,
            "low": over.interval.low if over.interval else None,
            "high": over.interval.high if over.interval else None,
            "stderr": stderr,
            "stderr_is_bound": is_bound,
            "chance": baseline.chance,
            "constant": baseline.constant,
            "reason": over.reason,
        }

    def stderr(self, column: str) -> tuple[float | None, bool]:
        """The median over the rows of the standard error over documents, and whether it is only a bound.

        An error of 0, where all answers are right or all are wrong, is none: nothing was seen to vary.
        """
        from statistics import median

        scores = [self.score(row, column) for row in self.rows]
        known = [found for found in scores if found.stderr]
        if not known:
            return None, False
        return median(found.stderr for found in known if found.stderr is not None), any(
            s.stderr_is_bound for s in known
        )

    def cells_frame(self) -> pandas.DataFrame:
        """A line a cell: all of its record, a column a metric, its stderr and its measures."""
        import pandas as pd

        return pd.DataFrame([_cell(record) for records in self.records.values() for record in records])


@dataclass(frozen=True)
class Wanted:
    """What tables are asked for."""

    suite: Evaluation | None = None
    """Tasks and shot counts; None: those of each family, and of other models what is there."""
    tasks: tuple[str, ...] | None = None
    """Only these of them."""
    num_fewshot: tuple[int, ...] | None = None
    """Only these of them."""
    measure: Measure = SCORE
    """What the figures are."""
    allow_incomplete: bool = False
    """Show means over what is there, each marked with how much that is."""
    rows_are_seeds: bool = False
    """Take the revisions for seeds of one recipe, whatever they are called."""
    samples: bool = True
    """Read samples, where they are there."""
    only_common: bool = False
    """Of models that belong to no suite: only tasks and shot counts that all of them have."""


def results(
    source: str | Path,
    *,
    workspace: str | Path | None = None,
    frame: FrameName = "scores",
    measure: str = "score",
    suite: str | None = None,
    published: bool = False,
    allow_incomplete: bool = False,
    samples: bool = True,
) -> pandas.DataFrame:
    """The score table of a family, of any lm-eval results, or of a published table, as a frame.

        mixhub.results("human-1b")                                  # the published scores
        mixhub.results("demo-1m", workspace="mixhub-demo")          # what was measured in a workspace
        mixhub.results("lm-eval-output/", frame="cells")            # a line a cell

    Args:
        source: a family by name, a file or folder of lm-eval's results, or a table (.md, .csv, .tsv).
        workspace: where the cells of a family lie; without one a family has its published scores only.
        frame: `scores`, revisions × tasks; `figures`, a line a figure with stderr and what is present and expected;
            `spread`, a line a task with mean, sd and 95 % interval over seeds, chance and the best constant answer;
            `cells`, a line a cell with all that is known of it.
        measure: `score` (percent), `bits_per_byte`, or `answer_probability` (percent).
        suite: name of the family whose tasks and shot counts are wanted; else those of the family itself, and of other
            results what is there.
        published: the published scores, where there are measured ones too.
        allow_incomplete: means over what is there; without it what is not whole is NaN.
        samples: read samples, where they are there: they make standard errors exact, and tell chance.

    Returns:
        The frame; its `attrs` hold name, standing (`measured` or `published`), source, measure and notes.

    Raises:
        UnknownNameError: nothing is known by the name of `source`, `measure` or `suite`.
        ResultsError: nothing was measured or published, or what lies there cannot be read or does not belong together.
        UsageError: `frame` is none of those.
    """
    if frame not in get_args(FrameName):
        raise UsageError(f"frame = {frame!r}: must be one of {', '.join(get_args(FrameName))}")
    place = Workspace.open(Path(workspace)) if workspace is not None else None
    evidence = find_evidence(str(source), place)
    evaluation = (place.family(suite) if place else catalog.get(suite)).evaluation if suite else None
    wanted = Wanted(evaluation, measure=measure_named(measure), allow_incomplete=allow_incomplete, samples=samples)
    if published or not evidence.measured:
        table = published_scores(evidence, wanted)
        if table is None:
            raise nothing_there(evidence, published=published)
        return _framed(table, frame)
    (table,) = measured_tables([evidence], wanted)
    return _framed(table, frame)


FrameName = Literal["scores", "figures", "spread", "cells"]
"""The frames of a table."""


def _framed(table: ScoreTable, frame: FrameName) -> pandas.DataFrame:
    made = {
        "scores": table.frame,
        "figures": table.scores_frame,
        "spread": table.spread_frame,
        "cells": table.cells_frame,
    }[frame]()
    made.attrs = table.frame().attrs
    return made


def nothing_there(evidence: Evidence, *, published: bool) -> ResultsError:
    """The error for evidence that has no scores of the kind that was asked for."""
    if published:
        return ResultsError(f"{evidence.name}: no scores were published", hint="leave --published out")
    return ResultsError(
        f"{evidence.name}: nothing was measured here, and no scores were published",
        hint="mixhub evaluate, or name the workspace that has its results",
    )


def measured_tables(evidence: Sequence[Evidence], wanted: Wanted, progress: Progress = SILENT) -> list[ScoreTable]:
    """The tables of what was measured, one for each; raises ResultsError as `measured_table` and `read_scores` do."""
    tables = []
    for given, (one, columns) in zip(evidence, _chosen(evidence, wanted), strict=True):
        asked = _only(columns, wanted)
        _require_any(given, asked, wanted.measure)
        one = _of_columns(one, asked)
        documents = read_scores(one.records, asked, wanted.measure, progress) if wanted.samples else NO_DOCUMENTS
        tables.append(
            measured_table(
                one,
                asked,
                wanted.measure,
                documents=documents,
                allow_incomplete=wanted.allow_incomplete,
                rows_are_seeds=wanted.rows_are_seeds,
            )
        )
    return tables


def _chosen(evidence: Sequence[Evidence], wanted: Wanted) -> list[tuple[Evidence, tuple[Column, ...]]]:
    """For each the cells that count, and the columns: those of the suite, else those that are there.

    What belongs to no suite is compared with a family by the family's.
    """
    suites = [wanted.suite or (one.family.evaluation if one.family is not None else None) for one in evidence]
    if wanted.only_common and None in suites:
        suite = next(filter(None, suites), None)
        if suite is None:
            kept, common = common_columns(evidence)
            if not common:
                raise ResultsError(
                    f"{', '.join(one.name for one in evidence)} have no task at the same shot count in common",
                    hint="evaluate the same tasks, whole and at the same shot counts",
                )
            return [(one, common) for one in kept]
        suites = [own or suite for own in suites]
    found = []
    for one, own in zip(evidence, suites, strict=True):
        if own is not None:
            found.append(family_columns(own, one))
        else:
            (alone,), columns = common_columns([one])
            found.append((alone, columns))
    return found


def _of_columns(evidence: Evidence, columns: Sequence[Column]) -> Evidence:
    """The evidence without the cells that no column asks for."""
    shots = {column.task: column.num_fewshot for column in columns}
    records = {
        revision: tuple(record for record in own if record.num_fewshot in shots.get(record.task, ()))
        for revision, own in evidence.records.items()
    }
    return replace(evidence, records=MappingProxyType(records))


def _require_any(evidence: Evidence, columns: Sequence[Column], measure: Measure) -> None:
    """Raises ResultsError, naming a file and the reasons, when no cell can make a score."""
    cells = [record for own in evidence.records.values() for record in own]
    tasks = {column.task for column in columns}
    if any(measure.metric(cell) for cell in cells if cell.task in tasks):
        return
    reasons = {
        f"have no {'acc_norm or acc' if measure is SCORE else measure.name}": sum(not measure.metric(c) for c in cells),
        "were cut short by a limit": sum(cell.limit not in (None, UNKNOWN) for cell in cells),
        "may have been cut short by a limit, which is not known": sum(cell.limit == UNKNOWN for cell in cells),
        "have an unknown number of shots": sum(cell.num_fewshot == UNKNOWN for cell in cells),
    }
    said = "; ".join(f"{count} {reason}" for reason, count in reasons.items() if count) or "none is of the suite"
    raise ResultsError(
        f"{cells[0].path}: {evidence.name} has no {measure.name}: of {len(cells)} cells {said}",
        hint="evaluate whole tasks of the suite; measures other than the score take cells of mixhub evaluate",
        path=cells[0].path,
    )


def _only(columns: Sequence[Column], wanted: Wanted) -> list[Column]:
    """The columns that were asked for; raises UnknownNameError for a task, and UsageError for shots, that none has."""
    known = [column.task for column in columns]
    for task in wanted.tasks or ():
        if task not in known:
            raise UnknownNameError("task", task, known)
    kept = [column for column in columns if wanted.tasks is None or column.task in wanted.tasks]
    if wanted.num_fewshot is None:
        return kept
    found = [
        column._replace(num_fewshot=tuple(k for k in column.num_fewshot if k in wanted.num_fewshot)) for column in kept
    ]
    if empty := [column.title for column in found if not column.num_fewshot]:
        asked = ", ".join(map(str, wanted.num_fewshot))
        raise UsageError(f"num_fewshot = {asked}: {', '.join(empty)} has none of these shot counts")
    return found


def measured_table(
    evidence: Evidence,
    columns: Sequence[Column],
    measure: Measure = SCORE,
    *,
    documents: DocumentScores = NO_DOCUMENTS,
    samples: SampleSummary | None = None,
    standing: Standing = "measured",
    allow_incomplete: bool = False,
    rows_are_seeds: bool = False,
) -> ScoreTable:
    """The table of what was measured.

    Args:
        evidence: the cells that count (see `evidence.family_columns`).
        columns: the tasks.
        measure: what the figures are.
        documents: what each document contributed, for standard errors that know that shot counts share documents.
        samples: as much of it as a table shows, where `documents` itself was not read again.
        standing: `measured`, or `imported` where the cells are another's.
        allow_incomplete: show means over what is there, each marked with how much that is.
        rows_are_seeds: take the revisions for seeds of one recipe, whatever they are called.

    Raises:
        ResultsError: a cell of a column has no such metric, or cells of a revision were made with different weights.
    """
    notes = list(evidence.notes)
    records = evidence.records
    samples = samples or documents.summary()
    if measure is not SCORE:
        columns, dropped = _measurable(columns, records, measure)
        if dropped:
            notes.append(f"{measure.name} does not exist for: {', '.join(dropped)}; the average is over the others")
    rows = []
    for revision, own in records.items():
        row = score_row(revision, columns, own, measure, allow_incomplete=allow_incomplete)
        rows.append(_with_stderrs(row, own, samples, allow_incomplete))
    kind = "seed" if rows_are_seeds else evidence.kind
    notes += [f"measured again later, so not used: {_files(evidence)}"] if evidence.superseded else []
    notes += _unknown(records)
    notes += _outside(rows) if measure.scale == 100 else ()
    notes += _partial(rows) if allow_incomplete else ()
    over = {}
    twins = _same_weights(records)
    for column in columns:
        cells = [record for own in records.values() for record in own if record.task == column.task]
        reason = twins or column_reason(cells, measure) or _other_documents(column.task, records, samples)
        over[column.task] = _over_seeds(kind, [row.scores[column.task] for row in rows], reason)
    reason = next((found.reason for found in over.values() if found.reason), "")
    over[AVERAGE] = _over_seeds(kind, [row.average for row in rows], reason)
    return ScoreTable(
        name=evidence.name,
        standing=standing,
        source="",
        measure=measure,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=MappingProxyType(over),
        baselines=samples.baselines if measure is SCORE else MappingProxyType({}),
        records=records,
        documents=documents,
        notes=tuple(notes),
        superseded=evidence.superseded,
    )


def published_scores(evidence: Evidence, wanted: Wanted | None = None) -> ScoreTable | None:
    """The table of what was published; None where nothing was.

    Raises:
        ResultsError: a suite is wanted, and the table lacks columns of it; names file and columns.
        UsageError: another measure than the score is wanted, or single shot counts.
        UnknownNameError: a task is wanted that it does not have.
    """
    printed = evidence.published
    if printed is None:
        return None
    wanted = wanted or Wanted()
    if wanted.measure is not SCORE or wanted.num_fewshot is not None:
        what = wanted.measure.name if wanted.measure is not SCORE else "single shot counts"
        raise UsageError(
            f"{evidence.name}: its published scores say nothing of {what}", hint="measure it: mixhub evaluate"
        )
    if wanted.suite is not None:
        require_columns(printed, wanted.suite.tasks)
    kind = "seed" if wanted.rows_are_seeds else evidence.kind
    columns = _only([Column(c.task.name if c.task else c.title, c.title, ()) for c in printed.columns], wanted)
    rows = []
    for row in printed.rows:
        figures = {column.task: row.figures.get(column.title) for column in columns}
        scores = {task: _printed(found.value if found else None) for task, found in figures.items()}
        is_whole = row.average is not None and len(columns) == len(printed.columns)
        whole = _printed(row.average.value if row.average and is_whole else None)
        rows.append(ScoreRow(row.label, MappingProxyType(scores), whole))
    over = {column.task: _over_seeds(kind, [row.scores[column.task] for row in rows], "") for column in columns}
    over[AVERAGE] = _over_seeds(kind, [row.average for row in rows], "")
    return ScoreTable(
        name=evidence.name,
        standing="published",
        source=printed.source,
        measure=SCORE,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=MappingProxyType(over),
        baselines=MappingProxyType({}),
        records=MappingProxyType({}),
        documents=NO_DOCUMENTS,
        notes=tuple(_printed_notes(printed, rows)),
    )


def _printed_notes(printed: PublishedTable, rows: Sequence[ScoreRow]) -> Iterator[str]:
    if printed.scale == "fraction":
        yield "printed as fractions, shown in percent"
    yield from _outside(rows)


def _outside(rows: Sequence[ScoreRow]) -> Iterator[str]:
    """What can be no percentage."""
    values = [score.value for row in rows for score in (*row.scores.values(), row.average)]
    if outside := [value for value in values if value is not None and not 0 <= value <= 100]:
        yield f"outside 0 to 100: {', '.join(f'{value:g}' for value in outside[:3])}; see mixhub audit"


def _printed(value: float | None) -> Score:
    return Score(value, 0 if value is None else 1, 1, "not published" if value is None else "")


def _with_stderrs(row: ScoreRow, records: Sequence[Record], samples: SampleSummary, allow: bool) -> ScoreRow:
    """The row with standard errors from the documents, where their samples were read."""
    scores = {}
    for task, found in row.scores.items():
        if (row.revision, task) in samples.stderrs and found.complete:
            found = replace(found, stderr=samples.stderrs[row.revision, task], stderr_is_bound=False)
        scores[task] = found
    whole = average(list(scores.values()), records, allow_incomplete=allow)
    return ScoreRow(row.revision, MappingProxyType(scores), whole)


def _over_seeds(kind: str, scores: Sequence[Score], reason: str) -> OverSeeds:
    values = [found.value for found in scores if found.complete and found.value is not None]
    if kind != "seed":
        return OverSeeds(None, None, "the rows are no seeds")
    if reason:
        return OverSeeds(None, None, reason)
    if len(values) < len(scores):
        return OverSeeds(None, None, f"{len(values)} of {len(scores)} seeds are whole")
    if len(values) < 2:
        return OverSeeds(None, None, "one seed has no spread")
    return OverSeeds(spread(values), t_interval(values))


def column_reason(records: Sequence[Record], measure: Measure) -> str:
    """Why the cells of one task over several revisions make no mean; empty where they do."""
    by_shots: dict[object, list[Record]] = {}
    for record in records:
        by_shots.setdefault(record.num_fewshot, []).append(record)
    for values in ({record.dtype for record in records} - {UNKNOWN}, {measure.metric(record) for record in records}):
        if len(values) > 1:
            return f"{' and '.join(sorted(map(str, values)))} do not mix"
    return next(filter(None, (disagreement(group) for group in by_shots.values())), "")


def _other_documents(task: str, records: Mapping[str, object], samples: SampleSummary) -> str:
    """Whether the samples of different revisions show different documents, which only they tell without a hash."""
    seen = {samples.contents.get((revision, task), "") for revision in records} - {""}
    return "different documents do not mix" if len(seen) > 1 else ""


def _same_weights(records: Mapping[str, Sequence[Record]]) -> str:
    """Which two rows are the same model under two names, so that they are no two seeds."""
    first: dict[str, str] = {}
    for revision, own in records.items():
        for weights in {record.weights_sha256 for record in own} - {UNKNOWN}:
            if first.setdefault(weights, revision) != revision:
                return f"{first[weights]} and {revision} have the same weights"
    return ""


def _measurable(
    columns: Sequence[Column], records: Mapping[str, Sequence[Record]], measure: Measure
) -> tuple[list[Column], list[str]]:
    """The columns of tasks that have the measure in any cell, and the titles of the others."""
    having = {r.task for own in records.values() for r in own if measure.metric(r) is not None}
    return (
        [column for column in columns if column.task in having],
        [column.title for column in columns if column.task not in having],
    )


def _unknown(records: Mapping[str, Sequence[Record]]) -> list[str]:
    """What is not known of cells, each with the number of cells."""
    everything = [record for own in records.values() for record in own]
    counts = {
        "weights": sum(record.weights_sha256 == UNKNOWN for record in everything),
        "dtype": sum(record.dtype == UNKNOWN for record in everything),
        "documents": sum(record.documents == UNKNOWN for record in everything),
        "version of lm-eval": sum(record.harness == UNKNOWN for record in everything),
        "prompts": sum(record.task_hash == UNKNOWN for record in everything),
    }
    named = [what if count == len(everything) else f"{what} of {count}" for what, count in counts.items() if count]
    notes = [f"not known, so not compared, of {len(everything)} cells: {', '.join(named)}"] if named else []
    versions = sorted({record.harness for record in everything} - {UNKNOWN})
    return [*notes, f"measured with lm-eval {' and '.join(versions)}"] if len(versions) > 1 else notes


def _partial(rows: Sequence[ScoreRow]) -> Iterator[str]:
    """The means that are not over all that they take."""
    for row in rows:
        scores = {**row.scores, AVERAGE: row.average}
        if part := [f"{name} ({s.reason})" for name, s in scores.items() if s.value is not None and not s.complete]:
            yield f"{row.revision}: means over what is there: {', '.join(part)}"


def _files(evidence: Evidence) -> str:
    files = list(dict.fromkeys(str(one.record.path) for one in evidence.superseded))
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return f"{len(evidence.superseded)} cells, in {', '.join(files[:3])}{more}"


def _figure(score: Score) -> dict[str, Any]:
    return {
        "metric": score.metric,
        "value": score.value,
        "stderr": score.stderr,
        "stderr_is_bound": score.stderr_is_bound,
        "present": score.present,
        "expected": score.expected,
        "reason": score.reason,
    }


def _cell(record: Record) -> dict[str, Any]:
    own = {
        name: getattr(record, name)
        for name in (
            "model", "revision", "task", "num_fewshot", "documents", "documents_in_split", "limit", "fewshot_seed",
            "task_version", "task_hash", "dataset", "weights_sha256", "dtype", "device", "harness", "date", "seconds",
        )
    }  # fmt: skip
    own |= record.metrics
    own |= {f"{name}_stderr": value for name, value in record.stderrs.items()}
    return {**own, **record.measures, "path": str(record.path)}
