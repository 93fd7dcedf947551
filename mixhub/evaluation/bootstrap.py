"""lm-eval's bootstrap of standard errors: the same draws and the same figure, but faster."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Metric = Callable[[Sequence[Any]], Any]
Statistic = Callable[[NDArray[np.intp]], list[Any]]
"""Computes the figures of replicates, (R,), from their drawn documents, (R, N)."""

_CHUNK = 1000  # replicates per seed, as in lm-eval
_BLOCK_DRAWS = 2**14  # so many draws stay in a core's cache; never less than one replicate


def bootstrap_stderr(
    metric: Callable[..., Any], values: Sequence[Any], *, replicates: int = 100_000, threads: int | None = None
) -> float:
    """Return the figure of lm-eval's `bootstrap_stderr`, to within rounding.

    Chunks of 1,000 replicates, chunk i drawn by the Mersenne Twister of `random.Random(i)`, so the figure does not
    depend on `threads` or the machine. The draws, and f1, mcc and perplexity, are vectorised; another metric is called
    once per replicate, in one thread. A thread holds at most 25 bytes per document, or 1 MB.

    Args:
        metric: lm-eval's aggregation, of all values at once.
        values: (N,), the values of the metric, one per document; at least one.
        replicates: at least 2; rounded down to whole chunks above 1,000, as in lm-eval.
        threads: None: as many as suit the machine's cores.
    """
    from mixhub.evaluation.lm_eval_private import metrics

    statistic = _vectorised(metric, values)
    if statistic is None:  # the metric may not be safe in two threads
        threads = 1

        def statistic(drawn: NDArray[np.intp]) -> list[Any]:
            return [metric([values[position] for position in row]) for row in drawn.tolist()]

    size = min(_CHUNK, replicates)
    with ThreadPoolExecutor(threads) as pool:
        figures = pool.map(lambda chunk: _replicates(statistic, len(values), chunk, size), range(replicates // size))
        return float(metrics.sample_stddev([figure for chunk in figures for figure in chunk]))


def _replicates(statistic: Statistic, documents: int, chunk: int, size: int) -> list[Any]:
    """Return (size,), the figures of one chunk.

    `random.choices` takes floor(random() * N) for each draw; numpy's legacy `random_sample` is that `random()`, frozen
    by numpy's policy and made without the interpreter's lock.
    """
    *key, position = random.Random(chunk).getstate()[1]
    twister = np.random.RandomState()
    twister.set_state(("MT19937", np.array(key, np.uint32), position, 0, 0.0))
    rows = min(size, max(1, _BLOCK_DRAWS // documents))
    drawn = np.empty((rows, documents), np.intp)  # one for all blocks: new memory costs more than the product
    figures: list[Any] = []
    while len(figures) < size:
        block = drawn[: size - len(figures)]
        np.multiply(twister.random_sample(block.shape), documents, out=block, casting="unsafe")
        figures += statistic(block)
    return figures


def _vectorised(metric: Metric, values: Sequence[Any]) -> Statistic | None:
    """Return a function with the same figures as the metric's own; None if that is not certain."""
    from mixhub.evaluation.lm_eval_private import metrics

    if metric in (metrics.f1_score, metrics.matthews_corrcoef):
        of_counts = _f1 if metric is metrics.f1_score else _mcc
        cells = _cells(values)
        return None if cells is None else lambda drawn: of_counts(*_counts(cells[drawn])).tolist()
    # A float32 is summed in its own precision, and an infinity needs Python's rules.
    if metric is metrics.perplexity and all(isinstance(one, int | float) and not math.isinf(one) for one in values):
        logs = np.array(values, np.float64)
        return lambda drawn: [math.exp(-total / len(logs)) for total in logs[drawn].sum(axis=1).tolist()]
    return None


def _cells(values: Sequence[Any]) -> NDArray[np.uint8] | None:
    """Return (N,), 2 * gold + predicted; None unless all are pairs of 0 and 1."""
    try:
        pairs = np.array(values)
    except ValueError:  # ragged
        return None
    if pairs.shape != (len(values), 2) or pairs.dtype.kind not in "biuf" or not ((pairs == 0) | (pairs == 1)).all():
        return None
    return (pairs @ [2, 1]).astype(np.uint8)


def _counts(cells: NDArray[np.uint8]) -> tuple[Floats, ...]:
    """Count true negatives, false positives, false negatives and true positives, each (R,), in cells, (R, N)."""
    counts = [(cells == cell).view(np.uint8).sum(axis=1, dtype=np.int32).astype(np.float64) for cell in (1, 2, 3)]
    return cells.shape[1] - sum(counts), *counts


def _f1(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> Floats:
    """Return the F1 of label 1; 0, as in scikit-learn, if neither gold nor prediction has it."""
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _mcc(tn: Floats, fp: Floats, fn: Floats, tp: Floats) -> Floats:
    """Return Matthews' correlation; 0, as in scikit-learn, if gold or prediction has one label only."""
    margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / np.sqrt(np.maximum(margins, 1))  # a margin of 0 leaves 0 above the line too
