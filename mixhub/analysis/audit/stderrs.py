"""Printed standard errors against the accuracies that they stand behind."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mixhub.analysis.audit.counts import SLACK, interval, unit
from mixhub.analysis.audit.view import TableView, is_percentage
from mixhub.analysis.audit.wording import BINOMIAL, ROUNDED
from mixhub.analysis.published.table import Figure
from mixhub.findings import Finding


def stderrs_unfit(view: TableView) -> Iterator[Finding]:
    """Standard errors of single runs that are not those of their accuracies."""
    for row in view.table.rows:
        counted = {c.column: c for c in view.of_row(row)}
        is_single = view.options.runs == 1 or (
            view.options.runs is None and all(1 in each.possible for each in counted.values())
        )
        for title, each in counted.items() if is_single else ():
            figure = row.figures[title]
            if figure.stderr is None or each.documents < 2 or not is_percentage(figure.value):
                continue
            assert figure.stderr_decimals is not None
            least, most = _stderr_interval(figure, each.documents)
            half = float(unit(figure.stderr_decimals)) / 2 + float(SLACK)
            if not least - half <= figure.stderr <= most + half:
                near = accuracy_stderr(figure.value, each.documents)
                message = (
                    f"{title} {figure.shown} ± {figure.stderr} of {view.name(row.label)}: "
                    f"the standard error of one run over {each.documents:,} documents is {near:.3g}"
                )
                assumed = (BINOMIAL, ROUNDED, "what stands behind ± is it")
                yield Finding("stderr-unfit", row.label, message, about=title, assumptions=assumed)


def _stderr_interval(figure: Figure, documents: int) -> tuple[float, float]:
    """Smallest and largest standard error that the unrounded accuracy may have, percent."""
    low, high = (min(100.0, max(0.0, float(end))) for end in interval(figure))
    ends = [accuracy_stderr(low, documents), accuracy_stderr(high, documents)]
    return min(ends), accuracy_stderr(50.0, documents) if low <= 50 <= high else max(ends)


def accuracy_stderr(percent: float, documents: int) -> float:
    """Standard error of the mean of zeros and ones, with n - 1, as lm-eval computes it.

    Args:
        percent: the mean.
        documents: n, at least 2.

    Returns:
        sqrt(p (100 - p) / (n - 1)), percent.
    """
    return math.sqrt(percent * (100 - percent) / (documents - 1))
