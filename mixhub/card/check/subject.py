"""The card that the rules of the lint look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.card.check.index_shape import shape_faults
from mixhub.card.check.score_tables import ScoreTable
from mixhub.card.markdown.model_index import IndexEntry, read_model_index
from mixhub.card.markdown.parse import ReadCard, front_matter
from mixhub.findings import Finding

if TYPE_CHECKING:
    from yaml import Node


@dataclass(frozen=True)
class Subject:
    """A card as read, and where it is from."""

    source: str
    """Names the card in findings."""
    card: ReadCard
    folder: Path | None
    """The folder that it lies in; relative addresses are looked up there. None: they are not looked up."""
    lines: MetadataLines
    """Where its metadata stands."""

    @cached_property
    def score_tables(self) -> tuple[ScoreTable, ...]:
        """The tables with a line per model, in their order."""
        return tuple(scores for table in self.card.tables if (scores := ScoreTable.of(table)))

    @cached_property
    def index(self) -> tuple[IndexEntry, ...]:
        """The scores of the model-index; none where it has not the shape that the Hub reads."""
        if next(shape_faults(self.card.metadata), None) is not None:
            return ()
        return read_model_index(self.card.metadata) or ()


Rule = Callable[[Subject], Iterator[Finding]]
"""Looks for one kind of fault."""


class MetadataLines:
    """The lines of a card at which values of its metadata stand."""

    def __init__(self, text: str) -> None:
        self._head = front_matter(text.removeprefix("\ufeff"))

    @cached_property
    def _root(self) -> Node | None:
        import yaml

        # Empty lines in front, so that the parser counts the lines of the file.
        return yaml.compose("\n" * self._head.lines[0] + self._head.yaml, yaml.CSafeLoader) if self._head else None

    def line(self, *path: str | int) -> int:
        """The line of a value, by keys and indices from the outermost; of what is not there, that of what holds it."""
        from yaml import MappingNode, SequenceNode

        node, line = self._root, self._head.lines[0] if self._head else 1
        for part in path:
            if isinstance(node, MappingNode) and (found := [pair for pair in node.value if pair[0].value == part]):
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                break
        return line
