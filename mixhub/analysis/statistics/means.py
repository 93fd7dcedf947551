"""The means of two families, with seeds as what varies: tests, and what they can find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixhub.analysis.statistics.student import satterthwaite, student
from mixhub.analysis.statistics.values import ROUNDING, largest, mean_and_variance, require_share, require_values

if TYPE_CHECKING:
    from mixhub.analysis.statistics.values import Array


MAX_SPLITS = 20_000
"""Up to so many splits a permutation test takes all of them: 8 v 8 seeds have 12,870."""

RANDOM_SPLITS = 9_999
"""Splits drawn where there are more; with the observed one they make 10,000."""


@dataclass(frozen=True)
class Welch:
    """The difference of two families' means, with seeds as what varies."""

    difference: float
    """Mean of A minus mean of B, in the unit of the values."""
    stderr: float
    """Standard error of the difference over seeds, in the unit of the values."""
    df: float
    """Welch-Satterthwaite degrees of freedom."""
    low: float
    """Lower end of the interval of the difference."""
    high: float
    """Upper end of the interval of the difference."""
    p: float
    """Two-sided p-value of no difference, 0 to 1."""


@dataclass(frozen=True)
class Permutation:
    """A permutation test of two families' means, with seeds as what varies."""

    p: float
    """Two-sided p-value of no difference, 0 to 1."""
    smallest: float
    """The least p-value that so many seeds can give: above 0.05, no difference however large is significant."""
    permutations: int
    """Splits of the seeds that were tried, the observed one among them."""
    exact: bool
    """Whether these are all splits there are."""


def welch(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Welch | None:
    """Welch's test of two families' means over new seeds, the documents held fixed (Welch 1947).

    Where no seed differs from another of its family, p is 1 for equal means and 0 for others, and df is that of
    the pooled test.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.
        confidence: of the interval of the difference.

    Returns:
        Difference, interval and p-value; None where a family has fewer than two seeds.

    Raises:
        ValueError: an empty family, a value that is not finite, or a confidence outside (0, 1).
    """
    require_share("confidence", confidence)
    (mean_a, variance_a), (mean_b, variance_b) = mean_and_variance(a), mean_and_variance(b)
    if variance_a is None or variance_b is None:
        return None
    parts = [(variance_a / len(a), len(a) - 1), (variance_b / len(b), len(b) - 1)]
    found = student(mean_a - mean_b, parts, largest([*a, *b]), confidence)
    return Welch(found.estimate, found.stderr, found.df, found.low, found.high, found.p)


def permutation(a: Sequence[float], b: Sequence[float]) -> Permutation:
    """Permutation test of two families' means: seeds of one mixture could have swapped names (Fisher 1935).

    Two-sided as scipy.stats.permutation_test: twice the smaller of both one-sided p-values. All splits where there
    are at most MAX_SPLITS; else RANDOM_SPLITS of them, always the same, and the observed one counts as one more
    (Phipson & Smyth 2010), so that P(p <= alpha) <= alpha with no difference either way.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.

    Raises:
        ValueError: an empty family, or a value that is not finite.
    """
    import numpy as np

    require_values(a)
    require_values(b)
    pooled = np.sort(np.array([*a, *b], dtype=float))
    pooled -= pooled.mean()
    # With the total fixed, the sum of one side orders the splits as the difference of means does.
    observed = math.fsum(a) - len(a) * math.fsum([*a, *b]) / len(pooled)
    exact = math.comb(len(pooled), len(a)) <= MAX_SPLITS
    sums = _all_sums(pooled, len(a)) if exact else np.append(_random_sums(pooled, len(a)), observed)
    slack = ROUNDING * len(pooled) * largest([*a, *b])
    fewer = min(np.count_nonzero(sums <= observed + slack), np.count_nonzero(sums >= observed - slack))
    count = len(sums)
    return Permutation(min(1.0, 2 * int(fewer) / count), min(1.0, 2 / count), count, exact)


def _all_sums(pooled: Array, size: int) -> Array:
    """(splits,), the sum of one side for each way to choose it."""
    from itertools import combinations

    import numpy as np

    chosen = np.array(list(combinations(range(len(pooled)), size)))  # (splits, size)
    sums: Array = pooled[chosen].sum(axis=1)
    return sums


def _random_sums(pooled: Array, size: int) -> Array:
    """(RANDOM_SPLITS,), the sum of one side for random choices, always the same."""
    import numpy as np

    draw = np.random.default_rng(0)
    return np.array([draw.permutation(pooled)[:size].sum() for _ in range(RANDOM_SPLITS)])


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for having made several comparisons, in the order given (Holm 1979).

    A comparison is significant at alpha over the family of comparisons where its adjusted value is at most alpha.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError(f"p-values lie in [0, 1], got {list(ps)}")
    adjusted = [0.0] * len(ps)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def detectable_difference(
    sd_a: float, n_a: int, sd_b: float, n_b: int, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest true difference that a two-sided Welch test finds with the given power.

    Welch's statistic is taken as noncentral t with Welch-Satterthwaite degrees of freedom (Cohen 1988, chapter 2, for
    equal sds), and the noncentrality solved for numerically.

    Args:
        sd_a: sample standard deviation over seeds of family A.
        n_a: seeds of family A.
        sd_b: sample standard deviation over seeds of family B.
        n_b: seeds of family B.
        power: probability of p <= alpha where the difference is as large.
        alpha: level of the test.

    Returns:
        The difference, in the unit of the sds; None where a family has fewer than two seeds.

    Raises:
        ValueError: a negative sd, or not 0 < alpha < power < 1.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1 is needed, got alpha {alpha} and power {power}")
    if not (0 <= sd_a < math.inf and 0 <= sd_b < math.inf):
        raise ValueError(f"standard deviations are not negative, got {sd_a} and {sd_b}")
    if min(n_a, n_b) < 2:
        return None
    stderr, df = satterthwaite([(sd_a**2 / n_a, n_a - 1), (sd_b**2 / n_b, n_b - 1)])
    critical = t.isf(alpha / 2, df)

    def excess(noncentrality: float) -> float:
        # The other tail mirrored, since nct.cdf is NaN far out.
        return float(nct.sf(critical, df, noncentrality) + nct.sf(critical, df, -noncentrality)) - power

    most = critical
    while excess(most) < 0:
        most *= 2
    return stderr * float(brentq(excess, 0.0, most))
