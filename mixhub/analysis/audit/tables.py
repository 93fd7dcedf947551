"""What figures allow: which numbers of runs a printed score can be the mean of, and what does not fit together.

A score that is the mean of m accuracies over n documents is a multiple of 100/(m·n) percent before it is rounded. With
n known, a printed figure leaves only some m (the same thought as the GRIM test: Brown and Heathers 2017, "The GRIM
Test"). An audit states its assumptions, and says that something does not fit them; it never says what is false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import median, stdev
from typing import TYPE_CHECKING, Literal

from mixhub.analysis.published import Column, Figure, PublishedRow, PublishedTable
from mixhub.errors import UsageError
from mixhub.spec.family import Task

if TYPE_CHECKING:
    import pandas


MOST_RUNS = 6
"""Larger numbers of runs are not considered unless they are asked for: enough of them fit any figure."""
MOST_MOST_RUNS = 100
"""No printed figure of usual length tells larger numbers of runs apart."""
MOST_RUN_DECIMALS = 5
"""More decimals than these round nothing that two printed ones would show."""
LEVEL = 0.01
"""What happens by chance more rarely than this, over all that is tried, does not fit."""

_SLACK = Fraction(1, 10**9)
"""Percent; for figures that come from floating-point numbers."""
RELATIVE = 1e-6
"""What errors of floating-point arithmetic stay below, in standard errors and whole numbers."""
_WINDOW = 200
"""So many printable figures on either side tell how dense a grid is."""
_NAMED = 6
"""So many figures are named in a message; of more, only the number is said."""

Kind = Literal["average", "count", "runs", "range", "repeat", "column", "stderr", "documents", "weights", "samples"]
"""What does not fit: an average its row; a figure any number of runs, or a row the number asked for; 0 to 100; figures
that repeat; a column its task; a standard error, a number of documents, weights or samples what they belong to."""
Verdict = Literal["equal to the last digit", "within rounding", "does not fit", "not recomputed"]

ROUNDED = "figures are rounded to the digits that are printed, not cut; halves go up or down"
MEANS = (
    "a score is the plain mean of the accuracies of some runs, each of which is a whole number of right answers over "
    "all documents of its task"
)
PLAIN_AVERAGE = "an average is the plain mean of its row's figures, of which each counts the same"
INDEPENDENT = "runs are independent, so their figures are equal by chance only"
BINOMIAL = (
    "a document is right or wrong, so an accuracy p over n documents has the standard error sqrt(p(1-p)/(n-1)), "
    "as lm-eval computes it"
)


@dataclass(frozen=True)
class Finding:
    """Something that does not fit."""

    kind: Kind
    """What does not fit."""
    row: str
    """Label of the row, or revision; empty where it is about a whole column."""
    column: str
    """Title of the column, or task and shots; empty where it is about a whole row."""
    message: str
    """What is there, and what would fit."""
    assumptions: tuple[str, ...] = ()
    """Under which it does not fit, a sentence each."""

    def __str__(self) -> str:
        return f"does not fit: {self.message}"


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
    """What does not fit; empty where all does."""
    notes: tuple[str, ...]
    """What could not be tested, and why."""
    figures: int
    """Figures that were looked at."""
    testable: int
    """Those whose documents tell something."""
    runs: int | None = None
    """Runs that each printed figure should be the mean of; None where nothing is expected."""
    most_runs: int = MOST_RUNS
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
        """A line per finding: kind, row, column, message."""
        import pandas

        columns = ["kind", "row", "column", "message"]
        return pandas.DataFrame([(f.kind, f.row, f.column, f.message) for f in self.findings], columns=columns)


def counts_shown(possible: Sequence[int], most_runs: int) -> str:
    """`any` where all numbers of runs are possible, `none`, or as `2, 4-6`."""
    if len(possible) == most_runs:
        return "any"
    parts: list[str] = []
    first = 0
    for at, count in enumerate(possible):
        if at + 1 < len(possible) and possible[at + 1] == count + 1:
            continue
        run = possible[first : at + 1]
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else map(str, run)
        first = at + 1
    return ", ".join(parts) or "none"


def possible_counts(
    figure: Figure, documents: int, most_runs: int = MOST_RUNS, run_decimals: int | None = None
) -> tuple[int, ...]:
    """The numbers of runs m, 1 to `most_runs`, for which a figure can be the mean of m accuracies.

    There must be a whole number c of right answers with |100 c / (m n) - value| at most half a printed unit, so that a
    half may have gone up or down.

    Args:
        figure: percent, with the digits that are printed.
        documents: n, documents of the task, all of which each run saw.
        most_runs: the largest m.
        run_decimals: where given, each accuracy, a fraction, was first rounded to so many decimals.
    """
    low, high = _interval(figure)
    return tuple(runs for runs in range(1, most_runs + 1) if _is_mean(low, high, documents, runs, run_decimals))


def _interval(figure: Figure) -> tuple[Fraction, Fraction]:
    """What a printed figure may have been before it was rounded, percent."""
    value, half = _exact(figure.value), _unit(figure.decimals) / 2 + _SLACK
    return value - half, value + half


def _exact(value: float) -> Fraction:
    """The decimal number that is shown, which a floating-point number is only near."""
    return Fraction(repr(value))


def _unit(decimals: int) -> Fraction:
    """What the last printed digit counts, percent."""
    return Fraction(10) ** -decimals


def _is_mean(low: Fraction, high: Fraction, documents: int, runs: int, run_decimals: int | None) -> bool:
    """Whether some mean of `runs` accuracies over `documents`, percent, lies between `low` and `high`."""
    steps = documents if run_decimals is None else 10**run_decimals
    # In whole numbers, since fractions take ten times as long: ceil(low·m·steps/100) to floor(high·m·steps/100).
    first = max(0, -(-low.numerator * runs * steps // (low.denominator * 100)))
    last = min(runs * steps, high.numerator * runs * steps // (high.denominator * 100))
    if first > last or run_decimals is None:
        return first <= last
    # Sums of rounded accuracies never lie further apart than two neighbouring rounded accuracies do.
    if (high - low) * runs * steps / 100 >= -(-steps // documents):
        return True
    return bool(_sums(documents, runs, run_decimals) >> first & ((1 << (last - first + 1)) - 1))


@lru_cache(maxsize=256)
def _sums(documents: int, runs: int, run_decimals: int) -> int:
    """The sums of `runs` rounded accuracies, as a set of bits: bit s is set where s·10^-run_decimals is such a sum."""
    if runs == 0:
        return 1
    steps, fewer, sums = 10**run_decimals, _sums(documents, runs - 1, run_decimals), 0
    for right in range(documents + 1):
        up = (2 * steps * right + documents) // (2 * documents)
        down = -((documents - 2 * steps * right) // (2 * documents))
        sums |= fewer << up if up == down else fewer << up | fewer << down
    return sums


def audit(
    table: PublishedTable,
    *,
    runs: int | None = None,
    most_runs: int | None = None,
    run_decimals: int | None = None,
    tasks: Sequence[Task] = (),
) -> Audit:
    """What of a printed table fits together.

    Args:
        table: percent, as printed.
        runs: how many runs each figure should be the mean of, at most 100; None: nothing is expected, and any number
            will do.
        most_runs: the largest number of runs to consider, at most 100; None: 6, or `runs` where that is larger.
        run_decimals: decimals to which each run's accuracy, a fraction, was rounded before the mean; None: to none.
        tasks: the suite, whose other tasks a column may be of; those of the table where it is empty.

    Raises:
        UsageError: a number is not 1 to 100, `runs` is above `most_runs`, or `run_decimals` is not 1 to 5.
    """
    setting = _Setting(runs, max(MOST_RUNS, runs or 0) if most_runs is None else most_runs, run_decimals)
    view = _View(table, setting, tuple(tasks) or table.tasks)
    averages = tuple(_averages(view))
    rows = tuple(map(view.row_counts, table.rows))
    findings = (
        *_out_of_range(view),
        *(_average_finding(view, average) for average in averages if average.verdict == "does not fit"),
        *_spread_findings(view),
        *_figure_findings(view),
        *_row_findings(view, rows),
        *_moved_columns(view),
        *_repeats(view),
        *_stderr_findings(view),
    )
    counts = tuple(view.counts.values())
    return Audit(
        source=table.source,
        assumptions=tuple(_assumptions(view)),
        findings=findings,
        notes=tuple(_notes(view, averages)),
        figures=sum(len(row.figures) for row in table.rows),
        testable=sum(counted.testable for counted in counts),
        runs=setting.runs,
        most_runs=setting.most_runs,
        run_decimals=setting.run_decimals,
        counts=counts,
        rows=rows,
        averages=averages,
    )


@dataclass(frozen=True)
class _Setting:
    """What is asked for."""

    runs: int | None
    most_runs: int
    run_decimals: int | None

    def __post_init__(self) -> None:
        for name, value in (("runs", self.runs), ("most_runs", self.most_runs)):
            if value is not None and not 1 <= value <= MOST_MOST_RUNS:
                raise UsageError(
                    f"{name} = {value}: must be 1 to {MOST_MOST_RUNS}", hint="a score is the mean of one run or more"
                )
        if self.runs is not None and self.runs > self.most_runs:
            raise UsageError(
                f"most_runs = {self.most_runs}: must be at least runs, which is {self.runs}",
                hint="leave most_runs out, or expect fewer runs",
            )
        if self.run_decimals is not None and not 1 <= self.run_decimals <= MOST_RUN_DECIMALS:
            raise UsageError(
                f"run_decimals = {self.run_decimals}: must be 1 to {MOST_RUN_DECIMALS}",
                hint="they are decimals of accuracies as fractions: 4 for 0.6500",
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
        return f"no score is the mean of more than {_runs(self.most_runs)}; more would fit more figures"


class _View:
    """A table with what was worked out of it once."""

    def __init__(self, table: PublishedTable, setting: _Setting, tasks: tuple[Task, ...]) -> None:
        self.table, self.setting, self.tasks = table, setting, tasks
        self.tested = [column for column in table.columns if column.task is not None and column.task.documents]
        self.counts = {
            (row.label, column.title): self._counted(row, column, row.figures[column.title])
            for row in table.rows
            for column in self.tested
            if column.title in row.figures
        }

    def _counted(self, row: PublishedRow, column: Column, figure: Figure) -> FigureCounts:
        documents, setting = _documents(column), self.setting
        possible = possible_counts(figure, documents, setting.most_runs, setting.run_decimals)
        return FigureCounts(
            row=row.label,
            column=column.title,
            value=figure.value,
            decimals=figure.decimals,
            documents=documents,
            possible=possible,
            testable=Fraction(100, setting.expected * documents) > _unit(figure.decimals),
            fits=bool(possible) if setting.runs is None else setting.runs in possible,
        )

    def name(self, row: str) -> str:
        """A row in words."""
        return self.table.row_name(row)

    def of_row(self, row: PublishedRow, without: Sequence[Column] = ()) -> list[FigureCounts]:
        """The tested figures of a row."""
        left = [column for column in self.tested if column not in without]
        return [self.counts[key] for column in left if (key := (row.label, column.title)) in self.counts]

    def row_counts(self, row: PublishedRow) -> RowCounts:
        """Which numbers of runs fit a whole row."""
        figures, most = self.of_row(row), self.setting.most_runs
        counts = tuple(runs for runs in range(1, most + 1) if all(runs in counted.possible for counted in figures))
        return RowCounts(row.label, counts if figures else (), len(figures), self._by_chance(figures, counts))

    def _by_chance(self, figures: Sequence[FigureCounts], counts: Sequence[int]) -> float | None:
        if self.setting.run_decimals is not None:
            return None
        shares = (
            math.prod(min(1.0, float(_unit(c.decimals) * runs * c.documents / 100)) for c in figures) for runs in counts
        )
        return min(1.0, sum(shares))

    def likeliest(self, row: PublishedRow, without: Sequence[Column]) -> frozenset[int]:
        """The numbers of runs that fit most of a row's figures in the other columns."""
        others = self.of_row(row, without)
        fitting = {
            runs: sum(runs in counted.possible for counted in others) for runs in range(1, self.setting.most_runs + 1)
        }
        return frozenset(runs for runs, number in fitting.items() if number == max(fitting.values()))


