"""The result of an audit: what was checked, under which assumptions, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mixhub.analysis.audit.counts import DEFAULT_MAX_RUNS
from mixhub.findings import Finding, errors
from mixhub.phrases import ranges

Verdict = Literal["equal to the last digit", "within rounding", "does not fit", "not recomputed"]

ROUNDED = "figures are rounded to the printed digits, not truncated; halves go up or down"
MEANS = (
    "a score is the plain mean of the accuracies of some runs, each a whole number of correct answers over all "
    "documents of its task"
)
PLAIN_AVERAGE = "an average is the plain, unweighted mean of its row's figures"
INDEPENDENT = "runs are independent, so all their figures are equal only by chance"
BINOMIAL = (
    "an answer is right or wrong, so an accuracy p over n documents has the standard error sqrt(p(1-p)/(n-1)), "
    "as lm-eval computes it"
)


@dataclass(frozen=True)
class FigureCounts:
    """The numbers of runs that one printed figure can be the mean of."""

    row: str
    """Label of its row."""
    column: str
    """Title of its column."""
    value: float
    """As printed, percent."""
    decimals: int
    """Printed decimals."""
    documents: int
    """Documents of its task."""
    possible: tuple[int, ...]
    """Numbers of runs, ascending."""
    testable: bool
    """Whether the means of the expected number of runs lie further apart than printed figures do."""
    fits: bool
    """Whether the expected number of runs is possible; if none is expected, whether any is."""


@dataclass(frozen=True)
class RowCounts:
    """The numbers of runs that fit all figures of a row."""

    row: str
    """Its label."""
    counts: tuple[int, ...]
    """Numbers of runs, ascending; empty if none fits all figures."""
    figures: int
    """Figures that were tested."""
    by_chance: float | None
    """Share of rows of arbitrary figures that one of `counts` would also fit; None if runs were rounded."""


@dataclass(frozen=True)
class Average:
    """A printed average compared with the figures of its row."""

    row: str
    """Label of the row."""
    printed: float
    """Percent."""
    computed: float | None
    """Plain mean of the row's figures, percent; None if one is missing."""
    verdict: Verdict
    """Result of the comparison."""
    reason: str = ""
    """Why it was not recomputed."""


@dataclass(frozen=True)
class Audit:
    """The checked figures, the assumptions, and the findings."""

    source: str
    """The audited table, card or results."""
    assumptions: tuple[str, ...]
    """A sentence each."""
    findings: tuple[Finding, ...]
    """What does not fit. `where` is the row or the revision, or `source` for a whole column; `about` is the column, or
    the task and its shots."""
    notes: tuple[str, ...]
    """Figures that could not be tested, with reasons."""
    figures: int
    """Figures that were checked."""
    testable: int
    """Figures whose number of documents allows a test."""
    runs: int | None = None
    """Runs that each printed figure should be the mean of; None for no expectation."""
    most_runs: int = DEFAULT_MAX_RUNS
    """The largest number of runs that was considered."""
    run_decimals: int | None = None
    """Decimals to which each run's accuracy, a fraction, was rounded before the mean; None for no rounding."""
    counts: tuple[FigureCounts, ...] = ()
    """One for each printed figure whose task has a known number of documents."""
    rows: tuple[RowCounts, ...] = ()
    """One for each printed row."""
    averages: tuple[Average, ...] = ()
    """One for each printed average."""

    @property
    def fits(self) -> bool:
        """Whether there are no findings but warnings."""
        return not errors(self.findings)

    @property
    def misfits(self) -> tuple[FigureCounts, ...]:
        """Testable figures that the expected number of runs does not fit."""
        return tuple(counted for counted in self.counts if counted.testable and not counted.fits)


def format_counts(possible: Sequence[int], most_runs: int) -> str:
    """`any` if all numbers of runs are possible, `none`, or for example `2, 4-6`."""
    return "any" if len(possible) == most_runs else ranges(possible) or "none"
