"""Plots with a row for each task or domain: scores, differences, mixtures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures
from mixhub.card.plots.canvas import BLACK, COLOURS, GREY, Style, row_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOT: Style = {"linestyle": "none", "marker": "o", "markersize": 4.5, "markerfacecolor": "none", "color": COLOURS[0]}
_STRIP: Style = {"linestyle": "none", "marker": "|", "markersize": 7, "markeredgewidth": 0.8, "color": COLOURS[0]}
_CHANCE: Style = {"linestyle": "none", "marker": "|", "markersize": 17, "markeredgewidth": 1.6, "color": COLOURS[1]}
"""As high as a row, so that it shows above and below marks at the same value."""
_CENTER: Style = {"linestyle": "none", "marker": "D", "markersize": 4.5, "color": BLACK}
_LINE: Style = {"linestyle": "-", "linewidth": 1.6}
"""In the key: a marker with an interval."""
_OVER: dict[str | None, Style] = {
    "seeds and documents": _CENTER,
    "pairs of seeds and documents": _CENTER,
    "pairs of seeds": _CENTER | {"marker": "o"},
    "seeds": {"linestyle": "none", "marker": "o", "markersize": 5, "color": COLOURS[0]},
    "documents": {
        "linestyle": "none",
        "marker": "s",
        "markersize": 4.5,
        "color": COLOURS[1],
        "markerfacecolor": "white",
    },
    None: {"marker": "x", "markersize": 5, "color": GREY, "linestyle": "none"},
}
_ENDS = ("low", "high")
_MARKERS = ("o", "s", "^", "D")


def draw_scores(title: str, data: Mapping[str, Any]) -> Figure:
    """Each row has the scores of a task: one of each seed, their mean with its interval, and chance."""
    rows, center = data["rows"], data["center"]
    dot = _STRIP if max(len(row["values"]) for row in rows) > 12 else _DOT
    key = {data["over"]: dot}
    has_interval = any(row["low"] is not None for row in rows)
    if any(len(row["values"]) > 1 and row["value"] is not None for row in rows):
        key |= {f"{center} with 95 % t interval over seeds": _CENTER | _LINE} if has_interval else {center: _CENTER}
    if any(row["chance"] is not None for row in rows):
        key["chance"] = _CHANCE
    heading = f"{center} ± 95 %" if has_interval else center if len(key) > 1 else ""
    values = [_value(row, f".{data['digits']}f", figures.ABSENT) for row in rows]
    figure, axes, places = row_figure(title, data, key, heading, values)
    dots = [(value, place - 0.18) for place, row in zip(places, rows, strict=True) for value in row["values"]]
    axes.plot([math.nan if row["chance"] is None else row["chance"] for row in rows], places, **_CHANCE)
    axes.plot(*zip(*dots, strict=True), **dot)
    _draw_intervals(axes, rows, [place + 0.18 for place in places], _CENTER)
    return figure


def draw_difference(title: str, data: Mapping[str, Any]) -> Figure:
    """Each row has the difference of two families on a task, with its interval."""
    rows = data["rows"]
    drawn = {row["over"] for row in rows if row["value"] is not None}
    key = {
        f"95 % over {over}" if over else "no interval": style | (_LINE if over else {})
        for over, style in _OVER.items()
        if over in drawn
    }
    values = [_value(row, f"+z.{data['digits']}f", "not compared") for row in rows]
    figure, axes, places = row_figure(title, data, key, "difference [95 %]", values)
    for over, style in _OVER.items():
        own = [(row, place) for row, place in zip(rows, places, strict=True) if row["over"] == over]
        _draw_intervals(axes, [row for row, _ in own], [place for _, place in own], style)
    axes.axvline(0, color=BLACK, linewidth=0.9)
    left, right = (data["b"], data["a"]) if data["higher_is_better"] else (data["a"], data["b"])
    axes.set_xlabel(f"← {left} better     |     {right} better →")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
    return figure


def draw_mixture(title: str, data: Mapping[str, Any]) -> Figure:
    """Each row has the share of a domain: a bar in one mixture, a marker for each of several."""
    from matplotlib.ticker import LogLocator

    rows, names = data["rows"], data["names"]
    if len(names) == 1:
        figure, axes, places = row_figure(title, data, {}, "share", [_range(row) for row in rows])
        axes.barh(places, [row["values"][0] for row in rows], height=0.62, color=COLOURS[0], zorder=2)
        return figure
    if data["marked"]:
        pairs = zip(names, _MARKERS, COLOURS, strict=False)
        styles = {name: {**_DOT, "marker": marker, "color": colour} for name, marker, colour in pairs}
        key = styles
    else:
        styles = dict.fromkeys(names, _STRIP)
        key = {f"one of {len(names)} mixtures": _STRIP, "mean, zeros included": _CENTER}
    figure, axes, places = row_figure(title, data, key, "lowest … highest", [_range(row) for row in rows])
    for number, name in enumerate(names):
        axes.plot([row["values"][number] for row in rows], places, **styles[name])
    if not data["marked"]:
        axes.plot([row["mean"] for row in rows], places, **_CENTER)
    if data["logarithmic"]:
        axes.set_xscale("log", subs=())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    else:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter("{x:g}")
    return figure


def _draw_intervals(axes: Axes, rows: Sequence[Mapping[str, Any]], places: Sequence[float], style: Style) -> None:
    """Draw the values of rows that have one, and their intervals; in one call, since each artist costs time."""
    drawn = [(row, place) for row, place in zip(rows, places, strict=True) if row["value"] is not None]
    values = [row["value"] for row, _ in drawn]
    ends = [[math.nan if row[end] is None else abs(row["value"] - row[end]) for row, _ in drawn] for end in _ENDS]
    axes.errorbar(values, [place for _, place in drawn], xerr=ends, capsize=3, elinewidth=1.6, **style)


def _value(row: Mapping[str, Any], form: str, absent: str) -> str:
    """Return a value with its interval: as ± half its width, or as its ends if the value has a sign."""
    value, low, high = row["value"], row["low"], row["high"]
    if value is None:
        return absent
    interval = ""
    if low is not None:
        interval = f" [{low:{form}}, {high:{form}}]" if "+" in form else f" ± {(high - low) / 2:{form}}"
    return f"{value:{form}}{interval}".replace("-", "−")


def _range(row: Mapping[str, Any]) -> str:
    low, high = (figures.percent(end(value or 0.0 for value in row["values"]) / 100) for end in (min, max))
    return low if low == high else f"{low} … {high}"
