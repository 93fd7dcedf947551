"""Standard errors over documents, against scipy and sums over pairs."""

import math
from itertools import product

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics.crossed import clustered_stderr
from tests.analysis.statistics.making import close, scores


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
