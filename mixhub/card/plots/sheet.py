"""A sheet of paper that a plot is drawn on: title, key and notes around room for axes, and what becomes of it as bytes.

Everything is placed in inches by measured widths of text, which is much quicker than the layouts of matplotlib, and
nothing is global: no pyplot, and settings hold for the block that draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.2
"""Of a sheet, inches: at the 360 px of a phone, text of 10 pt is then 8 px high."""
MARGIN = 0.12
TITLE, TEXT, SMALL = 11.5, 10.0, 9.0
"""Sizes of text, points."""
BLACK, GREY, FAINT = "#000000", "#595959", "#d9d9d9"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, told apart by the colour-blind too; the darker first."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 2)))
"""Lines differ in them too, so that they are told apart without colour."""

_DOTS_PER_INCH = 200
_PALETTE = 128
"""Colours of a PNG."""
_NEARLY_WHITE = 251
"""The palette means over colours that are alike, which makes paper grey."""
_POINTS = 72
_LINE = 1.32
"""Height of a line of text, in its size."""
_STAMP = "mixhub-drawn"
_SVG_STAMP = re.compile(rb"<dc:identifier>" + _STAMP.encode() + rb":([0-9a-f]{64})</dc:identifier>")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # matplotlib ships it
    "font.size": TEXT,
    "text.parse_math": False,  # a $ in a title is a $
    "axes.linewidth": 0.8,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": TEXT,
    "lines.solid_capstyle": "butt",
    "svg.fonttype": "path",  # text would be set in whatever font a reader has, and run into its neighbours
    "svg.hashsalt": "mixhub",  # ids are random without it
}


class Entry(NamedTuple):
    """One line of a key."""

    label: str
    style: dict[str, Any]
    """Properties of the line or marker, as `Line2D` takes them."""


@dataclass(frozen=True)
class Sheet:
    """A figure with its texts, and where its axes go."""

    figure: Figure
    height: float
    """Inches."""
    top: float
    """Of the room for axes: inches from the top of the sheet."""

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes, without frame but for the line below them.

        Args:
            left: inches from the left edge of the sheet.
            top: inches from the top of the room for axes.
            width: inches.
            height: inches.
        """
        bottom = self.height - self.top - top - height
        box = (left / WIDTH, bottom / self.height, width / WIDTH, height / self.height)
        axes = self.figure.add_axes(box)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", length=3, width=0.8)
        return axes

    def write(self, text: str, left: float, top: float, *, size: float = TEXT, **how: Any) -> None:
        """Writes a line of text.

        Args:
            text: what; it is not shortened.
            left: inches from the left edge of the sheet.
            top: inches from the top of the room for axes to the middle of the line.
            size: points.
            how: further properties of the text.
        """
        place = self.figure.dpi_scale_trans
        how = {"verticalalignment": "center_baseline", **how}
        self.figure.text(left, self.height - self.top - top, plain(text), size=size, transform=place, **how)


def sheet(title: str, subtitle: str, key: Sequence[Entry], notes: Sequence[str], body: float) -> Sheet:
    """A sheet with `body` inches of room for axes, as high as its texts make it."""
    room = WIDTH - 2 * MARGIN
    head = [(line, TITLE, {"weight": "bold"}) for line in wrapped(title, room, TITLE, bold=True)[:2]]
    head += [(line, SMALL, {"color": GREY}) for line in wrapped(subtitle, room, SMALL)]
    foot = [(line, SMALL, {"color": GREY}) for note in notes for line in wrapped(note, room, SMALL)]
    key_lines = _key_lines(key, room)
    above = MARGIN + sum(_height(size) for _, size, _ in head) + len(key_lines) * _height(TEXT) + 0.1
    below = sum(_height(size) for _, size, _ in foot) + MARGIN
    height = above + body + below
    from matplotlib.figure import Figure

    made = Sheet(Figure(figsize=(WIDTH, height), facecolor="white"), height, above)
    after = _write_lines(made, head, MARGIN - above)
    for number, line in enumerate(key_lines):
        for left, entry in line:
            _write_entry(made, entry, left, after + (number + 0.6) * _height(TEXT))
    _write_lines(made, foot, body)
    return made


