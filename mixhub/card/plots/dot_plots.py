"""How plots of rows are drawn, of their data alone: scores by task, differences, shares of domains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures
from mixhub.card.plots.axes import log_scale, marks, scale, spans
from mixhub.card.plots.sheet import (
    BLACK,
    COLOURS,
    FAINT,
    GREY,
    MARGIN,
    MARKERS,
    SMALL,
    WIDTH,
    Entry,
    Sheet,
    sheet,
    shortened,
    width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.25
"""Height of a row, inches."""
_APART = 0.4
"""Between the average and the tasks, rows."""
_WIDEST_LABEL = 2.0
"""Inches."""
_AXIS = 0.42
"""Room for tick labels and the name of an axis, inches."""


@dataclass(frozen=True)
class _Rows:
    """Axes with a row a task or domain: names to the left, figures to the right."""

    sheet: Sheet
    axes: Axes
    places: tuple[float, ...]
    """Of the rows, down the page."""


def _rows(made: Sheet, labels: Sequence[str], said: Sequence[str], apart: int | None, heading: str) -> _Rows:
    """Lays out rows.

    Args:
        made: the sheet.
        labels: names of the rows.
        said: figures of the rows, printed at the right.
        apart: the number of the row that stands apart, the first or the last; None: none does.
        heading: what the figures are.
    """
    bold = [number == apart for number in range(len(labels))]
    shown = [shortened(label, _WIDEST_LABEL, bold=strong) for label, strong in zip(labels, bold, strict=True)]
    left = MARGIN + max(width(label, bold=strong) for label, strong in zip(shown, bold, strict=True)) + 0.12
    figures_width = max(width(text, SMALL, bold=strong) for text, strong in zip(said, bold, strict=True))
    right = MARGIN + max(figures_width, width(heading, SMALL)) + 0.12
    places = _places(len(labels), apart)
    axes = made.axes(left, _HEADING, WIDTH - left - right, (places[-1] + 1) * _ROW)
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.set_yticks([])
    axes.hlines(places, 0, 1, transform=axes.get_yaxis_transform(), colors=FAINT, linewidths=0.6, zorder=0)
    made.write(heading, WIDTH - MARGIN, _HEADING / 2, size=SMALL, color=GREY, horizontalalignment="right")
    for place, label, text, strong in zip(places, shown, said, bold, strict=True):
        top = _HEADING + (place + 0.5) * _ROW
        how: dict[str, Any] = {"weight": "bold" if strong else "normal", "horizontalalignment": "right"}
        made.write(label, left - 0.08, top, **how)
        made.write(text, WIDTH - MARGIN, top, size=SMALL, **how)
    return _Rows(made, axes, tuple(places))


_HEADING = 0.2
"""Room for the heading of the figures at the right, inches."""


def _places(count: int, apart: int | None) -> list[float]:
    shift = [
        _APART if apart is not None and (number > 0 if apart == 0 else number == apart) else 0.0
        for number in range(count)
    ]
    return [number + by if count > 1 else 0.0 for number, by in zip(range(count), shift, strict=True)]


def _body(count: int, apart: bool) -> float:
    """Inches that rows take with their axis."""
    return _HEADING + (count + (_APART if apart and count > 1 else 0)) * _ROW + _AXIS


def scores(title: str, data: Mapping[str, Any]) -> Sheet:
    """A row a task: its seeds, their mean with its interval, and chance."""
    rows, digits = data["rows"], data["digits"]
    by_seed = data["over"] == "seed"
    apart = next((number for number, row in enumerate(rows) if row["apart"]), None)
    many = max(len(row["values"]) for row in rows) > 12
    dot = {"marker": "o", "markersize": 4.5, "markerfacecolor": "none", "color": COLOURS[0], "markeredgewidth": 0.9}
    if many:
        dot |= {"marker": "|", "markersize": 7, "markeredgewidth": 0.7}
    bar = {"marker": "D", "markersize": 4.5, "color": BLACK, "linestyle": "-", "linewidth": 1.6}
    tick = {"marker": "|", "markersize": 11, "markeredgewidth": 2.2, "color": "#999999"}
    key = [Entry({"seed": "a seed", "index": "a mixture"}.get(data["over"], "a revision"), dot)]
    if any(row["low"] is not None for row in rows):
        key.append(Entry("mean with 95 % t interval over seeds", bar))
    if any(row["median"] is not None for row in rows):
        key.append(Entry("median", {**bar, "linestyle": "none"}))
    if any(row["chance"] is not None for row in rows):
        key.append(Entry("chance", tick))
    made = sheet(title, data["subtitle"], key, data["notes"], _body(len(rows), apart is not None))
    heading = "mean ± 95 %" if by_seed and len(key) > 1 else "median" if not by_seed and len(key) > 1 else ""
    laid = _rows(made, [row["label"] for row in rows], [_score_said(row, digits) for row in rows], apart, heading)
    axes = laid.axes
    both = list(zip(laid.places, rows, strict=True))
    chances = [(row["chance"], place) for place, row in both if row["chance"] is not None]
    marks(axes, chances, tick, zorder=1)
    marks(axes, [(value, place - 0.2) for place, row in both for value in row["values"]], dot, zorder=3)
    centres = [(row["median"] if row["mean"] is None else row["mean"], place + 0.16) for place, row in both]
    marks(axes, [(x, y) for x, y in centres if x is not None], {**bar, "linestyle": "none"}, zorder=4)
    bars = [(place + 0.16, row["low"], row["high"]) for place, row in both if row["low"] is not None]
    spans(axes, bars, bar)
    known = [
        *(row[name] for row in rows for name in ("low", "high", "chance")),
        *(v for r in rows for v in r["values"]),
    ]
    scale(axes, [value for value in known if value is not None], data["unit"])
    return made


def _score_said(row: Mapping[str, Any], digits: int) -> str:
    if row["mean"] is not None:
        half = f" ± {(row['high'] - row['low']) / 2:.{digits}f}" if row["low"] is not None else ""
        return f"{row['mean']:.{digits}f}{half}"
    if row["median"] is not None:
        return f"{row['median']:.{digits}f}"
    return f"{row['values'][0]:.{digits}f}" if len(row["values"]) == 1 else "–"


def difference(title: str, data: Mapping[str, Any]) -> Sheet:
    """A row a task: the difference of two families with its interval; the average stands apart."""
    rows, digits = data["rows"], data["digits"]
    key = [Entry(f"95 % over {over}", _OVER[over]) for over in _OVER if any(row["over"] == over for row in rows)]
    if any(row["value"] is not None and row["over"] is None for row in rows):
        key.append(Entry("no interval", _BARE))
    made = sheet(title, data["subtitle"], key, data["notes"], _body(len(rows), True) + 0.04)
    said = [_difference_said(row, digits) for row in rows]
    laid = _rows(made, [row["label"] for row in rows], said, 0, "difference [95 %]")
    axes = laid.axes
    for over, style in (*_OVER.items(), (None, _BARE)):
        own = [(place, row) for place, row in zip(laid.places, rows, strict=True) if row["over"] == over]
        drawn = [(place, row) for place, row in own if row["value"] is not None]
        marks(axes, [(row["value"], place) for place, row in drawn], {**style, "linestyle": "none"}, zorder=4)
        spans(axes, [(place, row["low"], row["high"]) for place, row in drawn if row["low"] is not None], style)
    known = [row[name] for row in rows for name in ("value", "low", "high") if row[name] is not None]
    scale(axes, [*known, 0.0], "", signed=True)
    axes.axvline(0, color=BLACK, linewidth=0.9, zorder=1)
    _name_sides(laid, data)
    return made


_OVER: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "seeds and documents": {"marker": "D", "markersize": 5, "color": BLACK, "linestyle": "-", "linewidth": 1.6},
        "seeds": {"marker": "o", "markersize": 5, "color": COLOURS[0], "linestyle": "-", "linewidth": 1.6},
        "documents": {
            "marker": "s", "markersize": 4.5, "color": COLOURS[1], "markerfacecolor": "white",
            "linestyle": (0, (2, 1)), "linewidth": 1.4,
        },
    }
)  # fmt: skip
_BARE: dict[str, Any] = {"marker": "x", "markersize": 5, "color": GREY, "linestyle": "none", "markeredgewidth": 1.4}


def _difference_said(row: Mapping[str, Any], digits: int) -> str:
    if row["value"] is None:
        return "not compared"
    interval = f" [{row['low']:+z.{digits}f}, {row['high']:+z.{digits}f}]" if row["low"] is not None else ""
    return f"{row['value']:+z.{digits}f}{interval}".replace("-", "−")


def _name_sides(laid: _Rows, data: Mapping[str, Any]) -> None:
    """Writes below the axis who is better on which side."""
    box, (low, high) = laid.axes.get_position(), laid.axes.get_xlim()
    zero = WIDTH * (box.x0 + (box.x1 - box.x0) * -low / (high - low))
    top = _HEADING + (laid.places[-1] + 1) * _ROW + 0.34
    left, right = (data["b"], data["a"]) if data["higher_is_better"] else (data["a"], data["b"])
    for name, form, room, at, side in (
        (left, "← {} better", zero - MARGIN, -_BESIDE, "right"),
        (right, "{} better →", WIDTH - MARGIN - zero, _BESIDE, "left"),
    ):
        room -= _BESIDE + width(form.format(""), SMALL)
        text = form.format(shortened(name, room, SMALL)) if room > 0.3 else form[0 if side == "right" else -1]
        laid.sheet.write(text, zero + at, top, size=SMALL, horizontalalignment=side)


_BESIDE = 0.06
"""Between the zero line and what stands beside it, inches."""


def mixture(title: str, data: Mapping[str, Any]) -> Sheet:
    """A row a domain: bars of one mixture, markers or strips of several."""
    if len(data["names"]) == 1:
        return _mixture_bars(title, data)
    return _mixture_marks(title, data)


def _mixture_bars(title: str, data: Mapping[str, Any]) -> Sheet:
    rows = data["rows"]
    made = sheet(title, data["subtitle"], (), data["notes"], _body(len(rows), False))
    values = [row["values"][0] for row in rows]
    said = [figures.percent(value / 100) for value in values]
    laid = _rows(made, [row["label"] for row in rows], said, None, "share")
    laid.axes.barh(laid.places, values, height=0.62, color=COLOURS[0], zorder=2)
    scale(laid.axes, [0.0, *values], data["unit"], from_zero=True)
    return made


def _mixture_marks(title: str, data: Mapping[str, Any]) -> Sheet:
    rows, names = data["rows"], data["names"]
    strip = {"marker": "|", "markersize": 8, "markeredgewidth": 0.8, "color": COLOURS[0]}
    centre = {"marker": "D", "markersize": 4.5, "color": BLACK}
    styles = [
        {"marker": marker, "markersize": 6, "color": colour, "markerfacecolor": "none", "markeredgewidth": 1.4}
        for marker, colour in zip(MARKERS, COLOURS, strict=True)
    ]
    if data["marked"]:
        key = [Entry(name, style) for name, style in zip(names, styles, strict=False)]
    else:
        key = [Entry(f"one of {len(names)} mixtures", strip), Entry("mean share, zeros included", centre)]
    made = sheet(title, data["subtitle"], key, data["notes"], _body(len(rows), False))
    ranges = [_range_said([value for value in row["values"] if value is not None]) for row in rows]
    laid = _rows(made, [row["label"] for row in rows], ranges, None, "lowest … highest")
    for number in range(len(names)):
        points = [
            (math.log10(row["values"][number]), place)
            for place, row in zip(laid.places, rows, strict=True)
            if row["values"][number] is not None
        ]
        marks(laid.axes, points, styles[number] if data["marked"] else strip, zorder=3)
    known = [[math.log10(value) for value in row["values"] if value is not None] for row in rows]
    means = [math.log10(row["mean"]) for row in rows]
    if not data["marked"]:
        marks(laid.axes, list(zip(means, laid.places, strict=True)), centre, zorder=4)
        known.append(means)
    log_scale(laid.axes, [value for row in known for value in row], data["unit"])
    return made


def _range_said(values: Sequence[float]) -> str:
    low, high = (figures.percent(value / 100) for value in (min(values), max(values)))
    return low if low == high else f"{low} … {high}"