def _documents(column: Column) -> int:
    assert column.task is not None
    assert column.task.documents is not None
    return column.task.documents


def _assumptions(view: _View) -> Iterator[str]:
    if view.counts:
        yield from view.setting.assumptions
        yield view.setting.cap
        if view.setting.runs is not None:
            yield _expected(view.setting.runs)
    if any(row.average for row in view.table.rows):
        yield PLAIN_AVERAGE
    if len(view.table.rows) > 1:
        yield INDEPENDENT
    if any(map(_has_stderr, view.table.rows)) and view.setting.runs in (None, 1):
        yield BINOMIAL


def _has_stderr(row: PublishedRow) -> bool:
    """Whether a row has a standard error."""
    return any(figure.stderr is not None for figure in row.figures.values())


def _expected(runs: int) -> str:
    return f"each score is the mean of {_runs(runs)}"


def _notes(view: _View, averages: Sequence[Average]) -> Iterator[str]:
    table = view.table
    if table.scale == "fraction":
        yield "the table is in fractions; figures are shown in percent"
    if table.spreads:
        yield f"{listed([row.label for row in table.spreads])}: sums up the rows, so its figures are no scores of runs"
    if unknown := [column.title for column in table.columns if column.task is None]:
        yield f"not tested, since the suite has no such task: {listed(unknown)}"
    if unsized := [c.title for c in table.columns if c.task is not None and not c.task.documents]:
        yield f"not tested, since the number of documents is not known: {listed(unsized)}"
    if missing := [task.title for task in view.tasks if task not in table.tasks]:
        yield f"the table has no column for {listed(missing)}"
    for average in averages:
        if average.verdict == "not recomputed":
            yield f"the average of {view.name(average.row)} is not recomputed: {average.reason}"
    if any(map(_has_stderr, table.rows)) and view.setting.runs not in (None, 1):
        yield "what stands behind ± is not tested: the error of a mean of several runs does not follow from the mean"


