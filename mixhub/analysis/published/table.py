"""A table of scores as it was printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from mixhub.errors import ResultsError
from mixhub.spec import Family, Task

_MIN_DECIMALS = 2
"""YAML drops the zeros at the end, so a specification's figures have at least these."""


@dataclass(frozen=True)
class Figure:
    """A score as it is printed."""

    value: float
    """Percent."""
    decimals: int
    """Digits printed behind the point of the percent; negative where fractions have one digit, or none."""
    stderr: float | None = None
    """What stands behind `±`, percent."""
    stderr_decimals: int | None = None
    """Its digits behind the point."""

    @property
    def shown(self) -> str:
        """The value with its digits, as `65.00`."""
        return f"{self.value:.{max(0, self.decimals)}f}"


@dataclass(frozen=True)
class Column:
    """One column of figures."""

    title: str
    """As it is printed."""
    task: Task | None
    """The task of the suite whose title or name it is; None where it is none of them."""


@dataclass(frozen=True)
class PublishedRow:
    """The figures of one seed, index or model."""

    label: str
    """As it is printed."""
    figures: Mapping[str, Figure]
    """By title of the column; where nothing is printed there is no entry."""
    average: Figure | None = None
    """What the column of the average says."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of scores."""

    source: str
    """Address, or file and line of the table's head."""
    columns: tuple[Column, ...]
    """In the order of print, without the average."""
    rows: tuple[PublishedRow, ...]
    """In the order of print."""
    spreads: tuple[PublishedRow, ...] = ()
    """Rows that sum up the others, as `mean ± sd`: what their figures have behind `±` is no error over documents."""
    scale: Literal["percent", "fraction"] = "percent"
    """What was printed. Figures here are percent; of fractions, two digits fewer stand behind the point."""
    row_kind: str = ""
    """What the column of the labels is called, as `Seed`."""

    def row_name(self, label: str) -> str:
        """A row in words: a bare number is called `seed 1`."""
        return f"{self.row_kind.casefold()} {label}" if label.isdigit() and self.row_kind else label

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the suite that have a column."""
        return tuple(column.task for column in self.columns if column.task is not None)


def published_table(family: Family) -> PublishedTable | None:
    """The published scores of a family's specification; None where it has none.

    YAML drops the zeros at the end of a figure: all get as many decimals as the longest has, at least two.
    """
    printed = family.published_scores
    if printed is None:
        return None
    rows = printed.scores
    decimals = max(
        [_MIN_DECIMALS]
        + [count_decimals(Decimal(repr(value))) for row in (*rows.values(), printed.average) for value in row.values()]
    )
    shown = [task for task in family.evaluation.tasks if any(task.name in row for row in rows.values())]
    averages = {label: Figure(value, decimals) for label, value in printed.average.items()}
    return PublishedTable(
        source=printed.source,
        columns=tuple(Column(task.title, task) for task in shown),
        rows=tuple(
            PublishedRow(
                label,
                MappingProxyType({task.title: Figure(row[task.name], decimals) for task in shown if task.name in row}),
                averages.get(label),
            )
            for label, row in rows.items()
        ),
    )


def count_decimals(number: Decimal) -> int:
    """Digits behind the point."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def require_columns(table: PublishedTable, tasks: Sequence[Task]) -> None:
    """Checks that a table has a column for each task of a suite.

    Raises:
        ResultsError: columns are missing; names the source and the columns.
    """
    there = {task.name for task in table.tasks}
    missing = [task.title for task in tasks if task.name not in there]
    if missing:
        unknown = [column.title for column in table.columns if column.task is None]
        others = f"; not known as tasks: {', '.join(unknown)}" if unknown else ""
        raise ResultsError(
            f"{table.source}: lacks the columns {', '.join(missing)}{others}",
            code="column-missing",
            hint="name columns as the suite names its tasks (mixhub families NAME), or name another suite: --suite",
            source=table.source,
            missing=tuple(missing),
        )
