"""Printed averages against the figures that they sum up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from mixhub.analysis.audit.counts import SLACK, exact, unit
from mixhub.analysis.audit.report import Average, Verdict
from mixhub.analysis.audit.view import TableView
from mixhub.analysis.audit.wording import PLAIN_AVERAGE, ROUNDED, listed
from mixhub.analysis.published.table import Figure
from mixhub.findings import Finding


def averages_of(view: TableView) -> Iterator[Average]:
    """Each printed average of a row, recomputed where the row allows it."""
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
        computed, verdict = _compare(row.average, list(row.figures.values()))
        known = [row.figures[column.title] for column in view.table.columns if column.task is not None]
        if verdict == "does not fit" and len(known) != len(titles) and known:
            other, verdict = _compare(row.average, known)
            computed = computed if verdict == "does not fit" else other
        if verdict == "does not fit" and absent:
            reason = f"it may be over tasks that have no column, as {listed(absent)}"
            yield Average(row.label, row.average.value, None, "not recomputed", reason)
            continue
        yield Average(row.label, row.average.value, float(computed), verdict)


def row_averages_differ(view: TableView) -> Iterator[Finding]:
    """Averages that are not the plain mean of their row."""
    for average in averages_of(view):
        if average.verdict != "does not fit":
            continue
        assert average.computed is not None
        message = (
            f"{view.name(average.row)}: the average is printed as {average.printed:.2f}, and the plain mean of its "
            f"figures is {average.computed:.3f}, further away than rounding allows"
        )
        yield Finding("average-differs", average.row, message, about="Average", assumptions=(PLAIN_AVERAGE, ROUNDED))


def column_means_differ(view: TableView) -> Iterator[Finding]:
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
            mean, verdict = _compare(printed, figures)
            if verdict == "does not fit":
                message = (
                    f"{spread.label}: {title} is printed as {printed.shown}, and the rows' mean is {float(mean):.3f}"
                )
                assumed = ("its rows are those of the table", ROUNDED)
                yield Finding("mean-differs", spread.label, message, about=title, assumptions=assumed)


def _compare(printed: Figure, figures: Sequence[Figure]) -> tuple[Fraction, Verdict]:
    """The plain mean of figures, percent, and how an average that is printed compares with it."""
    mean = sum((exact(figure.value) for figure in figures), Fraction(0)) / len(figures)
    difference, half = abs(mean - exact(printed.value)), unit(printed.decimals) / 2 + SLACK
    if difference <= half:
        return mean, "equal to the last digit"
    leeway = sum((unit(figure.decimals) / 2 for figure in figures), Fraction(0)) / len(figures)
    return mean, "within rounding" if difference <= half + leeway else "does not fit"
