"""Figures and rows against the numbers of runs that they can be the mean of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from mixhub.analysis.audit.counts import exact, possible_counts
from mixhub.analysis.audit.report import FigureCounts, RowCounts
from mixhub.analysis.audit.view import AuditOptions, TableView, is_percentage
from mixhub.analysis.audit.wording import listed
from mixhub.analysis.published.table import Figure
from mixhub.findings import Finding
from mixhub.phrases import plural


def figures_out_of_range(view: TableView) -> Iterator[Finding]:
    """Scores and averages that are no percentages."""
    known = {column.title for column in view.table.columns if column.task is not None}
    for row in view.table.rows:
        figures = [(title, figure) for title, figure in row.figures.items() if title in known]
        for title, figure in (*figures, *([("Average", row.average)] if row.average else [])):
            if not is_percentage(figure.value):
                message = f"{title} {figure.shown} of {view.name(row.label)} is no percentage: it is outside 0 to 100"
                assumed = ("figures are percent",)
                yield Finding("score-out-of-range", row.label, message, about=title, assumptions=assumed)


def figures_impossible(view: TableView) -> Iterator[Finding]:
    """Figures that no number of runs fits."""
    options = view.options
    for (label, title), counted in view.counts.items():
        if counted.possible or not is_percentage(counted.value):
            continue
        figure = Figure(counted.value, counted.decimals)
        runs = "is no share" if options.most_runs == 1 else f"is no mean of 1 to {options.most_runs} shares"
        near = listed([f"{value:.{max(0, figure.decimals)}f}" for value in _neighbours(figure, counted, options)])
        message = (
            f"{title} {figure.shown} of {view.name(label)} {runs} of {counted.documents:,} documents; near: {near}"
        )
        assumed = (*options.assumptions, options.cap)
        yield Finding("figure-impossible", label, message, about=title, assumptions=assumed)


def _neighbours(figure: Figure, counted: FigureCounts, options: AuditOptions) -> list[float]:
    """The nearest printable figures, below and above, that some number of runs fits."""
    value, found = exact(figure.value), set()
    for runs in range(1, options.most_runs + 1):
        right = value * runs * counted.documents / 100
        for count in (math.floor(right), math.ceil(right)):
            near = round(Fraction(100 * count, runs * counted.documents), figure.decimals)
            if possible_counts(
                Figure(float(near), figure.decimals), counted.documents, options.most_runs, options.run_decimals
            ):
                found.add(float(near))
    below, above = (sorted(v for v in found if v < value), sorted(v for v in found if v > value))
    return below[-1:] + above[:1]


def rows_unfit(view: TableView) -> Iterator[Finding]:
    """Rows that the expected number of runs does not fit; where none is expected, those that no one number fits."""
    options = view.options
    for row, counted in zip(view.table.rows, view.rows, strict=True):
        if options.runs is not None:
            misfits = [c for c in view.of_row(row) if not c.fits and is_percentage(c.value)]
            if misfits:
                names = listed([f"{c.column} {c.value:.{max(0, c.decimals)}f}" for c in misfits])
                are = "is no mean" if len(misfits) == 1 else "are no means"
                expected = plural(options.runs, "run")
                message = f"{view.name(row.label)}: {names} {are} of {expected}; {_fitting_runs(counted)}"
                assumed = (*options.assumptions, options.cap, expectation(options.runs))
                yield Finding("runs-unfit", row.label, message, assumptions=assumed)
        elif counted.figures and not counted.counts:
            message = f"{view.name(row.label)}: no one number of runs, 1 to {options.most_runs}, fits the whole row"
            yield Finding("runs-unfit", row.label, message, assumptions=(*options.assumptions, options.cap))


def expectation(runs: int) -> str:
    """The assumption that a number of runs was asked for."""
    return f"each score is the mean of {plural(runs, 'run')}"


def _fitting_runs(row: RowCounts) -> str:
    if not row.counts:
        return "no other number fits the whole row"
    shown = listed([str(count) for count in row.counts], "or")
    only = "only " if len(row.counts) == 1 else ""
    return f"{only}{shown} {'run fits' if row.counts == (1,) else 'runs fit'} the whole row"
