"""Columns whose figures are those of another task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from mixhub.analysis.audit.counts import interval, is_mean, unit
from mixhub.analysis.audit.view import LEVEL, AuditOptions, TableView, documents_of
from mixhub.analysis.published.table import Column, Figure
from mixhub.findings import Finding
from mixhub.spec import Task

_WINDOW = 200
"""So many printable figures on either side tell how dense a grid is."""


def columns_moved(view: TableView) -> Iterator[Finding]:
    """Columns whose figures do not fit their own task, and do fit another one's documents, beyond chance."""
    moves = [
        (column, task)
        for column in view.tested
        for task in view.tasks
        if task.documents and task.documents != documents_of(column)
    ]
    exchanged: set[str] = set()
    for column, task in moves:
        other = next((each for each in view.tested if each.task == task), None)
        if column.title in exchanged or not _is_misfit(view, column, other):
            continue
        there = _chance_of_move(view, column, task, other)
        if there is None:
            continue
        back = None if other is None else _chance_of_move(view, other, column.task, column)
        if other is not None and back is not None and there * back * len(moves) < LEVEL:
            exchanged |= {column.title, other.title}
            message = f"the figures of {column.title} and {other.title} fit each other's documents, not their own"
            yield _moved(view, column, f"{message}, as if the columns were exchanged")
        elif there * len(moves) < LEVEL:
            message = f"the figures of {column.title} fit the {task.documents:,} documents of {task.title}"
            yield _moved(view, column, f"{message}, and not their own {documents_of(column):,}")


def _moved(view: TableView, column: Column, message: str) -> Finding:
    assumed = (*view.options.assumptions, view.options.cap)
    return Finding("column-moved", view.table.source, message, about=column.title, assumptions=assumed)


def _is_misfit(view: TableView, column: Column, other: Column | None) -> bool:
    without = [column] if other is None else [column, other]
    return any(
        not view.likeliest(row, without) & set(view.counts[row.label, column.title].possible)
        for row in view.table.rows
        if (row.label, column.title) in view.counts
    )


def _chance_of_move(view: TableView, column: Column, task: Task | None, other: Column | None) -> float | None:
    """How likely all figures of a column fit another task by chance; None where they do not.

    Figures that fit their own task are compared with figures that do, since the grids of 100 and 500 documents share
    points; the rest with figures that do not.
    """
    assert task is not None
    assert task.documents is not None
    without = [column] if other is None else [column, other]
    figures = [
        (row.figures[column.title], view.likeliest(row, without))
        for row in view.table.rows
        if column.title in row.figures
    ]
    if not all(_fitting(figure, task.documents, counts, view.options)(0) for figure, counts in figures):
        return None
    return math.prod(
        _chance_of_fitting(figure, documents_of(column), task.documents, counts, view.options)
        for figure, counts in figures
    )


def _chance_of_fitting(figure: Figure, own: int, other: int, counts: Iterable[int], options: AuditOptions) -> float:
    """Share of the printable figures near this one, alike in whether they fit `own` documents, that fit `other`."""
    if any(Fraction(100, runs * other) <= unit(figure.decimals) for runs in counts):
        return 1.0
    fits_own, fits_other = (_fitting(figure, documents, counts, options) for documents in (own, other))
    fits = fits_own(0)
    alike = [step for step in range(-_WINDOW, _WINDOW + 1) if fits_own(step) == fits]
    return sum(map(fits_other, alike)) / len(alike)


def _fitting(figure: Figure, documents: int, counts: Iterable[int], options: AuditOptions) -> Callable[[int], bool]:
    """Whether the printable figure so many units away fits one of `counts`."""
    low, high = interval(figure)
    step_size = unit(figure.decimals)

    def fits(step: int) -> bool:
        moved = step * step_size
        return any(is_mean(low + moved, high + moved, documents, runs, options.run_decimals) for runs in counts)

    return fits
