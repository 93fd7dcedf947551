"""Statistics, each named by what varies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation (n - 1); None for fewer than two values."""
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of at least one value; ValueError for none."""
    if not values:
        raise ValueError("no values")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Spread(mean, None, len(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, math.sqrt(variance), len(values))
