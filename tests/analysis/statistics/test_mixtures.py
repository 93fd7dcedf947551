"""Several mixtures: variance components and agreement, by hand, against scipy and simulations."""

import math
from itertools import product

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics.mixtures import MIN_MIXTURES, decision_accuracy, seed_agreement, variance_component
from mixhub.analysis.statistics.seeds import spread
from tests.analysis.statistics.making import close, scores


def test_variance_component_balanced_by_hand():
    """F is 12 with 2 and 6 degrees of freedom; an end of the share is (F / F_q - 1) / (F / F_q - 1 + n)."""
    groups = [[1.0, 2, 3], [3.0, 4, 5], [5.0, 6, 7]]
    found = variance_component(groups)
    assert close(found.mixture_sd**2, (12 - 1) / 3)
    assert close(found.seed_sd, 1)
    assert close(found.share, (11 / 3) / (11 / 3 + 1))
    assert close(found.p, stats.f_oneway(*groups).pvalue)
    for end, quantile in ((found.low, 0.975), (found.high, 0.025)):
        over = 12 / stats.f.ppf(quantile, 2, 6) - 1
        assert close(end, over / (over + 3))


def test_variance_component_unbalanced_by_hand():
    """Mean squares 3 and 1, and (4 - 10 / 4) / 1 seeds a mixture."""
    assert close(variance_component([[4.0], [1.0, 2.0, 3.0]]).mixture_sd ** 2, (3 - 1) / 1.5)


@given(st.lists(st.lists(scores, min_size=1, max_size=5), min_size=2, max_size=6), st.randoms())
def test_variance_component_properties(groups, random):
    assume(any(len(set(group)) > 1 for group in groups))
    found = variance_component(groups)
    assert 0 <= found.low <= found.high <= 1
    assert 0 <= found.share < 1
    mixed = [[3 * value - 50 for value in random.sample(group, len(group))] for group in groups]
    other = variance_component(random.sample(mixed, len(mixed)))
    for name in ("share", "low", "high", "p"):
        assert close(getattr(found, name), getattr(other, name), 1e-6)
    assert close(3 * found.seed_sd, other.seed_sd, 1e-6)


@given(st.lists(st.lists(scores, min_size=2, max_size=5), min_size=2, max_size=6))
def test_variance_component_p_is_scipys(groups):
    assume(any(len(set(group)) > 1 for group in groups))
    assume(len({spread(group).mean for group in groups}) > 1)  # of equal means scipy's F is NaN
    assert close(variance_component(groups).p, stats.f_oneway(*groups).pvalue)


def test_variance_component_unbalanced_interval_covers():
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        groups = [draw.normal(draw.normal(), 1, size).tolist() for size in (1, 2, 5, 5, 9)]
        found = variance_component(groups)
        held += found.low <= 0.5 <= found.high
    assert 0.92 < held / 400 < 0.98


def test_variance_component_mixtures_closer_than_their_seeds():
    found = variance_component([[1.0, 9.0], [2.0, 8.0], [0.0, 10.0]])
    assert (found.mixture_sd, found.share, found.low) == (0, 0, 0)
    assert found.p == 1


def test_variance_component_without_spread():
    equal, unlike = variance_component([[0.1] * 3, [0.1] * 2]), variance_component([[1.0] * 2, [2.0] * 2])
    assert (equal.share, equal.low, equal.high, equal.p) == (0, 0, 1, 1)
    assert (unlike.share, unlike.low, unlike.high, unlike.p) == (1, 1, 1, 0)


def test_variance_component_too_few():
    assert variance_component([[1.0, 2.0]]) is None
    assert variance_component([[1.0], [2.0], [3.0]]) is None


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=12))
def test_decision_accuracy_is_kendalls_and_spearmans(rows):
    a, b = ([float(row[side]) for row in rows] for side in (0, 1))
    assume(len(set(a)) == len(set(b)) == len(rows))
    found = decision_accuracy(a, b)
    assert found.pairs == math.comb(len(rows), 2)
    assert close(found.accuracy, (1 + stats.kendalltau(a, b).statistic) / 2)
    assert close(found.spearman, stats.spearmanr(a, b).statistic)