@contextmanager
def settings() -> Iterator[None]:
    """Holds the settings of our plots, and none of the user's, for the block."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def svg_bytes(figure: Figure, title: str, alt: str, sha256: str) -> bytes:
    """The figure as SVG that says in words what is seen, and carries `sha256`; the same bytes each time."""
    stamped = {"Identifier": f"{_STAMP}:{sha256}", "Date": None, "Creator": None, "Format": None, "Type": None}
    file = BytesIO()
    figure.savefig(file, format="svg", metadata=stamped)
    words = f"<title>{escape(_xml(title))}</title>\n <desc>{escape(_xml(alt))}</desc>"
    drawn = re.sub(
        r"<svg ([^>]*)>", lambda tag: f'<svg role="img" {tag[1]}>\n {words}', file.getvalue().decode(), count=1
    )
    return drawn.encode()


def png_bytes(figure: Figure, title: str, alt: str, sha256: str) -> bytes:
    """The figure as PNG with the same words in its metadata."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL.Image import Quantize, fromarray
    from PIL.PngImagePlugin import PngInfo

    stamped = PngInfo()
    for key, value in {"Title": _xml(title), "Description": _xml(alt)}.items():
        stamped.add_itxt(key, value)
    stamped.add_text(_STAMP, sha256)
    figure.set_dpi(_DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    drawn = fromarray(pixels).convert("RGB")
    # Few colours, so a palette loses nothing that is seen, and takes a quarter of the bytes.
    few = drawn.quantize(_PALETTE, Quantize.FASTOCTREE)
    few.putpalette([255 if value > _NEARLY_WHITE else value for value in few.getpalette() or ()])
    file = BytesIO()
    few.save(file, format="png", pnginfo=stamped)
    return file.getvalue()


def drawn_sha256(content: bytes) -> str | None:
    """The sha256 that an SVG or PNG of ours carries in its metadata; None for any other file."""
    if content.startswith(_PNG_SIGNATURE):
        return _png_stamp(content)
    found = _SVG_STAMP.search(content) if content.lstrip().startswith(b"<") else None
    return found[1].decode() if found else None


def plain(text: str) -> str:
    """Text on one line, of characters that the font has; a box stands for others."""
    known = _characters()
    return "".join(c if ord(c) in known else "□" for c in " ".join(_xml(text).split()))


@lru_cache(4096)
def width(text: str, size: float = TEXT, *, bold: bool = False) -> float:
    """Of a line of text, inches."""
    from matplotlib.textpath import text_to_path

    return float(text_to_path.get_text_width_height_descent(text, _font(size, bold), ismath=False)[0]) / _POINTS


def shortened(text: str, room: float, size: float = TEXT, *, bold: bool = False) -> str:
    """`text` as `plain` makes it, cut with an ellipsis where it is wider than `room` inches."""
    text = plain(text)
    if len(text) < 400 and width(text, size, bold=bold) <= room:
        return text
    low, high = 0, min(len(text), 400)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if width(f"{text[:middle].rstrip()}…", size, bold=bold) <= room else (low, middle - 1)
        )
    return f"{text[:low].rstrip()}…"


def wrapped(text: str, room: float, size: float, *, bold: bool = False) -> list[str]:
    """`text` as lines no wider than `room` inches; a word that is wider alone is shortened."""
    lines: list[str] = []
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size, bold=bold) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, room, size, bold=bold))
    return lines


def _key_lines(key: Sequence[Entry], room: float) -> list[list[tuple[float, Entry]]]:
    """The entries of a key in lines, each with its place from the left edge of the sheet, inches."""
    lines: list[list[tuple[float, Entry]]] = []
    left = room
    for label, style in key:
        shown = shortened(label, room - _SAMPLE, SMALL)
        needs = _SAMPLE + width(shown, SMALL)
        if not lines or left + needs > room:
            lines.append([])
            left = 0.0
        lines[-1].append((MARGIN + left, Entry(shown, style)))
        left += needs + 0.2
    return lines


_SAMPLE = 0.36
"""Room for the sample before a label of the key, inches."""


def _write_entry(made: Sheet, entry: Entry, left: float, top: float) -> None:
    from matplotlib.lines import Line2D

    height = made.height - made.top - top
    xs = [left, left + _SAMPLE - 0.08] if entry.style.get("linestyle", "none") != "none" else [left + 0.14]
    style = {"linestyle": "none", "markevery": [0] if len(xs) == 1 else [], **entry.style}
    made.figure.add_artist(Line2D(xs, [height] * len(xs), transform=made.figure.dpi_scale_trans, **style))
    if len(xs) == 2 and "marker" in entry.style:
        marker = {**entry.style, "linestyle": "none"}
        made.figure.add_artist(Line2D([sum(xs) / 2], [height], transform=made.figure.dpi_scale_trans, **marker))
    made.write(entry.label, left + _SAMPLE, top, size=SMALL)


def _write_lines(made: Sheet, lines: Sequence[tuple[str, float, dict[str, Any]]], top: float) -> float:
    """Writes lines from `top` on; where they end, both in inches from the top of the room for axes."""
    for text, size, how in lines:
        made.write(text, MARGIN, top + _height(size) / 2, size=size, **how)
        top += _height(size)
    return top


def _height(size: float) -> float:
    """Of a line of text, inches."""
    return _LINE * size / _POINTS


@cache
def _characters() -> frozenset[int]:
    """What the font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_font(TEXT, False))).get_charmap())


@cache
def _font(size: float, bold: bool) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")


def _xml(text: str) -> str:
    """`text` without what XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text)


def _png_stamp(content: bytes) -> str | None:
    place = len(_PNG_SIGNATURE)
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        key, _, value = content[place + 8 : place + 8 + length].partition(b"\0")
        if kind == b"tEXt" and key == _STAMP.encode():
            return value.decode("ascii") if re.fullmatch(rb"[0-9a-f]{64}", value) else None
        place += 12 + length
    return None
