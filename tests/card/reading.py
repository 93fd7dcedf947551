"""A card read back, as a page shows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from markdown_it.token import Token


@dataclass
class Page:
    """What stands on the page of a card."""

    headings: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    """Each a list of rows, the headers first."""
    paragraphs: list[str] = field(default_factory=list)
    """Text outside tables and headings; of lists too."""
    links: list[tuple[str, str]] = field(default_factory=list)
    """Text and address."""
    fences: list[str] = field(default_factory=list)
    html: list[str] = field(default_factory=list)

    def table(self, *headers: str) -> list[list[str]]:
        """The rows below these first headers; there must be one such table."""
        found = [table for table in self.tables if table[0][: len(headers)] == list(headers)]
        assert len(found) == 1, headers
        return found[0][1:]


def body(card: str) -> str:
    """The card without its metadata."""
    return str(ModelCard(card).text)


def page(card: str) -> Page:
    """The page of a card."""
    read = Page()
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body(card))
    inside = ""
    for token in tokens:
        if token.type == "heading_open":
            inside = "heading"
        elif token.type == "table_open":
            read.tables.append([])
            inside = "table"
        elif token.type == "tr_open":
            read.tables[-1].append([])
        elif token.type in ("heading_close", "table_close"):
            inside = ""
        elif token.type == "fence":
            read.fences.append(token.content)
        elif token.type == "html_block":
            read.html.append(token.content.strip())
        elif token.type == "inline":
            _read_inline(token, inside, read)
    return read


def _read_inline(token: Token, inside: str, read: Page) -> None:
    children = token.children or []
    text = "".join(" " if child.type == "softbreak" else child.content for child in children)
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    if inside == "heading":
        read.headings.append(text)
    elif inside == "table":
        read.tables[-1][-1].append(text)
    else:
        read.paragraphs.append(text)
    for child in children:
        if child.type == "html_inline":
            read.html.append(child.content)
    for at, child in enumerate(children):
        if child.type == "link_open":
            shown = "".join(inner.content for inner in children[at + 1 :][: _closing(children[at + 1 :])])
            read.links.append((shown, str(child.attrs["href"])))


def _closing(children: list[Token]) -> int:
    return next(at for at, child in enumerate(children) if child.type == "link_close")
