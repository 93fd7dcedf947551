"""Building score tables, from measured cells and from published scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mixhub.analysis.evidence import Evidence
from mixhub.analysis.published.table import Column as PrintedColumn
from mixhub.analysis.published.table import PublishedTable
from mixhub.analysis.samples import NO_DOCUMENTS, DocumentScores, SampleSummary, read_scores
from mixhub.analysis.scores import (
    SCORE,
    Column,
    Measure,
    Score,
    ScoreRow,
    Standing,
    average_of,
    column_reason,
    score_row,
)
from mixhub.analysis.selection import Selection, select, select_columns
from mixhub.analysis.statistics.seeds import spread, t_interval
from mixhub.analysis.tables import AVERAGE, OverSeeds, ScoreTable
from mixhub.errors import ResultsError, UsageError
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record


def measured_tables(
    evidence: Sequence[Evidence], selection: Selection, progress: Progress = SILENT
) -> list[ScoreTable]:
    """Build the tables of measured scores, one for each family or model, in their order.

    Raises:
        ResultsError, UnknownNameError, UsageError: as `select`, `measured_table` and `read_scores`.
    """
    tables = []
    for one, columns in select(evidence, selection):
        documents = NO_DOCUMENTS
        if selection.samples:
            documents = read_scores(one.records, columns, selection.measure, progress)
        table = measured_table(
            replace(one, kind="seed") if selection.rows_are_seeds else one,
            columns,
            selection.measure,
            documents=documents,
            standing=one.standing,
            allow_incomplete=selection.allow_incomplete,
        )
        tables.append(table)
    return tables


def measured_table(
    evidence: Evidence,
    columns: Sequence[Column],
    measure: Measure = SCORE,
    *,
    documents: DocumentScores = NO_DOCUMENTS,
    samples: SampleSummary | None = None,
    standing: Standing = "measured",
    allow_incomplete: bool = False,
) -> ScoreTable:
    """Build a table of measured scores.

    Args:
        evidence: the cells that count (see `evidence.family_columns`).
        columns: the tasks.
        measure: what the figures are.
        documents: the value of each document, for exact standard errors.
        samples: a summary of it; default: that of `documents`.
        standing: `measured`, or `imported` for cells that others measured.
        allow_incomplete: show means over the cells that are present, each marked as incomplete.

    Raises:
        ResultsError: a cell of a column lacks the metric, or cells of a revision were made with different weights.
    """
    records, notes = evidence.records, list(evidence.notes)
    samples = samples or documents.summary()
    if measure is not SCORE:
        measured = {r.task for own in records.values() for r in own if measure.metric(r) is not None}
        if missing := [column.title for column in columns if column.task not in measured]:
            notes.append(f"{measure.name} does not exist for {', '.join(missing)}; the average is over the others")
        columns = [column for column in columns if column.task in measured]
    rows = []
    for revision, own in records.items():
        row = score_row(revision, columns, own, measure, allow_incomplete=allow_incomplete)
        rows.append(_with_stderrs(row, columns, own, samples, allow_incomplete))
    notes += _average_notes(columns, records)
    notes += _record_notes(evidence)
    notes += _out_of_range(rows, columns) if measure.scale == 100 else ()
    notes += _incomplete(rows) if allow_incomplete else ()
    reasons = {column.task: _no_mean(column.task, records, measure, samples) for column in columns}
    return ScoreTable(
        name=evidence.name,
        standing=standing,
        measure=measure,
        kind=evidence.kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=over_each_seed(evidence.kind, columns, rows, reasons),
        baselines=samples.baselines if measure is SCORE else {},
        records=records,
        documents=documents,
        notes=tuple(notes),
        superseded=evidence.superseded,
        origins=evidence.origins,
    )


def published_scores(evidence: Evidence, selection: Selection | None = None) -> ScoreTable | None:
    """Build the table of published scores; None if there are none.

    Args:
        evidence: a family, or a file with a table.
        selection: the suite or tasks to show; default: all.

    Raises:
        UsageError: a measure other than the score, or single shot counts, are selected.
        UnknownNameError: a selected task does not exist.
    """
    printed = evidence.published
    if printed is None:
        return None
    selection = selection or Selection()
    if selection.measure is not SCORE or selection.num_fewshot is not None:
        what = selection.measure.name if selection.measure is not SCORE else "single shot counts"
        raise UsageError(
            f"{evidence.name}: its published scores do not include {what}",
            code="measure-unpublished",
            hint="run mixhub evaluate --all",
            name=evidence.name,
            measure=selection.measure.name,
        )
    kind = "seed" if selection.rows_are_seeds else evidence.kind
    columns = select_columns([_published_column(column, printed) for column in printed.columns], selection)
    if selection.suite is not None:
        names = {task.name for task in selection.suite.tasks}
        columns = [column for column in columns if column.task in names]
    has_average = len(columns) == len(printed.columns)
    rows = []
    for row in printed.rows:
        figures = {column.task: row.figures.get(column.title) for column in columns}
        scores = {task: _published_score(figure.value if figure else None) for task, figure in figures.items()}
        mean = _published_score(row.average.value if row.average and has_average else None)
        rows.append(ScoreRow(row.label, MappingProxyType(scores), mean))
    scale_note = ("published as fractions, shown in percent",) if printed.scale == "fraction" else ()
    return ScoreTable(
        name=evidence.name,
        standing="published",
        source=printed.source,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=over_each_seed(kind, columns, rows, dict.fromkeys((column.task for column in columns), "")),
        notes=(*printed.notes, *scale_note, *_out_of_range(rows, columns)),
    )


def require_published(evidence: Evidence, selection: Selection, *, published: bool) -> ScoreTable:
    """The published scores.

    Args:
        evidence: a family, or a file with a table.
        selection: the figures.
        published: whether the user asked for published scores.

    Raises:
        ResultsError: there are none.
    """
    table = published_scores(evidence, selection)
    if table is None:
        missing = "no published scores" if published else "neither measured nor published scores"
        hint = (
            "omit --published"
            if published
            else "run mixhub evaluate --all, or choose the workspace that has its results"
        )
        raise ResultsError(f"{evidence.name}: has {missing}", code="results-missing", hint=hint, name=evidence.name)
    return table


def _published_column(column: PrintedColumn, table: PublishedTable) -> Column:
    """The column of a score table; two columns of one task keep their titles."""
    is_only = column.task is not None and table.tasks.count(column.task) == 1
    shots = () if column.num_fewshot is None else (column.num_fewshot,)
    name = column.task.name if column.task is not None and is_only else column.title
    return Column(name, column.title, shots, column.metric)


def _published_score(value: float | None) -> Score:
    return Score(value, 0 if value is None else 1, 1, "not published" if value is None else "")


def _with_stderrs(
    row: ScoreRow, columns: Sequence[Column], records: Sequence[Record], samples: SampleSummary, allow: bool
) -> ScoreRow:
    """The row with standard errors from the documents, if their samples were read."""
    scores = {
        task: replace(score, stderr=samples.stderrs[row.revision, task], stderr_is_bound=False)
        if (row.revision, task) in samples.stderrs and score.complete
        else score
        for task, score in row.scores.items()
    }
    mean = average_of(scores, columns, records, allow_incomplete=allow)
    return ScoreRow(row.revision, MappingProxyType(scores), mean)


def over_each_seed(
    kind: str, columns: Sequence[Column], rows: Sequence[ScoreRow], reasons: Mapping[str, str]
) -> Mapping[str, OverSeeds]:
    """The statistics of each column, and of the average, over seeds.

    Args:
        kind: what varies over the rows.
        columns: the tasks.
        rows: the seeds.
        reasons: by task, why its cells are not averaged; empty if they are.
    """
    over = {task: _column(kind, [row.scores[task] for row in rows], reason) for task, reason in reasons.items()}
    averaged = (over[column.task] for column in columns if column.is_averaged)
    reason = next((one.reason for one in averaged if one.spread is None), "")
    return MappingProxyType({**over, AVERAGE: _column(kind, [row.average for row in rows], reason)})


def _column(kind: str, scores: Sequence[Score], reason: str) -> OverSeeds:
    values = [score.value for score in scores if score.complete and score.value is not None]
    if kind != "seed":
        reason = "the rows are not seeds"
    elif not reason and len(values) < len(scores):
        reason = f"{len(values)} of {len(scores)} seeds are complete"
    elif not reason and len(values) < 2:
        reason = "one seed has no spread"
    if reason:
        return OverSeeds(None, None, reason)
    interval = t_interval(values)
    if interval is not None and interval.low == interval.high:  # that would read as certainty
        return OverSeeds(spread(values), None, "all seeds have the same score, which says nothing about other seeds")
    return OverSeeds(spread(values), interval)


def _no_mean(task: str, records: Mapping[str, Sequence[Record]], measure: Measure, samples: SampleSummary) -> str:
    """Why the cells of a task are not averaged over the revisions; empty if they are."""
    cells = [record for own in records.values() for record in own if record.task == task]
    if reason := _same_weights(records) or column_reason(cells, measure):
        return reason
    contents = {samples.contents.get((revision, task), "") for revision in records} - {""}
    return "different documents cannot be mixed" if len(contents) > 1 else ""


def _same_weights(records: Mapping[str, Sequence[Record]]) -> str:
    """The two revisions that have the same weights, so that they are not two seeds; empty if none have."""
    first: dict[str, str] = {}
    for revision, own in records.items():
        for weights in {record.weights_sha256 for record in own} - {UNKNOWN}:
            if first.setdefault(weights, revision) != revision:
                return f"{first[weights]} and {revision} have the same weights"
    return ""


def _record_notes(evidence: Evidence) -> Iterator[str]:
    """Which cells are not used, and what is unknown about cells."""
    if evidence.superseded:
        files = list(dict.fromkeys(str(one.record.path) for one in evidence.superseded))
        cells = plural(len(evidence.superseded), "cell")
        yield f"not used, because measured again: {cells}, in {listed(files, most=3)}"
        if same := [one for one in evidence.superseded if one.by.date == one.record.date]:
            files = list(dict.fromkeys(str(one.by.path) for one in same))
            yield f"{len(same)} of them have the same figures, up to rounding, as in {listed(files, most=3)}"
    records = [record for own in evidence.records.values() for record in own]
    fields = {
        "weights": "weights_sha256",
        "dtype": "dtype",
        "documents": "documents",
        "version of lm-eval": "harness",
        "prompts": "task_hash",
    }
    unknown = []
    for what, field in fields.items():
        groups = field == "task_hash"  # a group has no prompts but those of its tasks
        if count := sum(getattr(record, field) == UNKNOWN and not (groups and record.is_group) for record in records):
            unknown.append(what if count == len(records) else f"{what} of {count}")
    if unknown:
        yield f"not compared for {len(records)} cells, because unknown: {', '.join(unknown)}"
    versions = sorted({record.harness for record in records} - {UNKNOWN})
    if len(versions) > 1:
        yield f"measured with lm-eval {' and '.join(versions)}"


def _average_notes(columns: Sequence[Column], records: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """What the average is over, if that is not each column as a task."""
    every = [record for own in records.values() for record in own]
    groups = {record.task for record in every if record.is_group}
    averaged = [column for column in columns if column.is_averaged]
    if shown := [column.task for column in averaged if column.task in groups]:
        tasks = plural(len(averaged) - len(shown), "task")
        yield f"the average is over {tasks} and {plural(len(shown), 'group')} of tasks: {listed(shown, most=5)}"
    if others := [column.title for column in columns if not column.is_averaged]:
        yield f"not in the average, because they are not shares of right answers: {listed(others, most=5)}"


def _out_of_range(rows: Sequence[ScoreRow], columns: Sequence[Column]) -> Iterator[str]:
    accuracies = [column.task for column in columns if not column.metric]
    values = [score.value for row in rows for score in (*map(row.scores.__getitem__, accuracies), row.average)]
    if outside := [f"{value:g}" for value in values if value is not None and not 0 <= value <= 100]:
        yield f"outside 0 to 100: {', '.join(outside[:3])}; see mixhub audit"


def _incomplete(rows: Sequence[ScoreRow]) -> Iterator[str]:
    for row in rows:
        scores = {**row.scores, AVERAGE: row.average}
        if part := [f"{name} ({s.reason})" for name, s in scores.items() if s.value is not None and not s.complete]:
            yield f"{row.revision}: incomplete means: {', '.join(part)}"
