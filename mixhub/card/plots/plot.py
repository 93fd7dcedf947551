"""A plot: what it shows as plain values, in words and as bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from mixhub.card.plots.sheet import drawn_sha256
from mixhub.files import write_bytes
from mixhub.phrases import listed

DRAWING = 2
"""Counts up when the same data is drawn otherwise, so that plots are drawn anew."""
Kind = Literal["scores", "difference", "shots", "mixture", "losses"]

_DIGITS = 6
"""Significant digits of what is drawn, so that the last bits of a sum make no other plot."""


@dataclass(frozen=True)
class Plot:
    """A plot: what it shows, and in words."""

    name: str
    """Stem of its files; no part of the drawing."""
    kind: Kind
    """How it is drawn."""
    title: str
    alt: str
    """What is seen, in a sentence or two, with the main figures."""
    data: Mapping[str, Any]
    """All that is drawn, as JSON has it."""

    @cached_property
    def sha256(self) -> str:
        """Of all that is drawn, and of how; not of the bytes, which differ from one matplotlib to another."""
        drawn = [DRAWING, self.kind, self.title, self.alt, self.data]
        text = json.dumps(drawn, sort_keys=True, ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def svg(self) -> bytes:
        """SVG with title and description; the same bytes for the same data and version of matplotlib."""
        from mixhub.card.plots.sheet import settings, svg_bytes

        with settings():
            return svg_bytes(self._figure, self.title, self.alt, self.sha256)

    def png(self) -> bytes:
        """PNG, 1240 pixels wide; the same bytes for the same data and version of matplotlib."""
        from mixhub.card.plots.sheet import png_bytes, settings

        with settings():
            return png_bytes(self._figure, self.title, self.alt, self.sha256)

    @cached_property
    def _figure(self) -> Any:
        """Drawn once for both forms."""
        from mixhub.card.plots import dot_plots, line_plots

        draw = {
            "scores": dot_plots.scores,
            "difference": dot_plots.difference,
            "mixture": dot_plots.mixture,
            "shots": line_plots.shots,
            "losses": line_plots.losses,
        }[self.kind]
        return draw(self.title, self.data).figure


def write_plots(plots: Iterable[Plot], folder: Path, formats: Sequence[str] = ("svg", "png")) -> list[Path]:
    """Writes `<name>.<format>` of each plot into `folder`, which is made; a file that shows the same is left.

    Args:
        plots: what to write.
        folder: where to.
        formats: `svg`, `png` or both.

    Returns:
        The paths, written or left.
    """
    return [write_plot(plot, folder / f"{plot.name}.{form}") for plot in plots for form in formats]


def write_plot(plot: Plot, path: Path) -> Path:
    """Writes one plot, as SVG or PNG by the suffix of `path`; a file that shows the same is left as it is."""
    if not (path.is_file() and drawn_sha256(path.read_bytes()) == plot.sha256):
        write_bytes(path, plot.svg() if path.suffix.lower() == ".svg" else plot.png())
    return path


def number(value: float) -> float:
    """A value with the digits that are drawn."""
    return float(f"{value:.{_DIGITS}g}")


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return listed(names, most=4)
