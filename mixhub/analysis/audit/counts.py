"""The numbers of runs that a printed score can be the mean of.

A score that is the mean of m accuracies over n documents is a multiple of 100/(m·n) percent before it is rounded. With
n known, a printed figure allows only some m, as in the GRIM test (Brown and Heathers 2017, "The GRIM Test").
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from mixhub.analysis.published.table import Figure

DEFAULT_MAX_RUNS = 6
"""The largest number of runs considered by default: with enough runs, any figure fits."""
SLACK = Fraction(1, 10**9)
"""Percent; tolerance for figures that come from floating-point numbers."""


def possible_counts(
    figure: Figure, documents: int, most_runs: int = DEFAULT_MAX_RUNS, run_decimals: int | None = None
) -> tuple[int, ...]:
    """The numbers of runs m, 1 to `most_runs`, for which a figure can be the mean of m accuracies.

    There must be a whole number c of correct answers with |100 c / (m n) - value| at most half a printed unit.

    Args:
        figure: percent, with its printed digits.
        documents: n, documents of the task; each run saw all of them.
        most_runs: the largest m.
        run_decimals: decimals to which each accuracy, a fraction, was rounded first; None for no rounding.

    Returns:
        The numbers, ascending.
    """
    low, high = interval(figure)
    return tuple(runs for runs in range(1, most_runs + 1) if is_mean(low, high, documents, runs, run_decimals))


def interval(figure: Figure) -> tuple[Fraction, Fraction]:
    """The range of values that round to a printed figure, percent."""
    value, half = exact(figure.value), unit(figure.decimals) / 2 + SLACK
    return value - half, value + half


def exact(value: float) -> Fraction:
    """The decimal number that a floating-point number prints as."""
    return Fraction(repr(value))


def unit(decimals: int) -> Fraction:
    """The value of one unit of the last printed digit, percent."""
    return Fraction(10) ** -decimals


def is_mean(low: Fraction, high: Fraction, documents: int, runs: int, run_decimals: int | None) -> bool:
    """Whether some mean of `runs` accuracies over `documents`, percent, lies between `low` and `high`."""
    steps = documents if run_decimals is None else 10**run_decimals
    # In whole numbers, since fractions take ten times as long: ceil(low·m·steps/100) to floor(high·m·steps/100).
    first = max(0, -(-low.numerator * runs * steps // (low.denominator * 100)))
    last = min(runs * steps, high.numerator * runs * steps // (high.denominator * 100))
    if first > last or run_decimals is None:
        return first <= last
    # Sums of rounded accuracies never lie further apart than two neighbouring rounded accuracies do.
    if (high - low) * runs * steps / 100 >= -(-steps // documents):
        return True
    return bool(_sums(documents, runs, run_decimals) >> first & ((1 << (last - first + 1)) - 1))


@lru_cache(maxsize=256)
def _sums(documents: int, runs: int, run_decimals: int) -> int:
    """The sums of `runs` rounded accuracies as a bit set: bit s is set if s·10^-run_decimals is such a sum."""
    if runs == 0:
        return 1
    steps, fewer, sums = 10**run_decimals, _sums(documents, runs - 1, run_decimals), 0
    for right in range(documents + 1):
        up = (2 * steps * right + documents) // (2 * documents)
        down = -((documents - 2 * steps * right) // (2 * documents))
        sums |= fewer << up if up == down else fewer << up | fewer << down
    return sums
