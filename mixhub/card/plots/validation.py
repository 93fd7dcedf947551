"""The plot of validation losses: families against each other, a panel for each domain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mixhub.analysis.losses.logs import Curves
from mixhub.analysis.losses.runs import LossRuns
from mixhub.analysis.scores import ALL_TEXT, OVERALL
from mixhub.card.markdown.text import clipped
from mixhub.card.plots.canvas import COLOURS, SMALL, Style, new_figure, printable
from mixhub.card.plots.plot import Plot, number
from mixhub.phrases import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
_MAX_POINTS = 200
"""Points of a line; of more, some are left out at equal distances, but never the last."""
_WARM_UP = 0.05
"""Share of the steps at the start, in which losses fall so far that a scale for all of them shows little else."""
_DASHES = ("-", "--", ":", "-.")
_AVERAGE = "Average of domains"


def validation_plot(families: Sequence[LossRuns]) -> Plot | None:
    """Plot validation losses against steps: a thin line for each run, a thick one for the mean of each family.

    Args:
        families: the runs, with their losses by domain and step.

    Returns:
        None if no run was validated at two steps.
    """
    domains = list(dict.fromkeys(d for one in families for curves in one.runs.values() for d in curves))
    panels = []
    if len([domain for domain in domains if domain != OVERALL]) > 1:
        averages = [{revision: _average(curves) for revision, curves in one.runs.items()} for one in families]
        panels.append(_panel(_AVERAGE, families, averages))
    for domain in domains:
        curves = [{revision: _finite(own, domain) for revision, own in one.runs.items()} for one in families]
        panels.append(_panel(ALL_TEXT if domain == OVERALL else domain, families, curves))
    panels = [panel for panel in panels if panel["lines"]]
    if not panels:
        return None
    names = [one.name for one in families]
    runs = "; ".join(
        f"{one.name}: {plural(len(one.runs), one.kind, 'indices' if one.kind == 'index' else None)}" for one in families
    )
    data = {
        "subtitle": f"Validation losses in nats per token against steps, lower is better. {runs}.",
        "unit": "nats per token",
        "names": names,
        "panels": panels,
        "notes": [],
    }
    ends = [f"{panel['title']} {_ends(panel, names)}" for panel in panels[:6]]
    title = f"{' and '.join(names)}: validation loss" if len(names) < 4 else f"{len(names)} families: validation loss"
    alt = f"Line plots by domain. {data['subtitle']} At the last step, means over runs: {'; '.join(ends)}."
    return Plot("validation", draw_validation, title, alt, data)


def draw_validation(title: str, data: Mapping[str, Any]) -> Figure:
    """A panel for each domain: a colour for each family, thin lines for its runs, a thick one for their mean."""
    panels = data["panels"]
    styles = {name: _style(at) for at, name in enumerate(data["names"])}
    columns = min(_COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    last = max(point[0] for panel in panels for line in panel["lines"] for point in line["points"])
    is_cut = any(_is_cut(panel, last) for panel in panels)
    notes = (
        [f"The scales start after the first {round(_WARM_UP * last):,} steps; higher losses are cut off."]
        if is_cut
        else []
    )
    key = {name: style | {"linewidth": 2} for name, style in styles.items()}
    figure, axes = new_figure(
        title, {**data, "notes": [*data["notes"], *notes]}, key, 1.5 * rows + 0.3, (rows, columns)
    )
    for panel, one in zip(panels, axes, strict=False):
        for line in panel["lines"]:
            width: Style = {"linewidth": 2.0} if line["is_mean"] else {"linewidth": 0.6, "alpha": 0.6}
            marker = "." if len(line["points"]) == 1 else ""
            one.plot(*zip(*line["points"], strict=True), **styles[line["name"]], **width, marker=marker)
        shown = _scaled(panel, last)
        room = 0.07 * (max(shown) - min(shown)) or 0.1
        one.set(ylim=(min(shown) - room, max(shown) + room), xlim=(0, 1.02 * last or 1))
        one.set_title(clipped(printable(panel["title"]), 24))
        one.locator_params(nbins=4)
        one.tick_params(labelsize=SMALL)
        one.grid(axis="y")
        one.xaxis.set_major_formatter(lambda step, _: f"{step:,.0f}")
    for one in axes[len(panels) :]:
        one.set_visible(False)
    for one in axes[len(panels) - columns : len(panels)]:
        one.set_xlabel("step")
        one.tick_params(labelbottom=True)
    for one in axes[::columns]:
        one.set_ylabel(data["unit"])
    return figure


def _style(at: int) -> Style:
    return {"color": COLOURS[at % len(COLOURS)], "linestyle": _DASHES[at // len(COLOURS) % len(_DASHES)]}


def _finite(curves: Curves, domain: str) -> dict[int, float]:
    curve = curves.get(domain, {})
    return {step: loss for step, loss in _sorted(curve) if math.isfinite(loss)}


def _sorted(curve: Mapping[int | None, float]) -> list[tuple[int, float]]:
    """The points of a curve with a known step, in order."""
    return sorted((step, loss) for step, loss in curve.items() if step is not None)


def _average(curves: Curves) -> dict[int, float]:
    """The plain mean over domains, at the steps at which each of them was measured."""
    own = [_finite(curves, domain) for domain in curves if domain != OVERALL]
    common = sorted(set.intersection(*map(set, own))) if own else []
    return {step: fmean(curve[step] for curve in own) for step in common}


def _panel(
    title: str, families: Sequence[LossRuns], curves: Sequence[Mapping[str, dict[int, float]]]
) -> dict[str, Any]:
    """The lines of one domain: of each run, and of the mean of each family where its runs have steps in common."""
    lines = []
    for family, by_run in zip(families, curves, strict=True):
        runs = [curve for curve in by_run.values() if curve]
        lines += [{"name": family.name, "is_mean": False, "points": _thinned(curve)} for curve in runs]
        common = sorted(set.intersection(*map(set, runs))) if len(runs) > 1 else []
        if common:
            mean = {step: fmean(curve[step] for curve in runs) for step in common}
            lines.append({"name": family.name, "is_mean": True, "points": _thinned(mean)})
    return {"title": title, "lines": lines}


def _thinned(curve: Mapping[int, float]) -> list[list[float]]:
    points = [[float(step), number(loss)] for step, loss in curve.items()]
    return points[:: -math.ceil(len(points) / _MAX_POINTS)][::-1]


def _scaled(panel: Mapping[str, Any], last: float) -> list[float]:
    """The losses that the scale must hold: those after the warm-up, or all if there are too few after it."""
    late = [[y for x, y in line["points"] if x >= _WARM_UP * last] for line in panel["lines"]]
    if max(map(len, late)) < 2:
        late = [[y for _, y in line["points"]] for line in panel["lines"]]
    return [y for ys in late for y in ys]


def _is_cut(panel: Mapping[str, Any], last: float) -> bool:
    return any(y > max(_scaled(panel, last)) for line in panel["lines"] for _, y in line["points"])


def _ends(panel: Mapping[str, Any], names: Sequence[str]) -> str:
    ends = []
    for name in names:
        lines = [line["points"][-1][1] for line in panel["lines"] if line["name"] == name and not line["is_mean"]]
        ends += [f"{name} {fmean(lines):.4f}"] if lines else []
    return ", ".join(ends)
