"""What a person adds to cards: sections of their own, which may replace those of a card, and templates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.card.markdown.parse import front_matter, shown, split_lines, tokens
from mixhub.errors import ABSENT, Problem, SpecError

if TYPE_CHECKING:
    from markdown_it.token import Token

_FOOTER = "Rendered by mixhub"
_BEFORE = ("limits", "citation")
"""A new section that follows no other goes before the first of these that the card has."""
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A section of a card: a heading of the second level and all below it."""

    heading: str
    """Its text."""
    markdown: str
    """The whole, with the heading."""

    @property
    def key(self) -> str:
        """What two headings must share to be the same."""
        return _key(self.heading)


@dataclass(frozen=True)
class CustomSections:
    """The sections that a person adds to a card, as a file of theirs has them."""

    title: str | None
    """Markdown that replaces the title; None where it stays."""
    opening: str
    """Markdown that goes behind the first part of the card; may be empty."""
    sections: tuple[Section, ...]
    """They replace the card's sections of the same headings; the others are added."""

    def apply(self, body: str) -> str:
        """The body of a card with these words; one blank line stands between its sections.

        Args:
            body: Markdown of a rendered card, without its metadata.
        """
        page = _page(body)
        sections = list(page.sections)
        at = -1
        for own in self.sections:
            keys = [section.key for section in sections]
            if own.key in keys:
                at = keys.index(own.key)
                sections[at] = own
            else:
                at = at + 1 if at >= 0 else next((keys.index(key) for key in _BEFORE if key in keys), len(keys))
                sections.insert(at, own)
        title = page.title if self.title is None else f"# {self.title}"
        blocks = (title, page.first, self.opening, *(section.markdown for section in sections), page.footer)
        return "\n\n".join(block for block in blocks if block) + "\n"


@dataclass(frozen=True)
class Customization:
    """What a person adds to cards without touching the package."""

    sections: CustomSections | None = None
    """Sections that are added, or replace those of the same heading."""
    template: Path | None = None
    """A template of one's own; it may extend `family.md.j2` or `revision.md.j2`, block by block."""


UNCUSTOMIZED = Customization()


