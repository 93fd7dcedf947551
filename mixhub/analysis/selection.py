"""The cells and columns of a table: those of a suite, or those that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mixhub.analysis.evidence import Evidence, common_columns, family_columns, name_cells
from mixhub.analysis.scores import SCORE, Column, Measure
from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.phrases import listed, plural
from mixhub.spec import Evaluation
from mixhub.workspace.cells import Cell, cell_notes
from mixhub.workspace.lineage import UNKNOWN


@dataclass(frozen=True)
class Selection:
    """Selection of the figures in tables."""

    suite: Evaluation | None = None
    """Tasks and shot counts; None: those of each family, and all that other models have."""
    tasks: tuple[str, ...] | None = None
    """Only these tasks."""
    num_fewshot: tuple[int, ...] | None = None
    """Only these shot counts."""
    measure: Measure = SCORE
    """The measure of the figures."""
    allow_incomplete: bool = False
    """Show means over the cells that are present, each marked as incomplete."""
    rows_are_seeds: bool = False
    """The revisions are seeds of one recipe, whatever their names."""
    samples: bool = True
    """Read samples, if there are any."""
    step: int | None = None
    """Of losses: the step; None: the last of each run."""
    paired: bool = False
    """To compare: rows with the same name, or else at the same place, are pairs."""
    only_common: bool = False
    """To compare: only tasks whose scores are shares of right answers; for models without a suite, only tasks and shot
    counts that all of them have."""


def select(evidence: Sequence[Evidence], selection: Selection) -> list[tuple[Evidence, list[Column]]]:
    """For each, the cells that count, and the columns.

    A model without a suite is compared with a family by the family's suite.

    Raises:
        ResultsError: only common columns are selected, and there are none; or no cell can be used for a score.
        UnknownNameError: none has a selected task.
        UsageError: a task has none of the selected shot counts.
    """
    suites = [selection.suite or (one.family.evaluation if one.family is not None else None) for one in evidence]
    if selection.only_common and any(suites):
        suites = [own or next(filter(None, suites)) for own in suites]
    limited = selection.allow_incomplete
    if selection.only_common and not any(suites):
        comparable, columns = common_columns(evidence)
        if not columns:
            raise ResultsError(
                f"{', '.join(one.name for one in evidence)} have no task with the same shot count in common",
                code="tasks-disjoint",
                hint="evaluate the same tasks, on all documents and at the same shot counts",
                names=tuple(one.name for one in evidence),
            )
        chosen = [(one, columns) for one in comparable]
    else:
        chosen = []
        for one, suite in zip(evidence, suites, strict=True):
            if suite is not None:
                chosen.append(family_columns(suite, one, limited=limited))
            else:
                (alone,), columns = common_columns([one], limited=limited)
                chosen.append((alone, columns))
    return [_selected(whole, one, columns, selection) for whole, (one, columns) in zip(evidence, chosen, strict=True)]


def _selected(
    whole: Evidence, evidence: Evidence, columns: Sequence[Column], selection: Selection
) -> tuple[Evidence, list[Column]]:
    """The selected columns, and the evidence with only their cells."""
    selected = select_columns(columns, selection)
    _require_any(whole, evidence, selected, selection.measure)
    if (hidden := [column for column in columns if column.group]) and selection.tasks is None:
        groups = list(dict.fromkeys(column.group for column in hidden))
        what = f"group{'s' if len(groups) > 1 else ''} {listed(groups, most=5)}"
        note = f"not shown: {plural(len(hidden), 'task')} of the {what}; name them with --tasks to show them"
        evidence = replace(evidence, notes=(*evidence.notes, note))
    evidence = replace(evidence, notes=(*evidence.notes, *_cell_notes(evidence, selected, selection.num_fewshot)))
    shots = {column.task: column.num_fewshot for column in selected}
    records = {
        revision: tuple(record for record in own if record.num_fewshot in shots.get(record.task, ()))
        for revision, own in evidence.records.items()
    }
    return replace(evidence, records=MappingProxyType(records)), selected


def _cell_notes(evidence: Evidence, columns: Sequence[Column], num_fewshot: Sequence[int] | None) -> Iterator[str]:
    """What the cells of the columns, and those of groups among them, say of their figures."""
    shown = {column.task for column in columns}
    cells = [
        record
        for own in evidence.records.values()
        for record in own
        if isinstance(record, Cell) and (record.task in shown or record.group in shown)
        if num_fewshot is None or record.num_fewshot in num_fewshot
    ]
    for note, own in cell_notes(cells):
        yield f"{note}: {name_cells(own)}"


def _require_any(whole: Evidence, evidence: Evidence, columns: Sequence[Column], measure: Measure) -> None:
    """Check that at least one cell can be used for a score."""
    tasks = {column.task for column in columns}
    if any(measure.metric(cell) for own in evidence.records.values() for cell in own if cell.task in tasks):
        return
    cells = [record for own in whole.records.values() for record in own]
    counts = {
        ("no metric", f"have no {measure.name}"): sum(not measure.metric(cell) for cell in cells),
        ("limited", "were cut short by a limit"): sum(cell.limit not in (None, UNKNOWN) for cell in cells),
        ("limit unknown", "may have been cut short by a limit"): sum(cell.limit == UNKNOWN for cell in cells),
        ("shots unknown", "have an unknown number of shots"): sum(cell.num_fewshot == UNKNOWN for cell in cells),
    }
    reasons = "; ".join(f"{count} {words}" for (_, words), count in counts.items() if count)
    raise ResultsError(
        f"{cells[0].path}: {whole.name} has no {measure.name}: of {len(cells)} cells, "
        f"{reasons or 'none is of a task in the suite'}",
        code="cells-unusable",
        hint="to see cells that a limit cut short: mixhub results --allow-incomplete"
        if counts["limited", "were cut short by a limit"]
        else "evaluate whole tasks of the suite; measures other than the score need results of mixhub evaluate",
        path=cells[0].path,
        measure=measure.name,
        reasons=tuple(reason for (reason, _), count in counts.items() if count),
    )


def select_columns(columns: Sequence[Column], selection: Selection) -> list[Column]:
    """The selected columns.

    Raises:
        UnknownNameError: no column has a selected task.
        UsageError: a column has none of the selected shot counts.
    """
    names = [column.task for column in columns]
    for task in selection.tasks or ():
        if task not in names:
            raise UnknownNameError("task", task, names)
    if selection.tasks is None:
        selected = [column for column in columns if not column.group]
    else:
        selected = [column for column in columns if column.task in selection.tasks]
    if selection.only_common:
        selected = [column for column in selected if column.is_averaged]
    if (counts := selection.num_fewshot) is None:
        return selected
    selected = [column._replace(num_fewshot=tuple(k for k in column.num_fewshot if k in counts)) for column in selected]
    if empty := [column.title for column in selected if not column.num_fewshot]:
        message = f"num_fewshot = {', '.join(map(str, counts))}: {', '.join(empty)} has none of these shot counts"
        raise UsageError(message, code="option-value", option="num_fewshot", value=counts)
    return selected
