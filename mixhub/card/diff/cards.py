"""What a new render of a card changes, as facts: figures, hyperparameters, metadata, words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest

from mixhub.card.diff.change import Change
from mixhub.card.diff.metadata import metadata_changes
from mixhub.card.diff.pairing import P, Pair, Parts, code_pairs, plot_pairs, share, table_pairs, text_pairs
from mixhub.card.diff.parts import code_changes, plot_changes, wording_changes
from mixhub.card.diff.sections import FIRST, FOOTER, Key, Outline, Section
from mixhub.card.diff.tables import Names, scores_by_run, table_changes
from mixhub.card.markdown.parse import Heading, Part, ReadCard, ReadTable, read_card

_SAME = 0.5
"""Share of words that two sections have in common where one is the other under a new heading."""


def card_changes(old: str, new: str, *, sources: tuple[str, str] = ("old card", "new card")) -> tuple[Change, ...]:
    """What differs between two cards: their metadata, then their sections in the order of the new one.

    Nothing is left out: where nothing differs but white space or markup, a change says so and names the first line.

    Args:
        old: the whole text of a card.
        new: the whole text of another.
        sources: name them in errors.

    Raises:
        SpecError: the metadata of one is no YAML mapping.
    """
    if old == new:
        return ()
    before, after = read_card(old, sources[0]), read_card(new, sources[1])
    told, metadata = metadata_changes(before.metadata, after.metadata, scores_by_run(before), scores_by_run(after))
    comparison = _Comparison(before, after, Names((before, after)))
    changes = [*metadata, *comparison.changes()]
    if not told:
        comparison.compare_lines(_metadata_lines(before), _metadata_lines(after), 1)
    return (*changes, *comparison.markup(all_the_same=not changes))


@dataclass
class _Comparison:
    """Two cards, section by section."""

    old: ReadCard
    new: ReadCard
    names: Names
    alike: list[tuple[int, str, str]] = field(default_factory=list)
    """Lines that differ in parts that mean the same: the number of the new one, and both."""

    def changes(self) -> list[Change]:
        """What differs in title and sections; notes what differs in markup alone."""
        before, after = Outline.of(self.old), Outline.of(self.new)
        was = self._old_keys(before, after)
        changes = list(self._title(before.title, after.title))
        for key, section in after.sections.items():
            changes += self._section(before.sections.get(was[key]) if key in was else None, section)
        for key in before.sections:
            if key not in was.values():
                changes.append(Change("text", self._name_of(key), self._text(self.old, before.sections[key]), None))
        places = list(before.sections)
        kept = [key for key in after.sections if key in was]
        if _is_out_of_order([places.index(was[key]) for key in kept]):
            ordered = sorted(kept, key=lambda key: places.index(was[key]))
            changes.append(Change("text", "order of the sections", self._listed(ordered), self._listed(kept)))
        return changes

    def compare_lines(self, old: Sequence[str], new: Sequence[str], first: int) -> None:
        """Notes the first line in which texts differ that mean the same; `first` is the line of the new one's first."""
        for at, (was, now) in enumerate(zip_longest(old, new)):
            if was != now:
                self.alike.append((first + at, was or "", now or ""))
                return

    def markup(self, *, all_the_same: bool) -> Iterator[Change]:
        """The change that tells what differs in markup alone, if anything does."""
        if all_the_same and not self.alike:
            self.compare_lines(self.old.lines, self.new.lines, 1)
        if self.alike:
            line, was, now = min(self.alike)
            last = max(1, len(self.new.lines) - (not self.new.lines[-1]))
            places = f", in {len(self.alike)} places" if len(self.alike) > 1 else ""
            where = f"the text differs in white space or markup only{places}, first in line {min(line, last)}"
            has_words = was.strip() and now.strip()
            yield Change("text", where, was, now) if has_words else Change("text", where, "", "")
        elif all_the_same:
            yield Change("text", "the text differs in line ends or a byte order mark only", "", "")

    def _old_keys(self, before: Outline, after: Outline) -> dict[Key, Key]:
        """The old key of each section that both cards have, be it under another heading of the same level."""
        found = {key: key for key in after.sections if key in before.sections}
        left = {key: self._text(self.old, old) for key, old in before.sections.items() if key not in found}
        for key in [key for key in after.sections if key not in found]:
            text = self._text(self.new, after.sections[key])
            alike = [was for was in left if len(was) == len(key) and share(left[was], text) > _SAME]
            if alike:
                found[key] = alike[0]
                del left[alike[0]]
        return found

    def _title(self, old: Heading | None, new: Heading | None) -> Iterator[Change]:
        if old and new and old.text == new.text:
            self._compare_markup(old, new)
        elif old or new:
            yield Change("text", "title", old.text if old else None, new.text if new else None)

    def _section(self, old: Section | None, new: Section) -> Iterator[Change]:
        if old is None:
            yield Change("text", self._name_of(new.key), None, self._text(self.new, new))
            return
        if old.key != new.key:
            yield Change("text", "heading", " › ".join(old.key), " › ".join(new.key))
        elif old.heading and new.heading:
            self._compare_markup(old.heading, new.heading)
        yield from self._within(self.names.section(new.key), old.parts, new.parts)

    def _within(self, section: str, old: Parts, new: Parts) -> Iterator[Change]:
        compared = [
            *self._compared(table_pairs(old, new), section, self._table),
            *self._compared(code_pairs(old, new), section, code_changes),
            *self._compared(plot_pairs(old, new), section, plot_changes),
            *self._compared(text_pairs(old, new), section, wording_changes),
        ]
        for _, _, changes in sorted(compared, key=lambda found: found[1] or found[0]):
            yield from changes
        both = sorted((was, now) for was, now, _ in compared if was and now)
        if _is_out_of_order([now for _, now in both]):
            yield Change("text", f"{section}: its parts stand in another order", "", "")

    def _compared(
        self, pairs: Iterable[Pair[P]], section: str, compare: Callable[[str, P | None, P | None], Iterable[Change]]
    ) -> Iterator[tuple[int, int, list[Change]]]:
        """Line in the old card and in the new one, 0 where it is not there, and what differs."""
        for old, new in pairs:
            changes = list(compare(section, old, new))
            if old and new and not changes:
                self._compare_markup(old, new)
            yield old.line if old else 0, new.line if new else 0, changes

    def _table(self, section: str, old: ReadTable | None, new: ReadTable | None) -> Iterator[Change]:
        return table_changes(section, old, new, self.names)

    def _compare_markup(self, old: Part, new: Part) -> None:
        self.compare_lines(self.old.source(old), self.new.source(new), new.line)

    def _name_of(self, key: Key) -> str:
        return self.names.section(key) if key in (FIRST, FOOTER) else f"section {self.names.section(key)}"

    def _listed(self, keys: Iterable[Key]) -> str:
        return ", ".join(self.names.section(key) for key in keys if key)

    def _text(self, card: ReadCard, section: Section) -> str:
        return "\n".join(line for part in section.parts for line in card.source(part))


def _metadata_lines(card: ReadCard) -> Sequence[str]:
    return card.lines[: card.metadata_lines[1]] if card.metadata_lines else ()


def _is_out_of_order(places: Sequence[int]) -> bool:
    return any(after < before for before, after in pairwise(places))
