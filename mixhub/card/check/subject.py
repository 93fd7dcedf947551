"""The card that the rules check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixhub.card.check.score_tables import ScoreTable
from mixhub.card.markdown.model_index import words_for_seeds
from mixhub.card.markdown.parse import ReadCard
from mixhub.errors import SpecError
from mixhub.findings import Finding


@dataclass(frozen=True)
class Subject:
    """A card as read, and where it is from."""

    card: ReadCard
    folder: Path | None
    """The folder of the card, where relative addresses are looked up; None: they are not."""

    @cached_property
    def score_tables(self) -> tuple[ScoreTable, ...]:
        """The tables with a row per model, in their order."""
        words: frozenset[str] = frozenset()
        with suppress(SpecError):  # the rules of the metadata report it
            words = words_for_seeds(self.card.metadata)
        return tuple(ScoreTable(table, words) for table in self.card.tables if ScoreTable.fits(table))

    def finding(self, code: str, message: str, hint: str, *, line: int, about: str) -> Finding:
        """Return a finding in this card."""
        return Finding(code, self.card.source, message, hint, line=line, about=about)


Rule = Callable[[Subject], Iterator[Finding]]
"""Finds one kind of error."""
