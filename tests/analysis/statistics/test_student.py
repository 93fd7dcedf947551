"""Intervals over seeds, against scipy and published figures."""

import subprocess
import sys

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mixhub.analysis.statistics.seeds import Interval, spread, t_interval
from tests.analysis.statistics.making import close, scores

DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
"""Crossed less self-fertilised plants, in eighths of an inch: mean 20.93, Fisher's 95 % interval 0.03 to 41.8."""


def test_nothing_heavy_is_imported_with_the_module():
    modules = "mixhub.analysis.statistics.crossed, mixhub.analysis.statistics.mixtures"
    code = f"import sys, {modules}; print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_t_interval_darwins_plants():
    found = t_interval(DARWIN)
    assert (round(found.low, 2), round(found.high, 1)) == (0.03, 41.8)


@given(st.lists(scores, min_size=2, max_size=10))
def test_t_interval_is_scipys(values):
    assume(len(set(values)) > 1)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    found = t_interval(values)
    assert close(found.low, low)
    assert close(found.high, high)


def test_t_interval_of_equal_values_is_a_point():
    assert t_interval([0.1] * 3) == Interval(spread([0.1] * 3).mean, spread([0.1] * 3).mean)


def test_t_interval_of_one_value_is_none():
    assert t_interval([1.0]) is None
