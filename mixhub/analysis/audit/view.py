"""A printed table with the options of its audit, and the numbers of runs that its figures allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from mixhub.analysis.audit.counts import SLACK, exact, possible_counts, unit
from mixhub.analysis.audit.report import MEANS, ROUNDED, Average, FigureCounts, RowCounts, Verdict
from mixhub.analysis.published.table import Figure, PublishedRow, PublishedTable
from mixhub.errors import UsageError
from mixhub.phrases import listed, plural
from mixhub.spec import Task

MAX_RUNS = 100
"""Printed figures of usual length cannot distinguish larger numbers of runs."""
MAX_RUN_DECIMALS = 5
"""Rounding to more decimals than this changes no printed figure."""
_MAX_NAMED = 6
"""Maximum number of figures or columns named in a message."""


@dataclass(frozen=True)
class TableView:
    """A table, its options, and what rules derive from both; raises UsageError for options out of range."""

    table: PublishedTable
    """Percent, as printed."""
    tasks: tuple[Task, ...]
    """The suite."""
    runs: int | None
    """Runs that each figure should be the mean of; None for no expectation."""
    most_runs: int
    """The largest number of runs to consider."""
    run_decimals: int | None
    """Decimals to which each run's accuracy, a fraction, was rounded before the mean; None for no rounding."""

    def __post_init__(self) -> None:
        limits = (("runs", MAX_RUNS), ("most_runs", MAX_RUNS), ("run_decimals", MAX_RUN_DECIMALS))
        for option, most in limits:
            value = getattr(self, option)
            if value is not None and not 1 <= value <= most:
                message = f"{option} = {value}: must be 1 to {most}"
                raise UsageError(message, code="option-value", option=option, value=value)
        if self.runs is not None and self.runs > self.most_runs:
            raise UsageError(
                f"most_runs = {self.most_runs}: must be at least runs, {self.runs}",
                code="option-conflict",
                hint="omit most_runs, or lower runs",
                options=("runs", "most_runs"),
            )

    @cached_property
    def assumptions(self) -> tuple[str, ...]:
        """The assumptions behind the possible numbers of runs."""
        if self.run_decimals is None:
            averaged = "runs were averaged unrounded"
        else:
            averaged = f"each run's accuracy, a fraction, was rounded to {self.run_decimals} decimals before the mean"
        most = f"no score is the mean of more than {plural(self.most_runs, 'run')}; more would fit more figures"
        return (MEANS, ROUNDED, averaged, most)

    @property
    def expectation(self) -> tuple[str, ...]:
        """The assumption of the expected number of runs, if there is one."""
        return (f"each score is the mean of {plural(self.runs, 'run')}",) if self.runs is not None else ()

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """The columns of tasks whose number of documents is known."""
        return tuple(c.title for c in self.table.columns if c.task is not None and c.task.documents)

    @cached_property
    def documents(self) -> dict[tuple[str, str], int]:
        """Evaluated documents, by label of the row and title of the column."""
        return {
            (row.label, column.title): _limited(column.task.documents, row.limit)
            for row in self.table.rows
            for column in self.table.columns
            if column.task is not None and column.task.documents
        }

    @cached_property
    def counts(self) -> dict[tuple[str, str], FigureCounts]:
        """By label of the row and title of the column, for the columns in `titles`."""
        return {
            (row.label, title): self._figure_counts(row, title)
            for row in self.table.rows
            for title in self.titles
            if title in row.figures
        }

    @cached_property
    def rows(self) -> tuple[RowCounts, ...]:
        """The numbers of runs that fit each whole row."""
        return tuple(map(self._row_counts, self.table.rows))

    @cached_property
    def averages(self) -> tuple[Average, ...]:
        """Each printed average of a row, recomputed if the row allows it."""
        return tuple(self._average(row.label, row.figures, row.average) for row in self.table.rows if row.average)

    def of_row(self, row: PublishedRow) -> list[FigureCounts]:
        """The tested figures of a row."""
        return [self.counts[row.label, title] for title in self.titles if title in row.figures]

    def _figure_counts(self, row: PublishedRow, title: str) -> FigureCounts:
        figure, documents = row.figures[title], self.documents[row.label, title]
        possible = possible_counts(figure, documents, self.most_runs, self.run_decimals)
        return FigureCounts(
            row=row.label,
            column=title,
            value=figure.value,
            decimals=figure.decimals,
            documents=documents,
            possible=possible,
            testable=Fraction(100, (self.runs or self.most_runs) * documents) > unit(figure.decimals),
            fits=bool(possible) if self.runs is None else self.runs in possible,
        )

    def _average(self, label: str, figures: Mapping[str, Figure], average: Figure) -> Average:
        titles = [column.title for column in self.table.columns]
        known = [column.title for column in self.table.columns if column.task is not None]
        absent = [task.title for task in self.tasks if task not in self.table.tasks]
        computed: Fraction | None = None
        verdict: Verdict = "not recomputed"
        reason = ""
        if missing := [title for title in titles if title not in figures]:
            reason = f"the row has no figure for {name_some(missing)}"
        elif not titles:
            reason = "the row has no figures"
        else:
            computed, verdict = _compare(average, [figures[title] for title in titles])
            if verdict == "does not fit" and 0 < len(known) < len(titles):
                other = _compare(average, [figures[title] for title in known])
                computed, verdict = (computed, verdict) if other[1] == "does not fit" else other
            if verdict == "does not fit" and absent:
                computed, verdict = None, "not recomputed"
                reason = f"it may include tasks without a column, such as {name_some(absent)}"
        return Average(label, average.value, None if computed is None else float(computed), verdict, reason)

    def _row_counts(self, row: PublishedRow) -> RowCounts:
        figures = self.of_row(row)
        counts = [runs for runs in range(1, self.most_runs + 1) if all(runs in c.possible for c in figures)]
        shares = (
            math.prod(min(1.0, float(unit(c.decimals) * runs * c.documents / 100)) for c in figures) for runs in counts
        )
        by_chance = min(1.0, sum(shares)) if self.run_decimals is None else None
        return RowCounts(row.label, tuple(counts) if figures else (), len(figures), by_chance)


def _limited(documents: int, limit: float | None) -> int:
    """The documents that were evaluated: lm-eval's limit is a number, or a share if below 1."""
    if limit is None:
        return documents
    return min(documents, int(limit) if limit >= 1 else math.ceil(documents * limit))


def name_some(names: Iterable[str]) -> str:
    """`a, b and c`; only the first of many."""
    return listed(list(names), most=_MAX_NAMED, last="and")


def _compare(printed: Figure, figures: Sequence[Figure]) -> tuple[Fraction, Verdict]:
    """The plain mean of figures, percent, and how a printed average compares with it."""
    mean = sum((exact(figure.value) for figure in figures), Fraction(0)) / len(figures)
    difference, half = abs(mean - exact(printed.value)), unit(printed.decimals) / 2 + SLACK
    if difference <= half:
        return mean, "equal to the last digit"
    leeway = sum((unit(figure.decimals) / 2 for figure in figures), Fraction(0)) / len(figures)
    return mean, "within rounding" if difference <= half + leeway else "does not fit"
