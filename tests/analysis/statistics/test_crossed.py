"""Seeds and documents crossed: against their components, resampling and simulations."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics.crossed import (
    PairedScores,
    SeedNoise,
    clustered_stderr,
    documents_only,
    seed_noise,
    two_level,
)
from mixhub.analysis.statistics.seeds import Interval, welch
from tests.analysis.statistics.making import close


def answers(draw, seeds, documents, seed_sd=0.0, noise_sd=1.0, common=0.0):
    """(S, D) normal values: what all seeds share, what one seed adds to all documents, and noise."""
    return common + draw.normal(0, seed_sd, (seeds, 1)) + draw.normal(0, noise_sd, (seeds, documents))


def made(seed=0, shape=((5, 4), (30, 50)), clusters=False):
    draw = np.random.default_rng(seed)
    (a, b), sizes = shape
    return [
        PairedScores(
            answers(draw, a, size, 0.3, common=(difficulty := draw.normal(0, 2, size)) + draw.normal(0, 1, size)),
            answers(draw, b, size, 0.3, common=difficulty),
            np.arange(size) // 3 if clusters else None,
        )
        for size in sizes
    ]


def averages(tasks):
    """The seeds' averages over tasks, of each family."""
    return [sum(side.mean(axis=1) for side in sides) / len(tasks) for sides in families(tasks)]


def families(tasks):
    return [task.a for task in tasks], [task.b for task in tasks]


def components(tasks):
    """The two-level variance, summed document by document, seed by seed and cluster by cluster."""
    between_seeds = sum(np.var(side, ddof=1) / len(side) for side in averages(tasks))
    between_documents = 0.0
    for task in tasks:
        d = task.a.shape[1]
        codes = np.arange(d) if task.clusters is None else task.clusters
        names = np.unique(codes)
        factor = len(names) / (len(names) - 1) / d**2
        gap = task.a.mean(axis=0) - task.b.mean(axis=0)
        found = factor * sum((gap - gap.mean())[codes == name].sum() ** 2 for name in names)
        for side in (task.a, task.b):
            for values in side:
                rest = values - values.mean() - (side.mean(axis=0) - side.mean())
                held = factor * sum(rest[codes == name].sum() ** 2 for name in names)
                found -= held / (len(side) - 1) / len(side)
        between_documents += found / len(tasks) ** 2
    return between_seeds, between_documents


@pytest.mark.parametrize("clusters", [False, True])
def test_two_level_is_the_sum_of_its_components(clusters):
    tasks = made(clusters=clusters)
    found, (between_seeds, between_documents) = two_level(tasks), components(tasks)
    assert between_documents > 0
    assert close(found.seed_stderr, math.sqrt(between_seeds))
    assert close(found.document_stderr, math.sqrt(between_documents))
    assert close(found.stderr, math.hypot(found.seed_stderr, found.document_stderr))
    assert close(found.difference, np.mean([task.a.mean() - task.b.mean() for task in tasks]))
    half = stats.t.isf(0.025, found.df) * found.stderr
    assert close(found.low, found.difference - half)
    assert close(found.high, found.difference + half)
    assert close(found.p, 2 * stats.t.sf(abs(found.difference) / found.stderr, found.df))


def test_two_level_is_what_a_reflated_residual_bootstrap_tends_to():
    """Carpenter, Goldstein & Rasbash 2003: seeds' deviations scaled by the root of n / (n - 1), documents' to the
    variance that is their own, both resampled."""
    tasks, draw, replicates = made(), np.random.default_rng(1), 4000
    total = np.zeros(replicates)
    for side in averages(tasks):
        n = len(side)
        deviations = (side - side.mean()) * math.sqrt(n / (n - 1))
        total += draw.choice(deviations, (replicates, n)).mean(axis=1)
    for task in tasks:
        d = task.a.shape[1]
        gap = task.a.mean(axis=0) - task.b.mean(axis=0)
        own = components([task])[1] * d
        deviations = (gap - gap.mean()) * math.sqrt(own / gap.var())
        total += draw.choice(deviations, (replicates, d)).mean(axis=1) / len(tasks)
    assert np.std(total) == pytest.approx(two_level(tasks).stderr, rel=0.04)


def test_two_level_is_welchs_where_documents_add_nothing():
    draw = np.random.default_rng(0)
    difficulty = draw.normal(size=40)
    a, b = difficulty + draw.normal(0, 1, (5, 1)), difficulty + draw.normal(1, 2, (4, 1))
    found, plain = two_level([PairedScores(a, b)]), welch(a.mean(axis=1).tolist(), b.mean(axis=1).tolist())
    assert found.document_stderr == 0
    for name in ("difference", "stderr", "df", "low", "high", "p"):
        assert close(getattr(found, name), getattr(plain, name))


