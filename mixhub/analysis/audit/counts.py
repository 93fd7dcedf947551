"""Which numbers of runs a printed score can be the mean of.

A score that is the mean of m accuracies over n documents is a multiple of 100/(m·n) percent before it is rounded. With
n known, a printed figure leaves only some m (the same thought as the GRIM test: Brown and Heathers 2017, "The GRIM
Test").
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from mixhub.analysis.published.table import Figure

DEFAULT_MOST_RUNS = 6
"""Larger numbers of runs are not considered unless they are asked for: enough of them fit any figure."""
SLACK = Fraction(1, 10**9)
"""Percent; for figures that come from floating-point numbers."""


def possible_counts(
    figure: Figure, documents: int, most_runs: int = DEFAULT_MOST_RUNS, run_decimals: int | None = None
) -> tuple[int, ...]:
    """The numbers of runs m, 1 to `most_runs`, for which a figure can be the mean of m accuracies.

    There must be a whole number c of right answers with |100 c / (m n) - value| at most half a printed unit, so that a
    half may have gone up or down.

    Args:
        figure: percent, with the digits that are printed.
        documents: n, documents of the task, all of which each run saw.
        most_runs: the largest m.
        run_decimals: where given, each accuracy, a fraction, was first rounded to so many decimals.

    Returns:
        The numbers, ascending.
    """
    low, high = interval(figure)
    return tuple(runs for runs in range(1, most_runs + 1) if is_mean(low, high, documents, runs, run_decimals))


def interval(figure: Figure) -> tuple[Fraction, Fraction]:
    """What a printed figure may have been before it was rounded, percent."""
    value, half = exact(figure.value), unit(figure.decimals) / 2 + SLACK
    return value - half, value + half


def exact(value: float) -> Fraction:
    """The decimal number that is shown, which a floating-point number is only near."""
    return Fraction(repr(value))


def unit(decimals: int) -> Fraction:
    """What the last printed digit counts, percent."""
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
    """The sums of `runs` rounded accuracies, as a set of bits: bit s is set where s·10^-run_decimals is such a sum."""
    if runs == 0:
        return 1
    steps, fewer, sums = 10**run_decimals, _sums(documents, runs - 1, run_decimals), 0
    for right in range(documents + 1):
        up = (2 * steps * right + documents) // (2 * documents)
        down = -((documents - 2 * steps * right) // (2 * documents))
        sums |= fewer << up if up == down else fewer << up | fewer << down
    return sums
