"""Comparisons of two families over seeds, against scipy, published figures and simulations."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics.seeds import detectable_difference, holm, permutation, welch
from tests.analysis.statistics.making import close, seeds


@given(seeds, seeds)
def test_welch_is_scipys(a, b):
    assume(len(set(a)) > 1 and len(set(b)) > 1)  # of equal values scipy warns that precision is lost
    theirs, ours = stats.ttest_ind(a, b, equal_var=False), welch(a, b)
    interval = theirs.confidence_interval()
    assert close(ours.p, theirs.pvalue)
    assert close(ours.df, theirs.df)
    assert close(ours.low, interval.low)
    assert close(ours.high, interval.high)


@pytest.mark.parametrize(("b", "p"), [([0.1] * 5, 1.0), ([0.2] * 5, 0.0)])
def test_welch_where_no_seed_differs(b, p):
    found = welch([0.1] * 3, b)
    assert (found.p, found.stderr, found.df) == (p, 0.0, 6.0)
    assert found.low == found.high == found.difference


def test_welch_where_the_seeds_of_one_family_do_not_differ():
    """A one-sample test of the other."""
    theirs, ours = stats.ttest_1samp([1.0, 2.0, 4.0], 0.1), welch([1.0, 2.0, 4.0], [0.1] * 3)
    assert close(ours.p, theirs.pvalue)
    assert ours.df == 2


def test_welch_one_seed_is_too_few():
    assert welch([1.0], [1.0, 2.0]) is None
    assert welch([1.0, 2.0], [1.0]) is None


@given(seeds, seeds)
def test_welch_swapped_families_have_the_opposite_difference(a, b):
    one, other = welch(a, b), welch(b, a)
    assert close(one.difference, -other.difference)
    assert close(one.low, -other.high)
    assert close(one.p, other.p)


@given(seeds, seeds, st.integers(-500, 500), st.sampled_from([0.01, 0.5, 100.0]), st.randoms())
def test_welch_unit_zero_and_order_do_not_matter(a, b, shift, scale, random):
    moved = [[(value + shift) * scale for value in random.sample(values, len(values))] for values in (a, b)]
    one, other = welch(a, b), welch(*moved)
    assert close(one.difference * scale, other.difference, 1e-8)
    assert close(one.low * scale, other.low, 1e-8)
    assert close(one.p, other.p, 1e-6)


def test_welch_tiny_spreads_do_not_underflow():
    found = welch([1e-100, 2e-100], [3e-100, 4e-100, 6e-100])
    assert close(found.p, welch([1, 2], [3, 4, 6]).p)


@given(seeds, seeds)
def test_permutation_is_scipys(a, b):
    theirs = stats.permutation_test(
        ([round(10 * value) for value in a], [round(10 * value) for value in b]),
        # Whole numbers, so that scipy sees ties too.
        lambda x, y, axis: x.sum(axis) * y.shape[axis] - y.sum(axis) * x.shape[axis],
        vectorized=True,
        n_resamples=np.inf,
    )
    ours = permutation(a, b)
    assert ours.exact
    assert ours.permutations == math.comb(len(a) + len(b), len(a))
    assert close(ours.p, theirs.pvalue)


def test_permutation_fishers_tea():
    """Four cups of each kind, all told right: 1 of 70 on one side."""
    assert permutation([1.0] * 4, [0.0] * 4).p == 2 / 70


def test_permutation_five_seeds_each_give_at_least_2_of_252():
    found = permutation([6.0, 7, 8, 9, 10], [1.0, 2, 3, 4, 5])
    assert found.p == found.smallest == 2 / 252


def test_permutation_ties_by_rounding_are_ties():
    tenths = [0.1 + 0.2, 0.3, 0.7 + 0.1, 0.8]
    assert permutation(tenths[::2], tenths[1::2]).p == 1.0
    assert permutation([0.1 + 0.2, 0.8], [0.3, 0.1]).p == permutation([3, 8], [3, 1]).p


def test_permutation_one_seed_each_says_nothing():
    assert permutation([1.0], [2.0]).p == permutation([1.0], [2.0]).smallest == 1.0


def test_permutation_of_more_splits_some_are_drawn():
    draw = np.random.default_rng(3)
    a, b = draw.normal(size=(2, 9)).tolist()
    found = permutation(a, b)
    assert (found.exact, found.permutations, found.smallest) == (False, 10_000, 2 / 10_000)
    assert found == permutation(a, b) == permutation(a[::-1], b[::-1])
    assert abs(found.p - welch(a, b).p) < 0.03


def test_permutation_drawn_splits_count_the_observed_one():
    found = permutation([float(value) for value in range(20)], [float(value) for value in range(100, 120)])
    assert found.p == found.smallest == 2 / 10_000


@given(seeds, seeds, st.integers(-500, 500))
def test_permutation_neither_names_nor_zero_matter(a, b, shift):
    found = permutation(a, b)
    assert found.p == permutation(b, a).p
    assert found.p == permutation([value + shift for value in a], [value + shift for value in b]).p


def test_permutation_is_valid_under_no_difference():
    """Every assignment of names to seven seeds is as likely: p <= alpha for at most alpha of them, exactly."""
    values = [1.0, 1.0, 2.0, 3.5, 3.5, 7.0, 8.0]
    ps = []
    for names in product([True, False], repeat=7):
        if sum(names) == 3:
            a = [value for value, name in zip(values, names, strict=True) if name]
            b = [value for value, name in zip(values, names, strict=True) if not name]
            ps.append(permutation(a, b).p)
    assert len(ps) == 35
    assert all(np.mean(np.array(ps) <= p) <= p + 1e-12 for p in ps)
    assert min(ps) < 0.12


def test_holm_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_five_seeds_each_on_13_tasks_cannot_be_significant():
    adjusted = holm([2 / 252] + [0.5] * 12)
    assert adjusted[0] == pytest.approx(13 * 2 / 252)
    assert adjusted[0] > 0.10


@given(st.lists(st.floats(0, 1), max_size=20), st.randoms())
def test_holm_properties(ps, random):
    adjusted = holm(ps)
    assert all(p <= new <= min(1, len(ps) * p) for p, new in zip(ps, adjusted, strict=True))
    order = random.sample(range(len(ps)), len(ps))
    assert holm([ps[index] for index in order]) == [adjusted[index] for index in order]
    pairs = sorted(zip(ps, adjusted, strict=True))
    assert [new for _, new in pairs] == sorted(adjusted)


@pytest.mark.parametrize(
    ("n", "power", "difference"),
    [
        (20, 0.8689528, 1.0),  # R: power.t.test(n = 20, delta = 1)
        (5, 0.8, 2.024438),  # R: power.t.test(n = 5, power = 0.8)
        (64, 0.8015, 0.5),  # Cohen's medium effect
    ],
)
def test_detectable_difference_published_figures(n, power, difference):
    assert detectable_difference(1, n, 1, n, power=power) == pytest.approx(difference, rel=2e-4)


@settings(max_examples=20)
@given(st.floats(0.01, 10), st.integers(2, 30), st.floats(0.01, 10), st.integers(2, 30))
def test_detectable_difference_properties(sd_a, n_a, sd_b, n_b):
    found = detectable_difference(sd_a, n_a, sd_b, n_b)
    assert found > 0
    assert close(found, detectable_difference(sd_b, n_b, sd_a, n_a), 1e-6)
    assert close(3 * found, detectable_difference(3 * sd_a, n_a, 3 * sd_b, n_b), 1e-6)
    assert found < detectable_difference(sd_a, n_a, sd_b, n_b, power=0.9)
    assert found < detectable_difference(sd_a, n_a, sd_b, n_b, alpha=0.01)


def test_detectable_difference_a_simulated_power():
    draw = np.random.default_rng(0)
    difference = detectable_difference(1, 5, 2, 5)
    a, b = draw.normal(difference, 1, (4000, 5)), draw.normal(0, 2, (4000, 5))
    power = np.mean(stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue <= 0.05)
    assert 0.77 < power < 0.83


def test_detectable_difference_without_spread_any_difference_is_found():
    assert detectable_difference(0, 5, 0, 5) == 0
    assert detectable_difference(1, 2, 0, 2) > 0


def test_detectable_difference_one_seed_is_too_few():
    assert detectable_difference(1, 1, 1, 5) is None
