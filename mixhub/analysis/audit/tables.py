"""Printed tables audited: figures, rows, columns, averages and standard errors against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mixhub.analysis.audit.averages import averages_of, column_means_differ, row_averages_differ
from mixhub.analysis.audit.columns import columns_moved
from mixhub.analysis.audit.counts import DEFAULT_MOST_RUNS
from mixhub.analysis.audit.figures import expectation, figures_impossible, figures_out_of_range, rows_unfit
from mixhub.analysis.audit.repeats import figures_repeated
from mixhub.analysis.audit.report import Audit, Average
from mixhub.analysis.audit.stderrs import stderrs_unfit
from mixhub.analysis.audit.view import AuditOptions, TableView
from mixhub.analysis.audit.wording import BINOMIAL, INDEPENDENT, PLAIN_AVERAGE, listed
from mixhub.analysis.published.table import PublishedRow, PublishedTable
from mixhub.findings import Finding
from mixhub.spec import Task

RULES: tuple[Callable[[TableView], Iterator[Finding]], ...] = (
    figures_out_of_range,
    row_averages_differ,
    column_means_differ,
    figures_impossible,
    rows_unfit,
    columns_moved,
    figures_repeated,
    stderrs_unfit,
)
"""In the order of their findings."""


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
    most = max(DEFAULT_MOST_RUNS, runs or 0) if most_runs is None else most_runs
    view = TableView(table, AuditOptions(runs, most, run_decimals), tuple(tasks) or table.tasks)
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
        yield from view.options.assumptions
        yield view.options.cap
        if view.options.runs is not None:
            yield expectation(view.options.runs)
    if any(row.average for row in view.table.rows):
        yield PLAIN_AVERAGE
    if len(view.table.rows) > 1:
        yield INDEPENDENT
    if any(map(_has_stderr, view.table.rows)) and view.options.runs in (None, 1):
        yield BINOMIAL


def _has_stderr(row: PublishedRow) -> bool:
    """Whether a row has a standard error."""
    return any(figure.stderr is not None for figure in row.figures.values())


def _notes(view: TableView, averages: Sequence[Average]) -> Iterator[str]:
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
    if any(map(_has_stderr, table.rows)) and view.options.runs not in (None, 1):
        yield "what stands behind ± is not tested: the error of a mean of several runs does not follow from the mean"
