"""The plot of the data: the weight of each domain beside its share of the packed tokens, and its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown import figures
from mixhub.card.plots.canvas import BLACK, COLOURS, Style, row_figure
from mixhub.card.plots.plot import Plot, number, some
from mixhub.phrases import magnitude, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_DOMAINS = 40
_BARS: dict[str, tuple[str, Style]] = {
    "weight": ("weight in the mixture", {"color": COLOURS[0]}),
    "packed": ("packed", {"color": COLOURS[5]}),
}
_SQUARE: Style = {"linestyle": "none", "marker": "s", "markersize": 7}
_READ: Style = {"linestyle": "none", "marker": "|", "markersize": 15, "markeredgewidth": 1.6, "color": BLACK}
_TO_SEE = 0.005
"""A share that is read is marked if one of them differs from its weight by this part."""


def data_plot(name: str, domains: Sequence[Mapping[str, Any]], tokens: int) -> Plot:
    """Plot weight, share packed and share read of each domain, and how often it is read.

    Args:
        name: of the family or run.
        domains: each with its name (`domain`), `weight`, `share` of the packed tokens, `sequences` that the run reads,
            and `epochs`; share and epochs are None if unknown.
        tokens: tokens that a run reads.
    """
    total = sum(domain["sequences"] for domain in domains) or 1  # none if RegMix's loader skips all domains
    by_weight = sorted(domains, key=lambda domain: -domain["weight"])
    rows = [
        {
            "label": domain["domain"],
            "weight": number(100 * domain["weight"]),
            "packed": None if domain["share"] is None else number(100 * domain["share"]),
            "read": number(100 * domain["sequences"] / total),
            "epochs": None if domain["epochs"] is None else number(domain["epochs"]),
        }
        for domain in by_weight[:_MAX_DOMAINS]
    ]
    rest = [domain["domain"] for domain in by_weight[_MAX_DOMAINS:]]
    data = {
        "subtitle": f"Shares of tokens, {plural(len(domains), 'domain')}; a run reads {magnitude(tokens)} tokens.",
        "unit": "share of tokens, %",
        "rows": rows,
        "notes": [f"Not drawn: {some(rest)}."] if rest else [],
    }
    title = f"{name}: mixture and packed text"
    return Plot("data", draw_data, title, f"Bar chart. {title}. {data['subtitle']} {_summary(rows)}", data)


def draw_data(title: str, data: Mapping[str, Any]) -> Figure:
    """Each row has bars for the weight and the packed share of a domain, and a mark for the share that is read."""
    rows = data["rows"]
    bars = {part: style for part, style in _BARS.items() if any(row[part] is not None for row in rows)}
    key = {name: _SQUARE | style for name, style in bars.values()}
    is_marked = any(abs(row["read"] - row["weight"]) > _TO_SEE * row["weight"] for row in rows)
    if is_marked:
        key["read"] = _READ
    epochs = ["" if row["epochs"] is None else figures.epochs(row["epochs"]) for row in rows]
    figure, axes, places = row_figure(title, data, key, "epochs" if any(epochs) else "", epochs)
    height = 0.72 / len(bars)
    for n, (part, (_, style)) in enumerate(bars.items()):
        own = [place - 0.36 + (n + 0.5) * height for place in places]
        axes.barh(own, [row[part] or 0 for row in rows], height=height, zorder=2, **style)
    if is_marked:
        axes.plot([row["read"] for row in rows], places, zorder=3, **_READ)
    axes.set_xlim(left=0)
    return figure


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    known = [row for row in rows if row["epochs"] is not None]
    if not known:
        return "Nothing is packed yet."
    most = max(known, key=lambda row: row["epochs"])
    return f"Read most often: {most['label']}, {figures.epochs(most['epochs'])} times."
