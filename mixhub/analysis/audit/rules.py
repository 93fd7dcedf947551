"""The rules of an audit of a printed table: each looks at the table and yields findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations

from mixhub.analysis.audit.counts import SLACK, exact, interval, is_mean, unit
from mixhub.analysis.audit.repeats import find_repeats
from mixhub.analysis.audit.report import (
    BINOMIAL,
    INDEPENDENT,
    PLAIN_AVERAGE,
    ROUNDED,
    Average,
    FigureCounts,
    RowCounts,
    Verdict,
)
from mixhub.analysis.audit.view import TableView
from mixhub.analysis.published.table import Figure, PublishedRow
from mixhub.findings import Finding
from mixhub.phrases import listed, plural

MAX_NAMED = 6
"""Figures or columns that a message names."""
_LEVEL = 0.01
"""Exchanged columns are reported if chance makes them less likely than this, over all pairs of columns."""
_MEAN_WORDS = frozenset({"mean", "average", "avg"})


def figures_out_of_range(view: TableView) -> Iterator[Finding]:
    """Scores and averages that are not percentages."""
    known = {column.title for column in view.table.columns if column.task is not None}
    for row in view.table.rows:
        figures = {title: figure for title, figure in row.figures.items() if title in known}
        for title, figure in (figures | ({"Average": row.average} if row.average else {})).items():
            if not _is_percentage(figure.value):
                message = f"{title} {figure.shown} of {view.table.row_name(row.label)} is not in 0 to 100"
                assumed = ("figures are percent",)
                yield Finding("score-out-of-range", row.label, message, about=title, assumptions=assumed)


def averages_of(view: TableView) -> Iterator[Average]:
    """Each printed average of a row, recomputed if the row allows it."""
    titles = [column.title for column in view.table.columns]
    known = [column.title for column in view.table.columns if column.task is not None]
    absent = [task.title for task in view.tasks if task not in view.table.tasks]
    for row in view.table.rows:
        if row.average is None:
            continue
        computed: Fraction | None = None
        verdict: Verdict = "not recomputed"
        reason = ""
        if missing := [title for title in titles if title not in row.figures]:
            reason = f"it has no figure for {_named(missing)}"
        elif not titles:
            reason = "it has no figures"
        else:
            computed, verdict = _compare(row.average, [row.figures[title] for title in titles])
            if verdict == "does not fit" and 0 < len(known) < len(titles):
                other = _compare(row.average, [row.figures[title] for title in known])
                computed, verdict = (computed, verdict) if other[1] == "does not fit" else other
            if verdict == "does not fit" and absent:
                computed, verdict = None, "not recomputed"
                reason = f"it may include tasks that have no column, as {_named(absent)}"
        yield Average(row.label, row.average.value, None if computed is None else float(computed), verdict, reason)


def row_averages_differ(view: TableView) -> Iterator[Finding]:
    """Averages that are not the plain mean of their row."""
    for average in averages_of(view):
        if average.verdict == "does not fit":
            message = (
                f"{view.table.row_name(average.row)}: the printed average is {average.printed:.2f}, but the plain mean "
                f"of its figures is {average.computed:.3f}; rounding does not explain the difference"
            )
            yield Finding(
                "average-differs", average.row, message, about="Average", assumptions=(PLAIN_AVERAGE, ROUNDED)
            )


def column_means_differ(view: TableView) -> Iterator[Finding]:
    """Rows labelled as means, compared with the rows above them."""
    for spread in view.table.spreads:
        if _MEAN_WORDS.isdisjoint(spread.label.casefold().replace(".", " ").split()):
            continue
        for title, printed in _with_average(spread).items():
            figures = [_with_average(row)[title] for row in view.table.rows if title in _with_average(row)]
            if not figures or len(figures) < len(view.table.rows):
                continue
            mean, verdict = _compare(printed, figures)
            if verdict == "does not fit":
                message = f"{spread.label}: the printed {title} is {printed.shown}, but the mean is {float(mean):.3f}"
                assumed = ("it is the mean over the rows of the table", ROUNDED)
                yield Finding("mean-differs", spread.label, message, about=title, assumptions=assumed)


def figures_impossible(view: TableView) -> Iterator[Finding]:
    """Figures that no number of runs fits."""
    most = view.most_runs
    for (label, title), counted in view.counts.items():
        if not counted.possible and _is_percentage(counted.value):
            message = (
                f"{_shown(counted)} of {view.table.row_name(label)} is not "
                f"{'a share' if most == 1 else f'the mean of 1 to {most} shares'} of {counted.documents:,} documents"
            )
            yield Finding("figure-impossible", label, message, about=title, assumptions=view.assumptions[:4])


def rows_unfit(view: TableView) -> Iterator[Finding]:
    """Rows that the expected number of runs does not fit; if none is expected, rows that no single number fits."""
    for row, counted in zip(view.table.rows, view.rows, strict=True):
        name = view.table.row_name(row.label)
        if view.runs is not None:
            misfits = [c for c in view.of_row(row) if not c.fits and _is_percentage(c.value)]
            if not misfits:
                continue
            are = "is not a mean" if len(misfits) == 1 else "are not means"
            what = f"{_named(map(_shown, misfits))} {are} of {plural(view.runs, 'run')}; {_fitting_runs(counted)}"
        elif counted.figures and not counted.counts:
            what = f"no single number of runs, 1 to {view.most_runs}, fits the whole row"
        else:
            continue
        yield Finding("runs-unfit", row.label, f"{name}: {what}", assumptions=view.assumptions)


def columns_exchanged(view: TableView) -> Iterator[Finding]:
    """Pairs of columns whose figures fit each other's documents, but not their own."""
    pairs = list(combinations(view.documents, 2)) if view.run_decimals is None else []
    for one, other in pairs:
        if len(pairs) * _chance_of_exchange(view, one, other) < _LEVEL:
            message = (
                f"the figures of {one} and {other} fit each other's documents, not their own, as if the columns were "
                "exchanged"
            )
            source = view.table.source
            yield Finding("column-moved", source, message, about=one, assumptions=view.assumptions[:4])


