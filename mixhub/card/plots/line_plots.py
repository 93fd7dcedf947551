"""How plots of lines are drawn, of their data alone: scores against shots, losses against tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures
from mixhub.card.plots.axes import Point, lines, padded, ticks, upright_scale
from mixhub.card.plots.sheet import (
    BLACK,
    COLOURS,
    GREY,
    MARGIN,
    SMALL,
    STYLES,
    WIDTH,
    Entry,
    Sheet,
    plain,
    sheet,
    shortened,
    width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
"""Panels of shots side by side."""
_ACROSS = (WIDTH - 2 * MARGIN) / _COLUMNS
_PANEL = 1.25
"""Height of a panel with its title, inches."""
_THIN: dict[str, Any] = {"linestyle": "-", "linewidth": 0.8, "color": "#56B4E9"}
_THICK: dict[str, Any] = {"linestyle": "-", "linewidth": 1.8, "color": BLACK, "marker": "o", "markersize": 3.6}

_LOSS_PANEL = 2.1
_LEFT = 0.55
"""Room for the scale, inches."""
_WIDEST_NAME = 1.6
"""Of a line, inches."""
_TOLD_APART = 7
"""Runs up to so many have a colour and a style each."""
_MOST_DOMAINS = 8
"""Domains up to so many have lines with names; of more their mean has."""
_ONE_OF_MANY: dict[str, Any] = {"color": "#808080", "linestyle": "-", "linewidth": 0.6}
_BEHIND: dict[str, Any] = {"color": "#bfbfbf", "linestyle": "-", "linewidth": 0.5}
_ENOUGH = 4
"""Points of a line that are enough to be shown without those of the warm-up."""
_WARM_UP = 0.05
"""The share of tokens in which losses fall so far that a scale for all of it shows little else."""


def shots(title: str, data: Mapping[str, Any]) -> Sheet:
    """Small panels, one a task: each seed thin, their mean thick."""
    panels = data["panels"]
    key = [Entry({"seed": "a seed", "index": "a mixture"}.get(data["over"], "a revision"), _THIN)]
    has_middle = data["drawn_middle"]
    if has_middle:
        key.append(Entry(data["middle"], _THICK))
    down = math.ceil(len(panels) / _COLUMNS)
    made = sheet(title, data["subtitle"], key, data["notes"], down * _PANEL + 0.2)
    counts = sorted({count for panel in panels for count in panel["shots"]})
    for number, panel in enumerate(panels):
        axes = _shots_panel(made, number, panel["title"])
        named = number + _COLUMNS >= len(panels)
        axes.set_xlim(counts[0] - 0.25, counts[-1] + 0.25)
        shown = counts if len(counts) <= 8 else [counts[0], counts[len(counts) // 2], counts[-1]]
        axes.set_xticks(shown, [str(count) if named else "" for count in shown])
        found = [_known(panel["shots"], line) for line in panel["lines"]]
        lines(axes, found, _THIN)
        if has_middle and (middle := _known(panel["shots"], panel["middle"])):
            axes.plot([x for x, _ in middle], [y for _, y in middle], zorder=4, **_THICK)
        upright_scale(axes, *padded([y for line in found for _, y in line], 0.08), 3)
    _name(made, f"across: number of shots; up: {data['unit']}", down * _PANEL + 0.1)
    return made


def losses(title: str, data: Mapping[str, Any]) -> Sheet:
    """Training above, validation below, with the same tokens along the page."""
    runs = list(dict.fromkeys([line["label"] for line in data["training"]] + _runs_of(data["validation"])))
    each = _styles(runs)
    panels = [panel for panel in (_training(data, each), _validation(data, each)) if panel is not None]
    furthest = max(x for panel in panels for x, _ in panel.points)
    key = [Entry(name, each[name]) for name in runs] if len(runs) <= _TOLD_APART else []
    key = key or [Entry(f"one of {len(runs)} runs", _ONE_OF_MANY)]
    notes = [*data["notes"], *(panel.note for panel in panels if panel.note)]
    if any(panel.is_cut(furthest) for panel in panels):
        notes.append(f"Of the first {_tokens(_WARM_UP * furthest)} tokens, what lies outside a panel is not drawn.")
    made = sheet(title, data["subtitle"], key, notes, len(panels) * _LOSS_PANEL + 0.34)
    names = [name for panel in panels for _, name in panel.names]
    right = MARGIN + 0.1 + min(_WIDEST_NAME, max((width(plain(name), SMALL) for name in names), default=0.0))
    for number, panel in enumerate(panels):
        axes = made.axes(_LEFT, number * _LOSS_PANEL + 0.24, WIDTH - _LEFT - right, _LOSS_PANEL - 0.34)
        made.write(panel.heading, MARGIN, number * _LOSS_PANEL + 0.1, size=SMALL, weight="bold")
        axes.set_xlim(0, 1.005 * furthest or 1)
        steps = ticks(0, furthest or 1, 5)
        axes.set_xticks(steps, [_tokens(step) if panel is panels[-1] else "" for step in steps])
        upright_scale(axes, *panel.range(furthest), 4)
        for line in panel.lines:
            lines(axes, [_from(line.points, panel.range(furthest))], line.style, zorder=line.zorder)
        _name_lines(made, axes, panel, number * _LOSS_PANEL + 0.24, WIDTH - right + 0.06)
    _name(made, f"across: training tokens; up: loss, {data['unit']}", len(panels) * _LOSS_PANEL + 0.22)
    return made


@dataclass(frozen=True)
class _Line:
    points: Sequence[Point]
    style: dict[str, Any]
    zorder: float = 3


@dataclass(frozen=True)
class _Panel:
    heading: str
    lines: tuple[_Line, ...]
    names: tuple[tuple[float, str], ...]
    """Where at the right edge which name belongs, in the unit of the losses."""
    note: str = ""

    @property
    def points(self) -> list[Point]:
        return [point for line in self.lines for point in line.points]

    def range(self, furthest: float) -> tuple[float, float]:
        """Of the scale: without the warm-up, where there are losses enough after it."""
        late = [[y for x, y in line.points if x >= _WARM_UP * furthest] for line in self.lines]
        if max(map(len, late)) < _ENOUGH:
            return padded([y for _, y in self.points], 0.07)
        return padded([y for line in late for y in line], 0.07)

    def is_cut(self, furthest: float) -> bool:
        """Whether the scale leaves points out."""
        low, high = self.range(furthest)
        return any(not low <= y <= high for _, y in self.points)


def _training(data: Mapping[str, Any], each: Mapping[str, dict[str, Any]]) -> _Panel | None:
    found = data["training"]
    if not found:
        return None
    return _Panel("Training", tuple(_Line(line["points"], each[line["label"]]) for line in found), ())


def _validation(data: Mapping[str, Any], each: Mapping[str, dict[str, Any]]) -> _Panel | None:
    domains = data["validation"]
    if not domains:
        return None
    own = [_Line(line["points"], each[line["label"]]) for domain in domains for line in domain["lines"]]
    ends = [(fmean(line["points"][-1][1] for line in domain["lines"]), domain["label"]) for domain in domains]
    heading = f"Validation: {domains[0]['label']}" if len(domains) == 1 else "Validation, by domain"
    if len(domains) <= _MOST_DOMAINS:
        return _Panel(heading, tuple(own), () if len(domains) == 1 else tuple(ends))
    behind = [_Line(line.points, _BEHIND, 2) for line in own]
    means = [_Line(points, each[run]) for run, points in _means(domains).items()]
    names = [min(ends), max(ends)]
    if means:
        names.append((fmean(line.points[-1][1] for line in means), f"mean of {len(domains)}"))
    note = f"Validation: each of {len(domains)} domains in grey, their plain mean in the style of its run."
    return _Panel("Validation", (*behind, *means), tuple(names), note)


def _means(domains: Sequence[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """By run, the mean over all domains, wherever each of them was measured."""
    found: dict[str, list[Point]] = {}
    for run in _runs_of(domains):
        own = [dict(line["points"]) for domain in domains for line in domain["lines"] if line["label"] == run]
        common = sorted(set.intersection(*(set(line) for line in own))) if len(own) == len(domains) else []
        if common:
            found[run] = [(x, fmean(line[x] for line in own)) for x in common]
    return found


def _runs_of(domains: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(line["label"] for domain in domains for line in domain["lines"]))


def _styles(runs: Sequence[str]) -> dict[str, dict[str, Any]]:
    if len(runs) > _TOLD_APART:
        return dict.fromkeys(runs, _ONE_OF_MANY)
    both = zip(runs, COLOURS, STYLES, strict=False)
    return {run: {"color": colour, "linestyle": style, "linewidth": 1.3} for run, colour, style in both}


def _name_lines(made: Sheet, axes: Axes, panel: _Panel, top: float, left: float) -> None:
    """Writes names at the right edge, moved apart where lines end close together."""
    low, high = axes.get_ylim()
    height = _LOSS_PANEL - 0.34
    wanted = sorted((top + height * (1 - (y - low) / (high - low)), name) for y, name in panel.names)
    apart = 0.155
    places: list[float] = []
    for place, _ in wanted:
        places.append(max(place, places[-1] + apart) if places else place)
    over = max(0.0, places[-1] - (top + height)) if places else 0.0
    for number in range(len(places) - 1, -1, -1):  # what was pushed below the panel goes up again
        most = places[number + 1] - apart if number + 1 < len(places) else places[number] - over
        places[number] = min(places[number], most)
    for place, (_, name) in zip(places, wanted, strict=True):
        made.write(shortened(name, _WIDEST_NAME, SMALL), left, place, size=SMALL)


def _shots_panel(made: Sheet, number: int, title: str) -> Axes:
    left, top = MARGIN + number % _COLUMNS * _ACROSS, number // _COLUMNS * _PANEL
    shown = shortened(title, _ACROSS - 0.12, SMALL, bold=True)
    made.write(shown, left + 0.04, top + 0.1, size=SMALL, weight="bold")
    return made.axes(left + 0.44, top + 0.24, _ACROSS - 0.54, _PANEL - 0.42)


def _name(made: Sheet, text: str, top: float) -> None:
    made.write(text, WIDTH / 2, top, size=SMALL, color=GREY, horizontalalignment="center")


def _from(points: Sequence[Point], within: tuple[float, float]) -> Sequence[Point]:
    """The points from the first on that lies within."""
    first = next((number for number, (_, y) in enumerate(points) if within[0] <= y <= within[1]), len(points))
    return points[first:]


def _tokens(number: float) -> str:
    """`1.5B`."""
    digits, unit = re.fullmatch(r"([\d.,]+)([A-Z]?)", figures.count(round(number))).groups()  # type: ignore[union-attr]
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + unit


def _known(xs: Sequence[float], ys: Sequence[float | None]) -> list[Point]:
    return [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
