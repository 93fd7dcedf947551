"""Figures as a person reads them, made from exact values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from mixhub.phrases import listed, plural, ranges
from mixhub.spec.schedule import tokens_per_step

ABSENT = "—"
"""Stands where there is no figure."""

_MEBI = 2**20
_UNITS = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3))


def count(number: int) -> str:
    """Three significant digits: 26214400000 is 26.2B; below ten thousand all digits."""
    if number < 10_000:
        return f"{number:,}"
    exponent = int(f"{number:.2e}".partition("e")[2])  # after rounding: 999,999 is 1.00M
    unit, size = next((unit, size) for unit, size in _UNITS if 10**exponent >= size)
    return f"{number / size:.{max(0, 2 - (exponent - len(str(size)) + 1))}f}{unit}"


def batch(global_batch_size: int, sequence_length: int) -> str:
    """Tokens of a step: 1M tokens (512 sequences × 2,048)."""
    tokens = tokens_per_step(global_batch_size, sequence_length)
    shown = f"{tokens // _MEBI:,}M" if tokens % _MEBI == 0 else count(tokens)
    return f"{shown} tokens ({plural(global_batch_size, 'sequence')} × {sequence_length:,})"


def total(steps: int, global_batch_size: int, sequence_length: int) -> str:
    """Tokens of a run. A step of 2^20 tokens goes for a million, as is usual: 25,000 of them are 25B."""
    per_step = tokens_per_step(global_batch_size, sequence_length)
    exact = steps * per_step
    if per_step % _MEBI == 0:
        shown = re.sub(r"\.?0+(?=[A-Z])", "", count(steps * (per_step // _MEBI) * 10**6))
        return f"{shown} ({steps:,} steps, {per_step:,} tokens counted as {per_step // _MEBI}M; exactly {exact:,})"
    shown = count(exact)
    return f"{shown} ({steps:,} steps; exactly {exact:,} tokens)" if exact >= 10_000 else f"{shown} ({steps:,} steps)"


def rate(value: float) -> str:
    """A learning rate or the like: 0.0004 is 4e-4."""
    if value == 0 or 0.01 <= value < 1e6:
        return f"{value:,.12g}"
    _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    mantissa = str(digits[0]) + ("." + "".join(map(str, digits[1:])) if len(digits) > 1 else "")
    return f"{mantissa}e{exponent + len(digits) - 1}"


def percent(share: float) -> str:
    """A share as 10.52%; below a hundredth of a percent two significant digits."""
    value = 100 * share
    return f"{value:.2f}%" if value >= 0.01 else f"{value:.2g}%"


def epochs(passes: float) -> str:
    """Passes over the text of a domain: three significant digits, as 0.35 or 2.10."""
    return f"{passes:.3g}" if passes < 0.01 else f"{passes:.2f}" if passes < 100 else f"{passes:,.0f}"


def flops(number: float) -> str:
    """Floating-point operations: 2.23e20."""
    mantissa, _, exponent = f"{number:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def hours(number: float) -> str:
    """A time as 45 s, 12 min or 3.4 h."""
    if number < 1 / 60:
        return f"{3600 * number:.0f} s"
    return f"{60 * number:.0f} min" if number < 1 else f"{number:.1f} h"


def whole(value: int | str) -> str:
    """A whole number with commas; a word, as `unknown`, as it is."""
    return value if isinstance(value, str) else f"{value:,}"


def ratio(part: int, whole: int) -> str:
    """A ratio of whole numbers as 4%."""
    return f"{100 * part / whole:.3g}%"


def is_finite(value: object) -> bool:
    """Whether a value is a number, and neither infinite nor none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def range_or_list(values: Sequence[int]) -> str | list[int]:
    """1-5, or the list itself where it has gaps."""
    text = ranges(values)
    return text if re.fullmatch(r"\d+-\d+", text) else list(values)


def score(value: float | None) -> str:
    """A score in percent."""
    return ABSENT if value is None else f"{value:.2f}"


def loss(value: float | None) -> str:
    """A loss in nats a token."""
    return ABSENT if value is None else f"{value:.4f}"


def shots(counts: Sequence[int]) -> str:
    """0 to 5 shots; or 0, 2 and 5 shots."""
    shown = range_or_list(counts)
    if isinstance(shown, str):
        return f"{shown.replace('-', ' to ')} shots"
    return f"{listed(counts, last='and')} shot{'s' if list(counts) != [1] else ''}"
