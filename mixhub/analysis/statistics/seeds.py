"""Means over seeds: their spread, intervals, tests of two families, and what these tests can detect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[np.float64]

Part: TypeAlias = tuple[float, float]
"""A variance and its degrees of freedom."""

ROUNDING = 1e-12
"""Differences below this share of the largest value are rounding errors."""
ALPHA = 0.05
"""Level of tests; intervals are for 1 - ALPHA."""
MAX_SPLITS = 20_000
"""A permutation test tries all splits if there are at most this many: 8 v 8 seeds have 12,870."""
RANDOM_SPLITS = 9_999
"""Splits drawn if there are more; with the observed one they make 10,000."""


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation (n - 1); None for fewer than two values."""
    n: int


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in the unit of the values."""

    low: float
    high: float
    """Equal to `low` if the values do not vary."""


@dataclass(frozen=True)
class Estimate:
    """The difference of two means, its 95 % interval, and the test that it is 0."""

    difference: float
    """Mean of A minus mean of B, in the unit of the values."""
    stderr: float
    """Standard error of the difference, in the unit of the values."""
    df: float
    """Degrees of freedom: Welch-Satterthwaite's, or one less than the pairs."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    p: float
    """Two-sided p-value of no difference, 0 to 1."""


@dataclass(frozen=True)
class Permutation:
    """A permutation test of two families' means, with seeds as what varies."""

    p: float
    """Two-sided p-value of no difference, 0 to 1."""
    smallest: float
    """The smallest p-value that this many seeds can give: above 0.05, no difference is ever significant."""
    permutations: int
    """Splits of the seeds that were tried, including the observed one."""
    exact: bool
    """Whether all splits were tried."""


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of at least one value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Spread(mean, None, len(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, math.sqrt(variance), len(values))


def t_interval(values: Sequence[float]) -> Interval | None:
    """Interval of a family's mean over new seeds, the documents held fixed (Student 1908).

    Args:
        values: (S,), one figure of each seed.

    Returns:
        The interval; None for fewer than two seeds.
    """
    mean, variance = mean_and_variance(values)
    if variance is None:
        return None
    estimate = student(mean, [(variance / len(values), len(values) - 1)], largest(values))
    return Interval(estimate.low, estimate.high)


def welch(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """Welch's test of two families' means over new seeds, the documents held fixed (Welch 1947).

    If no seed differs from another of its family, p is 1 for equal means and 0 for others, and df is that of the
    pooled test.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.

    Returns:
        Difference, interval and p-value; None if a family has fewer than two seeds.
    """
    (mean_a, variance_a), (mean_b, variance_b) = mean_and_variance(a), mean_and_variance(b)
    if variance_a is None or variance_b is None:
        return None
    parts = [(variance_a / len(a), len(a) - 1), (variance_b / len(b), len(b) - 1)]
    return student(mean_a - mean_b, parts, largest([*a, *b]))


def paired(a: Sequence[float], b: Sequence[float]) -> Estimate | None:
    """Student's test of the differences of pairs of seeds, the documents held fixed (Student 1908).

    Args:
        a: (S,), one figure of each seed of family A.
        b: (S,), the same of the seed of family B that shares its initial weights or its order of the data.

    Returns:
        Difference, interval and p-value; None for fewer than two pairs.
    """
    mean, variance = mean_and_variance([x - y for x, y in zip(a, b, strict=True)])
    if variance is None:
        return None
    largest_value = largest([*a, *b])
    is_rounding = math.sqrt(variance) <= ROUNDING * largest_value
    return student(mean, [(0.0 if is_rounding else variance / len(a), len(a) - 1)], largest_value)


def permutation(a: Sequence[float], b: Sequence[float]) -> Permutation:
    """Permutation test of two families' means: seeds of one mixture could have swapped names (Fisher 1935).

    Two-sided as scipy.stats.permutation_test: twice the smaller of both one-sided p-values. All splits if there are at
    most MAX_SPLITS; else RANDOM_SPLITS of them, always the same, and the observed one counts as one more (Phipson &
    Smyth 2010), so that P(p <= alpha) <= alpha with no difference either way.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.
    """
    from itertools import combinations

    import numpy as np

    pooled = np.sort(np.array([*a, *b], dtype=float))
    pooled -= pooled.mean()
    # With the total fixed, the sum of one side orders the splits as the difference of means does.
    observed = math.fsum(a) - len(a) * math.fsum([*a, *b]) / len(pooled)
    exact = math.comb(len(pooled), len(a)) <= MAX_SPLITS
    if exact:
        sums = pooled[np.array(list(combinations(range(len(pooled)), len(a))))].sum(axis=1)  # (splits,)
    else:
        draw = np.random.default_rng(0)
        sums = np.array([observed, *(draw.permutation(pooled)[: len(a)].sum() for _ in range(RANDOM_SPLITS))])
    slack = ROUNDING * len(pooled) * largest([*a, *b])
    fewer = min(np.count_nonzero(sums <= observed + slack), np.count_nonzero(sums >= observed - slack))
    count = len(sums)
    return Permutation(min(1.0, 2 * int(fewer) / count), min(1.0, 2 / count), count, exact)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for several comparisons, in the order given (Holm 1979).

    A comparison is significant at alpha over the family of comparisons if its adjusted value is at most alpha.
    """
    import numpy as np

    order = np.argsort(ps)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(ps), 0, -1) * np.asarray(ps)[order]))
    return adjusted.tolist()


def detectable_difference(
    sd_a: float, n_a: int, sd_b: float, n_b: int, *, power: float = 0.8, alpha: float = ALPHA
) -> float | None:
    """The smallest true difference that a two-sided Welch test finds with the given power.

    Welch's statistic is taken as noncentral t with Welch-Satterthwaite degrees of freedom (Cohen 1988, chapter 2, for
    equal sds), and the noncentrality solved for numerically.

    Args:
        sd_a: sample standard deviation over seeds of family A.
        n_a: seeds of family A.
        sd_b: sample standard deviation over seeds of family B.
        n_b: seeds of family B.
        power: probability of p <= alpha for this difference, above alpha.
        alpha: level of the test.

    Returns:
        The difference, in the unit of the sds; None if a family has fewer than two seeds.
    """
    if min(n_a, n_b) < 2:
        return None
    return detectable(*satterthwaite([(sd_a**2 / n_a, n_a - 1), (sd_b**2 / n_b, n_b - 1)]), power=power, alpha=alpha)


def detectable(stderr: float, df: float, *, power: float = 0.8, alpha: float = ALPHA) -> float:
    """The smallest true difference that a two-sided t test with this standard error finds with the given power."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = t.isf(alpha / 2, df)

    def excess(noncentrality: float) -> float:
        # The other tail mirrored, since nct.cdf is NaN far out.
        return float(nct.sf(critical, df, noncentrality) + nct.sf(critical, df, -noncentrality)) - power

    most = critical
    while excess(most) < 0:
        most *= 2
    return stderr * float(brentq(excess, 0.0, most))


def student(estimate: float, parts: Sequence[Part], magnitude: float, truncated: Sequence[Part] = ()) -> Estimate:
    """Interval and p-value of an estimate whose variance is the sum of several parts (Student 1908).

    Args:
        estimate: in the unit of the values.
        parts: the variances that add up, with their degrees of freedom.
        magnitude: the largest absolute value behind the estimate, for what counts as a rounding error.
        truncated: further parts, whose sum counts only if it is above 0.
    """
    from scipy.special import stdtr, stdtrit

    stderr, df = satterthwaite(parts, truncated)
    if abs(estimate) <= ROUNDING * magnitude:
        estimate = 0.0
    if stderr == 0:
        return Estimate(estimate, 0.0, df, estimate, estimate, float(estimate == 0))
    half = float(stdtrit(df, 1 - ALPHA / 2)) * stderr
    p = 2 * float(stdtr(df, -abs(estimate) / stderr))
    return Estimate(estimate, stderr, df, estimate - half, estimate + half, p)


def satterthwaite(parts: Sequence[Part], truncated: Sequence[Part] = ()) -> tuple[float, float]:
    """Standard error and degrees of freedom (Satterthwaite 1946); those of the pooled test if nothing varies."""
    variance = total(parts) + max(0.0, total(truncated))
    if variance == 0:
        return 0.0, math.fsum(df for _, df in parts)
    # Shares first: the square of a small variance underflows.
    df = 1 / math.fsum((part / variance) ** 2 / df for part, df in (*parts, *truncated))
    # Never below the smallest of the parts' own, which only parts that cancel could bring about.
    return math.sqrt(variance), max(df, min(df for _, df in parts))


def total(parts: Sequence[Part]) -> float:
    """The sum of the variances."""
    return math.fsum(variance for variance, _ in parts)


def mean_and_variance(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample variance, None for one value, exactly 0 for equal ones."""
    values_spread = spread(values)
    if values_spread.sd is None:
        return values_spread.mean, None
    return values_spread.mean, 0.0 if max(values) - min(values) <= ROUNDING * largest(values) else values_spread.sd**2


def largest(values: ArrayLike) -> float:
    """The largest absolute value: what rounding errors are measured against."""
    import numpy as np

    return float(np.abs(np.asarray(values)).max())


def without_rounding(deviations: Array, *values: Array) -> Array:
    """The deviations, in place, with 0 for rounding errors of the values that they come from."""
    deviations[abs(deviations) <= ROUNDING * max(map(largest, values))] = 0
    return deviations