def _out_of_range(view: _View) -> Iterator[Finding]:
    known = {column.title for column in view.table.columns if column.task is not None}
    for row in view.table.rows:
        figures = [(title, figure) for title, figure in row.figures.items() if title in known]
        for title, figure in (*figures, *([("Average", row.average)] if row.average else [])):
            if not 0 <= figure.value <= 100:
                message = f"{title} {figure.shown} of {view.name(row.label)} is no percentage: it is outside 0 to 100"
                yield Finding("range", row.label, title, message, ("figures are percent",))


def _averages(view: _View) -> Iterator[Average]:
    titles = [column.title for column in view.table.columns]
    absent = [task.title for task in view.tasks if task not in view.table.tasks]
    for row in view.table.rows:
        if row.average is None:
            continue
        missing = [title for title in titles if title not in row.figures]
        if missing or not titles:
            reason = f"it has no figure for {listed(missing)}" if missing else "it has no figures"
            yield Average(row.label, row.average.value, None, "not recomputed", reason)
            continue
        computed, verdict = _compare_average(row.average, list(row.figures.values()))
        known = [row.figures[column.title] for column in view.table.columns if column.task is not None]
        if verdict == "does not fit" and len(known) != len(titles) and known:
            other, verdict = _compare_average(row.average, known)
            computed = computed if verdict == "does not fit" else other
        if verdict == "does not fit" and absent:
            reason = f"it may be over tasks that have no column, as {listed(absent)}"
            yield Average(row.label, row.average.value, None, "not recomputed", reason)
            continue
        yield Average(row.label, row.average.value, float(computed), verdict)


