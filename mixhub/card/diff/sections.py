"""The sections of a card, by the headings that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixhub.card.markdown.parse import Heading, Part, ReadCard, Rule

Key = tuple[str, ...]
"""The headings that lead to a section, without the title; repeated ones are numbered."""

FIRST: Key = ()
"""The part before the first heading."""
FOOTER: Key = ("\0footer",)


@dataclass(frozen=True)
class Section:
    """What stands below a heading, up to the next one."""

    key: Key
    heading: Heading | None
    """None of the first part and of the footer."""
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Outline:
    """The title of a card, and its sections in their order."""

    title: Heading | None
    sections: Mapping[Key, Section]

    @classmethod
    def of(cls, card: ReadCard) -> Outline:
        headings = [heading for heading in card.headings if heading.is_outermost]
        title = headings[0] if headings and headings[0].level == 1 else None
        footer = next((part for part in reversed(card.parts) if isinstance(part, Rule)), None)
        if footer and headings and headings[-1].line > footer.line:
            footer = None
        keys = iter(numbered([_path(heading, title) for heading in headings if heading is not title]))
        found: list[tuple[Key, Heading | None, list[Part]]] = [(FIRST, None, [])]
        for part in card.parts:
            if part is footer:
                found.append((FOOTER, None, [part]))
            elif not (isinstance(part, Heading) and part.is_outermost):
                found[-1][2].append(part)
            elif part is not title:
                found.append((next(keys), part, []))
        return cls(title, {key: Section(key, heading, tuple(parts)) for key, heading, parts in found})


def _path(heading: Heading, title: Heading | None) -> Key:
    below_title = title is not None and heading.section[:1] == (title.text,)
    return (*heading.section[below_title:], heading.text)


def numbered(paths: Sequence[Key]) -> list[Key]:
    """The same paths, each once: a repeated one has a number behind its last name."""
    found: dict[Key, None] = {}
    for path in paths:
        unique, times = path, 1
        while unique in found:
            times += 1
            unique = (*path[:-1], f"{path[-1]} ({times})")
        found[unique] = None
    return list(found)
