"""Bootstrapped standard errors against lm-eval's own, in turns, CPU time of a replicate in one process."""

import contextlib
import io
import os
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any
from unittest.mock import patch

from mixhub.evaluation.bootstrap import bootstrap_stderr

ROUNDS = 5
F1_PAIRS, PERPLEXITY_VALUES = 40_430, 5_153  # the validation documents of qqp and of lambada
REPLICATES = 1000
"""Ours in a round; lm-eval's are fewer, for they take seconds."""


def run() -> str:
    """The ratios of medians for f1 and perplexity; a warm-up of each is left out, and the figures are compared."""
    from lm_eval.api.metrics import f1_score, perplexity

    draw = random.Random(0)
    pairs = [(draw.randrange(2), int(draw.random() < 0.6)) for _ in range(F1_PAIRS)]
    logs = [-draw.expovariate(0.5) for _ in range(PERPLEXITY_VALUES)]
    return "; ".join(
        (_compare(f"f1 of {F1_PAIRS:,}", f1_score, pairs, 20), _compare("perplexity", perplexity, logs, 200))
    )


def _compare(name: str, metric: Callable[..., float], values: list[Any], stock: int) -> str:
    ours, theirs = _ours(metric, values, stock), _theirs(metric, values, stock)
    if abs(ours - theirs) > 1e-9 * theirs:
        raise AssertionError(f"{name}: {ours} is not lm-eval's {theirs}")
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        seconds["ours"].append(_cpu(_ours, metric, values, REPLICATES) / REPLICATES)
        seconds["theirs"].append(_cpu(_theirs, metric, values, stock) / stock)
    fast, slow = median(seconds["ours"]), median(seconds["theirs"])
    return f"{name}: {fast * 1e3:.3f} ms, lm-eval {slow * 1e3:.2f} ms, ratio {slow / fast:.0f} (medians of {ROUNDS})"


def _ours(metric: Callable[..., float], values: list[Any], replicates: int) -> float:
    return bootstrap_stderr(metric, values, replicates=replicates, threads=1)


def _theirs(metric: Callable[..., float], values: list[Any], replicates: int) -> float:
    from lm_eval.api import metrics

    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], patch.dict(os.environ, DISABLE_MULTIPROC="1"):
        return float(metrics.bootstrap_stderr(metric, values, replicates))


def _cpu(work: Callable[..., float], *arguments: Any) -> float:
    before = time.process_time()
    work(*arguments)
    return time.process_time() - before
