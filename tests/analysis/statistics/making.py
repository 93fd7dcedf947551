"""Values that the tests of statistics draw, and how they compare."""

import math

from hypothesis import strategies as st

scores = st.integers(0, 1000).map(lambda value: value / 10)
seeds = st.lists(scores, min_size=2, max_size=6)


def close(one, other, tolerance=1e-9):
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
