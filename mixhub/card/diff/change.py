"""One thing that differs between two cards, and how a line tells it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Kind = Literal["figure", "fact", "metadata", "mixture", "text", "code", "plot"]

_WIDTH = 100
"""Characters of a value that a line shows."""
_CONTEXT = 25
"""Characters that are shown beside what differs."""
_CODE_LINES = 12
"""Changed lines of code that are shown."""


@dataclass(frozen=True)
class Change:
    """One thing that differs between two cards."""

    kind: Kind
    where: str
    """What it is: `SciQ seed 3`, `Learning Rate`, `license`, or a section."""
    old: str | None
    """What stood there, whole; None where it is new."""
    new: str | None
    """What stands there now, whole; None where it is gone."""

    def __str__(self) -> str:
        """The change on one line, long values shortened around what differs; changed code takes some lines more."""
        if self.kind == "code" and "\n" in f"{self.old}{self.new}":
            return "\n".join((f"{self.where} {self._verb}", *_code_view(self.old or "", self.new or "")))
        if self.old is None or self.new is None:
            return f"{self.where}: {self._one_side()}"
        if self.old.split() == self.new.split():
            return self.where
        old, new = _around(self.old, self.new)
        return f"{self.where}: {old or '(empty)'} → {new or '(empty)'}"

    @property
    def _verb(self) -> str:
        return "new" if self.old is None else "gone" if self.new is None else "changed"

    def _one_side(self) -> str:
        value = _clipped((self.new if self.old is None else self.old) or "")
        if self.kind == "metadata":
            return f"{'+' if self.old is None else '-'} {value}"
        is_told = value and (self.old is None or self.kind == "text")
        return f"{self._verb}, {value}" if is_told else self._verb


def _code_view(old: str, new: str) -> list[str]:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    changed = [line for line in list(lines)[2:] if not line.startswith("@@")]
    shown = [f"  {line[0]} {_clipped(line[1:])}" for line in changed[:_CODE_LINES]]
    hidden = len(changed) - len(shown)
    return [*shown, f"  and {hidden} lines more"] if hidden else shown


def _around(old: str, new: str) -> tuple[str, str]:
    """Both texts, cut to what differs and a few words beside it where one is long."""
    old, new = " ".join(old.split()), " ".join(new.split())
    if max(len(old), len(new)) <= _WIDTH:
        return old, new
    same = _shared(old, new)
    rest = min(len(old), len(new)) - same
    same_end = min(rest, _shared(old[::-1], new[::-1]))
    start, end = max(0, same - _CONTEXT), max(0, same_end - _CONTEXT)
    if start and (space := old.find(" ", start, same)) >= 0:
        start = space + 1
    if end and (space := old[::-1].find(" ", end, same_end)) >= 0:
        end = space + 1
    cut_old, cut_new = (
        f"{'… ' if start else ''}{_clipped(text[start : len(text) - end])}{' …' if end else ''}" for text in (old, new)
    )
    return cut_old, cut_new


def _shared(old: str, new: str) -> int:
    """With how many of the same characters both begin."""
    return next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))


def _clipped(text: str) -> str:
    """The text on one line, its middle left out where it is long."""
    line = " ".join(text.split())
    if len(line) <= _WIDTH:
        return line
    head, tail = line[: _WIDTH - _CONTEXT], line[-_CONTEXT:]
    # Whole words, where words are of a usual length.
    head = head.rpartition(" ")[0] if " " in head[-_CONTEXT:] else head
    return f"{head} … {tail.partition(' ')[2] or tail}"
