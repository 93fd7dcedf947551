"""Markdown, CSV and TSV as grids of cells: what stands where, before anybody asks what it means."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mixhub.errors import ResultsError

MARKDOWN_SUFFIXES = (".md", ".markdown")
"""Files that are read as Markdown."""
DELIMITERS = MappingProxyType({".csv": ",", ".tsv": "\t"})
"""Files that are read as one table, and what stands between their cells."""


class TableCell(NamedTuple):
    """One cell as it stands in a file."""

    text: str
    """Without markup."""
    line: int
    """Of the file, from 1."""


class Grid(NamedTuple):
    """A table as it stands in a file, head first. Its rows may be ragged until it is known to be one of scores."""

    rows: list[list[TableCell]]
    width: int
    """Columns that it should have."""

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.rows[0][0].line

    @property
    def head(self) -> list[TableCell]:
        """The titles."""
        return self.rows[0]

    @property
    def body(self) -> list[list[TableCell]]:
        """What stands below them."""
        return self.rows[1:]

    def turned(self) -> Grid:
        """Lines as columns."""
        return Grid([list(cells) for cells in zip(*self.rows, strict=True)], len(self.rows))


def read_grids(path: Path) -> Iterator[Grid]:
    """The tables of a file: all of a Markdown file, in its order; the one that a CSV or TSV file is.

    Raises:
        ResultsError: no such file, a file of another kind, or a line that is not made of cells; names file and line.
    """
    text = _text(path)
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        yield from _markdown_grids(text)
    elif rows := list(_delimited_rows(path, text, delimiter)):
        yield Grid(rows, len(rows[0]))


def _text(path: Path) -> str:
    if path.suffix.lower() not in (*MARKDOWN_SUFFIXES, *DELIMITERS):
        known = ", ".join((*MARKDOWN_SUFFIXES, *DELIMITERS))
        raise ResultsError(
            f"{path}: must end in one of {known}",
            code="table-format-unknown",
            hint="give a model card or a table",
            path=path,
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file", code="file-missing", hint="give a model card or a table", path=path
        ) from None
    except UnicodeDecodeError as problem:
        raise ResultsError(
            f"{path}: not UTF-8: {problem.reason} at byte {problem.start}",
            code="file-malformed",
            hint="save it as UTF-8",
            path=path,
        ) from None


def _delimited_rows(path: Path, text: str, delimiter: str) -> Iterator[list[TableCell]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield [TableCell(_clean(cell), first) for cell in row]
            first = reader.line_num + 1
    except csv.Error as problem:
        raise ResultsError(
            f"{path}:{reader.line_num}: not a table of cells: {problem}",
            code="table-malformed",
            hint="mend the line",
            path=path,
            line=reader.line_num,
        ) from None


_FENCE = re.compile(r"(?:`{3,}(?=[^`]*$)|~{3,})")
_DELIMITER_ROW = re.compile(r"\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?")


def _markdown_grids(text: str) -> Iterator[Grid]:
    lines = list(_shown_lines(text))
    number = 1
    while number < len(lines):
        delimiters = lines[number].strip()
        if "|" not in lines[number - 1] or "-" not in delimiters or not _DELIMITER_ROW.fullmatch(delimiters):
            number += 1
            continue
        end = number + 1
        while end < len(lines) and "|" in lines[end]:
            end += 1
        rows = [_markdown_row(lines[at], at + 1) for at in (number - 1, *range(number + 1, end))]
        if all(rows):
            yield Grid(rows, len(_markdown_row(delimiters, number + 1)))
        number = end + 1


def _shown_lines(text: str) -> Iterator[str]:
    """The lines of a card; those of its metadata, of code and of comments are empty, so that numbers stay."""
    lines = text.splitlines()
    start = 0
    if lines and lines[0].strip() == "---":
        ends = (at for at, line in enumerate(lines[1:], 1) if line.strip() in ("---", "..."))
        start = next(ends, -1) + 1
    yield from [""] * start
    fence, is_comment = "", False
    for line in lines[start:]:
        content = re.sub(r"^\s*(?:>\s?)*", "", line)
        opening = _FENCE.match(content)
        if fence:
            closes = opening is not None and opening[0].startswith(fence) and not content[opening.end() :].strip()
            fence = "" if closes else fence
            yield ""
        elif opening and not is_comment:
            fence = opening[0]
            yield ""
        else:
            shown, is_comment = _without_comments(content, is_comment)
            yield shown


def _without_comments(line: str, is_comment: bool) -> tuple[str, bool]:
    """What of a line is shown, and whether a comment goes on behind it."""
    shown = ""
    while line:
        before, mark, line = line.partition("-->" if is_comment else "<!--")
        shown += "" if is_comment else before
        is_comment ^= bool(mark)
    return shown, is_comment


def _markdown_row(line: str, number: int) -> list[TableCell]:
    cells = re.split(r"(?<!\\)\|", line.strip())
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip() and line.strip().endswith("|"):
        cells = cells[:-1]
    return [TableCell(_clean(cell), number) for cell in cells]


_MARKUP = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # images
    (re.compile(r"\[\^[^\]]*\]"), ""),  # footnotes
    (re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # links
    (re.compile(r"<(sup|sub)\b[^>]*>.*?</\1>", re.IGNORECASE), ""),
    (re.compile(r"<br\s*/?>", re.IGNORECASE), " "),
    (re.compile(r"</?[A-Za-z][^>]*>"), ""),
    (re.compile(r"\\pm\b"), "±"),
    (re.compile(r"\$(?!\s*$)([^$]*)\$"), r"\1"),
    (re.compile(r"\*\*|__(?=\S)|(?<=\S)__|~~|`|(?<!\\)\*"), ""),
    (re.compile(r"(?<![\w\\])_(?=\S)|(?<=\S)(?<!\\)_(?!\w)"), ""),
    (re.compile(r"\\([^\w\s])"), r"\1"),
    (re.compile(r"[†‡§¹²³⁴-⁹*]+$"), ""),
)


def _clean(text: str) -> str:
    """The text of a cell without markup, links and marks of footnotes."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text.strip())
    return " ".join(html.unescape(text).split())