def _compare_average(printed: Figure, figures: Sequence[Figure]) -> tuple[Fraction, Verdict]:
    mean = sum((_exact(figure.value) for figure in figures), Fraction(0)) / len(figures)
    difference, half = abs(mean - _exact(printed.value)), _unit(printed.decimals) / 2 + _SLACK
    if difference <= half:
        return mean, "equal to the last digit"
    leeway = sum((_unit(figure.decimals) / 2 for figure in figures), Fraction(0)) / len(figures)
    return mean, "within rounding" if difference <= half + leeway else "does not fit"


def _average_finding(view: _View, average: Average) -> Finding:
    assert average.computed is not None
    message = (
        f"{view.name(average.row)}: the average is printed as {average.printed:.2f}, and the plain mean of its figures "
        f"is {average.computed:.3f}, further away than rounding allows"
    )
    return Finding("average", average.row, "Average", message, (PLAIN_AVERAGE, ROUNDED))


def _spread_findings(view: _View) -> Iterator[Finding]:
    """Rows that are called mean, against the rows above them."""
    for spread in view.table.spreads:
        if not {"mean", "average", "avg"} & set(spread.label.casefold().replace(".", " ").split()):
            continue
        columns = {title: (f, [r.figures.get(title) for r in view.table.rows]) for title, f in spread.figures.items()}
        if spread.average is not None:
            columns["Average"] = (spread.average, [row.average for row in view.table.rows])
        for title, (printed, found) in columns.items():
            figures = [figure for figure in found if figure is not None]
            if len(figures) < len(found) or not figures:
                continue
            mean, verdict = _compare_average(printed, figures)
            if verdict == "does not fit":
                message = (
                    f"{spread.label}: {title} is printed as {printed.shown}, and the rows' mean is {float(mean):.3f}"
                )
                yield Finding("average", spread.label, title, message, ("its rows are those of the table", ROUNDED))


