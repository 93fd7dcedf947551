"""The figure that the text of a cell states."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

from mixhub.analysis.published.table import Figure, count_decimals

_NUMBER = r"[-+]?(?:\d{1,12}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
_FIGURE = re.compile(
    rf"\(?\s*(?P<value>{_NUMBER})(?:\s*%)?(?:\s*\))?"
    rf"(?:\s*\(?\s*(?:±|\+/?-)\s*(?P<stderr>{_NUMBER})(?:\s*%)?(?:\s*\))?)?"
    r"(?P<rest>.*)"
)
_REST = re.compile(r"(?:\s*(?:\((?P<inner>[^()]*)\)|\[[^\[\]]*\]|(?<=\s)[-+]\d[\d.]*%?|±.*|[?.,;:]))*\s*")
_NO_FIGURE = re.compile(r"(?:[-–—/×]+|n\.?\s?/?a\.?)(?:\s*\(.*\))?", re.IGNORECASE)
_COMMA = re.compile(r"(?<![\d.,])(?:(\d{1,3}),(\d{1,2}|\d{4,})|(0),(\d+))(?![\d.,])")
_CHANGE = re.compile(rf"(?P<before>.*\d.*?)\s*\(?[↑↓▲▼△▽⬆⬇]\ufe0f?\s*{_NUMBER}\s*%?\)?")
_KEPT = frozenset("+±<>=~≈≤≥")


class Printed(NamedTuple):
    """The numbers of a cell, as printed."""

    value: Decimal
    stderr: Decimal | None
    """The number after `±`."""

    @property
    def can_be_share(self) -> bool:
        """Whether it can be a fraction."""
        return 0 <= self.value <= 1

    def figure(self, *, is_fraction: bool) -> Figure:
        """The figure, in percent."""
        value, stderr = (
            None if number is None else number.scaleb(2 if is_fraction else 0) for number in (self.value, self.stderr)
        )
        assert value is not None
        if stderr is None:
            return Figure(float(value), count_decimals(value))
        return Figure(float(value), count_decimals(value), float(stderr), count_decimals(stderr))


def read_figure(text: str) -> Printed | None:
    """The one figure that a text states; None if it states none, or not clearly one.

    Marks, TeX, changes such as `(+1.2)` and remarks in parentheses are no part of a figure, nor is a number in
    parentheses, unless it could be a second score.
    """
    if _NO_FIGURE.fullmatch(text):
        return None
    match = _FIGURE.fullmatch(_plain(text))
    if match is None or (rest := _REST.fullmatch(match["rest"])) is None:
        return None
    value = Decimal(match["value"])
    inner = (rest["inner"] or "").strip().removesuffix("%")
    if re.fullmatch(r"\d+(?:\.\d*)?", inner) and 2 * Decimal(inner) > abs(value):
        return None
    return Printed(value, Decimal(match["stderr"]) if match["stderr"] else None)


def is_unclear(text: str) -> bool:
    """Whether a text has digits, but does not state one figure."""
    return any(map(str.isdigit, text)) and not _NO_FIGURE.fullmatch(text) and read_figure(text) is None


def _plain(text: str) -> str:
    """The text without TeX and marks, with a decimal point."""
    text = text.replace("\\pm", "±").replace("−", "-")
    while (shorter := re.sub(r"\\[A-Za-z]+\s*\{([^{}]*)\}", r"\1", text)) != text:
        text = shorter
    text = re.sub(r"_\{\s*±?", lambda match: " ± {" if "±" in match[0] else " ({", text)
    text = re.sub(r"\(\{([^{}]*)\}", r"(\1)", text)
    text = re.sub(r"\^(?:\{[^{}]*\}|\\[A-Za-z]+|\S)|\\[A-Za-z]+|\d\ufe0f?\u20e3|[{}$\\]", " ", text)
    if change := _CHANGE.fullmatch(text):
        text = change["before"]
    text = "".join(one for one in text if one in _KEPT or unicodedata.category(one)[:1] not in "SMC")
    text = re.sub(r"[*†‡§#!]", "", text)
    text = _COMMA.sub(lambda match: f"{match[1] or match[3]}.{match[2] or match[4]}", text)
    return " ".join(text.split())
