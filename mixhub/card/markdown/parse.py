"""A card read back as a page shows it: its metadata, and its parts, each with its section and its line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from mixhub.errors import Problem, SpecError
from mixhub.spec.base import parse_yaml

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_DEEPEST = 50
"""Levels of metadata that anybody writes by hand; YAML can hold a list that contains itself."""


@dataclass(frozen=True)
class ReadLink:
    """A link, or the address of an image."""

    text: str
    """What is shown; of an image, its alternative text."""
    address: str
    """As a browser is given it: characters that no address may hold are percent-encoded."""
    line: int
    is_image: bool


@dataclass(frozen=True, kw_only=True)
class Part:
    """A block of a card."""

    section: tuple[str, ...]
    """The headings above it, the outermost first; of a heading, those that it lies below."""
    line: int
    """Its first line in the file, from 1; the metadata counts."""
    links: tuple[ReadLink, ...] = ()
    inline_html: tuple[Html, ...] = ()
    """Tags and comments amid its text."""


@dataclass(frozen=True, kw_only=True)
class Heading(Part):
    """A heading."""

    level: int
    """1 to 6."""
    text: str
    anchor: str
    """What a link to it names behind `#`, on GitHub and on the Hub."""
    is_outermost: bool = True
    """False in a list or a quotation, where a heading begins no section."""


@dataclass(frozen=True, kw_only=True)
class ReadTable(Part):
    """A table; its cells are plain text."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Fence(Part):
    """A block of code, fenced or indented."""

    language: str
    """Empty where none is named."""
    content: str


@dataclass(frozen=True, kw_only=True)
class Paragraph(Part):
    """A paragraph, of a list item or a quotation too."""

    text: str
    """Plain text on one line."""
    markdown: str
    """The same as it is written, on one line, without the marks of list and quotation."""


@dataclass(frozen=True, kw_only=True)
class Html(Part):
    """A piece of HTML: a block, or a tag or comment amid text."""

    content: str


@dataclass(frozen=True, kw_only=True)
class Rule(Part):
    """A thematic break."""


P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class ReadCard:
    """What stands in a card."""

    metadata: Mapping[str, Any]
    """Empty where there is none."""
    metadata_lines: tuple[int, int] | None
    """Lines of the two `---` around it."""
    parts: tuple[Part, ...]
    """Everything below the metadata, in its order."""
    lines: tuple[str, ...]
    """All lines of the file; `lines[part.line - 1]` is the first of a part."""

    @property
    def headings(self) -> tuple[Heading, ...]:
        """All headings."""
        return self._all(Heading)

    @property
    def tables(self) -> tuple[ReadTable, ...]:
        """All tables."""
        return self._all(ReadTable)

    @property
    def fences(self) -> tuple[Fence, ...]:
        """All blocks of code."""
        return self._all(Fence)

    @property
    def paragraphs(self) -> tuple[Paragraph, ...]:
        """All paragraphs, those of lists and quotations too."""
        return self._all(Paragraph)

    @property
    def links(self) -> tuple[ReadLink, ...]:
        """All links and images."""
        return tuple(link for part in self.parts for link in part.links)

    @property
    def html(self) -> tuple[Html, ...]:
        """All pieces of HTML, whether blocks or amid text."""
        return tuple(html for part in self.parts for html in ((part,) if isinstance(part, Html) else part.inline_html))

    def source(self, part: Part) -> tuple[str, ...]:
        """The lines of a part and what stands between it and the next, without the blank lines at its end."""
        end = min((other.line for other in self.parts if other.line > part.line), default=len(self.lines) + 1) - 1
        while end > part.line and not self.lines[end - 1].strip():
            end -= 1
        return self.lines[part.line - 1 : end]

    def _all(self, kind: type[P]) -> tuple[P, ...]:
        return tuple(part for part in self.parts if isinstance(part, kind))


@dataclass(frozen=True)
class FrontMatter:
    """Where the metadata of a card stands."""

    yaml: str
    lines: tuple[int, int]
    """Lines of the two `---` around it."""
    end: int
    """Index of the first character behind it."""


def read_card(text: str, source: str = "card") -> ReadCard:
    """Reads a card.

    Args:
        text: the whole file; a byte order mark and any kind of line end may stand in it.
        source: names the card in errors.

    Raises:
        SpecError: the metadata is no YAML, or no mapping; it names the line.
    """
    text = text.removeprefix("\ufeff")
    head = front_matter(text)
    body = text[head.end :] if head else text
    above = len(split_lines(text[: head.end])) - 1 if head else 0
    return ReadCard(
        metadata=_metadata(head, source) if head else MappingProxyType({}),
        metadata_lines=head.lines if head else None,
        parts=_Reader(above).read(tokens(body)),
        lines=tuple(split_lines(text)),
    )


def front_matter(text: str) -> FrontMatter | None:
    """The metadata of a card, found as `huggingface_hub.ModelCard` finds it; None where there is none."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    match = REGEX_YAML_BLOCK.search(text)
    if match is None:
        return None
    opening, closing = match[1].rstrip("\r\n"), match[3].lstrip("\r\n")
    first = len(split_lines(opening))
    last = len(split_lines(text[: match.end(3) - len(closing)]))
    return FrontMatter(match[2], (first, last), match.end())


def tokens(markdown: str) -> list[Token]:
    """markdown-it's blocks; `map` counts lines as `split_lines` does, from 0."""
    return _parser().parse(markdown)


def split_lines(text: str) -> list[str]:
    """Lines as Markdown counts them: a form feed or a Unicode line separator ends none."""
    return re.split(r"\r\n|\r|\n", text)