def figures_repeated(view: TableView) -> Iterator[Finding]:
    """Rows and columns that repeat another one."""
    table = view.table
    rows = {row.label: {(title,): figure.value for title, figure in row.figures.items()} for row in table.rows}
    for first, second, number in find_repeats(rows):
        message = f"{table.row_name(second)} repeats {table.row_name(first)}: all {number} figures are equal"
        yield Finding("figures-repeated", second, message, assumptions=(INDEPENDENT,))
    columns = {
        column.title: {(label,): row[column.title,] for label, row in rows.items() if (column.title,) in row}
        for column in table.columns
    }
    varying = {title: figures for title, figures in columns.items() if len(set(figures.values())) > 1}
    for first, second, number in find_repeats(varying):
        message = f"the columns {first} and {second} have the same figures in all {number} rows"
        assumed = ("two tasks are equal only by chance",)
        yield Finding("figures-repeated", table.source, message, about=second, assumptions=assumed)


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
    column_means_differ,
    figures_impossible,
    rows_unfit,
    columns_exchanged,
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


def _compare(printed: Figure, figures: Sequence[Figure]) -> tuple[Fraction, Verdict]:
    """The plain mean of figures, percent, and how a printed average compares with it."""
    mean = sum((exact(figure.value) for figure in figures), Fraction(0)) / len(figures)
    difference, half = abs(mean - exact(printed.value)), unit(printed.decimals) / 2 + SLACK
    if difference <= half:
        return mean, "equal to the last digit"
    leeway = sum((unit(figure.decimals) / 2 for figure in figures), Fraction(0)) / len(figures)
    return mean, "within rounding" if difference <= half + leeway else "does not fit"


def _chance_of_exchange(view: TableView, one: str, other: str) -> float:
    """How likely the figures of two columns fit each other's documents by chance; 1 if they do not, or if all fit
    their own documents, too."""
    chance, is_misfit = 1.0, False
    for row in view.table.rows:
        figures = [c for c in view.of_row(row) if c.column not in (one, other)]
        fitting = {runs: sum(runs in c.possible for c in figures) for runs in range(1, view.most_runs + 1)}
        counts = [runs for runs, number in fitting.items() if number == max(fitting.values())]
        for title, target in ((one, other), (other, one)):
            if title not in row.figures:
                continue
            figure, own, moved = row.figures[title], view.documents[title], view.documents[target]
            low, high = interval(figure)
            if not any(is_mean(low, high, moved, runs, None) for runs in counts):
                return 1.0
            fits_own = any(is_mean(low, high, own, runs, None) for runs in counts)
            is_misfit |= not fits_own
            spacing = min(1.0, sum(counts) * moved * float(unit(figure.decimals)) / 100)
            # The means over 100 and over 500 documents have values in common.
            chance *= max(spacing, math.gcd(own, moved) / own) if fits_own else spacing
    return chance if is_misfit else 1.0


def _with_average(row: PublishedRow) -> dict[str, Figure]:
    return {**row.figures, **({"Average": row.average} if row.average else {})}


def _fitting_runs(row: RowCounts) -> str:
    if not row.counts:
        return "no other number fits the whole row"
    only = "only " if len(row.counts) == 1 else ""
    return f"{only}{listed(row.counts, last='or')} {'run fits' if row.counts == (1,) else 'runs fit'} the whole row"


def _shown(counted: FigureCounts) -> str:
    return f"{counted.column} {counted.value:.{max(0, counted.decimals)}f}"


def _named(names: Iterable[str]) -> str:
    return listed(list(names), most=MAX_NAMED, last="and")


def _is_percentage(value: float) -> bool:
    return 0 <= value <= 100