def test_decision_accuracy_ties_count_one_half():
    found = decision_accuracy([1.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert found.accuracy == (0.5 + 1 + 1) / 3
    assert decision_accuracy([0.1 + 0.2, 0.3], [1.0, 2.0]).accuracy == 0.5


def test_decision_accuracy_a_constant_measurement_decides_nothing():
    found = decision_accuracy([1.0] * 20, [float(value) for value in range(20)])
    assert (found.accuracy, found.spearman) == (0.5, None)


@given(st.integers(0, 100), st.integers(MIN_MIXTURES, 30), st.randoms())
def test_decision_accuracy_properties(seed, count, random):
    a, b = np.random.default_rng(seed).normal(size=(2, count)).tolist()
    found = decision_accuracy(a, b)
    assert 0 <= found.low <= found.accuracy <= found.high <= 1
    order = random.sample(range(count), count)
    moved = decision_accuracy([math.exp(a[index]) for index in order], [3 * b[index] - 7 for index in order])
    reverse = decision_accuracy([-value for value in b], a)
    for name in ("accuracy", "low", "high", "spearman"):
        assert close(getattr(found, name), getattr(moved, name))
    assert close(found.low, 1 - reverse.high)
    assert close(found.spearman, -reverse.spearman)


def test_decision_accuracy_is_the_jackknife_over_mixtures():
    a, b = np.random.default_rng(0).normal(size=(2, 20))
    without = [decision_accuracy(*(np.delete(side, index).tolist() for side in (a, b))).accuracy for index in range(20)]
    stderr = math.sqrt(19 / 20 * np.sum((np.array(without) - np.mean(without)) ** 2))
    found = decision_accuracy(a.tolist(), b.tolist())
    assert close(found.high - found.accuracy, stats.t.isf(0.025, 19) * stderr)


def test_decision_accuracy_where_all_pairs_agree_the_interval_is_no_point():
    values = [float(value) for value in range(MIN_MIXTURES)]
    found = decision_accuracy(values, values)
    theirs = stats.binomtest(found.pairs, found.pairs).proportion_ci(method="wilson")
    assert (found.accuracy, found.high) == (1, 1)
    assert close(found.low, theirs.low)


def test_decision_accuracy_few_mixtures_have_no_interval():
    values = [float(value) for value in range(MIN_MIXTURES - 1)]
    found = decision_accuracy(values, values)
    assert (found.accuracy, found.low, found.high) == (1, None, None)


def agreement_by_hand(groups):
    """Over every choice of one seed of each mixture."""
    found = []
    for choice in product(*(range(len(group)) for group in groups)):
        ones = [group[seed] for group, seed in zip(groups, choice, strict=True)]
        others = [
            np.mean([value for index, value in enumerate(group) if index != seed])
            for group, seed in zip(groups, choice, strict=True)
        ]
        found.append(decision_accuracy(ones, others).accuracy)
    return np.mean(found)


@given(st.lists(st.lists(scores, min_size=2, max_size=3), min_size=2, max_size=4), st.randoms())
def test_seed_agreement_is_the_mean_over_every_choice_of_seeds(groups, random):
    found = seed_agreement(groups)
    assert close(found, agreement_by_hand(groups))
    assert close(found, seed_agreement([random.sample(group, len(group)) for group in reversed(groups)]))


def test_seed_agreement_of_mixtures_far_apart_is_1():
    assert seed_agreement([[1.0, 1.1], [2.0, 2.2, 2.1], [3.0, 3.3]]) == 1


def test_seed_agreement_of_one_mixture_under_many_names_is_near_one_half():
    groups = np.random.default_rng(0).normal(size=(40, 5)).tolist()
    assert 0.4 < seed_agreement(groups) < 0.6


def test_seed_agreement_too_few():
    assert seed_agreement([[1.0, 2.0]]) is None
    assert seed_agreement([[1.0, 2.0], [1.0]]) is None
    assert seed_agreement([]) is None
