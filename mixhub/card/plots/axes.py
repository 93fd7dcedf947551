"""What goes on axes: marks, lines and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mixhub.card.plots.sheet import FAINT, SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]

_PERCENTS = (100, 30, 10, 3)
"""Ticks of a logarithmic scale, percent; the others are a power of ten smaller."""


def marks(axes: Axes, points: Sequence[Point], style: dict[str, Any], *, zorder: float) -> None:
    """A marker at each point, and no line."""
    if points:
        own = {name: value for name, value in style.items() if name not in ("linestyle", "linewidth")}
        axes.plot([x for x, _ in points], [y for _, y in points], zorder=zorder, linestyle="none", **own)


def spans(axes: Axes, found: Sequence[tuple[float, float, float]], style: dict[str, Any]) -> None:
    """Intervals that lie, each (place, low, high), with their ends marked."""
    if not found:
        return
    places, lows, highs = zip(*found, strict=True)
    axes.hlines(places, lows, highs, colors=style["color"], linestyles=style["linestyle"],
                linewidths=style["linewidth"], zorder=3.5)  # fmt: skip
    ends = [(x, place) for place, low, high in found for x in (low, high)]
    marks(axes, ends, {"marker": "|", "markersize": 5, "color": style["color"]}, zorder=3.5)


def lines(axes: Axes, found: Sequence[Sequence[Point]], style: dict[str, Any], *, zorder: float = 3) -> None:
    """All of `found` in one style."""
    from matplotlib.collections import LineCollection

    drawn = [line for line in found if len(line) > 1]
    axes.add_collection(
        LineCollection(
            [list(line) for line in drawn],
            colors=style["color"],
            linestyles=[style["linestyle"]],
            linewidths=style["linewidth"],
            zorder=zorder,
        ),
        autolim=False,
    )
    alone = [line[0] for line in found if len(line) == 1]
    marks(axes, alone, {"marker": "o", "markersize": 3, "color": style["color"]}, zorder=zorder)


def scale(axes: Axes, values: Sequence[float], unit: str, *, from_zero: bool = False, signed: bool = False) -> None:
    """A scale along the page that holds all values, with its unit."""
    low, high = padded(values, 0.04)
    low = 0.0 if from_zero else low
    axes.set_xlim(low, high)
    found = ticks(low, high, 6)
    axes.set_xticks(found, _labels(found, signed=signed))
    _name(axes, unit)


def log_scale(axes: Axes, logarithms: Sequence[float], unit: str) -> None:
    """A logarithmic scale along the page, for what is already given as logarithms of percent."""
    low, high = padded(logarithms, 0.04)
    axes.set_xlim(low, high)
    powers = [(math.log10(value) - power, value / 10**power) for power in range(0, 20, 2) for value in _PERCENTS]
    inside = [(place, value) for place, value in powers if low <= place <= high]
    if len(inside) > 7:
        inside = [(place, value) for place, value in inside if abs(place - round(place)) < 1e-9]
    inside = inside[:: math.ceil(len(inside) / 9)] if inside else [(low, 10**low), (high, 10**high)]
    axes.set_xticks([place for place, _ in inside], [f"{value:.6g}" for _, value in inside])
    _name(axes, unit)


def upright_scale(axes: Axes, low: float, high: float, count: int) -> None:
    """A scale up the page from `low` to `high` with about `count` ticks and faint lines."""
    axes.set_ylim(low, high)
    found = ticks(low, high, count)
    axes.set_yticks(found, _labels(found), size=SMALL)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)


def padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """The range of values with some room at both ends, and never empty."""
    low, high = min(values), max(values)
    room = share * (high - low) or 0.05 * max(abs(high), 1e-3)
    return low - room, high + room


def ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers in a range."""
    from matplotlib.ticker import MaxNLocator

    found = MaxNLocator(nbins=count, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.12g}") for tick in found if low <= tick <= high]


def _labels(found: Sequence[float], *, signed: bool = False) -> list[str]:
    """Labels with as many decimals as the longest needs."""
    decimals = max((len(f"{tick:.12g}".partition(".")[2]) for tick in found if abs(tick) >= 1e-4), default=0)
    plus = "+" if signed else ""
    return [f"{tick:{plus if tick else ''}.{decimals}f}".replace("-", "−") for tick in found]


def _name(axes: Axes, unit: str) -> None:
    axes.set_xlabel(unit, size=SMALL, labelpad=2)