def _figure_findings(view: _View) -> Iterator[Finding]:
    """Figures that no number of runs fits."""
    setting = view.setting
    for (label, title), counted in view.counts.items():
        if counted.possible or not 0 <= counted.value <= 100:
            continue
        figure = Figure(counted.value, counted.decimals)
        runs = "is no share" if setting.most_runs == 1 else f"is no mean of 1 to {setting.most_runs} shares"
        near = listed([f"{value:.{max(0, figure.decimals)}f}" for value in _neighbours(figure, counted, setting)])
        message = (
            f"{title} {figure.shown} of {view.name(label)} {runs} of {counted.documents:,} documents; near: {near}"
        )
        yield Finding("count", label, title, message, (*setting.assumptions, setting.cap))


def _neighbours(figure: Figure, counted: FigureCounts, setting: _Setting) -> list[float]:
    """The nearest printable figures, below and above, that some number of runs fits."""
    value, found = _exact(figure.value), set()
    for runs in range(1, setting.most_runs + 1):
        right = value * runs * counted.documents / 100
        for count in (math.floor(right), math.ceil(right)):
            near = round(Fraction(100 * count, runs * counted.documents), figure.decimals)
            if possible_counts(
                Figure(float(near), figure.decimals), counted.documents, setting.most_runs, setting.run_decimals
            ):
                found.add(float(near))
    below, above = (sorted(v for v in found if v < value), sorted(v for v in found if v > value))
    return below[-1:] + above[:1]


