"""A difference between two cards, and the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass

from mixhub.card.markdown.text import clipped

_WIDTH = 100
"""Characters of a value that a line shows."""
_CONTEXT = 25
"""Characters that are shown before the first difference of two long values."""


@dataclass(frozen=True)
class Change:
    """A difference between two cards."""

    where: str
    """What differs: `SciQ seed 3`, `Learning Rate`, `license`, or a section."""
    old: str | None
    """The whole old value; None if it is new."""
    new: str | None
    """The whole new value; None if it is gone."""
    is_figure: bool = False
    """Whether it is a figure in a table."""

    def __str__(self) -> str:
        """Return the change on one line; long values are cut around what differs."""
        if self.old is None or self.new is None:
            value = clipped(" ".join((self.old or self.new or "").split()), _WIDTH)
            return f"{self.where}: {'new' if self.old is None else 'gone'}{value and ', '}{value}"
        old, new = " ".join(self.old.split()), " ".join(self.new.split())
        if old == new:
            return self.where
        same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, same - _CONTEXT) if max(len(old), len(new)) > _WIDTH else 0
        old, new = (clipped("… " * bool(start) + text[start:], _WIDTH) or "(empty)" for text in (old, new))
        return f"{self.where}: {old} → {new}"
