"""Markdown, CSV and TSV files as grids of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from mixhub.analysis.published.html_tables import html_tables
from mixhub.errors import ResultsError

if TYPE_CHECKING:
    from markdown_it.token import Token

DELIMITERS = MappingProxyType({".csv": ",", ".tsv": "\t", ".md": "", ".markdown": ""})
"""Suffixes of files with tables, and the delimiter of their cells; empty for Markdown."""


class TableCell(NamedTuple):
    """One cell."""

    text: str
    """Without markup."""
    line: int
    """Line of the file, from 1."""


Kind = Literal["text", "HTML", "code"]


class Grid(NamedTuple):
    """A table of text, the head first."""

    rows: list[list[TableCell]]
    ragged: list[tuple[int, int]]
    """Line and number of cells, for each row whose number of cells differs from the head's."""
    kind: Kind = "text"
    """Whether it is a table of the text itself, in HTML, or in a block of code."""
    above: str = ""
    """The text between the table before and this one."""

    @property
    def line(self) -> int:
        """Line of the head."""
        return self.rows[0][0].line

    @property
    def head(self) -> list[TableCell]:
        """The titles."""
        return self.rows[0]

    @property
    def body(self) -> list[list[TableCell]]:
        """The rows below the head."""
        return self.rows[1:]


def read_grids(path: Path) -> list[Grid]:
    """The tables of a file: all tables of a Markdown file, in order; the one table of a CSV or TSV file.

    Raises:
        ResultsError: the file is missing, of another kind, not UTF-8, or not valid CSV.
    """
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        message = f"{path}: the file name must end in one of {', '.join(DELIMITERS)}"
        raise ResultsError(message, code="table-format-unknown", hint="pass a model card or a table", path=path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        message = f"{path}: no such file"
        raise ResultsError(message, code="file-missing", hint="pass a model card or a table", path=path) from None
    except UnicodeDecodeError as problem:
        message = f"{path}: not UTF-8: {problem.reason} at byte {problem.start}"
        raise ResultsError(message, code="file-malformed", hint="save it as UTF-8", path=path) from None
    return list(_markdown_grids(text)) if not delimiter else _delimited_grids(path, text, delimiter)


def _delimited_grids(path: Path, text: str, delimiter: str) -> list[Grid]:
    head = text.partition("\n")[0]
    if delimiter == "," and "," not in head:  # where the comma is the decimal point, spreadsheets write semicolons
        delimiter = max(";\t,", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, first = [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([TableCell(_strip_marks(cell), first) for cell in row])
            first = reader.line_num + 1
    except csv.Error as problem:
        message = f"{path}:{reader.line_num}: cannot be split into cells: {problem}"
        raise ResultsError(
            message, code="table-malformed", hint="fix the line", path=path, line=reader.line_num
        ) from None
    ragged = [(row[0].line, len(row)) for row in rows if len(row) != len(rows[0])]
    return [Grid(rows, ragged)] if rows else []


def _markdown_grids(text: str) -> Iterator[Grid]:
    """The tables of a text: those in Markdown, then those in HTML, then those in blocks of code."""
    from markdown_it import MarkdownIt

    metadata = re.match(r"---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*$", text, re.DOTALL | re.MULTILINE)
    body = "\n" * metadata[0].count("\n") + text[metadata.end() :] if metadata else text
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    lines = body.split("\n")
    yield from _grids_of(tokens, lines, "text", 0)
    blocks = [(token, token.map) for token in tokens if token.type in ("fence", "code_block") and token.map]
    for _, (first, last) in blocks:
        lines[first:last] = [""] * (last - first)
    shown = re.sub(r"<!--.*?(?:-->|\Z)", lambda match: "\n" * match[0].count("\n"), "\n".join(lines), flags=re.DOTALL)
    for rows in html_tables(shown):
        cells = [[TableCell(_strip_marks(text), line) for text, line in row] for row in rows]
        width = max(map(len, cells))
        yield Grid([row + [TableCell("", row[0].line)] * (width - len(row)) for row in cells], [], "HTML")
    for token, (first, _) in blocks:
        inner = MarkdownIt("commonmark").enable("table").parse(token.content)
        yield from _grids_of(inner, token.content.split("\n"), "code", first + (token.type == "fence"))


def _grids_of(tokens: Sequence[Token], lines: Sequence[str], kind: Kind, before: int) -> Iterator[Grid]:
    """The tables of parsed Markdown; `before` is the number of lines of the file before its first.

    The parser counts lines by their ends in `\\n` alone.
    """
    grid, line, last = None, 0, 0
    for token in tokens:
        if token.type == "table_open" and token.map:
            grid = Grid([], [], kind, "\n".join(lines[last : token.map[0]]))
            last = token.map[1]
        elif grid is None:
            continue
        elif token.type == "tr_open" and token.map:
            line = token.map[0]
            grid.rows.append([])
            # The parser pads and cuts rows to the width of the head.
            cells = re.split(r"(?<!\\)\|", lines[line].lstrip("> \t").rstrip().removeprefix("|").removesuffix("|"))
            if grid.rows[1:] and len(cells) != len(grid.head) and any(cell.strip() for cell in cells):
                grid.ragged.append((before + line + 1, len(cells)))
        elif token.type == "inline":
            grid.rows[-1].append(TableCell(_strip_marks(_plain_text(token)), before + line + 1))
        elif token.type == "table_close":
            yield grid
            grid = None


def _plain_text(cell: Token) -> str:
    """The text of a cell without markup, images, superscripts and subscripts."""
    text, is_hidden = "", False
    for token in cell.children or ():
        if token.type == "html_inline":
            tag = token.content.lower()
            is_hidden = tag.startswith(("<sup", "<sub")) or (is_hidden and not tag.startswith(("</sup", "</sub")))
            text += " " if tag.startswith("<br") else ""
        elif token.type in ("text", "code_inline") and not is_hidden:
            text += token.content
    return text


def _strip_marks(text: str) -> str:
    """The text without math delimiters, footnotes and trailing marks."""
    text = re.sub(r"\$([^$]+)\$", r"\1", text.replace("\\pm", "±"))
    text = re.sub(r"\[\^[^\]]*\]", "", text)
    return re.sub(r"[†‡§¹²³⁴-⁹*]+$", "", " ".join(text.split()))
