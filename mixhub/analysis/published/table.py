"""Published tables of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from mixhub.spec import Family, Task

_MIN_DECIMALS = 2
"""Decimals of a specification's figures, since YAML drops trailing zeros."""


@dataclass(frozen=True)
class Figure:
    """A printed score."""

    value: float
    """Percent."""
    decimals: int
    """Printed decimals of the percent; negative for fractions with one decimal or none."""
    stderr: float | None = None
    """The number after `±`, percent."""
    stderr_decimals: int | None = None
    """Its decimals."""

    @property
    def shown(self) -> str:
        """The value with its digits, such as `65.00`."""
        return f"{self.value:.{max(0, self.decimals)}f}"


@dataclass(frozen=True)
class Column:
    """One column of figures."""

    title: str
    """As printed."""
    task: Task | None
    """The known task with this title or name."""
    num_fewshot: int | None = None
    """The number of shots, if it is printed."""
    metric: str = ""
    """The metric, if it is printed and no accuracy."""


@dataclass(frozen=True)
class PublishedRow:
    """The figures of one seed, index or model."""

    label: str
    """As printed."""
    figures: Mapping[str, Figure]
    """By title of the column; blank cells are omitted."""
    average: Figure | None = None
    """The printed average."""
    limit: float | None = None
    """The number of documents of each task that were evaluated, or their share if below 1; None without a limit."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of scores."""

    source: str
    """Address, or file and line of the table's head."""
    columns: tuple[Column, ...]
    """In the printed order, without the average."""
    rows: tuple[PublishedRow, ...]
    """In the printed order."""
    spreads: tuple[PublishedRow, ...] = ()
    """Rows that summarize the others, such as `mean ± sd`; a number after their `±` is not an error over documents."""
    scale: Literal["percent", "fraction"] = "percent"
    """The printed scale. Figures here are percent; those printed as fractions have two decimals fewer."""
    row_kind: str = ""
    """Title of the column of labels, such as `Seed`."""
    notes: tuple[str, ...] = ()
    """What was not read, a sentence each."""

    def row_name(self, label: str) -> str:
        """A row in words, such as `seed 1` for a bare number."""
        return f"{self.row_kind.casefold()} {label}" if label.isdigit() and self.row_kind else label

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the suite that have a column."""
        return tuple(column.task for column in self.columns if column.task is not None)


def published_table(family: Family) -> PublishedTable | None:
    """The published scores of a family's specification; None if it has none.

    YAML drops trailing zeros, so all figures get as many decimals as the longest has, at least two.
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
    """Decimals of a number; negative for multiples of ten, as 5E+1."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
