"""What all statistics start from: values that are checked, their mean and spread, and what counts as rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[np.float64]


ROUNDING = 1e-12
"""Differences below this share of the largest value are rounding."""


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


def mean_and_variance(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample variance, None for one value, exactly 0 for equal ones."""
    array = require_values(values)
    found = spread(array.tolist())
    if found.sd is None:
        return found.mean, None
    constant = array.max() - array.min() <= ROUNDING * largest(array)
    return found.mean, 0.0 if constant else found.sd**2


def largest(values: ArrayLike) -> float:
    """The largest absolute value: what rounding is measured against."""
    import numpy as np

    return float(np.abs(np.asarray(values)).max())


def without_rounding(deviations: Array, *values: Array) -> Array:
    """The deviations, in place, with 0 for what is rounding of the values that they come from."""
    deviations[abs(deviations) <= ROUNDING * max(map(largest, values))] = 0
    return deviations


def require_values(values: ArrayLike) -> Array:
    """(N,) float64; ValueError if empty, of another shape, or not finite."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"a row of values is needed, got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"values are finite, got {array.tolist()}")
    return array


def require_share(name: str, value: float) -> None:
    """ValueError unless a confidence or the like lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ValueError(f"{name} lies between 0 and 1, got {value}")
