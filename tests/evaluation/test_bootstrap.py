import math
import random
import warnings

import pytest
from lm_eval.api import metrics

from mixhub.evaluation.bootstrap import _vectorised, bootstrap_stderr


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """lm-eval's bootstrap without its pool of forked processes."""
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")


def pairs(count, labels=(0, 1), seed=1):
    draw = random.Random(seed)
    golds = [draw.choice(labels) for _ in range(count)]
    return [(gold, gold if draw.random() < 0.7 else draw.choice(labels)) for gold in golds]


def logs(count, seed=2):
    draw = random.Random(seed)
    return [-draw.expovariate(0.5) for _ in range(count)]


def theirs(metric, values, replicates):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of replicates without one label
        return float(metrics.bootstrap_stderr(metric, values, replicates))


def same(metric, values, replicates):
    found = bootstrap_stderr(metric, values, replicates=replicates)
    assert found == pytest.approx(theirs(metric, values, replicates), rel=1e-9, abs=1e-15, nan_ok=True)
    return found


@pytest.mark.parametrize(
    ("metric", "values", "replicates"),
    [
        (metrics.f1_score, pairs(60), 1100),
        (metrics.f1_score, [(bool(gold), float(found)) for gold, found in pairs(61)], 100),
        (metrics.matthews_corrcoef, pairs(75), 600),
        (metrics.perplexity, logs(200), 3000),
        (metrics.perplexity, [-1, -3, -2, 0], 2500),
    ],
    ids=lambda part: part.__name__ if callable(part) else None,
)
def test_it_finds_what_lm_eval_finds(metric, values, replicates):
    assert _vectorised(metric, values) is not None
    assert same(metric, values, replicates) > 0


def test_a_replicate_longer_than_a_block():
    values = logs(2**14 + 5)
    same(metrics.perplexity, values, 20)
    same(metrics.f1_score, pairs(2**14 + 5), 5)


@pytest.mark.parametrize("replicates", [2, 999, 1000, 1999, 2000])
def test_replicates_come_in_lm_evals_chunks(replicates):
    same(metrics.perplexity, logs(40), replicates)


@pytest.mark.parametrize("metric", [metrics.f1_score, metrics.matthews_corrcoef])
@pytest.mark.parametrize("pair", [(0, 0), (1, 1), (0, 1), (1, 0)])
def test_labels_of_one_class(metric, pair):
    same(metric, [pair] * 12, 20)
    assert same(metric, [pair] * 11 + [(1, 1) if pair == (0, 0) else (0, 0)], 50) >= 0


def test_f1_of_replicates_without_a_positive():
    assert same(metrics.f1_score, [(1, 1)] + [(0, 0)] * 3 + [(0, 1)], 100) > 0


def test_labels_that_are_not_0_and_1_are_left_to_the_metric():
    values = pairs(60, labels=(0, 1, 2))
    assert _vectorised(metrics.matthews_corrcoef, values) is None
    same(metrics.matthews_corrcoef, values, 60)
    same(metrics.f1_score, pairs(30, labels=(1, 3)), 30)
    with pytest.raises(ValueError, match="multiclass"):
        bootstrap_stderr(metrics.f1_score, values, replicates=10)
    with pytest.raises(ValueError, match="pos_label"):
        bootstrap_stderr(metrics.f1_score, pairs(30, labels=("no", "yes")), replicates=10)


def test_numbers_that_are_not_finite():
    same(metrics.perplexity, [-1.0, -math.inf, -2.0], 50)
    same(metrics.perplexity, [-1.0, math.nan, -2.0], 50)


def test_an_overflow_is_lm_evals():
    with pytest.raises(OverflowError):
        bootstrap_stderr(metrics.perplexity, [-1e4, -1e5], replicates=20)


@pytest.mark.parametrize(("metric", "values"), [(metrics.f1_score, pairs(80)), (metrics.perplexity, logs(80))])
def test_threads_change_nothing(metric, values):
    found = {bootstrap_stderr(metric, values, replicates=7000, threads=threads) for threads in (None, 1, 2, 5, 40)}
    assert len(found) == 1


@pytest.mark.parametrize(
    ("metric", "values"),
    [(metrics.nanmean, [*logs(90), math.nan, math.nan]), (metrics.median, logs(97)), (metrics.median, logs(98))],
)
def test_a_metric_that_is_not_vectorised(metric, values):
    assert _vectorised(metric, values) is None
    assert same(metric, values, 999) > 0


def test_a_metric_it_does_not_know():
    def spread(items):
        return max(items) - min(items)

    same(spread, logs(60), 2100)
    draw = random.Random(3)
    sentences = [" ".join(draw.choices(["the", "a", "cat", "dog", "sat", "ran"], k=6)) for _ in range(24)]
    same(metrics.chrf, list(zip(sentences[::2], sentences[1::2], strict=True)), 20)
