"""Format exact values as figures for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mixhub.phrases import listed, plural
from mixhub.spec.schedule import tokens_per_step
from mixhub.spec.values import range_or_list

ABSENT = "—"
"""Printed where there is no figure."""

_MEBI = 2**20
_UNITS = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3))


def count(number: int) -> str:
    """Format a count with three significant digits, such as 26.2B; below ten thousand with all digits."""
    if number < 10_000:
        return f"{number:,}"
    exponent = int(f"{number:.2e}".partition("e")[2])  # after rounding: 999,999 is 1.00M
    unit, size = next((unit, size) for unit, size in _UNITS if 10**exponent >= size)
    return f"{number / size:.{max(0, 2 - (exponent - len(str(size)) + 1))}f}{unit}"


def batch(global_batch_size: int, sequence_length: int) -> str:
    """Format the tokens of a step: 1M tokens (512 sequences × 2,048)."""
    tokens = tokens_per_step(global_batch_size, sequence_length)
    shown = f"{tokens // _MEBI:,}M" if tokens % _MEBI == 0 else count(tokens)
    return f"{shown} tokens ({plural(global_batch_size, 'sequence')} × {sequence_length:,})"


def total(steps: int, global_batch_size: int, sequence_length: int) -> str:
    """Format the tokens of a run. As usual, a step of 2^20 tokens counts as a million: 25,000 of them are 25B."""
    per_step = tokens_per_step(global_batch_size, sequence_length)
    exact = steps * per_step
    if per_step % _MEBI == 0:
        shown = re.sub(r"\.?0+(?=[A-Z])", "", count(steps * (per_step // _MEBI) * 10**6))
        return f"{shown} ({steps:,} steps, {per_step:,} tokens counted as {per_step // _MEBI}M; exactly {exact:,})"
    shown = count(exact)
    return f"{shown} ({steps:,} steps; exactly {exact:,} tokens)" if exact >= 10_000 else f"{shown} ({steps:,} steps)"


def rate(value: float) -> str:
    """Format a learning rate or similar: 0.0004 is 4e-4."""
    if value == 0 or 0.01 <= value < 1e6:
        return f"{value:,.12g}"
    mantissa, _, exponent = f"{value:.15e}".partition("e")
    return f"{float(mantissa):.12g}e{int(exponent)}"


def percent(share: float) -> str:
    """Format a share such as 10.52%; below a hundredth of a percent with two significant digits."""
    value = 100 * share
    return f"{value:.2f}%" if value >= 0.01 else f"{value:.2g}%"


def epochs(passes: float) -> str:
    """Format passes over the text of a domain, such as 0.35 or 2.10."""
    return f"{passes:.3g}" if passes < 0.01 else f"{passes:.2f}" if passes < 100 else f"{passes:,.0f}"


def flops(number: float) -> str:
    """Format floating-point operations: 2.23e20."""
    mantissa, _, exponent = f"{number:.2e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def hours(number: float) -> str:
    """Format hours as 45 s, 12 min or 3.4 h."""
    if number < 1 / 60:
        return f"{3600 * number:.0f} s"
    return f"{60 * number:.0f} min" if number < 1 else f"{number:.1f} h"


def device_hours(number: float) -> str:
    """Format hours of devices: 1,920 or 3.41."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:.3g}"


def whole(value: int | str) -> str:
    """Format an integer with commas; return a word such as `unknown` unchanged."""
    return value if isinstance(value, str) else f"{value:,}"


def ratio(part: int, whole: int) -> str:
    """Format a ratio of integers as 4%."""
    return f"{100 * part / whole:.3g}%"


def is_finite(value: object) -> bool:
    """Return whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def score(value: float | None) -> str:
    """Format a score in percent."""
    return ABSENT if value is None else f"{value:.2f}"


def loss(value: float | None) -> str:
    """Format a loss in nats per token."""
    return ABSENT if value is None else f"{value:.4f}"


def shots(counts: Sequence[int]) -> str:
    """Format shot counts: 0 to 5 shots; or 0, 2 and 5 shots."""
    shown = range_or_list(counts)
    if isinstance(shown, str):
        return f"{shown.replace('-', ' to ')} shots"
    return f"{listed(counts, last='and')} shot{'s' if list(counts) != [1] else ''}"
