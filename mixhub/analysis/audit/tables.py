"""The audit of a printed table: figures, rows, columns, averages and standard errors against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from mixhub.analysis.audit.counts import DEFAULT_MAX_RUNS, SLACK, interval, unit
from mixhub.analysis.audit.repeats import MIN_REPEATED, find_repeats
from mixhub.analysis.audit.report import (
    BINOMIAL,
    INDEPENDENT,
    PLAIN_AVERAGE,
    ROUNDED,
    Audit,
    FigureCounts,
    RowCounts,
)
from mixhub.analysis.audit.view import TableView, name_some
from mixhub.analysis.published.table import Figure, PublishedRow, PublishedTable
from mixhub.findings import Finding
from mixhub.phrases import listed, plural
from mixhub.spec import Task


def audit(
    table: PublishedTable,
    *,
    runs: int | None = None,
    most_runs: int | None = None,
    run_decimals: int | None = None,
    tasks: Sequence[Task] = (),
) -> Audit:
    """Check whether the figures of a printed table are consistent.

    Args:
        table: percent, as printed.
        runs: how many runs each figure should be the mean of, at most 100; None for no expectation.
        most_runs: the largest number of runs to consider, at most 100; None: 6, or `runs` if that is larger.
        run_decimals: decimals to which each run's accuracy, a fraction, was rounded before the mean; None for no
            rounding.
        tasks: the suite; default: the tasks of the table.

    Raises:
        UsageError: a number is not 1 to 100, `runs` is above `most_runs`, or `run_decimals` is not 1 to 5.
    """
    most = max(DEFAULT_MAX_RUNS, runs or 0) if most_runs is None else most_runs
    view = TableView(table, tuple(tasks) or table.tasks, runs, most, run_decimals)
    return Audit(
        source=table.source,
        assumptions=tuple(_assumptions(view)),
        findings=tuple(finding for rule in RULES for finding in rule(view)),
        notes=tuple(_notes(view)),
        figures=sum(len(row.figures) for row in table.rows),
        testable=sum(counted.testable for counted in view.counts.values()),
        runs=runs,
        most_runs=most,
        run_decimals=run_decimals,
        counts=tuple(view.counts.values()),
        rows=view.rows,
        averages=view.averages,
    )


def _assumptions(view: TableView) -> Iterator[str]:
    if view.counts:
        yield from (*view.assumptions, *view.expectation)
    if any(row.average for row in view.table.rows):
        yield PLAIN_AVERAGE
    if len(view.table.rows) > 1:
        yield INDEPENDENT
    if _has_stderrs(view.table) and view.runs in (None, 1):
        yield BINOMIAL


def _has_stderrs(table: PublishedTable) -> bool:
    return any(figure.stderr is not None for row in table.rows for figure in row.figures.values())


def _notes(view: TableView) -> Iterator[str]:
    table = view.table
    if table.scale == "fraction":
        yield "the table is in fractions; figures are shown in percent"
    unknown = [column.title for column in table.columns if column.task is None]
    unsized = [c.title for c in table.columns if c.task is not None and not c.task.documents]
    absent = [task.title for task in view.tasks if task not in table.tasks]
    for what, names in (
        ("not tested as scores of runs, because they summarize the rows", [row.label for row in table.spreads]),
        ("not tested, because the task is not known", unknown),
        ("not tested, because the number of documents is unknown", unsized),
        ("tasks without a column in the table", absent),
    ):
        if names:
            yield f"{what}: {name_some(names)}"
    yield from table.notes
    yield from _untested_repeats(view)
    for limit in dict.fromkeys(row.limit for row in table.rows if row.limit is not None):
        part = f"the first {limit:g} documents" if limit >= 1 else f"{limit:.3g} of the documents"
        yield f"evaluated with a limit: {part} of each task"
    for average in view.averages:
        if average.verdict == "not recomputed":
            yield f"the average of {table.row_name(average.row)} is not recomputed: {average.reason}"
    if _has_stderrs(table) and view.runs not in (None, 1):
        yield "numbers after ± are not tested: the error of a mean of several runs does not follow from the mean"


def figures_out_of_range(view: TableView) -> Iterator[Finding]:
    """Scores and averages that are not percentages."""
    known = {"Average", *(column.title for column in view.table.columns if column.task is not None)}
    for row in view.table.rows:
        for title, figure in _with_average(row).items():
            if title in known and not _is_percentage(figure.value):
                message = f"{title} {figure.shown} of {view.table.row_name(row.label)} is not between 0 and 100"
                assumed = ("figures are percentages",)
                yield Finding("score-out-of-range", row.label, message, about=title, assumptions=assumed)


def row_averages_differ(view: TableView) -> Iterator[Finding]:
    """Averages that are not the plain mean of their row."""
    for average in view.averages:
        if average.verdict == "does not fit":
            message = (
                f"{view.table.row_name(average.row)}: the printed average is {average.printed:.2f}, but the plain mean "
                f"of its figures is {average.computed:.3f}; rounding does not explain the difference"
            )
            yield Finding(
                "average-differs", average.row, message, about="Average", assumptions=(PLAIN_AVERAGE, ROUNDED)
            )


def figures_impossible(view: TableView) -> Iterator[Finding]:
    """Figures that no number of runs fits."""
    most = view.most_runs
    for (label, title), counted in view.counts.items():
        if not counted.possible and _is_percentage(counted.value):
            message = (
                f"{_shown(counted)} of {view.table.row_name(label)} is not "
                f"{'a share' if most == 1 else f'the mean of 1 to {most} shares'} of {counted.documents:,} documents"
            )
            yield Finding("figure-impossible", label, message, about=title, assumptions=view.assumptions)


def rows_unfit(view: TableView) -> Iterator[Finding]:
    """Rows that the expected number of runs does not fit; if none is expected, rows that no single number fits."""
    for row, counted in zip(view.table.rows, view.rows, strict=True):
        name = view.table.row_name(row.label)
        if view.runs is not None:
            misfits = [c for c in view.of_row(row) if not c.fits and _is_percentage(c.value)]
            if not misfits:
                continue
            are = "is not a mean" if len(misfits) == 1 else "are not means"
            what = f"{name_some(map(_shown, misfits))} {are} of {plural(view.runs, 'run')}; {_fitting_runs(counted)}"
        elif counted.figures and not counted.counts:
            what = f"no single number of runs, 1 to {view.most_runs}, fits the whole row"
        else:
            continue
        assumed = (*view.assumptions, *view.expectation)
        yield Finding("runs-unfit", row.label, f"{name}: {what}", assumptions=assumed)


def figures_repeated(view: TableView) -> Iterator[Finding]:
    """Rows and columns that repeat another one."""
    table = view.table
    rows = _figures_of_rows(table)
    for first, second, number in find_repeats(rows):
        if _repeats_by_chance(view, first, second) < _MOST_BY_CHANCE:
            message = f"{table.row_name(second)} repeats {table.row_name(first)}: all {number} figures are equal"
            yield Finding("figures-repeated", second, message, assumptions=(INDEPENDENT,))
    columns = {
        column.title: {(label,): row[column.title,] for label, row in rows.items() if (column.title,) in row}
        for column in table.columns
        if column.task is not None
    }
    varying = {title: figures for title, figures in columns.items() if len(set(figures.values())) > 1}
    for first, second, number in find_repeats(varying):
        message = f"the columns {first} and {second} have the same figures in all {number} rows"
        assumed = ("two tasks are equal only by chance",)
        yield Finding("figures-repeated", table.source, message, about=second, assumptions=assumed)


_MOST_BY_CHANCE = 1e-3
"""Equal rows are reported if the chance that they are equal is less than this."""


def _figures_of_rows(table: PublishedTable) -> dict[str, dict[tuple[str], float]]:
    return {row.label: {(title,): figure.value for title, figure in row.figures.items()} for row in table.rows}


def _repeats_by_chance(view: TableView, first: str, second: str) -> float:
    """The chance that two independent rows are equal in all tasks whose number of documents is known; 1 if there are
    too few such tasks. Two shares p of n answers are equal with a chance of about 1 / (2 sqrt(pi n p (1 - p)))."""
    rows = [{c.column: c for c in view.counts.values() if c.row == label} for label in (first, second)]
    shared = [counted for title, counted in rows[0].items() if title in rows[1]]
    if len(shared) < MIN_REPEATED:
        return 1.0
    answers = ((view.runs or 1) * c.documents * max(0.05, c.value / 100 * (1 - c.value / 100)) for c in shared)
    return math.prod(min(1.0, 1 / (2 * math.sqrt(math.pi * n))) for n in answers)


def _untested_repeats(view: TableView) -> Iterator[str]:
    """Equal rows that may be equal by chance."""
    for first, second, number in find_repeats(_figures_of_rows(view.table)):
        if _repeats_by_chance(view, first, second) >= _MOST_BY_CHANCE:
            names = f"{view.table.row_name(second)} and {view.table.row_name(first)}"
            yield f"not tested: {names} have {number} equal figures, but too few known documents to exclude chance"


def stderrs_unfit(view: TableView) -> Iterator[Finding]:
    """Standard errors that do not follow from the accuracies before them; of rows that can be single runs."""
    for row in view.table.rows:
        counted = view.of_row(row)
        if view.runs not in (None, 1) or (view.runs is None and any(1 not in c.possible for c in counted)):
            continue
        for one in counted:
            figure = row.figures[one.column]
            if figure.stderr is None or figure.stderr_decimals is None or one.documents < 2:
                continue
            low, high = interval(figure)
            least, most = stderr_range(float(low) / 100, float(high) / 100, one.documents)
            half = float(unit(figure.stderr_decimals) / 2 + SLACK)
            if _is_percentage(figure.value) and not 100 * least - half <= figure.stderr <= 100 * most + half:
                near = 100 * accuracy_stderr(figure.value / 100, one.documents)
                message = (
                    f"{one.column} {figure.shown} ± {figure.stderr} of {view.table.row_name(row.label)}: the standard "
                    f"error of one run over {one.documents:,} documents is {near:.3g}"
                )
                assumed = (BINOMIAL, ROUNDED, "the number after ± is the standard error")
                yield Finding("stderr-unfit", row.label, message, about=one.column, assumptions=assumed)


RULES: tuple[Callable[[TableView], Iterator[Finding]], ...] = (
    figures_out_of_range,
    row_averages_differ,
    figures_impossible,
    rows_unfit,
    figures_repeated,
    stderrs_unfit,
)
"""In the order of their findings."""


def accuracy_stderr(accuracy: float, documents: int) -> float:
    """Standard error of the mean of n zeros and ones, as lm-eval computes it: sqrt(p (1 - p) / (n - 1))."""
    return math.sqrt(accuracy * (1 - accuracy) / (documents - 1))


def stderr_range(low: float, high: float, documents: int) -> tuple[float, float]:
    """Smallest and largest standard error of accuracies between `low` and `high`, all fractions."""
    low, high = (min(1.0, max(0.0, end)) for end in (low, high))
    ends = [accuracy_stderr(end, documents) for end in (low, high)]
    return min(ends), accuracy_stderr(0.5, documents) if low <= 0.5 <= high else max(ends)


def _with_average(row: PublishedRow) -> dict[str, Figure]:
    return {**row.figures, **({"Average": row.average} if row.average else {})}


def _fitting_runs(row: RowCounts) -> str:
    if not row.counts:
        return "no other number fits the whole row"
    only = "only " if len(row.counts) == 1 else ""
    return f"{only}{listed(row.counts, last='or')} {'run fits' if row.counts == (1,) else 'runs fit'} the whole row"


def _shown(counted: FigureCounts) -> str:
    return f"{counted.column} {counted.value:.{max(0, counted.decimals)}f}"


def _is_percentage(value: float) -> bool:
    return 0 <= value <= 100
