"""Figures, rows and columns that are equal more often than chance makes likely."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from statistics import median, stdev

from mixhub.analysis.audit.counts import unit
from mixhub.analysis.audit.view import LEVEL, TableView, documents_of
from mixhub.analysis.audit.wording import INDEPENDENT
from mixhub.analysis.published.table import PublishedRow
from mixhub.findings import Finding


def figures_repeated(view: TableView) -> Iterator[Finding]:
    """Rows that repeat a row, figures that repeat in a column or all over the table, and columns that repeat one."""
    rows, columns = view.table.rows, [column.title for column in view.table.columns]
    chances = {title: _chance_of_equal(view, title) for title in columns}
    by_row = {row.label: {title: figure.value for title, figure in row.figures.items()} for row in rows}
    copies = list(_copies(by_row, lambda _, __, title: chances[title]))
    for first, second, shared in copies:
        message = f"{view.name(second)} repeats {view.name(first)}: all {shared} figures are equal"
        yield Finding("figures-repeated", second, message, assumptions=(INDEPENDENT,))
    left = [row for row in rows if row.label not in {second for _, second, _ in copies}]
    yield from _repeated_figures(view, left, chances)
    by_column = {title: {label: row[title] for label, row in by_row.items() if title in row} for title in columns}
    in_row = {label: _density(list(row.values())) for label, row in by_row.items()}
    grids = {title: _grid(view, title) for title in columns}
    for first, second, shared in _copies(by_column, lambda a, b, row: in_row[row] * max(grids[a], grids[b])):
        message = f"the columns {first} and {second} hold the same figures, in all {shared} rows"
        assumed = ("two tasks are equal by chance only",)
        yield Finding("figures-repeated", view.table.source, message, about=second, assumptions=assumed)


def _copies(
    lines: Mapping[str, Mapping[str, float]], chance: Callable[[str, str, str], float]
) -> Iterator[tuple[str, str, int]]:
    """Lines of at least two figures that all repeat those of an earlier line: first, second, number of figures.

    Args:
        lines: figures by name of the line and name of the place in it.
        chance: of two lines and a place, how likely the figures there are equal by chance.
    """
    first: dict[tuple[tuple[str, float], ...], str] = {}
    pairs = len(lines) * (len(lines) - 1) / 2
    for name, figures in lines.items():
        other = first.setdefault(tuple(figures.items()), name)
        if other == name or len(figures) < 2:
            continue
        if pairs * math.prod(min(1.0, chance(other, name, place)) for place in figures) < LEVEL:
            yield other, name, len(figures)


def _repeated_figures(view: TableView, rows: Sequence[PublishedRow], chances: Mapping[str, float]) -> Iterator[Finding]:
    """Columns in which figures repeat beyond chance, and the table as a whole where only all columns together show it.

    The number of figures that repeat an earlier one is compared with a Poisson law, whose mean is the expected number
    of equal pairs; Holm's method keeps the level over all columns and the table.
    """
    observed, expected = {}, {}
    for column in view.table.columns:
        values = [row.figures[column.title].value for row in rows if column.title in row.figures]
        observed[column.title] = len(values) - len(set(values))
        expected[column.title] = min(1.0, chances[column.title]) * len(values) * (len(values) - 1) / 2
    observed[""], expected[""] = sum(observed.values()), sum(expected.values())
    found = _beyond_chance({title: _poisson_tail(observed[title], expected[title]) for title in observed})
    for title in found:
        if title or len(found) == 1:
            place = f"in the column {title}" if title else "over all columns"
            times = "figure repeats one" if observed[title] == 1 else "figures repeat one"
            message = f"{observed[title]} {times} above {place}, where chance lets expect {expected[title]:.2g}"
            assumed = (INDEPENDENT, "no model gives the same answer throughout")
            yield Finding("figures-repeated", view.table.source, message, about=title, assumptions=assumed)


def _beyond_chance(tails: Mapping[str, float]) -> list[str]:
    """What is rarer than chance allows, by Holm's step-down method."""
    found: list[str] = []
    for tried, name in enumerate(sorted(tails, key=lambda name: tails[name])):
        if tails[name] * (len(tails) - tried) >= LEVEL:
            break
        found.append(name)
    return [name for name in tails if name in found]


def _poisson_tail(observed: int, mean: float) -> float:
    """Probability of at least so many events where `mean` are expected."""
    if mean == 0:
        return 1.0 if observed == 0 else 0.0
    return 1.0 - math.fsum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(observed))


def _chance_of_equal(view: TableView, title: str) -> float:
    """How likely two figures of a column are equal: the grid of possible figures times the density of differences."""
    values = [row.figures[title].value for row in view.table.rows if title in row.figures]
    grid = _grid(view, title)
    if len(set(values)) > 1:
        return grid * _density(values)
    column = next(column for column in view.table.columns if column.title == title)
    if column not in view.tested or not values or not 0 < values[0] < 100:
        return 1.0
    # All are equal, so that their spread tells nothing: independent runs differ at least by their sampling error.
    error = math.sqrt(values[0] * (100 - values[0]) / documents_of(column))
    return grid / (2 * error * math.sqrt(math.pi))


def _density(values: Sequence[float]) -> float:
    """Density, per point, at which the difference of two values is zero: 1/(2 s sqrt(pi)) for normal ones of sd s.

    The sd is that of the distinct values, or the smaller one that their median deviation implies, so that neither
    repeats nor outliers make equal values look rarer than they are. Without spread nothing is known: infinite.
    """
    distinct = sorted(set(values))
    if len(distinct) < 2:
        return math.inf
    middle = median(distinct)
    robust = 1.4826 * median(abs(value - middle) for value in distinct)
    return 1 / (2 * min(stdev(distinct), robust) * math.sqrt(math.pi))


def _grid(view: TableView, title: str) -> float:
    """How far apart possible figures of a column lie, percent: by the smallest number of runs that fits all of it."""
    figures = [row.figures[title] for row in view.table.rows if title in row.figures]
    printed = max((unit(figure.decimals) for figure in figures), default=Fraction(1))
    counted = [view.counts[row.label, title] for row in view.table.rows if (row.label, title) in view.counts]
    if not counted:
        return float(printed)
    common = set.intersection(*(set(c.possible) for c in counted))
    return float(max(printed, Fraction(100, min(common, default=view.options.expected) * counted[0].documents)))