def test_two_level_a_family_that_differs_by_document_has_documents_in_its_error():
    draw = np.random.default_rng(0)
    taste = draw.normal(0, 1, 50)
    a, b = taste + np.zeros((5, 1)), np.zeros((5, 50))
    found = two_level([PairedScores(a, b)])
    assert found.seed_stderr == 0
    assert close(found.stderr, clustered_stderr(taste))


def test_two_level_noise_is_not_counted_twice():
    """With noise alone the variance of the difference is known; the mean of its estimates is near it."""
    draw = np.random.default_rng(0)
    found = [two_level([PairedScores(*(answers(draw, 4, 50) for _ in "ab"))]).stderr ** 2 for _ in range(300)]
    assert np.mean(found) == pytest.approx(2 / (4 * 50), rel=0.15)


def test_two_level_seeds_that_score_alike_by_chance_leave_the_error_of_documents():
    a, b = [[0, 1, 1, 1, 1, 1], [1, 1, 0, 1, 1, 1]], [[1, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1]]
    found, documents = two_level([PairedScores(a, b)]), documents_only([PairedScores(a, b)])
    assert (found.seed_stderr, found.document_stderr) == (0, 0)
    assert Interval(found.low, found.high) == documents
    assert found.low < 0 < found.high


def test_two_level_has_no_fewer_degrees_of_freedom_than_its_smaller_family():
    """Document and noise variances that cancel would leave a half."""
    a, b = [[1, 0, 0, 1, 0, 1], [1, 1, 1, 0, 1, 1]], [[0, 1, 1, 0, 1, 0], [1, 0, 1, 1, 0, 0]]
    assert two_level([PairedScores(a, b)]).df == 1


def test_two_level_a_family_against_itself_has_no_difference():
    values = made()[0].a
    found = two_level([PairedScores(values, values[::-1])])
    assert (found.difference, found.p) == (0, 1)


def test_two_level_equal_answers_everywhere():
    found = two_level([PairedScores(np.full((3, 4), 0.1), np.full((5, 4), 0.1))])
    assert (found.difference, found.stderr, found.low, found.high, found.p) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("clusters", [False, True])
def test_two_level_swapped_families_have_the_opposite_difference(clusters):
    tasks = made(clusters=clusters)
    one, other = two_level(tasks), two_level([PairedScores(task.b, task.a, task.clusters) for task in tasks])
    assert close(one.difference, -other.difference)
    assert close(one.low, -other.high)
    assert close(one.p, other.p)


@pytest.mark.parametrize("clusters", [False, True])
def test_two_level_the_order_of_tasks_seeds_and_documents_does_not_matter(clusters):
    tasks, draw = made(clusters=clusters), np.random.default_rng(7)
    seeds_a, seeds_b = draw.permutation(5), draw.permutation(4)
    shuffled = []
    for task in reversed(tasks):
        order = draw.permutation(task.a.shape[1])
        names = None if task.clusters is None else 100 - task.clusters[order]
        shuffled.append(PairedScores(task.a[seeds_a][:, order], task.b[seeds_b][:, order], names))
    one, other = two_level(tasks), two_level(shuffled)
    assert close(one.low, other.low)
    assert close(one.high, other.high)
    assert close(one.p, other.p)


@given(st.floats(-100, 100), st.floats(0.01, 100))
def test_two_level_unit_and_zero_do_not_matter(shift, scale):
    tasks = made()
    one = two_level(tasks)
    other = two_level([PairedScores(shift + scale * task.a, shift + scale * task.b) for task in tasks])
    assert close(one.low * scale, other.low, 1e-6)
    assert close(one.document_stderr * scale, other.document_stderr, 1e-6)
    assert close(one.p, other.p, 1e-6)


def test_two_level_covers_new_seeds_and_new_documents():
    """Families that differ by document as much as seeds do: seeds alone are too sure."""
    draw, held, only = np.random.default_rng(0), 0, 0
    for _ in range(300):
        tasks = [
            PairedScores(*(answers(draw, 4, 40, 0.1, common=draw.normal(0, 1, 40)) for _ in range(2))) for _ in range(2)
        ]
        found, seeds = two_level(tasks), welch(*(side.tolist() for side in averages(tasks)))
        held += found.low <= 0 <= found.high
        only += seeds.low <= 0 <= seeds.high
    assert 0.92 < held / 300 < 0.98
    assert only / 300 < 0.85