def _row_findings(view: _View, rows: Sequence[RowCounts]) -> Iterator[Finding]:
    """Rows that the expected number of runs does not fit; where none is expected, those that no one number fits."""
    setting = view.setting
    for row, counted in zip(view.table.rows, rows, strict=True):
        if setting.runs is not None:
            misfits = [c for c in view.of_row(row) if not c.fits and 0 <= c.value <= 100]
            if misfits:
                names = listed([f"{c.column} {c.value:.{max(0, c.decimals)}f}" for c in misfits])
                are = "is no mean" if len(misfits) == 1 else "are no means"
                message = f"{view.name(row.label)}: {names} {are} of {_runs(setting.runs)}; {_fitting_runs(counted)}"
                assumed = (*setting.assumptions, setting.cap, _expected(setting.runs))
                yield Finding("runs", row.label, "", message, assumed)
        elif counted.figures and not counted.counts:
            message = f"{view.name(row.label)}: no one number of runs, 1 to {setting.most_runs}, fits the whole row"
            yield Finding("runs", row.label, "", message, (*setting.assumptions, setting.cap))


def _fitting_runs(row: RowCounts) -> str:
    if not row.counts:
        return "no other number fits the whole row"
    shown = listed([str(count) for count in row.counts], "or")
    only = "only " if len(row.counts) == 1 else ""
    return f"{only}{shown} {'run fits' if row.counts == (1,) else 'runs fit'} the whole row"


