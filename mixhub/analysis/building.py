"""Score tables made: of measured cells, and of what was published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from mixhub.analysis.evidence import Evidence
from mixhub.analysis.published.table import PublishedTable, require_columns
from mixhub.analysis.samples import DocumentScores, SampleSummary, read_scores
from mixhub.analysis.scores import SCORE, Column, Measure, Score, ScoreRow, average, column_reason, score_row
from mixhub.analysis.selection import Selection, require_any, select, select_cells, select_columns
from mixhub.analysis.statistics import spread, t_interval
from mixhub.analysis.tables import AVERAGE, NO_DOCUMENTS, OverSeeds, ScoreTable, Standing
from mixhub.errors import UsageError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record


def measured_tables(
    evidence: Sequence[Evidence], selection: Selection, progress: Progress = SILENT
) -> list[ScoreTable]:
    """The tables of what was measured.

    Args:
        evidence: the families or models.
        selection: tasks, shot counts and measure.
        progress: shows the files of samples that are read.

    Returns:
        A table for each, in their order.

    Raises:
        ResultsError: as `select`, `require_any`, `measured_table` and `read_scores` do.
        UnknownNameError: none has a task that was asked for.
        UsageError: a task has none of the shot counts that were asked for.
    """
    tables = []
    for given, (one, columns) in zip(evidence, select(evidence, selection), strict=True):
        asked = select_columns(columns, selection)
        require_any(given, asked, selection.measure)
        one = select_cells(one, asked)
        documents = read_scores(one.records, asked, selection.measure, progress) if selection.samples else NO_DOCUMENTS
        tables.append(
            measured_table(
                one,
                asked,
                selection.measure,
                documents=documents,
                allow_incomplete=selection.allow_incomplete,
                rows_are_seeds=selection.rows_are_seeds,
            )
        )
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
    records = evidence.records
    samples = samples or documents.summary()
    columns, dropped = (columns, []) if measure is SCORE else _measurable(columns, records, measure)
    rows = []
    for revision, own in records.items():
        row = score_row(revision, columns, own, measure, allow_incomplete=allow_incomplete)
        rows.append(_with_stderrs(row, own, samples, allow_incomplete))
    kind = "seed" if rows_are_seeds else evidence.kind
    reasons = {column.task: _no_mean(column.task, records, measure, samples) for column in columns}
    notes = [*evidence.notes, *_dropped_note(measure, dropped), *_record_notes(evidence)]
    notes += _outside(rows) if measure.scale == 100 else ()
    notes += _partial(rows) if allow_incomplete else ()
    return ScoreTable(
        name=evidence.name,
        standing=standing,
        source="",
        measure=measure,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=_over_seeds(kind, rows, reasons),
        baselines=samples.baselines if measure is SCORE else MappingProxyType({}),
        records=records,
        documents=documents,
        notes=tuple(notes),
        superseded=evidence.superseded,
    )


def published_scores(evidence: Evidence, selection: Selection | None = None) -> ScoreTable | None:
    """The table of what was published; None if nothing was.

    Args:
        evidence: a family, or a file of printed scores.
        selection: the suite or the tasks that are asked for; by default all that was printed.

    Raises:
        ResultsError: a suite is asked for, and the table lacks columns of it; names file and columns.
        UsageError: another measure than the score is asked for, or single shot counts.
        UnknownNameError: a task is asked for that it does not have.
    """
    printed = evidence.published
    if printed is None:
        return None
    selection = selection or Selection()
    if selection.measure is not SCORE or selection.num_fewshot is not None:
        what = selection.measure.name if selection.measure is not SCORE else "single shot counts"
        raise UsageError(
            f"{evidence.name}: its published scores say nothing of {what}",
            code="measure-unpublished",
            hint="measure it: mixhub evaluate",
            name=evidence.name,
            measure=selection.measure.name,
        )
    if selection.suite is not None:
        require_columns(printed, selection.suite.tasks)
    kind = "seed" if selection.rows_are_seeds else evidence.kind
    columns = select_columns(
        [Column(c.task.name if c.task else c.title, c.title, ()) for c in printed.columns], selection
    )
    rows = []
    for row in printed.rows:
        figures = {column.task: row.figures.get(column.title) for column in columns}
        scores = {task: _printed(found.value if found else None) for task, found in figures.items()}
        is_whole = row.average is not None and len(columns) == len(printed.columns)
        whole = _printed(row.average.value if row.average and is_whole else None)
        rows.append(ScoreRow(row.label, MappingProxyType(scores), whole))
    return ScoreTable(
        name=evidence.name,
        standing="published",
        source=printed.source,
        measure=SCORE,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=_over_seeds(kind, rows, dict.fromkeys((column.task for column in columns), "")),
        baselines=MappingProxyType({}),
        records=MappingProxyType({}),
        documents=NO_DOCUMENTS,
        notes=tuple(_printed_notes(printed, rows)),
    )


def _printed_notes(printed: PublishedTable, rows: Sequence[ScoreRow]) -> Iterator[str]:
    if printed.scale == "fraction":
        yield "printed as fractions, shown in percent"
    yield from _outside(rows)


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


def _over_seeds(kind: str, rows: Sequence[ScoreRow], reasons: Mapping[str, str]) -> Mapping[str, OverSeeds]:
    """Each column over its seeds, and the average.

    Args:
        kind: what varies over the rows.
        rows: the seeds.
        reasons: by task, why its cells make no mean; empty where they do.
    """
    over = {task: _column(kind, [row.scores[task] for row in rows], reason) for task, reason in reasons.items()}
    reason = next((found.reason for found in over.values() if found.reason), "")
    return MappingProxyType({**over, AVERAGE: _column(kind, [row.average for row in rows], reason)})


def _column(kind: str, scores: Sequence[Score], reason: str) -> OverSeeds:
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


def _no_mean(task: str, records: Mapping[str, Sequence[Record]], measure: Measure, samples: SampleSummary) -> str:
    """Why the cells of a task make no mean over the revisions; empty where they do."""
    cells = [record for own in records.values() for record in own if record.task == task]
    return _same_weights(records) or column_reason(cells, measure) or _other_documents(task, records, samples)


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


def _dropped_note(measure: Measure, titles: Sequence[str]) -> Iterator[str]:
    """Tasks that have no such measure."""
    if titles:
        yield f"{measure.name} does not exist for: {', '.join(titles)}; the average is over the others"


def _record_notes(evidence: Evidence) -> Iterator[str]:
    """What is not used of the cells, and what is not known of them, each with the number of cells."""
    if evidence.superseded:
        files = list(dict.fromkeys(str(one.record.path) for one in evidence.superseded))
        number = len(evidence.superseded)
        yield f"measured again later, so not used: {number} cells, in {listed(files, most=3)}"
    records = [record for own in evidence.records.values() for record in own]
    counts = {
        "weights": sum(record.weights_sha256 == UNKNOWN for record in records),
        "dtype": sum(record.dtype == UNKNOWN for record in records),
        "documents": sum(record.documents == UNKNOWN for record in records),
        "version of lm-eval": sum(record.harness == UNKNOWN for record in records),
        "prompts": sum(record.task_hash == UNKNOWN for record in records),
    }
    named = [what if count == len(records) else f"{what} of {count}" for what, count in counts.items() if count]
    if named:
        yield f"not known, so not compared, of {len(records)} cells: {', '.join(named)}"
    versions = sorted({record.harness for record in records} - {UNKNOWN})
    if len(versions) > 1:
        yield f"measured with lm-eval {' and '.join(versions)}"


def _outside(rows: Sequence[ScoreRow]) -> Iterator[str]:
    """What can be no percentage."""
    values = [score.value for row in rows for score in (*row.scores.values(), row.average)]
    if outside := [value for value in values if value is not None and not 0 <= value <= 100]:
        yield f"outside 0 to 100: {', '.join(f'{value:g}' for value in outside[:3])}; see mixhub audit"


def _partial(rows: Sequence[ScoreRow]) -> Iterator[str]:
    """The means that are not over all that they take."""
    for row in rows:
        scores = {**row.scores, AVERAGE: row.average}
        if part := [f"{name} ({s.reason})" for name, s in scores.items() if s.value is not None and not s.complete]:
            yield f"{row.revision}: means over what is there: {', '.join(part)}"
