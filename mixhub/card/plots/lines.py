"""Plots of lines: scores against the number of shots, losses against tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures
from mixhub.card.markdown.text import clipped
from mixhub.card.plots.canvas import BLACK, COLOURS, FAINT, SMALL, Style, new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Line = tuple[Sequence[Sequence[float]], Style]
"""Points (x, y), and how they are drawn."""

_COLUMNS = 3
_THIN: Style = {"linewidth": 0.9, "color": COLOURS[0], "marker": ".", "markersize": 3}
_THICK: Style = {"linewidth": 4, "color": "#b8b8b8", "solid_capstyle": "round"}
"""Of the mean: wide and light, so that the runs on it can be seen."""
_CHANCE: Style = {"linewidth": 1, "color": COLOURS[1], "linestyle": "--"}
_DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 2)))
"""Lines differ in dashes too, so that they can be distinguished without colour."""
_DOT: Style = {"linestyle": "none", "marker": "o", "markersize": 1.6}
_MANY: Style = {"linewidth": 0.6, "color": "#808080"}
"""Of each run, if there are more runs than dashes."""
_MAX_DOMAINS = len(COLOURS)
"""Domains that are drawn in a colour each; of more, only the lowest and the highest, and their mean."""
_OTHER: Style = {"color": FAINT, "linewidth": 0.5, "linestyle": "-"}
"""Of a domain without a colour."""
_FLAT = 1e-6
"""Scores that differ by less than this share do not vary."""
_WARM_UP = 0.05
"""Share of the tokens at the start in which losses fall so far that a scale for all of them shows little else."""


def draw_shots(title: str, data: Mapping[str, Any]) -> Figure:
    """A panel for each task: a thin line for each seed, a thick one for their mean."""
    panels = data["panels"]
    key = {data["over"]: _THIN} | ({data["middle"]: _THICK} if data["drawn_middle"] else {})
    if any(panel["chance"] is not None for panel in panels):
        key["chance"] = _CHANCE
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = new_figure(title, data, key, 1.2 * rows + 0.3, (rows, columns))
    counts = sorted({count for panel in panels for count in panel["shots"]})
    for panel, one in zip(panels, axes, strict=False):
        if data["drawn_middle"]:
            one.plot(panel["shots"], [math.nan if value is None else value for value in panel["middle"]], **_THICK)
        for values in panel["lines"]:
            one.plot(panel["shots"], [math.nan if value is None else value for value in values], **_THIN)
        one.set_title(clipped(printable(panel["title"]), 24))
        one.set_xticks(counts if len(counts) <= 8 else [counts[0], counts[len(counts) // 2], counts[-1]])
        one.set_xlim(counts[0] - 0.25, counts[-1] + 0.25)
        _set_scale(one, 3)
        _set_room(one, [value for values in panel["lines"] for value in values if value is not None])
        if panel["chance"] is not None:
            _draw_chance(one, panel["chance"])
    for one in axes[len(panels) :]:
        one.set_visible(False)
    for one in axes[len(panels) - columns : len(panels)]:
        one.set_xlabel("number of shots")
        one.tick_params(labelbottom=True)
    for one in axes[::columns]:
        one.set_ylabel(data["unit"])
    return figure


def _set_room(axes: Axes, values: Sequence[float]) -> None:
    """Show scores that do not vary at their value, and not at digits of a scale without extent."""
    low, high = min(values), max(values)
    if high - low <= _FLAT * max(abs(low), abs(high)):
        axes.set(ylim=(low - 1, high + 1), yticks=[low])


def _draw_chance(axes: Axes, chance: float) -> None:
    """Draw the line of chance, or say on which side of the scale it is if that would make the scores too small."""
    low, high = axes.get_ylim()
    reach = high - low
    if low - reach <= chance <= high + reach:
        axes.axhline(chance, **_CHANCE)
        axes.set_ylim(min(low, chance - 0.1 * reach), max(high, chance + 0.1 * reach))
        return
    arrow, y, anchor = ("↓", 0.02, "bottom") if chance < low else ("↑", 0.98, "top")
    axes.text(
        *(0.02, y, f"chance {chance:g} {arrow}"),
        transform=axes.transAxes,
        verticalalignment=anchor,
        color=_CHANCE["color"],
        size=SMALL - 1,
    )


def draw_losses(title: str, data: Mapping[str, Any]) -> Figure:
    """Training above, validation below, against the same tokens; dashes tell runs apart, and colours domains."""
    domains = data["validation"]
    labels = [line["label"] for line in [*data["training"], *(line for own in domains for line in own["lines"])]]
    runs = list(dict.fromkeys(labels))
    many = len(runs) > len(_DASHES)
    styles: dict[str, Style] = dict.fromkeys(runs, _MANY) if many else {
        run: {"color": BLACK, "linestyle": dashes, "linewidth": 1.2} for run, dashes in zip(runs, _DASHES, strict=False)
    }  # fmt: skip
    training = [(line["points"], styles[line["label"]]) for line in data["training"]]
    ends = {own["label"]: fmean(line["points"][-1][1] for line in own["lines"]) for own in domains}
    colours = _domain_colours(ends)
    validation = [
        (line["points"], styles[line["label"]] | colours.get(own["label"], _OTHER))
        for own in sorted(domains, key=lambda own: own["label"] in colours)
        for line in own["lines"]
    ]
    names = {name: (ends[name], colour["color"]) for name, colour in colours.items()}
    if len(colours) < len(domains):
        means = [(points, styles[run]) for run, points in _means(domains, runs).items()]
        validation += means
        names |= {f"mean of {len(domains)}": (fmean(points[-1][1] for points, _ in means), BLACK)} if means else {}
        note = f"Validation: the lowest and highest of {len(domains)} domains in colour, their plain mean in black."
        data = {**data, "notes": [*data["notes"], note]}
    heading = f"Validation: {domains[0]['label']}" if len(domains) == 1 else "Validation, by domain"
    panels = [(lines, heading) for lines, heading in ((training, "Training"), (validation, heading)) if lines]
    end = max(x for lines, _ in panels for points, _ in lines for x, _ in points)
    if any(max(y for points, _ in lines for _, y in points) > max(_scaled(lines, end)) for lines, _ in panels):
        note = f"The scale starts after the first {_short(_WARM_UP * end)} tokens; higher losses are cut off."
        data = {**data, "notes": [*data["notes"], note]}
    key = {f"one of {len(runs)} runs": _MANY} if many else styles
    figure, axes = new_figure(title, data, key, 2.0 * len(panels) + 0.3, (len(panels), 1))
    for one, (lines, heading) in zip(axes, panels, strict=True):
        _draw_losses_panel(one, lines, end)
        one.set(title=printable(heading), ylabel=data["unit"])
    axes[-1].set_xlabel("training tokens")
    if len(names) > 1:
        _name_ends(axes[-1], names)
    return figure


def draw_domain_losses(title: str, data: Mapping[str, Any]) -> Figure:
    """A panel for each domain: lines of training and dots of validation, in the colour of their run."""
    panels, runs = data["panels"], data["runs"]
    many = len(runs) > len(COLOURS)
    colours = dict.fromkeys(runs, _MANY["color"]) if many else dict(zip(runs, COLOURS, strict=False))
    width = 0.6 if many else 0.8
    key: dict[str, Style] = {f"one of {len(runs)} runs": _MANY} if many else {
        run: {"color": colour} for run, colour in colours.items()
    }  # fmt: skip
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = new_figure(title, data, key, 1.25 * rows + 0.3, (rows, columns))
    end = max(x for panel in panels for part in ("training", "validation") for x in _xs(panel[part]))
    for panel, one in zip(panels, axes, strict=False):
        lines: list[Line] = [
            (line["points"], {"color": colours[line["label"]], **style})
            for part, style in (("training", {"linewidth": width}), ("validation", _DOT))
            for line in panel[part]
        ]
        _draw_losses_panel(one, lines, end, data["from"])
        one.locator_params(nbins=3)
        one.set_title(clipped(printable(panel["title"]), 28), size=SMALL - 1)
    for one in axes[len(panels) :]:
        one.set_visible(False)
    for one in axes[len(panels) - columns : len(panels)]:
        one.tick_params(labelbottom=True)
    axes[columns * (rows - 1)].set_xlabel("training tokens")
    for one in axes[::columns]:
        one.set_ylabel(data["unit"])
    return figure


def _xs(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    return [x for line in lines for x, _ in line["points"]]


def _domain_colours(ends: Mapping[str, float]) -> dict[str, Style]:
    """Return a colour by domain: of all, or of the lowest and the highest if they are too many."""
    names = list(ends)
    if len(names) > _MAX_DOMAINS:
        names = [min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)]
    return {name: {"color": colour} for name, colour in zip(names, COLOURS, strict=False)}


def _draw_losses_panel(axes: Axes, lines: Sequence[Line], end: float, warm_up: float = _WARM_UP) -> None:
    for points, style in lines:
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, **{"marker": "." if len(xs) == 1 else "", **style})
    _set_scale(axes, 4)
    shown = _scaled(lines, end, warm_up)
    room = 0.07 * (max(shown) - min(shown)) or 0.1
    axes.set(xlim=(0, 1.005 * end or 1), ylim=(min(shown) - room, max(shown) + room))
    axes.xaxis.set_major_formatter(lambda tokens, _: _short(tokens))


def _scaled(lines: Sequence[Line], end: float, warm_up: float = _WARM_UP) -> list[float]:
    """Return the losses that the scale must hold: those after the warm-up, or all if there are too few after it."""
    late = [[y for x, y in points if x >= warm_up * end] for points, _ in lines]
    if max(map(len, late)) < 4:
        late = [[y for _, y in points] for points, _ in lines]
    return [y for ys in late for y in ys]


def _name_ends(axes: Axes, names: Mapping[str, tuple[float, str]]) -> None:
    """Write names in their colour at the right edge, each joined to the value where its lines end.

    Args:
        axes: the panel.
        names: value and colour by name.
    """
    low, high = axes.get_ylim()
    gap = (high - low) / 10
    ends = sorted((value, colour, name) for name, (value, colour) in names.items())
    places: list[float] = []
    for value, *_ in ends:
        places.append(max(value, places[-1] + gap) if places else value)
    places = [min(place, high - gap * number) for number, place in zip(range(len(places))[::-1], places, strict=True)]
    right = axes.twinx()
    right.set_ylim(low, high)
    ticks = right.set_yticks(places, [clipped(printable(name), 26) for *_, name in ends], size=SMALL)
    right.tick_params(axis="y", pad=14)
    for (value, colour, _), place, tick in zip(ends, places, ticks, strict=True):
        tick.label2.set_color(colour)
        joined = [min(max(value, low), high), place]
        axes.plot(
            [1.005, 1.03], joined, transform=axes.get_yaxis_transform(), clip_on=False, color=colour, linewidth=0.8
        )


def _means(domains: Sequence[Mapping[str, Any]], runs: Sequence[str]) -> dict[str, list[list[float]]]:
    """Return the mean loss over all domains by run, at the tokens where each domain was measured."""
    means = {}
    for run in runs:
        lines = [dict(line["points"]) for domain in domains for line in domain["lines"] if line["label"] == run]
        common = sorted(set.intersection(*map(set, lines))) if len(lines) == len(domains) else []
        if common:
            means[run] = [[x, fmean(line[x] for line in lines)] for x in common]
    return means


def _set_scale(axes: Axes, ticks: int) -> None:
    axes.margins(y=0.08)
    axes.locator_params(axis="y", nbins=ticks)
    axes.tick_params(axis="y", labelsize=SMALL)
    axes.grid(axis="y")


def _short(tokens: float) -> str:
    """Return `1.5B` for 1,500,000,000."""
    count = figures.count(round(tokens))
    return count.rstrip("KMBT").rstrip("0").rstrip(".") + count[-1] if "." in count else count