def _moved_columns(view: _View) -> Iterator[Finding]:
    """Columns whose figures do not fit their own task, and do fit another one's documents, beyond chance."""
    moves = [
        (column, task)
        for column in view.tested
        for task in view.tasks
        if task.documents and task.documents != _documents(column)
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
            yield _moved(view, column, f"{message}, and not their own {_documents(column):,}")


def _moved(view: _View, column: Column, message: str) -> Finding:
    return Finding("column", "", column.title, message, (*view.setting.assumptions, view.setting.cap))


def _is_misfit(view: _View, column: Column, other: Column | None) -> bool:
    without = [column] if other is None else [column, other]
    return any(
        not view.likeliest(row, without) & set(view.counts[row.label, column.title].possible)
        for row in view.table.rows
        if (row.label, column.title) in view.counts
    )


def _chance_of_move(view: _View, column: Column, task: Task | None, other: Column | None) -> float | None:
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
    if not all(_fitting(figure, task.documents, counts, view.setting)(0) for figure, counts in figures):
        return None
    return math.prod(
        _chance_of_fitting(figure, _documents(column), task.documents, counts, view.setting)
        for figure, counts in figures
    )


def _chance_of_fitting(figure: Figure, own: int, other: int, counts: Iterable[int], setting: _Setting) -> float:
    """Share of the printable figures near this one, alike in whether they fit `own` documents, that fit `other`."""
    if any(Fraction(100, runs * other) <= _unit(figure.decimals) for runs in counts):
        return 1.0
    fits_own, fits_other = (_fitting(figure, documents, counts, setting) for documents in (own, other))
    fits = fits_own(0)
    alike = [step for step in range(-_WINDOW, _WINDOW + 1) if fits_own(step) == fits]
    return sum(map(fits_other, alike)) / len(alike)


def _fitting(figure: Figure, documents: int, counts: Iterable[int], setting: _Setting) -> Callable[[int], bool]:
    """Whether the printable figure so many units away fits one of `counts`."""
    low, high = _interval(figure)
    unit = _unit(figure.decimals)

    def fits(step: int) -> bool:
        moved = step * unit
        return any(_is_mean(low + moved, high + moved, documents, runs, setting.run_decimals) for runs in counts)

    return fits


def _repeats(view: _View) -> Iterator[Finding]:
    """Figures, rows and columns that are equal more often than chance makes likely."""
    rows, columns = view.table.rows, [column.title for column in view.table.columns]
    chances = {title: _chance_of_equal(view, title) for title in columns}
    by_row = {row.label: {title: figure.value for title, figure in row.figures.items()} for row in rows}
    copies = list(_copies(by_row, lambda _, __, title: chances[title]))
    for first, second, shared in copies:
        message = f"{view.name(second)} repeats {view.name(first)}: all {shared} figures are equal"
        yield Finding("repeat", second, "", message, (INDEPENDENT,))
    left = [row for row in rows if row.label not in {second for _, second, _ in copies}]
    yield from _repeated_figures(view, left, chances)
    by_column = {title: {label: row[title] for label, row in by_row.items() if title in row} for title in columns}
    in_row = {label: _density(list(row.values())) for label, row in by_row.items()}
    grids = {title: _grid(view, title) for title in columns}
    for first, second, shared in _copies(by_column, lambda a, b, row: in_row[row] * max(grids[a], grids[b])):
        message = f"the columns {first} and {second} hold the same figures, in all {shared} rows"
        yield Finding("repeat", "", second, message, ("two tasks are equal by chance only",))


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


def _repeated_figures(view: _View, rows: Sequence[PublishedRow], chances: Mapping[str, float]) -> Iterator[Finding]:
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
            yield Finding("repeat", "", title, message, (INDEPENDENT, "no model gives the same answer throughout"))


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


def _chance_of_equal(view: _View, title: str) -> float:
    """How likely two figures of a column are equal: the grid of possible figures times the density of differences."""
    values = [row.figures[title].value for row in view.table.rows if title in row.figures]
    grid = _grid(view, title)
    if len(set(values)) > 1:
        return grid * _density(values)
    column = next(column for column in view.table.columns if column.title == title)
    if column not in view.tested or not values or not 0 < values[0] < 100:
        return 1.0
    # All are equal, so that their spread tells nothing: independent runs differ at least by their sampling error.
    error = math.sqrt(values[0] * (100 - values[0]) / _documents(column))
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


def _grid(view: _View, title: str) -> float:
    """How far apart possible figures of a column lie, percent: by the smallest number of runs that fits all of it."""
    figures = [row.figures[title] for row in view.table.rows if title in row.figures]
    unit = max((_unit(figure.decimals) for figure in figures), default=Fraction(1))
    counted = [view.counts[row.label, title] for row in view.table.rows if (row.label, title) in view.counts]
    if not counted:
        return float(unit)
    common = set.intersection(*(set(c.possible) for c in counted))
    return float(max(unit, Fraction(100, min(common, default=view.setting.expected) * counted[0].documents)))


def _stderr_findings(view: _View) -> Iterator[Finding]:
    """Standard errors of single runs against their accuracies."""
    for row in view.table.rows:
        counted = {c.column: c for c in view.of_row(row)}
        is_single = view.setting.runs == 1 or (
            view.setting.runs is None and all(1 in each.possible for each in counted.values())
        )
        for title, each in counted.items() if is_single else ():
            figure = row.figures[title]
            if figure.stderr is None or each.documents < 2 or not 0 <= figure.value <= 100:
                continue
            assert figure.stderr_decimals is not None
            least, most = _stderr_interval(figure, each.documents)
            half = float(_unit(figure.stderr_decimals)) / 2 + float(_SLACK)
            if not least - half <= figure.stderr <= most + half:
                near = accuracy_stderr(figure.value, each.documents)
                message = (
                    f"{title} {figure.shown} ± {figure.stderr} of {view.name(row.label)}: "
                    f"the standard error of one run over {each.documents:,} documents is {near:.3g}"
                )
                yield Finding("stderr", row.label, title, message, (BINOMIAL, ROUNDED, "what stands behind ± is it"))


def _stderr_interval(figure: Figure, documents: int) -> tuple[float, float]:
    """Smallest and largest standard error that the unrounded accuracy may have, percent."""
    low, high = (min(100.0, max(0.0, float(end))) for end in _interval(figure))
    ends = [accuracy_stderr(low, documents), accuracy_stderr(high, documents)]
    return min(ends), accuracy_stderr(50.0, documents) if low <= 50 <= high else max(ends)


def accuracy_stderr(percent: float, documents: int) -> float:
    """Standard error of the mean of zeros and ones with n - 1, percent."""
    return math.sqrt(percent * (100 - percent) / (documents - 1))


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a, b and c`; of many only the first."""
    shown = list(names) if len(names) <= _NAMED + 1 else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return f" {last} ".join(", ".join(shown).rsplit(", ", 1)) if len(shown) > 1 else "".join(shown)
