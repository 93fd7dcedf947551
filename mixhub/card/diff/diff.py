"""What a new render of a card changes, as facts: figures, hyperparameters, metadata, words."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any, TypeVar

from mixhub.card.diff.change import Change, Kind
from mixhub.card.diff.metadata_diff import data_changes, metadata_changes
from mixhub.card.markdown import figures
from mixhub.card.markdown.parse import Fence, Heading, Html, Paragraph, Part, ReadCard, ReadTable, Rule, read_card
from mixhub.errors import SpecError
from mixhub.spec.base import parse_yaml

__all__ = ["Change", "card_changes"]

P = TypeVar("P", bound=Part)
T = TypeVar("T")
Key = tuple[str, ...]
"""The headings that lead to a section, without the title; repeated ones are numbered."""
Pair = tuple[P | None, P | None]
"""A part of the old card and the same of the new one; None where it is new or gone."""

_ALIKE = 0.4
"""Share of words that two paragraphs have in common where one is a new wording of the other."""
_SAME = 0.5
"""Share of words that two sections have in common where one is the other under a new heading."""
_NEAR = 20
"""So many paragraphs are looked at for the old wording of a new one."""
_BY_RUN = ("seed", "index", "branch")
"""First headers of tables with a line per model."""
_FIGURE = re.compile(r"[-+]?\d[\d,.]*(?:e-?\d+)?[%KMBT]?(?!\w)")
_FIRST: Key = ()
_FOOTER: Key = ("\0footer",)


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
    told, metadata = metadata_changes(before.metadata, after.metadata, _scores(before), _scores(after))
    comparison = _Comparison(before, after, _Names((before, after)))
    changes = [*metadata, *comparison.changes()]
    if not told:
        comparison.compare_lines(_metadata_lines(before), _metadata_lines(after), 1)
    return (*changes, *comparison.markup(all_the_same=not changes))


@dataclass(frozen=True)
class _Section:
    """What stands below a heading, up to the next one."""

    key: Key
    heading: Heading | None
    """None of the first part and of the footer."""
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _Outline:
    title: Heading | None
    sections: Mapping[Key, _Section]

    @classmethod
    def of(cls, card: ReadCard) -> _Outline:
        headings = [heading for heading in card.headings if heading.is_outermost]
        title = headings[0] if headings and headings[0].level == 1 else None
        footer = next((part for part in reversed(card.parts) if isinstance(part, Rule)), None)
        if footer and headings and headings[-1].line > footer.line:
            footer = None
        keys = iter(_numbered([_path(heading, title) for heading in headings if heading is not title]))
        found: list[tuple[Key, Heading | None, list[Part]]] = [(_FIRST, None, [])]
        for part in card.parts:
            if part is footer:
                found.append((_FOOTER, None, [part]))
            elif not (isinstance(part, Heading) and part.is_outermost):
                found[-1][2].append(part)
            elif part is not title:
                found.append((next(keys), part, []))
        return cls(title, {key: _Section(key, heading, tuple(parts)) for key, heading, parts in found})


class _Names:
    """Names of sections and of cells, just long enough to tell them apart in both cards."""

    def __init__(self, cards: Sequence[ReadCard]) -> None:
        self._sections = _repeated([[key[-1] for key in _Outline.of(card).sections if key] for card in cards])
        self._cells = _repeated([[n for table in card.tables for n in _Grid.of(table).names()] for card in cards])

    def section(self, key: Key) -> str:
        if key in (_FIRST, _FOOTER):
            return "footer" if key else "first part"
        return " › ".join(key) if key[-1] in self._sections else key[-1]

    def cell(self, section: str, grid: _Grid, row: str, column: str | None = None) -> str:
        """The name of a cell, or of a whole row."""
        name = grid.name(row, column)
        if grid.is_by_run:
            return f"{section}, {name}" if name in self._cells else name
        return name if grid.is_of_facts and name not in self._cells else f"{section}: {name}"


@dataclass(frozen=True)
class _Grid:
    """A table with names for rows and columns; repeated names are numbered."""

    first: str
    """The header of the row names."""
    columns: tuple[str, ...]
    """The other headers."""
    rows: Mapping[str, Mapping[str, str]]
    """Cells by row, then by column."""

    @classmethod
    def of(cls, table: ReadTable) -> _Grid:
        columns = tuple(_distinct(table.headers[1:]))
        cells = (dict(zip(columns, row[1:], strict=True)) for row in table.rows)
        return cls(table.headers[0], columns, dict(zip(_distinct([row[0] for row in table.rows]), cells, strict=True)))

    @property
    def is_by_run(self) -> bool:
        """Whether it has a line per model."""
        return self.first.casefold() in _BY_RUN

    @property
    def is_of_facts(self) -> bool:
        """Whether the first column names what the second one says."""
        return not self.is_by_run and (len(self.columns) == 1 or self.columns[:1] == ("Value",))

    def name(self, row: str, column: str | None) -> str:
        """Names a cell, or without a column a whole row, to who knows the table."""
        if self.is_by_run:
            shown = f"{self.first.lower()} {row}" if row.isdigit() else row
            return shown if column is None else f"{column} {shown}"
        return row if column is None or (self.is_of_facts and column == self.columns[0]) else f"{row}, {column}"

    def names(self) -> set[str]:
        """All names of cells and rows."""
        return {self.name(row, column) for row in self.rows for column in (None, *self.columns)}

    def column(self, column: str) -> str:
        """The cells of a column, on one line."""
        return ", ".join(cells[column] for cells in self.rows.values())

    def row(self, row: str) -> str:
        """The cells of a row, on one line."""
        return ", ".join(self.rows[row].values())


@dataclass
class _Comparison:
    """Two cards, section by section."""

    old: ReadCard
    new: ReadCard
    names: _Names
    alike: list[tuple[int, str, str]] = field(default_factory=list)
    """Lines that differ in parts that mean the same: the number of the new one, and both."""

    def changes(self) -> list[Change]:
        """What differs in title and sections; notes what differs in markup alone."""
        before, after = _Outline.of(self.old), _Outline.of(self.new)
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

    def _old_keys(self, before: _Outline, after: _Outline) -> dict[Key, Key]:
        """The old key of each section that both cards have, be it under another heading of the same level."""
        found = {key: key for key in after.sections if key in before.sections}
        left = {key: self._text(self.old, old) for key, old in before.sections.items() if key not in found}
        for key in [key for key in after.sections if key not in found]:
            text = self._text(self.new, after.sections[key])
            alike = [was for was in left if len(was) == len(key) and _share(left[was], text) > _SAME]
            if alike:
                found[key] = alike[0]
                del left[alike[0]]
        return found

    def _title(self, old: Heading | None, new: Heading | None) -> Iterator[Change]:
        if old and new and old.text == new.text:
            self._compare_markup(old, new)
        elif old or new:
            yield Change("text", "title", old.text if old else None, new.text if new else None)

    def _section(self, old: _Section | None, new: _Section) -> Iterator[Change]:
        if old is None:
            yield Change("text", self._name_of(new.key), None, self._text(self.new, new))
            return
        if old.key != new.key:
            yield Change("text", "heading", " › ".join(old.key), " › ".join(new.key))
        elif old.heading and new.heading:
            self._compare_markup(old.heading, new.heading)
        yield from self._within(self.names.section(new.key), old.parts, new.parts)

    def _within(self, section: str, old: Sequence[Part], new: Sequence[Part]) -> Iterator[Change]:
        compared = [
            *self._compared(_paired(_of(ReadTable, old), _of(ReadTable, new), _TABLES), section, self._table),
            *self._compared(_paired(_of(Fence, old), _of(Fence, new), _FENCES), section, _code),
            *self._compared(_paired(_plots(old), _plots(new), _PLOTS), section, _plot),
            *self._compared(_reworded(_texts(old), _texts(new)), section, _wording),
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
        if old is None or new is None:
            yield Change("fact", f"{section}: table", _said(old, _summary), _said(new, _summary))
        else:
            yield from _table_changes(section, _Grid.of(old), _Grid.of(new), self.names)
            yield from _link_changes(section, old, new)

    def _compare_markup(self, old: Part, new: Part) -> None:
        self.compare_lines(self.old.source(old), self.new.source(new), new.line)

    def _name_of(self, key: Key) -> str:
        return self.names.section(key) if key in (_FIRST, _FOOTER) else f"section {self.names.section(key)}"

    def _listed(self, keys: Iterable[Key]) -> str:
        return ", ".join(self.names.section(key) for key in keys if key)

    def _text(self, card: ReadCard, section: _Section) -> str:
        return "\n".join(line for part in section.parts for line in card.source(part))


def _table_changes(section: str, old: _Grid, new: _Grid, names: _Names) -> Iterator[Change]:
    is_mixture = "mixture" in section.casefold()
    kind: Kind = "mixture" if is_mixture else "fact" if old.is_of_facts else "figure"
    if old.first != new.first:
        yield Change("fact", f"{section}: header of the first column", old.first, new.first)
    yield from _column_changes(kind, section, old, new)
    columns = [column for column in new.columns if column in old.columns]
    for row in new.rows:
        if row not in old.rows:
            yield Change(kind, names.cell(section, new, row), None, new.row(row))
            continue
        for column in columns:
            if (was := old.rows[row][column]) != (now := new.rows[row][column]):
                yield _cell_change(kind, names.cell(section, new, row, column), was, now)
    for row in old.rows:
        if row not in new.rows:
            yield Change(kind, names.cell(section, old, row), old.row(row), None)
    yield from _order_of(f"{section}: order of the columns", old.columns, new.columns)
    yield from _order_of(f"{section}: order of the rows", list(old.rows), list(new.rows))


def _column_changes(kind: Kind, section: str, old: _Grid, new: _Grid) -> Iterator[Change]:
    for column in dict.fromkeys((*old.columns, *new.columns)):
        if column in old.columns and column in new.columns:
            continue
        grid = old if column in old.columns else new
        where, cells = f"column {column}" if grid.is_by_run else f"{section}: column {column}", grid.column(column)
        yield Change(kind, where, cells if grid is old else None, cells if grid is new else None)


def _cell_change(kind: Kind, where: str, old: str, new: str) -> Change:
    if kind == "figure" and not (_FIGURE.match(old) or _FIGURE.match(new)):
        kind = "fact"
    absent = ("", figures.ABSENT)
    return Change(kind, where, None if old in absent and new else old, None if new in absent and old else new)


def _order_of(where: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    was, now = ([name for name in names if name in old and name in new] for names in (old, new))
    if was != now:
        yield Change("fact", where, ", ".join(was), ", ".join(now))


def _link_changes(section: str, old: Part, new: Part) -> Iterator[Change]:
    """Addresses that differ below equal text."""
    was, now = ([(link.text, link.address, link.is_image) for link in part.links] for part in (old, new))
    gone, added = Counter(was) - Counter(now), Counter(now) - Counter(was)
    for text, is_image in dict.fromkeys((text, is_image) for text, _, is_image in (*gone, *added)):
        olds, news = (
            ", ".join(address for name, address, image in found.elements() if (name, image) == (text, is_image))
            for found in (gone, added)
        )
        yield Change("plot" if is_image else "fact", f"{section}: link {text}", olds or None, news or None)


def _code(section: str, old: Fence | None, new: Fence | None) -> Iterator[Change]:
    was, now = (_mapping(fence) for fence in (old, new))
    if was is not None and now is not None:
        is_mixture = "train" in {*was, *now} or "mixture" in section.casefold()
        found = [
            Change("mixture" if is_mixture else "code", where if is_mixture else f"{section}: {where}", before, after)
            for where, before, after in data_changes(was, now)
        ]
        yield from found
        if found:
            return
    if old is None or new is None or old.content != new.content:
        yield Change("code", f"{section}: code", *(_said(fence, lambda fence: fence.content) for fence in (old, new)))
    elif old.language != new.language:
        yield Change("code", f"{section}: language of the code", old.language, new.language)


def _mapping(fence: Fence | None) -> Mapping[str, Any] | None:
    if fence is None or fence.language not in ("yaml", "yml"):
        return None
    try:
        data = parse_yaml(fence.content, "code")
    except SpecError:
        return None
    return data if isinstance(data, dict) else None


def _plot(section: str, old: Paragraph | None, new: Paragraph | None) -> Iterator[Change]:
    was, now = (_said(part, _addresses) for part in (old, new))
    if was != now:
        yield Change("plot", f"{section}: plot", was, now)
    if old and new and old.text != new.text:
        yield Change("plot", f"{section}: plot {now}, alternative text", old.text, new.text)
    elif old and new and was == now:
        yield from _link_changes(section, old, new)


def _wording(section: str, old: Part | None, new: Part | None) -> Iterator[Change]:
    was, now = (_said(part, _text) for part in (old, new))
    if was != now:
        yield Change("plot" if "<img" in f"{was}{now}" else "text", section, was, now)
    elif old and new:
        yield from _link_changes(section, old, new)


def _said(part: P | None, text: Callable[[P], str]) -> str | None:
    return None if part is None else text(part)


def _addresses(plot: Paragraph) -> str:
    return ", ".join(link.address for link in plot.links if link.is_image)


def _text(part: Part) -> str:
    """A part as it is written, on one line."""
    if isinstance(part, Paragraph):
        return part.markdown
    if isinstance(part, Heading):
        return part.text
    return " ".join(part.content.split()) if isinstance(part, Html) else "---"


def _is_plot(part: Part) -> bool:
    """Whether it is a paragraph of nothing but images."""
    images = [link.text for link in part.links if link.is_image]
    return (
        isinstance(part, Paragraph) and bool(images) and "".join(part.text.split()) == "".join("".join(images).split())
    )


def _plots(parts: Iterable[Part]) -> list[Paragraph]:
    return [part for part in parts if isinstance(part, Paragraph) and _is_plot(part)]


def _texts(parts: Iterable[Part]) -> list[Part]:
    return [part for part in parts if not isinstance(part, (ReadTable, Fence)) and not _is_plot(part)]


def _of(kind: type[P], parts: Iterable[Part]) -> list[P]:
    return [part for part in parts if isinstance(part, kind)]


_TABLES: tuple[Callable[[ReadTable], object], ...] = (
    lambda table: (table.headers, table.rows),
    lambda table: table.headers,
    lambda table: table.headers[0],
)
_FENCES: tuple[Callable[[Fence], object], ...] = (lambda fence: fence.content, lambda fence: fence.language)
_PLOTS: tuple[Callable[[Paragraph], object], ...] = (
    lambda plot: [link.address for link in plot.links],
    lambda plot: plot.text,
)


def _paired(old: Sequence[P], new: Sequence[P], alike: Sequence[Callable[[P], object]]) -> Iterator[Pair[P]]:
    """Parts that go together: those that share the first of `alike`, of the others those that share the next."""
    left_old, left_new = list(old), list(new)
    for trait in alike:
        for part in list(left_new):
            match = next((other for other in left_old if trait(other) == trait(part)), None)
            if match is not None:
                left_old.remove(match)
                left_new.remove(part)
                yield match, part
    yield from ((part, None) for part in left_old)
    yield from ((None, part) for part in left_new)


def _reworded(old: Sequence[Part], new: Sequence[Part]) -> Iterator[Pair[Part]]:
    """Paragraphs that go together: equal ones, and between them those that share many words."""
    texts = [_text(part) for part in old], [_text(part) for part in new]
    for tag, a, a_end, b, b_end in difflib.SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(old[a:a_end], new[b:b_end], strict=True)
            continue
        left = list(old[a:a_end])
        for part in new[b:b_end]:
            shares = [_share(_text(other), _text(part)) for other in left[:_NEAR]]
            best = max(range(len(shares)), key=shares.__getitem__, default=None)
            yield (left.pop(best) if best is not None and shares[best] >= _ALIKE else None), part
        yield from ((part, None) for part in left)


def _share(old: str, new: str) -> float:
    """Share of words and marks that two texts have in common, 0 to 1."""
    was, now = (Counter(re.findall(r"\w+|[^\w\s]", text)) for text in (old, new))
    return 2 * (was & now).total() / max(1, was.total() + now.total())


def _summary(table: ReadTable) -> str:
    rows = "1 row" if len(table.rows) == 1 else f"{len(table.rows)} rows"
    return f"{rows} of {', '.join(header or '(no header)' for header in table.headers)}"


def _scores(card: ReadCard) -> dict[tuple[str, str], list[str]]:
    """What the tables with a line per model say, by column and row."""
    found: dict[tuple[str, str], list[str]] = {}
    for grid in map(_Grid.of, card.tables):
        if grid.is_by_run:
            for row, cells in grid.rows.items():
                for column, cell in cells.items():
                    found.setdefault((column, row), []).append(cell)
    return found


def _metadata_lines(card: ReadCard) -> Sequence[str]:
    return card.lines[: card.metadata_lines[1]] if card.metadata_lines else ()


def _path(heading: Heading, title: Heading | None) -> Key:
    below_title = title is not None and heading.section[:1] == (title.text,)
    return (*heading.section[below_title:], heading.text)


def _numbered(paths: Sequence[Key]) -> list[Key]:
    """The same paths, each once: a repeated one has a number behind its last name."""
    found: dict[Key, None] = {}
    for path in paths:
        unique, times = path, 1
        while unique in found:
            times += 1
            unique = (*path[:-1], f"{path[-1]} ({times})")
        found[unique] = None
    return list(found)


def _distinct(names: Sequence[str]) -> list[str]:
    return [name for (name,) in _numbered([(name,) for name in names])]


def _repeated(names: Iterable[Sequence[str]]) -> set[str]:
    """The names that stand more than once in one of the lists."""
    return {name for those in names for name, times in Counter(those).items() if times > 1}


def _is_out_of_order(places: Sequence[int]) -> bool:
    return any(after < before for before, after in pairwise(places))
