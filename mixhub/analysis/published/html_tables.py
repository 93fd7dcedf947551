"""Tables in HTML, as in many model cards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

_TABLE = re.compile(r"<table\b.*?(?:</table\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_MOST_SPANNED = 1000
"""Rows or columns that one cell can span."""


def html_tables(text: str) -> Iterator[list[list[tuple[str, int]]]]:
    """The tables in a text: rows of cells, each with its line, from 1."""
    for match in _TABLE.finditer(text):
        parser = _Parser(1 + text.count("\n", 0, match.start()))
        parser.feed(match[0] + "</table>")  # ends the last cell, as browsers do
        parser.close()
        if rows := [row for row in parser.rows if row]:
            yield rows


class _Parser(HTMLParser):
    """Collects the cells of one table; the other cells of a span are empty."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, int]]] = []
        self._first_line = self._line = line
        self._spans: dict[int, int] = {}
        """By column, the further rows that a cell above spans."""
        self._text: str | None = None
        self._span = (1, 1)
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self._end_cell()
            self._line = self._first_line + self.getpos()[0] - 1
            self.rows.append([])
        elif tag in ("td", "th"):
            self._end_cell()
            given = dict(attrs)
            self._span = (_span(given.get("colspan")), _span(given.get("rowspan")))
            self._text = ""
        elif self._text is not None:
            self._hidden += tag in ("sup", "sub")
            self._text += " " if tag in ("br", "p", "div") else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "tr", "table"):
            self._end_cell()
        elif tag in ("sup", "sub"):
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._hidden:
            self._text += data

    def _end_cell(self) -> None:
        if self._text is None:
            return
        if not self.rows:
            self.rows.append([])
        row, line = self.rows[-1], self._line
        while self._spans.get(len(row), 0):
            self._spans[len(row)] -= 1
            row.append(("", line))
        columns, rows = self._span
        for number in range(columns):
            if rows > 1:
                self._spans[len(row)] = rows - 1
            row.append((self._text if number == 0 else "", line))
        self._text, self._hidden = None, 0


def _span(given: str | None) -> int:
    return min(int(given), _MOST_SPANNED) if given and re.fullmatch(r"[1-9][0-9]{0,5}", given) else 1
