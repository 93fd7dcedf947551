"""The audit of a printed table: figures, rows, columns, averages and standard errors against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixhub.analysis.audit.counts import DEFAULT_MAX_RUNS
from mixhub.analysis.audit.report import BINOMIAL, INDEPENDENT, PLAIN_AVERAGE, Audit, Average
from mixhub.analysis.audit.rules import MAX_NAMED, RULES, averages_of
from mixhub.analysis.audit.view import TableView
from mixhub.analysis.published.table import PublishedTable
from mixhub.phrases import listed
from mixhub.spec import Task


def audit(
    table: PublishedTable,
    *,
    runs: int | None = None,
    most_runs: int | None = None,
    run_decimals: int | None = None,
    tasks: Sequence[Task] = (),
) -> Audit:
    """Check which figures of a printed table fit together.

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
    averages = tuple(averages_of(view))
    return Audit(
        source=table.source,
        assumptions=tuple(_assumptions(view)),
        findings=tuple(finding for rule in RULES for finding in rule(view)),
        notes=tuple(_notes(view, averages)),
        figures=sum(len(row.figures) for row in table.rows),
        testable=sum(counted.testable for counted in view.counts.values()),
        runs=runs,
        most_runs=most,
        run_decimals=run_decimals,
        counts=tuple(view.counts.values()),
        rows=view.rows,
        averages=averages,
    )


def _assumptions(view: TableView) -> Iterator[str]:
    if view.counts:
        yield from view.assumptions
    if any(row.average for row in view.table.rows):
        yield PLAIN_AVERAGE
    if len(view.table.rows) > 1:
        yield INDEPENDENT
    if _has_stderrs(view.table) and view.runs in (None, 1):
        yield BINOMIAL


def _has_stderrs(table: PublishedTable) -> bool:
    return any(figure.stderr is not None for row in table.rows for figure in row.figures.values())


def _notes(view: TableView, averages: Sequence[Average]) -> Iterator[str]:
    table = view.table
    if table.scale == "fraction":
        yield "the table is in fractions; figures are shown in percent"
    for names, what in (
        ([row.label for row in table.spreads], "not tested as scores of runs, since they summarize the rows"),
        ([c.title for c in table.columns if c.task is None], "not tested, since the suite has no such task"),
        (
            [c.title for c in table.columns if c.task is not None and not c.task.documents],
            "not tested, since the number of documents is unknown",
        ),
        ([task.title for task in view.tasks if task not in table.tasks], "the table has no column for them"),
    ):
        if names:
            yield f"{what}: {listed(names, most=MAX_NAMED, last='and')}"
    for average in averages:
        if average.verdict == "not recomputed":
            yield f"the average of {table.row_name(average.row)} is not recomputed: {average.reason}"
    if _has_stderrs(table) and view.runs not in (None, 1):
        yield "numbers after ± are not tested: the error of a mean of several runs does not follow from the mean"