def read_custom_sections(path: Path) -> CustomSections | None:
    """The words in a file; None where there is no such file.

    Raises:
        SpecError: the file cannot be read, is not UTF-8, or breaks a rule of `parse_custom_sections`.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        unreadable = Problem("", None, f"cannot be read: {error.strerror}", code="file-unreadable")
        raise SpecError(str(path), [unreadable]) from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n")
        problem = _problem("file-malformed", line, f"the byte {data[error.start]:#04x} is not UTF-8")
        raise SpecError(str(path), [problem], hint="save the file as UTF-8") from None
    return parse_custom_sections(text, str(path))


def parse_custom_sections(text: str, source: str) -> CustomSections:
    """Words from Markdown: a title (`# `) if one is wanted, text for the first part, and sections (`## `).

    Args:
        text: the Markdown.
        source: names the file in errors.

    Raises:
        SpecError: metadata stands at the head; a fence, a comment or other HTML is not closed; a title does not stand
            first; a section has no words, or a heading that another has. Each problem names its line.
    """
    text = text.removeprefix("\ufeff")
    if head := front_matter(text):
        problem = _problem("custom-metadata", head.lines[0] - 1, "metadata does not belong here, only words")
        raise SpecError(source, [problem], hint="metadata comes from `card:` of the family, in mixhub.yaml")
    markdown = "\n".join(split_lines(text)).rstrip() + "\n"
    blocks = tokens(markdown)
    outline = _outline(blocks)
    # What is not closed hides the headings below it, so they are looked at only when all is closed.
    problems = list(_unclosed(markdown, blocks)) or [*_misplaced_titles(blocks, outline), *_bad_sections(outline)]
    if problems:
        raise SpecError(source, problems, hint="mend the lines that are named, then render again")
    page = _page(markdown, with_footer=False)
    title = outline[0].markdown if outline and outline[0].level == 1 else None
    return CustomSections(title, page.first, page.sections)


@dataclass(frozen=True)
class _Head:
    """A heading that begins a part of a page: of the first or second level, in no list or quotation."""

    level: int
    text: str
    markdown: str
    start: int
    """Its first line, from 0."""
    end: int
    """The line behind it."""
    has_words: bool
    """Whether anything but headings and comments stands below it, up to the next of them."""


@dataclass(frozen=True)
class _Page:
    """The parts of a body, without the blank lines around them."""

    title: str
    first: str
    """What stands before the first section, without the title."""
    sections: tuple[Section, ...]
    footer: str


def _page(body: str, *, with_footer: bool = True) -> _Page:
    lines = split_lines(body)
    blocks = tokens(body)
    end = _footer_start(blocks, len(lines)) if with_footer else len(lines)
    outline = [head for head in _outline(blocks) if head.start < end]
    title = outline.pop(0) if outline and outline[0].level == 1 else None
    starts = [*(head.start for head in outline), end]
    sections = (
        Section(head.text, _trimmed(lines[head.start : after])) for head, after in zip(outline, starts[1:], strict=True)
    )
    above = lines[: title.start] if title else []
    return _Page(
        title=_trimmed(lines[title.start : title.end]) if title else "",
        first=_trimmed([*above, *lines[title.end if title else 0 : starts[0]]]),
        sections=tuple(sections),
        footer=_trimmed(lines[end:]),
    )


def _outline(blocks: Sequence[Token]) -> list[_Head]:
    at = [i for i, token in enumerate(blocks) if token.type == "heading_open" and _begins_part(token)]
    heads = []
    for here, after in zip(at, [*at, len(blocks)][1:], strict=True):
        opening, inline = blocks[here], blocks[here + 1]
        assert opening.map is not None
        start, end = opening.map
        heads.append(
            _Head(
                level=int(opening.tag[1:]),
                text=shown(inline.children),
                markdown=" ".join(inline.content.split()),
                start=start,
                end=end,
                has_words=_has_words(blocks[here + 3 : after]),
            )
        )
    return heads


def _begins_part(opening: Token) -> bool:
    return opening.level == 0 and opening.tag in ("h1", "h2")


def _has_words(blocks: Sequence[Token]) -> bool:
    for before, token in zip((None, *blocks), blocks, strict=False):
        if token.type in ("fence", "code_block"):
            return True
        is_heading = before is not None and before.type == "heading_open"
        if token.type in ("inline", "html_block") and not is_heading and _COMMENT.sub("", token.content).strip():
            return True
    return False


def _footer_start(blocks: Sequence[Token], lines: int) -> int:
    """The line of the last thematic break, if what follows it is the footer; else the number of lines."""
    breaks = [i for i, token in enumerate(blocks) if token.type == "hr" and token.level == 0]
    if not breaks:
        return lines
    below = [token for token in blocks[breaks[-1] :] if token.type in ("inline", "heading_open")]
    start = blocks[breaks[-1]].map
    is_footer = bool(below) and below[0].content.startswith(_FOOTER) and below[-1].type == "inline"
    return start[0] if is_footer and start is not None else lines


def _unclosed(markdown: str, blocks: Sequence[Token]) -> Iterator[Problem]:
    found = False
    for token in blocks:
        if token.map is None or (line := _opened(token)) is None:
            continue
        found = True
        kind = f"the fence {token.markup}" if token.type == "fence" else "the comment <!--"
        yield _problem("custom-unclosed", token.map[0] + line, f"{kind} is not closed")
    probe = tokens(f"{markdown}\n## end\n")
    html = [token for token in probe if token.type == "html_block" and token.map is not None]
    if not found and (probe[-1].type != "heading_close" or probe[-1].level != 0) and html:
        assert html[-1].map is not None
        yield _problem("custom-unclosed", html[-1].map[0], f"the HTML {html[-1].content.split()[0]} is not closed")


def _opened(token: Token) -> int | None:
    """How many lines below its start a token opens what it does not close; None where all is closed."""
    assert token.map is not None
    if token.type == "fence":
        inner = token.content.count("\n")
        return 0 if token.map[1] - token.map[0] == inner + 1 else None
    if token.type == "html_block":
        return _open_comment(token.content)
    if token.type == "inline" and any(
        child.type == "text" and "<!--" in child.content for child in token.children or ()
    ):
        escaped = re.search(r"(?<!\\)<!--(?!.*-->)", token.content, re.DOTALL)
        return token.content[: escaped.start()].count("\n") if escaped else None
    return None


def _open_comment(html: str) -> int | None:
    at = html.find("<!--")
    while at >= 0:
        close = html.find("-->", at + 2)
        if close < 0:
            return html[:at].count("\n")
        at = html.find("<!--", close)
    return None


def _misplaced_titles(blocks: Sequence[Token], outline: Sequence[_Head]) -> Iterator[Problem]:
    titles = [head for head in outline if head.level == 1]
    for title in titles[1:]:
        rule = f"a title stands in line {titles[0].start + 1} already; a section begins with ##"
        yield _problem("custom-title-misplaced", title.start, rule)
    if titles and blocks[0].map != [titles[0].start, titles[0].end]:
        rule = "a title must stand first; a section begins with ##"
        yield _problem("custom-title-misplaced", titles[0].start, rule)
    if titles and not titles[0].text.strip():
        yield _problem("custom-title-empty", titles[0].start, "the title is empty")


def _bad_sections(outline: Sequence[_Head]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for head in outline:
        if head.level == 1:
            continue
        key = _key(head.text)
        if not key:
            yield _problem("custom-heading-empty", head.start, "the heading is empty")
        elif key in seen:
            rule = f"the heading {head.text!r} stands in line {seen[key] + 1} already"
            yield _problem("custom-heading-repeated", head.start, rule)
        elif not head.has_words:
            yield _problem("custom-section-empty", head.start, f"the section {head.text!r} has no words")
        seen.setdefault(key, head.start)


def _problem(code: str, line: int, rule: str) -> Problem:
    """A problem in a line, counted from 0."""
    return Problem(f"line {line + 1}", ABSENT, rule, code=code)


def _key(heading: str) -> str:
    return " ".join(heading.split()).casefold()


def _trimmed(lines: Sequence[str]) -> str:
    """The lines as one text, without blank lines at its ends; what indents the first line stays."""
    return re.sub(r"\A(?:[ \t]*\n)+", "", "\n".join(lines)).rstrip()