def shown(children: Sequence[Token] | None) -> str:
    """Inline Markdown as plain text on one line; of an image, its alternative text."""
    pieces = []
    for child in children or ():
        if child.type in ("softbreak", "hardbreak"):
            pieces.append(" ")
        elif child.type == "html_inline":
            pieces.append(" " if re.match(r"<br\b", child.content, re.IGNORECASE) else "")
        elif child.type == "image":
            pieces.append(shown(child.children))
        else:
            pieces.append(child.content)
    return "".join(pieces)


class Anchors:
    """Anchors of the headings of one page, in their order."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def add(self, heading: str) -> str:
        """The anchor of the next heading; a repeated one gets `-1`, `-2` and so on."""
        slug = "".join("-" if c == " " else c for c in heading.lower() if _stays(c))
        anchor = slug
        while anchor in self._seen:
            self._seen[slug] += 1
            anchor = f"{slug}-{self._seen[slug]}"
        self._seen[anchor] = 0
        return anchor


@dataclass
class _Reader:
    """Gathers parts from the tokens of a body."""

    above: int
    """Lines of the file above the body."""
    anchors: Anchors = field(default_factory=Anchors)
    open_headings: list[tuple[int, str]] = field(default_factory=list)
    """Level and text of the headings that the next part lies below."""

    def read(self, body: Sequence[Token]) -> tuple[Part, ...]:
        parts: list[Part] = []
        table: list[list[Token]] = []
        start = 0
        for before, token in zip((None, *body), body, strict=False):
            if token.type == "table_open":
                start, table = self._line(token), []
            elif token.type == "tr_open":
                table.append([])
            elif token.type == "table_close":
                parts.append(self._table(table, start))
            elif token.type in ("fence", "code_block"):
                parts.append(self._fence(token))
            elif token.type == "hr":
                parts.append(Rule(section=self.section, line=self._line(token)))
            elif token.type == "html_block":
                parts.append(Html(section=self.section, line=self._line(token), content=token.content))
            elif token.type == "inline" and before is not None:
                if before.type in ("th_open", "td_open"):
                    table[-1].append(token)
                else:
                    parts.append(self._heading(before, token) if before.type == "heading_open" else self._text(token))
        return tuple(parts)

    @property
    def section(self) -> tuple[str, ...]:
        return tuple(text for _, text in self.open_headings)

    def _heading(self, opening: Token, inline: Token) -> Heading:
        level, text = int(opening.tag[1:]), shown(inline.children)
        if opening.level == 0:
            self.open_headings = [(above, name) for above, name in self.open_headings if above < level]
        heading = Heading(
            **self._place([inline], self._line(opening)),
            level=level,
            text=text,
            anchor=self.anchors.add(text),
            is_outermost=opening.level == 0,
        )
        if heading.is_outermost:
            self.open_headings.append((level, text))
        return heading

    def _text(self, inline: Token) -> Paragraph:
        return Paragraph(
            **self._place([inline], self._line(inline)),
            text=shown(inline.children),
            markdown=" ".join(inline.content.split()),
        )

    def _fence(self, token: Token) -> Fence:
        language, *_ = (*token.info.split(), "")
        return Fence(section=self.section, line=self._line(token), language=language, content=token.content)

    def _table(self, rows: Sequence[Sequence[Token]], line: int) -> ReadTable:
        headers, *others = [tuple(shown(cell.children) for cell in row) for row in rows]
        return ReadTable(
            **self._place([cell for row in rows for cell in row], line), headers=headers, rows=tuple(others)
        )

    def _place(self, inlines: Sequence[Token], line: int) -> dict[str, Any]:
        return {
            "section": self.section,
            "line": line,
            "links": tuple(link for inline in inlines for link in _links(inline, self._line(inline))),
            "inline_html": tuple(html for inline in inlines for html in self._tags(inline)),
        }

    def _tags(self, inline: Token) -> Iterator[Html]:
        for child, line in _with_lines(inline, self._line(inline)):
            if child.type == "html_inline":
                yield Html(section=self.section, line=line, content=child.content)

    def _line(self, token: Token) -> int:
        assert token.map is not None
        return self.above + token.map[0] + 1


def _links(inline: Token, first: int) -> Iterator[ReadLink]:
    children = inline.children or []
    for at, (child, line) in enumerate(_with_lines(inline, first)):
        if child.type == "link_open":
            end = next(i for i in range(at, len(children)) if children[i].type == "link_close")
            yield ReadLink(shown(children[at + 1 : end]), str(child.attrs["href"]), line, False)
        elif child.type == "image":
            yield ReadLink(shown(child.children), str(child.attrs["src"]), line, True)


def _with_lines(inline: Token, first: int) -> Iterator[tuple[Token, int]]:
    line = first
    for child in inline.children or ():
        yield child, line
        line += 1 if child.type in ("softbreak", "hardbreak") else child.content.count("\n")


def _metadata(head: FrontMatter, source: str) -> Mapping[str, Any]:
    # Empty lines in front, so that what the parser refuses is named by its line in the file.
    data = parse_yaml("\n" * head.lines[0] + head.yaml, source)
    place = f"{source}:{head.lines[0]}"
    if data is None:
        return MappingProxyType({})
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        problem = Problem("", data, "metadata must be a mapping of names to values", code="metadata-malformed")
    elif _depth_above(data, _DEEPEST):
        rule = f"metadata must not nest deeper than {_DEEPEST} levels"
        problem = Problem("", data, rule, code="metadata-too-deep")
    else:
        return MappingProxyType(data)
    raise SpecError(place, [problem])


def _depth_above(data: object, most: int) -> bool:
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return most < 0 or any(_depth_above(value, most - 1) for value in inner)


def _stays(character: str) -> bool:
    category = unicodedata.category(character)
    return character in " -" or category[0] in "LM" or category in ("Nd", "Nl", "Pc")


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
