"""A printed table as the rules of an audit see it: with its options, and with what was worked out of it once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from mixhub.analysis.audit.counts import possible_counts, unit
from mixhub.analysis.audit.report import FigureCounts, RowCounts
from mixhub.analysis.audit.wording import MEANS, ROUNDED
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable
from mixhub.errors import UsageError
from mixhub.phrases import plural
from mixhub.spec import Task

MAX_RUNS = 100
"""No printed figure of usual length tells larger numbers of runs apart."""
MAX_RUN_DECIMALS = 5
"""More decimals than these round nothing that two printed ones would show."""
LEVEL = 0.01
"""What happens by chance more rarely than this, over all that is tried, does not fit."""


@dataclass(frozen=True)
class AuditOptions:
    """What is expected of printed figures; UsageError for numbers that cannot be."""

    runs: int | None
    """Runs that each figure should be the mean of; None: any number will do."""
    most_runs: int
    """The largest number of runs to consider."""
    run_decimals: int | None
    """Decimals to which each run's accuracy, a fraction, was rounded before the mean; None: to none."""

    def __post_init__(self) -> None:
        for name, value in (("runs", self.runs), ("most_runs", self.most_runs)):
            if value is not None and not 1 <= value <= MAX_RUNS:
                raise UsageError(
                    f"{name} = {value}: must be 1 to {MAX_RUNS}",
                    code="option-value",
                    hint="a score is the mean of one run or more",
                    option=name,
                    value=value,
                )
        if self.runs is not None and self.runs > self.most_runs:
            raise UsageError(
                f"most_runs = {self.most_runs}: must be at least runs, which is {self.runs}",
                code="option-conflict",
                hint="leave most_runs out, or expect fewer runs",
                options=("runs", "most_runs"),
            )
        if self.run_decimals is not None and not 1 <= self.run_decimals <= MAX_RUN_DECIMALS:
            raise UsageError(
                f"run_decimals = {self.run_decimals}: must be 1 to {MAX_RUN_DECIMALS}",
                code="option-value",
                hint="they are decimals of accuracies as fractions: 4 for 0.6500",
                option="run_decimals",
                value=self.run_decimals,
            )

    @property
    def expected(self) -> int:
        """The number of runs at which figures are called testable."""
        return self.runs or self.most_runs

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the numbers of runs stand on."""
        if self.run_decimals is None:
            averaged = "runs were averaged unrounded"
        else:
            averaged = f"each run's accuracy, a fraction, was rounded to {self.run_decimals} decimals before the mean"
        return (MEANS, ROUNDED, averaged)

    @property
    def cap(self) -> str:
        """Why larger numbers of runs are left out."""
        return f"no score is the mean of more than {plural(self.most_runs, 'run')}; more would fit more figures"


@dataclass(frozen=True)
class TableView:
    """A table, what is expected of it, and the numbers of runs that its figures allow."""

    table: PublishedTable
    """Percent, as printed."""
    options: AuditOptions
    """What is expected."""
    tasks: tuple[Task, ...]
    """The suite, whose other tasks a column may be of."""

    @cached_property
    def tested(self) -> list[Column]:
        """The columns whose task has a known number of documents."""
        return [column for column in self.table.columns if column.task is not None and column.task.documents]

    @cached_property
    def counts(self) -> dict[tuple[str, str], FigureCounts]:
        """By label of the row and title of the column, of the tested figures."""
        return {
            (row.label, column.title): self._count(row, column, row.figures[column.title])
            for row in self.table.rows
            for column in self.tested
            if column.title in row.figures
        }

    @cached_property
    def rows(self) -> tuple[RowCounts, ...]:
        """Which numbers of runs fit each whole row."""
        return tuple(map(self._row_counts, self.table.rows))

    def name(self, row: str) -> str:
        """A row in words."""
        return self.table.row_name(row)

    def of_row(self, row: PublishedRow, without: Sequence[Column] = ()) -> list[FigureCounts]:
        """The tested figures of a row."""
        left = [column for column in self.tested if column not in without]
        return [self.counts[key] for column in left if (key := (row.label, column.title)) in self.counts]

    def likeliest(self, row: PublishedRow, without: Sequence[Column]) -> frozenset[int]:
        """The numbers of runs that fit most of a row's figures in the other columns."""
        others = self.of_row(row, without)
        fitting = {
            runs: sum(runs in counted.possible for counted in others) for runs in range(1, self.options.most_runs + 1)
        }
        return frozenset(runs for runs, number in fitting.items() if number == max(fitting.values()))

    def _count(self, row: PublishedRow, column: Column, figure: Figure) -> FigureCounts:
        documents, options = documents_of(column), self.options
        possible = possible_counts(figure, documents, options.most_runs, options.run_decimals)
        return FigureCounts(
            row=row.label,
            column=column.title,
            value=figure.value,
            decimals=figure.decimals,
            documents=documents,
            possible=possible,
            testable=Fraction(100, options.expected * documents) > unit(figure.decimals),
            fits=bool(possible) if options.runs is None else options.runs in possible,
        )

    def _row_counts(self, row: PublishedRow) -> RowCounts:
        figures, most = self.of_row(row), self.options.most_runs
        counts = tuple(runs for runs in range(1, most + 1) if all(runs in counted.possible for counted in figures))
        return RowCounts(row.label, counts if figures else (), len(figures), self._by_chance(figures, counts))

    def _by_chance(self, figures: Sequence[FigureCounts], counts: Sequence[int]) -> float | None:
        if self.options.run_decimals is not None:
            return None
        shares = (
            math.prod(min(1.0, float(unit(c.decimals) * runs * c.documents / 100)) for c in figures) for runs in counts
        )
        return min(1.0, sum(shares))


def documents_of(column: Column) -> int:
    """The number of documents of a tested column."""
    assert column.task is not None
    assert column.task.documents is not None
    return column.task.documents


def is_percentage(value: float) -> bool:
    """Whether a figure lies in 0 to 100."""
    return 0 <= value <= 100
