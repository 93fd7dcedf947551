"""lm-eval's bootstrap of standard errors: its draws and its figure, without its hours."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Metric = Callable[[Sequence[Any]], Any]
Statistic = Callable[[NDArray[np.intp]], list[Any]]
"""Figures of some replicates, (R,), from the documents drawn for them, (R, N)."""

_CHUNK = 1000  # replicates a seed, as in lm-eval
_BLOCK_DRAWS = 2**14  # what is made of this many draws stays in a core's cache; never less than one replicate


def can_bootstrap(metric: Callable[..., Any]) -> bool:
    """Whether lm-eval bootstraps this metric's standard error, as it does where it knows no closed form."""
    from mixhub.evaluation.lm_eval_private import metrics

    closed = (metrics.mean, metrics.acc_all)
    return metric not in closed and metrics.stderr_for_metric(metric, bootstrap_iters=1) is not None


def bootstrap_stderr(
    metric: Callable[..., Any], values: Sequence[Any], *, replicates: int = 100_000, threads: int | None = None
) -> float:
    """The figure of lm-eval's `bootstrap_stderr`, to within rounding.

    Chunks of 1,000 replicates, chunk i drawn by the Mersenne Twister that `random.Random(i)` is, so the figure depends
    neither on `threads` nor on the machine. The draws, and f1, mcc, perplexity, nanmean and median, are vectorised;
    another metric is called once a replicate, in one thread. A thread holds at most 25 bytes a document, or 1 MB.

    Args:
        metric: lm-eval's aggregation, of all values at once.
        values: (N,), what the metric is of, one a document.
        replicates: rounded down to whole chunks above 1,000, as lm-eval does.
        threads: None: as many as this process has cores.

    Raises:
        ValueError: no values, fewer than 2 replicates or no thread.
    """
    from mixhub.evaluation.lm_eval_private import metrics

    if not len(values):
        raise ValueError("no values")
    if replicates < 2:
        raise ValueError(f"replicates = {replicates}: must be at least 2")
    if threads is not None and threads < 1:
        raise ValueError(f"threads = {threads}: must be at least 1")
    statistic = _vectorised(metric, values)
    if statistic is None:
        statistic, threads = _called(metric, values), 1  # nobody promises that it may run in two threads
    size = min(_CHUNK, replicates)
    chunks = replicates // size
    with ThreadPoolExecutor(min(threads or _cores(), chunks)) as pool:
        figures = pool.map(lambda chunk: _replicates(statistic, len(values), chunk, size), range(chunks))
        return float(metrics.sample_stddev([figure for chunk in figures for figure in chunk]))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _replicates(statistic: Statistic, documents: int, chunk: int, size: int) -> list[Any]:
    """(size,), the figures of one chunk.

    `random.choices` takes floor(random() * N) for each draw; numpy's legacy `random_sample` is that `random()`, frozen
    by numpy's policy and made without the interpreter's lock.
    """
    *key, position = random.Random(chunk).getstate()[1]
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(key, np.uint32), position, 0, 0.0))
    rows = min(size, max(1, _BLOCK_DRAWS // documents))
    drawn = np.empty((rows, documents), np.intp)  # one for all blocks: fresh pages cost more than the product does
    figures: list[Any] = []
    while len(figures) < size:
        block = drawn[: size - len(figures)]
        np.multiply(twister.random_sample(block.shape), documents, out=block, casting="unsafe")
        figures += statistic(block)
    return figures


def _called(metric: Metric, values: Sequence[Any]) -> Statistic:
    """Any metric, called on the values drawn."""
    return lambda drawn: [metric([values[position] for position in row]) for row in drawn.tolist()]


def _vectorised(metric: Metric, values: Sequence[Any]) -> Statistic | None:
    """The same figures as the metric's own, or None for a metric or values of which that is not certain."""
    from mixhub.evaluation.lm_eval_private import metrics

    if metric in (metrics.f1_score, metrics.matthews_corrcoef):
        of_counts = _f1 if metric is metrics.f1_score else _mcc
        cells = _cells(values)
        return None if cells is None else lambda drawn: of_counts(*_counts(cells[drawn])).tolist()
    if metric in (metrics.perplexity, metrics.nanmean):
        # A float32 is summed in its own precision, and an infinity needs Python's rules.
        if not all(isinstance(value, int | float) and not math.isinf(value) for value in values):
            return None
        return (_perplexity if metric is metrics.perplexity else _nanmean)(np.array(values, np.float64))
    if metric is metrics.median and all(value == value for value in values):  # NaN has no place in an order
        return _median(values)
    return None


def _cells(values: Sequence[Any]) -> NDArray[np.uint8] | None:
    """(N,), 2 * gold + predicted, or None unless all are pairs of 0 and 1."""
    try:
        pairs = np.array(values)
    except ValueError:  # ragged
        return None
    if pairs.shape != (len(values), 2) or pairs.dtype.kind not in "biuf" or not ((pairs == 0) | (pairs == 1)).all():
        return None
    return (pairs @ [2, 1]).astype(np.uint8)


def _counts(cells: NDArray[np.uint8]) -> tuple[NDArray[np.float64], ...]:
    """True negatives, false positives, false negatives and true positives, each (R,), from cells, (R, N)."""
    counts = [(cells == cell).view(np.uint8).sum(axis=1, dtype=np.int32).astype(np.float64) for cell in (1, 2, 3)]
    return cells.shape[1] - sum(counts), *counts


def _f1(
    tn: NDArray[np.float64], fp: NDArray[np.float64], fn: NDArray[np.float64], tp: NDArray[np.float64]
) -> NDArray[np.float64]:
    """F1 of label 1; 0, as in scikit-learn, where neither gold nor prediction has it."""
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _mcc(
    tn: NDArray[np.float64], fp: NDArray[np.float64], fn: NDArray[np.float64], tp: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Matthews' correlation; 0, as in scikit-learn, where gold or prediction is of one label."""
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / np.sqrt(np.maximum(margins, 1))  # a margin of 0 leaves 0 above the line too


def _perplexity(logs: NDArray[np.float64]) -> Statistic:
    return lambda drawn: [math.exp(-total / len(logs)) for total in logs[drawn].sum(axis=1).tolist()]


def _nanmean(numbers: NDArray[np.float64]) -> Statistic:
    is_number = ~np.isnan(numbers)
    filled = np.where(is_number, numbers, 0.0)

    def means(drawn: NDArray[np.intp]) -> list[Any]:
        counts = is_number[drawn].view(np.uint8).sum(axis=1, dtype=np.int32)
        sums = np.where(counts > 0, filled[drawn].sum(axis=1), np.nan)
        means: list[Any] = (sums / np.maximum(counts, 1)).tolist()
        return means

    return means


def _median(values: Sequence[Any]) -> Statistic:
    """lm-eval's median: the upper of the two middle values of an even number, and no mean of them."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = np.empty(len(values), np.int32)
    ranks[order] = np.arange(len(values))
    middle = len(values) // 2

    def medians(drawn: NDArray[np.intp]) -> list[Any]:
        drawn_ranks = ranks[drawn]
        drawn_ranks.partition(middle, axis=1)
        return [values[order[rank]] for rank in drawn_ranks[:, middle].tolist()]

    return medians
