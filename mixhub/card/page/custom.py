"""Custom sections of a card, from Markdown that a user writes: they replace sections of the card, or are added."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mixhub.card.facts.withdrawal import FOOTER
from mixhub.card.markdown.parse import front_matter, shown, split_lines, tokens
from mixhub.errors import ABSENT, Problem, SpecError

_BEFORE = ("limits", "citation")
"""A new section that follows no other goes before the first of these that the card has."""
_COMMENT = re.compile(r"<!--(?:-?>|.*?-->)", re.DOTALL)


class Section(NamedTuple):
    """A heading of the second level, and all below it."""

    heading: str
    markdown: str
    """The whole section, with its heading."""

    @property
    def key(self) -> str:
        """A key that is equal for equal headings."""
        return " ".join(self.heading.split()).casefold()


@dataclass(frozen=True)
class Page:
    """The parts of a card, or of a file of custom sections, without the blank lines around them."""

    title: str
    """Markdown; empty without a title."""
    opening: str
    """Markdown before the first section, without the title."""
    sections: tuple[Section, ...]

    def apply(self, body: str) -> str:
        """Return a rendered card with these custom parts.

        The title and sections with the same headings are replaced, other sections are added, and the opening goes
        after the first part of the card.

        Args:
            body: Markdown of the card, without its metadata.
        """
        body, footer_start, footer = body.rpartition(FOOTER) if FOOTER in body else (body, "", "")
        page = _page(body)
        sections = list(page.sections)
        position = -1
        for section in self.sections:
            keys = [other.key for other in sections]
            if section.key in keys:
                position = keys.index(section.key)
                sections[position] = section
            else:
                before = next((keys.index(key) for key in _BEFORE if key in keys), len(keys))
                position = position + 1 if position >= 0 else before
                sections.insert(position, section)
        title = self.title or page.title
        parts = [f"# {title}" if title else "", page.opening, self.opening, *(one.markdown for one in sections)]
        return "\n\n".join(part for part in [*parts, f"{footer_start}{footer}".strip()] if part) + "\n"


def read_custom_sections(path: Path) -> Page | None:
    """Return the custom sections in a file; None if there is no file.

    Raises:
        SpecError: the file cannot be read, or breaks a rule of `parse_custom_sections`.
    """
    if not path.exists():
        return None
    try:
        return parse_custom_sections(path.read_bytes().decode("utf-8"), str(path))
    except OSError as error:
        problem = Problem("", None, f"cannot be read: {error.strerror}", code="file-unreadable")
    except UnicodeDecodeError as error:
        problem = _problem("file-malformed", error.object[: error.start].count(b"\n"), "not UTF-8")
    raise SpecError(str(path), [problem])


def parse_custom_sections(text: str, source: str) -> Page:
    """Return the parts of Markdown: an optional title (`# `), text, and sections (`## `).

    Args:
        text: the Markdown.
        source: the file, for errors.

    Raises:
        SpecError: there is metadata; a block is not closed; the title is not first; or a section is empty (a subheading
            alone is enough), or has no heading, or the heading of another.
    """
    text = text.removeprefix("\ufeff")
    if head := front_matter(text):
        problem = _problem("custom-metadata", head.lines[0] - 1, "metadata is not allowed in this file")
        raise SpecError(source, [problem], hint="set metadata in `card:` of the family, in mixhub.yaml")
    markdown = "\n".join(split_lines(text)).rstrip() + "\n"
    problems = list(_unclosed(markdown)) or list(_problems(markdown))
    if problems:
        raise SpecError(source, problems, hint="correct these lines, then render again")
    return _page(markdown)


class _Heading(NamedTuple):
    level: int
    text: str
    markdown: str
    start: int
    """Its first line, from 0."""
    end: int
    """The line after it."""


def _headings(markdown: str) -> list[_Heading]:
    """Return the headings of the first and second level, except those in lists and quotations."""
    return [
        _Heading(int(opening.tag[1:]), shown(inline.children), " ".join(inline.content.split()), *opening.map)
        for opening, inline in pairwise(tokens(markdown))
        if opening.type == "heading_open" and opening.level == 0 and opening.tag in ("h1", "h2") and opening.map
    ]


def _page(markdown: str) -> Page:
    lines, headings = split_lines(markdown), _headings(markdown)
    title = headings.pop(0) if headings and headings[0].level == 1 else None
    starts = [*(heading.start for heading in headings), len(lines)]
    above = lines[: title.start] + lines[title.end : starts[0]] if title else lines[: starts[0]]
    sections = [
        Section(heading.text, _trimmed(lines[start:end]))
        for heading, (start, end) in zip(headings, pairwise(starts), strict=True)
    ]
    return Page(title.markdown if title else "", _trimmed(above), tuple(sections))


def _unclosed(markdown: str) -> Iterator[Problem]:
    """Check that a heading after the text would be a heading: what is not closed hides the rest of the card."""
    probe = tokens(f"{markdown}\n## end\n")
    blocks = [token for token in probe if token.type in ("fence", "html_block") and token.map]
    comments = [token for token in blocks if token.type == "html_block" and "<!--" in _COMMENT.sub("", token.content)]
    if comments or probe[-1].type != "heading_close":
        last = (comments or blocks)[-1]
        assert last.map is not None
        mark = last.markup or last.content.split()[0]
        yield _problem("custom-unclosed", last.map[0], f"{mark} is not closed, so it hides the rest of the card")


def _problems(markdown: str) -> Iterator[Problem]:
    lines, headings = split_lines(markdown), _headings(markdown)
    seen: set[str] = set()
    starts = [*(heading.start for heading in headings), len(lines)]
    for heading, end in zip(headings, starts[1:], strict=True):
        key = Section(heading.text, "").key
        if not key:
            yield _problem("custom-heading-empty", heading.start, "the heading is empty")
        elif heading.level == 1:
            if "\n".join(lines[: heading.start]).strip():
                yield _problem(
                    "custom-title-misplaced", heading.start, "the title must be first; sections begin with ##"
                )
        elif key in seen:
            yield _problem("custom-heading-repeated", heading.start, f"another section is named {heading.text!r}")
        elif not _COMMENT.sub("", "\n".join(lines[heading.end : end])).strip():
            yield _problem("custom-section-empty", heading.start, f"the section {heading.text!r} has no text")
        if heading.level == 2:
            seen.add(key)


def _problem(code: str, line: int, rule: str) -> Problem:
    """Return a problem in a line, counted from 0."""
    return Problem(f"line {line + 1}", ABSENT, rule, code=code)


def _trimmed(lines: list[str]) -> str:
    """Return the lines as one text, without blank lines at its ends; the indent of the first line stays."""
    return re.sub(r"\A(?:[ \t]*\n)+", "", "\n".join(lines)).rstrip()
