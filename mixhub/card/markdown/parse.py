"""Read a card: its metadata, and its blocks, each with its section and its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

from mixhub.errors import Problem, SpecError
from mixhub.spec.base import parse_yaml

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from yaml import Node

Kind = Literal["heading", "table", "code", "text", "html", "rule"]

_KINDS: Mapping[str, Kind] = {"fence": "code", "code_block": "code", "html_block": "html", "hr": "rule"}
_IMAGE = re.compile(r"""<img\b[^>]*?\bsrc=["']([^"']+)["']""", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """A link or an image."""

    text: str
    """The visible text, or the alternative text of an image."""
    address: str
    """Characters that an address may not contain are percent-encoded."""
    line: int
    is_image: bool


@dataclass(frozen=True)
class Block:
    """A block of a card."""

    kind: Kind
    """Paragraphs are `text`, also in lists and quotations; so are headings there, which begin no section."""
    section: tuple[str, ...]
    """The headings above it, the outermost first."""
    line: int
    """Its first line in the file, counted from 1."""
    text: str = ""
    """Plain text of a heading; Markdown of a paragraph, on one line; code and HTML as written."""
    level: int = 0
    """1 to 6 for a heading."""
    language: str = ""
    """Language of code; empty if it names none."""
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    """Cells of a table, as plain text."""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class FrontMatter:
    """Position of the metadata of a card."""

    yaml: str
    lines: tuple[int, int]
    """Lines of the two `---` around it."""
    end: int
    """Index of the first character after it."""

    @property
    def padded(self) -> str:
        """The YAML below empty lines, so that a parser counts the lines of the file."""
        return "\n" * self.lines[0] + self.yaml


@dataclass(frozen=True)
class ReadCard:
    """The content of a card."""

    source: str
    """Names the card in errors."""
    head: FrontMatter | None
    blocks: tuple[Block, ...]

    @cached_property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata; empty if there is none. Raises SpecError, with the line, if it is not a YAML mapping."""
        data = parse_yaml(self.head.padded, self.source) if self.head else None
        if data is None:
            return {}
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            problem = Problem("", data, "metadata must be a mapping of names to values", code="metadata-malformed")
            raise SpecError(f"{self.source}:{self.metadata_line()}", [problem])
        try:
            json.dumps(data, default=str, skipkeys=True)
        except (ValueError, RecursionError):
            problem = Problem("", None, "metadata must not contain itself", code="metadata-too-deep")
            raise SpecError(f"{self.source}:{self.metadata_line()}", [problem]) from None
        return data

    def metadata_line(self, *path: str) -> int:
        """Return the line of a value of the metadata, or of its nearest parent that exists."""
        from yaml import MappingNode, SequenceNode

        node = self._root if path else None
        line = self.head.lines[0] if self.head else 1
        for part in path:
            if isinstance(node, MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == part), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, SequenceNode) and part.isdigit() and int(part) < len(node.value):
                node = node.value[int(part)]
                line = node.start_mark.line + 1
            else:
                break
        return line

    @cached_property
    def _root(self) -> Node | None:
        import yaml

        return yaml.compose(self.head.padded, yaml.CSafeLoader) if self.head else None

    def of_kind(self, kind: Kind) -> tuple[Block, ...]:
        """Return all blocks of a kind."""
        return tuple(block for block in self.blocks if block.kind == kind)

    @property
    def tables(self) -> tuple[Block, ...]:
        """All tables."""
        return self.of_kind("table")

    @property
    def links(self) -> tuple[Link, ...]:
        """All links and images."""
        return tuple(link for block in self.blocks for link in block.links)


def read_card(text: str, source: str = "card") -> ReadCard:
    """Read a card; `source` names it in errors. Its text may have a byte order mark and any kind of line end."""
    text = text.removeprefix("\ufeff")
    head = front_matter(text)
    above = len(split_lines(text[: head.end])) - 1 if head else 0
    return ReadCard(source, head, tuple(_blocks(tokens(text[head.end :] if head else text), above)))


def front_matter(text: str) -> FrontMatter | None:
    """Find the metadata of a card as `huggingface_hub.ModelCard` does; None if there is none."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    match = REGEX_YAML_BLOCK.search(text)
    if match is None:
        return None
    first = len(split_lines(match[1].rstrip("\r\n")))
    last = len(split_lines(text[: match.end(3) - len(match[3].lstrip("\r\n"))]))
    return FrontMatter(match[2], (first, last), match.end())


def tokens(markdown: str) -> list[Token]:
    """Parse Markdown into the blocks of markdown-it; `map` counts lines as `split_lines` does, from 0."""
    return _parser().parse(markdown)


def split_lines(text: str) -> list[str]:
    """Split text into lines as Markdown does: not at form feeds or Unicode line separators."""
    return re.split(r"\r\n|\r|\n", text)


def shown(children: Sequence[Token] | None) -> str:
    """Return inline Markdown as plain text on one line; images as their alternative text."""
    pieces = []
    for child in children or ():
        if child.type in ("softbreak", "hardbreak"):
            pieces.append(" ")
        elif child.type == "html_inline":
            pieces.append(" " if re.match(r"<br\b", child.content, re.IGNORECASE) else "")
        else:
            pieces.append(shown(child.children) if child.type == "image" else child.content)
    return "".join(pieces)


def _blocks(parsed: Sequence[Token], above: int) -> Iterator[Block]:
    """Yield the blocks of a body that begins below `above` lines."""
    headings: list[tuple[int, str]] = []
    rows: list[list[Token]] = []
    start = line = 0
    for before, token in zip((None, *parsed), parsed, strict=False):
        opening = before.type if before else ""
        section = tuple(text for _, text in headings)
        line = above + token.map[0] + 1 if token.map else line
        if token.type == "table_open":
            start, rows = line, []
        elif token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            cells = [tuple(shown(cell.children) for cell in row) for row in rows]
            links = _links((cell for row in rows for cell in row), above)
            yield Block("table", section, start, headers=cells[0], rows=tuple(cells[1:]), links=tuple(links))
        elif token.type in _KINDS:
            language = "".join(token.info.split()[:1])
            images = _html_images(token.content, line) if token.type == "html_block" else ()
            yield Block(_KINDS[token.type], section, line, token.content, language=language, links=tuple(images))
        elif token.type == "inline" and opening in ("th_open", "td_open"):
            rows[-1].append(token)
        elif token.type == "inline" and opening == "heading_open" and before and before.level == 0:
            level, text = int(before.tag[1:]), shown(token.children)
            headings = [(other, name) for other, name in headings if other < level]
            section = tuple(name for _, name in headings)
            yield Block("heading", section, line, text, level, links=tuple(_links([token], above)))
            headings.append((level, text))
        elif token.type == "inline":
            yield Block("text", section, line, " ".join(token.content.split()), links=tuple(_links([token], above)))


def _links(inlines: Iterable[Token], above: int) -> Iterator[Link]:
    for inline in inlines:
        line = above + (inline.map[0] if inline.map else 0) + 1
        children = inline.children or []
        for at, child in enumerate(children):
            if child.type == "link_open":
                end = next(i for i in range(at, len(children)) if children[i].type == "link_close")
                yield Link(shown(children[at + 1 : end]), str(child.attrs["href"]), line, is_image=False)
            elif child.type == "image":
                yield Link(shown(child.children), str(child.attrs["src"]), line, is_image=True)
            elif child.type == "html_inline":
                yield from _html_images(child.content, line)


def _html_images(html: str, line: int) -> Iterator[Link]:
    return (Link("", address, line, is_image=True) for address in _IMAGE.findall(html))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])
