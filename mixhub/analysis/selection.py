"""Which cells and columns a table is made of: a suite's, or those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from mixhub.analysis.evidence import Evidence, common_columns, family_columns
from mixhub.analysis.scores import SCORE, Column, Measure
from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.spec import Evaluation
from mixhub.workspace.lineage import UNKNOWN


@dataclass(frozen=True)
class Selection:
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


def select(evidence: Sequence[Evidence], selection: Selection) -> list[tuple[Evidence, tuple[Column, ...]]]:
    """For each the cells that count, and the columns: those of the suite, else those that are there.

    What belongs to no suite is compared with a family by the family's.

    Args:
        evidence: one or several families or models.
        selection: what tables are asked for.

    Raises:
        ResultsError: only common columns are asked for, and there are none; names the models.
    """
    suites = [selection.suite or (one.family.evaluation if one.family is not None else None) for one in evidence]
    if selection.only_common and None in suites:
        suite = next(filter(None, suites), None)
        if suite is None:
            kept, common = common_columns(evidence)
            if not common:
                raise ResultsError(
                    f"{', '.join(one.name for one in evidence)} have no task at the same shot count in common",
                    code="tasks-disjoint",
                    hint="evaluate the same tasks, whole and at the same shot counts",
                    names=tuple(one.name for one in evidence),
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


def select_cells(evidence: Evidence, columns: Sequence[Column]) -> Evidence:
    """The evidence without the cells that no column asks for."""
    shots = {column.task: column.num_fewshot for column in columns}
    records = {
        revision: tuple(record for record in own if record.num_fewshot in shots.get(record.task, ()))
        for revision, own in evidence.records.items()
    }
    return replace(evidence, records=MappingProxyType(records))


def require_any(evidence: Evidence, columns: Sequence[Column], measure: Measure) -> None:
    """Checks that some cell can make a score.

    Args:
        evidence: the cells.
        columns: the tasks that scores are asked of.
        measure: what the scores are.

    Raises:
        ResultsError: none can; names a file, and says of how many cells why.
    """
    cells = [record for own in evidence.records.values() for record in own]
    tasks = {column.task for column in columns}
    if any(measure.metric(cell) for cell in cells if cell.task in tasks):
        return
    counts = {
        "no metric": sum(not measure.metric(cell) for cell in cells),
        "limited": sum(cell.limit not in (None, UNKNOWN) for cell in cells),
        "limit unknown": sum(cell.limit == UNKNOWN for cell in cells),
        "shots unknown": sum(cell.num_fewshot == UNKNOWN for cell in cells),
    }
    words = {
        "no metric": f"have no {'acc_norm or acc' if measure is SCORE else measure.name}",
        "limited": "were cut short by a limit",
        "limit unknown": "may have been cut short by a limit, which is not known",
        "shots unknown": "have an unknown number of shots",
    }
    reasons = "; ".join(f"{count} {words[reason]}" for reason, count in counts.items() if count)
    raise ResultsError(
        f"{cells[0].path}: {evidence.name} has no {measure.name}: of {len(cells)} cells "
        f"{reasons or 'none is of the suite'}",
        code="cells-unusable",
        hint="evaluate whole tasks of the suite; measures other than the score take cells of mixhub evaluate",
        path=cells[0].path,
        measure=measure.name,
        reasons=tuple(reason for reason, count in counts.items() if count),
    )


def select_columns(columns: Sequence[Column], selection: Selection) -> list[Column]:
    """The columns that were asked for.

    Raises:
        UnknownNameError: no column has a task that was asked for.
        UsageError: a column has none of the shot counts that were asked for.
    """
    known = [column.task for column in columns]
    for task in selection.tasks or ():
        if task not in known:
            raise UnknownNameError("task", task, known)
    kept = [column for column in columns if selection.tasks is None or column.task in selection.tasks]
    if selection.num_fewshot is None:
        return kept
    found = [
        column._replace(num_fewshot=tuple(k for k in column.num_fewshot if k in selection.num_fewshot))
        for column in kept
    ]
    if empty := [column.title for column in found if not column.num_fewshot]:
        asked = ", ".join(map(str, selection.num_fewshot))
        raise UsageError(
            f"num_fewshot = {asked}: {', '.join(empty)} has none of these shot counts",
            code="option-value",
            option="num_fewshot",
            value=selection.num_fewshot,
        )
    return found
