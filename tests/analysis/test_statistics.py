"""Statistics, against scipy, published figures and simulations."""

import math
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics import (
    MIN_MIXTURES,
    Interval,
    PairedScores,
    SeedNoise,
    clustered_stderr,
    decision_accuracy,
    detectable_difference,
    documents_only,
    holm,
    permutation,
    seed_agreement,
    seed_noise,
    spread,
    t_interval,
    two_level,
    variance_component,
    welch,
)

scores = st.integers(0, 1000).map(lambda value: value / 10)
seeds = st.lists(scores, min_size=2, max_size=6)
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Crossed less self-fertilised plants, in eighths of an inch: mean 20.93, Fisher's 95 % interval 0.03 to 41.8."""


def close(one, other, tolerance=1e-9):
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


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


def test_nothing_heavy_is_imported_with_the_module():
    code = "import sys, mixhub.analysis.statistics; print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_t_interval_darwins_plants():
    found = t_interval(DARWIN)
    assert (round(found.low, 2), round(found.high, 1)) == (0.03, 41.8)


@given(st.lists(scores, min_size=2, max_size=10), st.floats(0.5, 0.999))
def test_t_interval_is_scipys(values, confidence):
    assume(len(set(values)) > 1)
    low, high = stats.t.interval(confidence, len(values) - 1, np.mean(values), stats.sem(values))
    found = t_interval(values, confidence)
    assert close(found.low, low)
    assert close(found.high, high)


def test_t_interval_of_equal_values_is_a_point():
    assert t_interval([0.1] * 3) == Interval(spread([0.1] * 3).mean, spread([0.1] * 3).mean)


def test_t_interval_of_one_value_is_none():
    assert t_interval([1.0]) is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_t_interval_refuses_what_is_no_row_of_values(values):
    with pytest.raises(ValueError, match=r"values"):
        t_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_t_interval_refuses_what_is_no_confidence(confidence):
    with pytest.raises(ValueError, match="confidence"):
        t_interval([1.0, 2.0], confidence)


@given(seeds, seeds, st.floats(0.5, 0.999))
def test_welch_is_scipys(a, b, confidence):
    assume(len(set(a)) > 1 and len(set(b)) > 1)  # of equal values scipy warns that precision is lost
    theirs, ours = stats.ttest_ind(a, b, equal_var=False), welch(a, b, confidence)
    interval = theirs.confidence_interval(confidence)
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


def test_permutation_refuses_an_empty_family():
    with pytest.raises(ValueError, match="values"):
        permutation([], [1.0])


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


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, p])


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


@pytest.mark.parametrize("options", [{"power": 0.04}, {"power": 1.0}, {"alpha": 0.0}])
def test_detectable_difference_refuses_levels_that_are_none(options):
    with pytest.raises(ValueError, match="alpha < power"):
        detectable_difference(1, 5, 1, 5, **options)


def test_detectable_difference_refuses_a_negative_spread():
    with pytest.raises(ValueError, match="negative"):
        detectable_difference(-1, 5, 1, 5)


@given(st.lists(scores, min_size=2, max_size=30))
def test_clustered_stderr_without_clusters_is_scipys(values):
    assert close(clustered_stderr(values), stats.sem(values))
    assert close(clustered_stderr(values, list(range(len(values)))[::-1]), stats.sem(values))


@given(st.lists(st.tuples(scores, st.integers(0, 4)), min_size=2, max_size=20))
def test_clustered_stderr_is_millers_sum_over_pairs_in_a_cluster(rows):
    values, clusters = [value for value, _ in rows], [cluster for _, cluster in rows]
    number = len(set(clusters))
    assume(number > 1)
    off = [value - np.mean(values) for value in values]
    total = sum(off[i] * off[j] for i, j in product(range(len(rows)), repeat=2) if clusters[i] == clusters[j])
    expected = math.sqrt(max(0, total) * number / (number - 1)) / len(rows)
    assert math.isclose(clustered_stderr(values, clusters), expected, rel_tol=1e-6, abs_tol=1e-6)


def test_clustered_stderr_copies_of_a_document_add_nothing():
    values = np.random.default_rng(0).random(20)
    assert close(clustered_stderr(np.repeat(values, 6), np.repeat(np.arange(20), 6)), clustered_stderr(values))


def test_clustered_stderr_of_equal_values_is_0():
    assert clustered_stderr([0.1] * 7) == 0
    assert clustered_stderr([0.1] * 7, [0, 0, 1, 1, 1, 2, 2]) == 0


def test_clustered_stderr_one_unit_is_too_few():
    assert clustered_stderr([1.0]) is None
    assert clustered_stderr([1.0, 2.0], [3, 3]) is None


def test_clustered_stderr_refuses_clusters_of_other_documents():
    with pytest.raises(ValueError, match="2 documents"):
        clustered_stderr([1.0, 2.0], [1])


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


def test_two_level_refuses_no_tasks_and_other_seeds():
    values = np.arange(12.0).reshape(4, 3)
    with pytest.raises(ValueError, match="same seeds"):
        two_level([])
    with pytest.raises(ValueError, match="same seeds"):
        two_level([PairedScores(values, values), PairedScores(values[:3], values)])


def test_two_level_takes_a_whole_suite_in_seconds():
    draw = np.random.default_rng(0)
    tasks = [PairedScores(draw.random((5, 5600)), draw.random((5, 5600)), np.arange(5600) // 6) for _ in range(13)]
    before = time.process_time()
    assert two_level(tasks).p > 0
    assert time.process_time() - before < 2


@pytest.mark.parametrize(
    ("a", "b", "clusters", "problem"),
    [
        ([1.0, 2.0], [[1.0, 2.0]], None, "seeds, documents"),
        ([[1.0, 2.0]], [[1.0]], None, "2 documents and b 1"),
        ([[1.0, math.nan]], [[1.0, 2.0]], None, "finite"),
        ([[1.0, 2.0]], [[1.0, 2.0]], [1], "2 documents"),
        ([[]], [[]], None, "seeds, documents"),
    ],
)
def test_paired_refuses_what_does_not_fit(a, b, clusters, problem):
    with pytest.raises(ValueError, match=problem):
        PairedScores(a, b, clusters)


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


def test_documents_only_refuses_one_document():
    with pytest.raises(ValueError, match="two documents"):
        documents_only([PairedScores([[1.0]], [[2.0]])])
    with pytest.raises(ValueError, match="no tasks"):
        documents_only([])


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
    with pytest.raises(ValueError, match="values"):
        variance_component([[1.0, 2.0], []])


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


def test_decision_accuracy_one_mixture_is_too_few():
    assert decision_accuracy([1.0], [1.0]) is None


def test_decision_accuracy_refuses_other_mixtures():
    with pytest.raises(ValueError, match="2 mixtures and b 1"):
        decision_accuracy([1.0, 2.0], [1.0])


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
