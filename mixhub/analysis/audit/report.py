"""What an audit returns: what was looked at, under which assumptions, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mixhub.analysis.audit.counts import DEFAULT_MOST_RUNS
from mixhub.findings import Finding
from mixhub.phrases import ranges

if TYPE_CHECKING:
    import pandas

Verdict = Literal["equal to the last digit", "within rounding", "does not fit", "not recomputed"]


@dataclass(frozen=True)
class FigureCounts:
    """Which numbers of runs one printed figure can be the mean of."""

    row: str
    """Label of its row."""
    column: str
    """Title of its column."""
    value: float
    """As printed, percent."""
    decimals: int
    """Digits behind the point."""
    documents: int
    """Documents of its task."""
    possible: tuple[int, ...]
    """Numbers of runs, ascending."""
    testable: bool
    """Whether the means of the expected number of runs lie further apart than printed figures do."""
    fits: bool
    """Whether the expected number of runs is possible; where none is expected, whether any is."""


@dataclass(frozen=True)
class RowCounts:
    """Which numbers of runs fit all figures of a row."""

    row: str
    """Its label."""
    counts: tuple[int, ...]
    """Numbers of runs, ascending; empty where none fits all."""
    figures: int
    """Figures that were tested."""
    by_chance: float | None
    """Share of rows of arbitrary figures that one of `counts` would fit as well; None where runs were rounded."""


@dataclass(frozen=True)
class Average:
    """A printed average against the figures of its row."""

    row: str
    """Label of the row."""
    printed: float
    """Percent."""
    computed: float | None
    """Plain mean of the row's figures, percent; None where one is missing."""
    verdict: Verdict
    """How they compare."""
    reason: str = ""
    """Why it was not recomputed."""


@dataclass(frozen=True)
class Audit:
    """What was looked at, under which assumptions, and what does not fit."""

    source: str
    """What was audited."""
    assumptions: tuple[str, ...]
    """A sentence each."""
    findings: tuple[Finding, ...]
    """What does not fit; empty where all does. `where` is the row or the revision, or `source` if a whole column or
    table does not fit; `about` is the column, or the task and its shots."""
    notes: tuple[str, ...]
    """What could not be tested, and why."""
    figures: int
    """Figures that were looked at."""
    testable: int
    """Those whose documents tell something."""
    runs: int | None = None
    """Runs that each printed figure should be the mean of; None where nothing is expected."""
    most_runs: int = DEFAULT_MOST_RUNS
    """The largest number of runs that was considered."""
    run_decimals: int | None = None
    """Decimals to which each run's accuracy, a fraction, was rounded before the mean; None: to none."""
    counts: tuple[FigureCounts, ...] = ()
    """One for each printed figure whose task has a known number of documents."""
    rows: tuple[RowCounts, ...] = ()
    """One for each printed row."""
    averages: tuple[Average, ...] = ()
    """One for each printed average."""

    @property
    def fits(self) -> bool:
        """Whether nothing was found that does not fit."""
        return not self.findings

    @property
    def misfits(self) -> tuple[FigureCounts, ...]:
        """Testable figures that the expected number of runs does not fit."""
        return tuple(counted for counted in self.counts if counted.testable and not counted.fits)

    def counts_frame(self) -> pandas.DataFrame:
        """A line per printed figure: row, column, value (percent), documents, possible (text), testable, fits."""
        import pandas

        columns = ["row", "column", "value", "documents", "possible", "testable", "fits"]
        lines = [
            (c.row, c.column, c.value, c.documents, counts_shown(c.possible, self.most_runs), c.testable, c.fits)
            for c in self.counts
        ]
        return pandas.DataFrame(lines, columns=columns)

    def findings_frame(self) -> pandas.DataFrame:
        """A line per finding: code, row (empty if about a whole column or table), column, message."""
        import pandas

        lines = [(f.code, "" if f.where == self.source else f.where, f.about, f.message) for f in self.findings]
        return pandas.DataFrame(lines, columns=["code", "row", "column", "message"])


def counts_shown(possible: Sequence[int], most_runs: int) -> str:
    """`any` where all numbers of runs are possible, `none`, or as `2, 4-6`."""
    return "any" if len(possible) == most_runs else ranges(possible) or "none"
