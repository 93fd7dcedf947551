"""What a check of a card finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FindingKind = Literal["metadata", "link", "table", "figures", "code", "freshness"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a card."""

    kind: FindingKind
    source: str
    """The card, as the user names it."""
    line: int
    """Where it stands, from 1; 0 for the card as a whole."""
    where: str
    """What it is about: a key of the metadata, an address, or a cell as `SciQ seed 3`."""
    message: str
    """One line: what, the value, and the rule that it breaks."""
    hint: str
    """The next step."""

    def __str__(self) -> str:
        """`README.md:12: what is wrong`."""
        place = f"{self.source}:{self.line}" if self.line else self.source
        return f"{place}: {self.message}"
