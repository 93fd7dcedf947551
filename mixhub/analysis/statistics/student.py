"""Student's t: intervals and p-values of an estimate whose variance has several parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from mixhub.analysis.statistics.values import ROUNDING, largest, mean_and_variance, require_share

Part: TypeAlias = tuple[float, float]
"""A variance and its degrees of freedom."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the values."""

    low: float
    """Lower end."""
    high: float
    """Upper end; equal to `low` where the values do not vary."""


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval of a family's mean over new seeds, the documents held fixed (Student 1908).

    Args:
        values: (S,), one figure of each seed.
        confidence: share of such intervals that hold the true mean.

    Returns:
        The interval; None for fewer than two seeds.

    Raises:
        ValueError: no values, one that is not finite, or a confidence outside (0, 1).
    """
    require_share("confidence", confidence)
    mean, variance = mean_and_variance(values)
    if variance is None:
        return None
    found = student(mean, [(variance / len(values), len(values) - 1)], largest(values), confidence)
    return Interval(found.low, found.high)


class Estimate(NamedTuple):
    """An estimate with its error, its interval, and the test that it is 0."""

    estimate: float
    """In the unit of the values; 0 if it is rounding."""
    stderr: float
    """Its standard error."""
    df: float
    """Satterthwaite's degrees of freedom."""
    low: float
    """Lower end of its interval."""
    high: float
    """Upper end of its interval."""
    p: float
    """Two-sided p-value of 0."""


def student(
    estimate: float,
    parts: Sequence[Part],
    magnitude: float,
    confidence: float,
    truncated: Sequence[Part] = (),
) -> Estimate:
    """Interval and p-value of an estimate whose variance is the sum of several parts (Student 1908).

    Args:
        estimate: in the unit of the values.
        parts: the variances that add up, with their degrees of freedom.
        magnitude: the largest absolute value behind the estimate, which says what is rounding.
        confidence: of the interval.
        truncated: further parts, whose sum counts only if it is above 0.
    """
    from scipy.special import stdtr, stdtrit

    stderr, df = satterthwaite(parts, truncated)
    if abs(estimate) <= ROUNDING * magnitude:
        estimate = 0.0
    if stderr == 0:
        return Estimate(estimate, 0.0, df, estimate, estimate, float(estimate == 0))
    half = float(stdtrit(df, (1 + confidence) / 2)) * stderr
    p = 2 * float(stdtr(df, -abs(estimate) / stderr))
    return Estimate(estimate, stderr, df, estimate - half, estimate + half, p)


def satterthwaite(parts: Sequence[Part], truncated: Sequence[Part] = ()) -> tuple[float, float]:
    """Standard error and degrees of freedom (Satterthwaite 1946); those of the pooled test where nothing varies."""
    variance = total(parts) + max(0.0, total(truncated))
    if variance == 0:
        return 0.0, math.fsum(df for _, df in parts)
    # Shares first: the square of a small variance underflows.
    df = 1 / math.fsum((part / variance) ** 2 / df for part, df in (*parts, *truncated))
    # Never below the least of the parts' own, which only parts that cancel could bring about.
    return math.sqrt(variance), max(df, min(df for _, df in parts))


def total(parts: Sequence[Part]) -> float:
    """The sum of the variances."""
    return math.fsum(variance for variance, _ in parts)
