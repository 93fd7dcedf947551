"""The figure that every plot is drawn on: one style, with title, key and notes around the axes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mixhub.card.markdown.text import clipped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Style = dict[str, Any]
"""Properties of a line or marker, as `Line2D` takes them."""

WIDTH = 6.2
"""Width of a figure, inches."""
SMALL = 9.0
BLACK, GREY, FAINT = "#000000", "#595959", "#d9d9d9"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's palette, which colour-blind readers can distinguish; the darker colours first."""
SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib
    "font.size": 10.0,
    "text.parse_math": False,  # a $ in a title is a $
    "axes.edgecolor": GREY,
    "axes.labelsize": SMALL,
    "axes.titlesize": SMALL,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "xtick.labelcolor": BLACK,
    "xtick.labelsize": SMALL,
    "ytick.major.size": 0,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.borderpad": 0.2,
    "legend.borderaxespad": 0.0,
    "savefig.dpi": 200,
    "svg.fonttype": "path",  # the reader may lack the font
    "svg.hashsalt": "mixhub",  # without it, ids are random
}
_TITLE, _LINE, _KEY, _ROW = 0.21, 0.165, 0.2, 0.25
"""Heights of a line of the title, of other text, of the key, and of a row of axes; inches."""
_EDGE = 0.12


def new_figure(
    title: str, data: Mapping[str, Any], key: Mapping[str, Style], body: float, panels: tuple[int, int] = (1, 1)
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with its texts, and its axes in the `body` inches between key and notes."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    heading, subtitle = _wrapped(title, 56)[:2], _wrapped(data["subtitle"], 84)
    notes = [line for note in data["notes"] for line in _wrapped(note, 84)]
    labels = [clipped(printable(label), 60) for label in key]
    widths = [len(label) + 6 for label in labels]
    columns = len(labels) if sum(widths) <= 90 else max(1, 90 // max(widths))
    below_title = _EDGE + _TITLE * len(heading)
    below_subtitle = below_title + _LINE * len(subtitle) + 0.04
    above = below_subtitle + _KEY * math.ceil(len(labels) / max(columns, 1)) + 0.04
    below = _LINE * len(notes) + _EDGE
    height = above + body + below
    figure = Figure((WIDTH, height))
    figure.subplots_adjust(bottom=below / height, top=(below + body) / height)
    texts: list[tuple[list[str], float, Style]] = [
        (heading, _EDGE, {"size": 11.5, "weight": "bold"}),
        (subtitle, below_title, {"size": SMALL, "color": GREY}),
        (notes, above + body, {"size": SMALL, "color": GREY}),
    ]
    for lines, top, style in texts:
        figure.text(_EDGE / WIDTH, 1 - top / height, "\n".join(lines), verticalalignment="top", **style)
    if labels:
        # matplotlib leaves out labels that begin with an underscore
        handles = [Line2D([], [], label=f" {label}", **key[name]) for label, name in zip(labels, key, strict=True)]
        figure.legend(
            handles=handles,
            ncols=columns,
            loc="upper left",
            bbox_to_anchor=(_EDGE / WIDTH, 1 - below_subtitle / height),
        )
    return figure, list(figure.subplots(*panels, squeeze=False, sharex=True).flat)


def lay_out(figure: Figure) -> None:
    """Fit the axes with their labels into the room between key and notes.

    Once, instead of by a layout engine of the figure, which would draw everything a second time for each file.
    """
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    room = figure.subplotpars
    ConstrainedLayoutEngine(rect=(0.01, room.bottom, 0.98, room.top - room.bottom)).execute(figure)


def row_figure(
    title: str, data: Mapping[str, Any], key: Mapping[str, Style], heading: str, values: Sequence[str]
) -> tuple[Figure, Axes, list[float]]:
    """Return a figure with a row for each of `data["rows"]`, its axes, and where the rows are on its y axis.

    The label of a row stands at the left, its value at the right, under a heading. Rows that are `apart` are bold, and
    have a gap before or after them.
    """
    rows = data["rows"]
    places = [0.0]
    for above, below in pairwise(rows):
        places.append(places[-1] + (1.0 if above.get("apart") == below.get("apart") else 1.4))
    top = -1.4 if heading else -0.6
    figure, (axes,) = new_figure(title, data, key, (places[-1] - top + 0.6) * _ROW + 0.45)
    right = axes.twinx()
    shown = [printable(value) for value in values]
    longest = max(map(len, shown))
    padded = [value.rjust(longest, "\N{FIGURE SPACE}") for value in shown]
    labels = axes.set_yticks(places, [clipped(printable(row["label"]), 26) for row in rows])
    figures = right.set_yticks([*places, -0.95], [*padded, heading], size=SMALL)
    figures[-1].label2.set_color(GREY)
    for side in (axes, right):
        side.set_ylim(places[-1] + 0.6, top)
        side.spines["bottom"].set_visible(side is axes)
    for number, row in enumerate(rows):
        if row.get("apart"):
            labels[number].label1.set_fontweight("bold")
            figures[number].label2.set_fontweight("bold")
    axes.grid(axis="y")
    axes.set_xlabel(data.get("unit", ""))
    return figure, axes, places


def printable(text: str) -> str:
    """Text on one line, with a box for each character that the font does not have."""
    known = _characters()
    return "".join(c if ord(c) in known else "□" for c in " ".join(text.split()))


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(clipped(printable(text), 600), width)


@cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