def test_two_level_needs_two_seeds_documents_and_clusters():
    values = np.arange(6.0).reshape(2, 3)
    assert two_level([PairedScores(values[:1], values)]) is None
    assert two_level([PairedScores(values, values[:1])]) is None
    assert two_level([PairedScores(values[:, :1], values[:, :1])]) is None
    assert two_level([PairedScores(values, values, [4, 4, 4])]) is None


def test_two_level_takes_a_whole_suite_in_seconds():
    draw = np.random.default_rng(0)
    tasks = [PairedScores(draw.random((5, 5600)), draw.random((5, 5600)), np.arange(5600) // 6) for _ in range(13)]
    before = time.process_time()
    assert two_level(tasks).p > 0
    assert time.process_time() - before < 2


def test_documents_only_of_one_task_is_the_paired_t_interval():
    task = made()[0]
    theirs = stats.ttest_rel(task.a.mean(axis=0), task.b.mean(axis=0)).confidence_interval()
    found = documents_only([task])
    assert close(found.low, theirs.low)
    assert close(found.high, theirs.high)


def test_documents_only_of_clusters():
    task = made(clusters=True)[0]
    gap = task.a.mean(axis=0) - task.b.mean(axis=0)
    found = documents_only([task])
    expected = 2 * stats.t.isf(0.025, 9) * clustered_stderr(gap, task.clusters)
    assert close(found.high - found.low, expected)


def test_documents_only_tasks_are_averaged():
    one, other = made()
    found = documents_only([one, other])
    errors = [clustered_stderr(task.a.mean(axis=0) - task.b.mean(axis=0)) for task in (one, other)]
    stderr = math.hypot(*errors) / 2
    assert 1.96 * stderr < (found.high - found.low) / 2 < 2.05 * stderr


def test_documents_only_cries_wolf_where_seeds_differ():
    draw, alarms, held = np.random.default_rng(0), 0, 0
    for _ in range(200):
        task = PairedScores(*(answers(draw, 5, 400, seed_sd=0.2) for _ in "ab"))
        documents, both = documents_only([task]), two_level([task])
        alarms += not documents.low <= 0 <= documents.high
        held += both.low <= 0 <= both.high
    assert alarms > 80
    assert held > 180


def test_documents_only_rounding_is_no_difference():
    a = np.full((5, 6), 0.3)
    b = a.copy()
    b[:, :2] = 0.1 + 0.2
    assert documents_only([PairedScores(a, b)]) == Interval(0, 0)


def test_documents_only_of_one_document_is_none():
    assert documents_only([PairedScores([[1.0]], [[2.0]])]) is None


def test_seed_noise_of_two_seeds_is_the_paired_stderr():
    values = np.random.default_rng(0).random((2, 30))
    found = seed_noise(values)
    assert close(found.seed_sd, np.std(values.mean(axis=1), ddof=1))
    assert close(found.document_sd * math.sqrt(2), stats.sem(values[0] - values[1]))
    clusters = np.arange(30) // 4
    paired = clustered_stderr(values[0] - values[1], clusters)
    assert close(seed_noise(values, clusters).document_sd * math.sqrt(2), paired)


def test_seed_noise_squared_is_the_f_of_seeds_against_the_interaction():
    """Two-way layout without replication: for two seeds, the square of the paired t."""
    values = np.random.default_rng(1).random((2, 12))
    assert close(seed_noise(values).ratio, abs(stats.ttest_rel(values[0], values[1]).statistic))


def test_seed_noise_difficulty_cancels():
    values = np.random.default_rng(0).random((5, 30))
    easier = values + np.random.default_rng(1).normal(0, 100, 30)
    assert close(seed_noise(values).document_sd, seed_noise(easier).document_sd, 1e-6)


def test_seed_noise_ratio_tells_whether_documents_explain_the_spread():
    draw = np.random.default_rng(0)
    alone = [seed_noise(answers(draw, 5, 200)) for _ in range(100)]
    assert np.mean([found.ratio**2 for found in alone]) == pytest.approx(1, abs=0.15)
    assert seed_noise(answers(draw, 5, 200, seed_sd=1)).ratio > 3


def test_seed_noise_equal_seeds_have_no_ratio():
    assert seed_noise([[0.1, 0.2, 0.7]] * 3) == SeedNoise(0, 0, None)
    assert seed_noise(np.array([[0.1, 0.2, 0.7]]) + np.array([[0.1], [0.2]])).ratio is None


def test_seed_noise_too_few():
    assert seed_noise([[1.0, 2.0]]) is None
    assert seed_noise([[1.0], [2.0]]) is None
    assert seed_noise([[1.0, 2.0], [3.0, 5.0]], [0, 0]) is None
