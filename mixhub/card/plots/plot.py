"""A plot: what it shows, as values and in words, and the files that it is written to."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from mixhub.card.plots.canvas import SETTINGS, lay_out
from mixhub.files import write_bytes
from mixhub.phrases import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWING = 5
"""Counts up when the same data is drawn differently, so that existing plots are drawn again."""
_STAMP = re.compile(rb"(?:<dc:identifier>mixhub-drawn:|tEXtmixhub-drawn\0|/Keywords \(mixhub-drawn:)([0-9a-f]{64})")


@dataclass(frozen=True)
class Plot:
    """A plot, by what it shows."""

    name: str
    """Stem of its files; not part of the drawing."""
    draw: Callable[[str, Mapping[str, Any]], Figure]
    """Draws the title and the data."""
    title: str
    alt: str
    """Description of the plot in a sentence or two, with the main figures."""
    data: Mapping[str, Any]
    """All that is drawn, as JSON values."""

    @cached_property
    def sha256(self) -> str:
        """Hash of what is drawn and how. Not of the bytes, which depend on the version of matplotlib."""
        drawn = [DRAWING, self.draw.__name__, self.title, self.alt, self.data]
        return hashlib.sha256(json.dumps(drawn, sort_keys=True, allow_nan=False).encode()).hexdigest()

    def svg(self) -> bytes:
        """Return the plot as SVG with title and description."""
        metadata = {"Title": _xml(self.title), "Identifier": f"mixhub-drawn:{self.sha256}", "Date": None}
        drawn = self._saved("svg", metadata=metadata | dict.fromkeys(("Creator", "Format", "Type")))
        words = f"<desc>{escape(_xml(self.alt))}</desc>\n <metadata>".encode()
        return drawn.replace(b"<svg ", b'<svg role="img" ', 1).replace(b"<metadata>", words, 1)

    def png(self) -> bytes:
        """Return the plot as PNG, 1240 pixels wide, with title and description in its metadata."""
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        metadata = PngInfo()
        for key, value in {"Title": self.title, "Description": self.alt, "mixhub-drawn": self.sha256}.items():
            metadata.add_text(key, _xml(value))
        file = BytesIO()
        with Image.open(BytesIO(self._saved("png", pil_kwargs={"compress_level": 0}))) as image:
            few = image.convert("RGB").quantize(64, Image.Quantize.FASTOCTREE)  # a quarter of the size
            few.putpalette([255 if value > 250 else value for value in few.getpalette() or ()])  # else white is 254
            few.save(file, format="png", pnginfo=metadata)
        return file.getvalue()

    def pdf(self) -> bytes:
        """Return the plot as PDF with title and description."""
        metadata = {"Title": _xml(self.title), "Subject": _xml(self.alt), "Keywords": f"mixhub-drawn:{self.sha256}"}
        return self._saved("pdf", metadata=metadata | dict.fromkeys(("CreationDate", "Creator", "Producer")))

    def _saved(self, form: str, **options: Any) -> bytes:
        import matplotlib

        file = BytesIO()
        with matplotlib.rc_context():  # the same drawing whatever the user's settings
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(SETTINGS)
            self._figure.savefig(file, format=form, **options)
        return file.getvalue()

    @cached_property
    def _figure(self) -> Figure:
        """The plot, laid out once for both forms."""
        figure = self.draw(self.title, self.data)
        lay_out(figure)
        return figure


def drawn_sha256(content: bytes) -> str | None:
    """Return the hash that an SVG, PNG or PDF by mixhub carries; None for any other file."""
    if not content.lstrip().startswith((b"<", b"\x89PNG\r\n\x1a\n", b"%PDF-")):
        return None
    stamp = _STAMP.search(content)
    return stamp[1].decode() if stamp else None


def write_plot(plot: Plot, path: Path) -> Path:
    """Write a plot as SVG, PNG or PDF, by the suffix of `path`, unless the file shows the same already."""
    if not (path.is_file() and drawn_sha256(path.read_bytes()) == plot.sha256):
        forms = {".svg": plot.svg, ".png": plot.png, ".pdf": plot.pdf}
        write_bytes(path, forms[path.suffix.lower()]())
    return path


def number(value: float) -> float:
    """Round to ten significant digits: the last bits of a sum make no other plot, and texts do not round twice."""
    return float(f"{value:.10g}")


def some(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return listed(names, most=4)


def _xml(text: str) -> str:
    """Return `text` without the characters that XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text)
