"""How tables and notes fit the width of a terminal: a word, a figure or a commit is never broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len

GAP = 2
"""Blanks between columns."""
_LEGIBLE = 20
"""A column of prose is wrapped to this width, and not further."""
_MANY = 8
"""More rows than this are not stacked if several tables hold them."""

Row = Sequence[str]


class Column(NamedTuple):
    """A column of a table that fits."""

    number: int
    """From 0."""
    width: int
    is_numeric: bool
    """Whether it is right-aligned."""


def lay_out(columns: Row, rows: Sequence[Row], width: int) -> list[list[Column]]:
    """Return the columns of a table that fits `width`, wrapped at blanks if need be.

    Figures that do not fit side by side become several tables, each with the first column, and so does the text of many
    rows. If that is no help, the result is empty, and the rows have to be stacked.
    """
    numeric = [bool(rows) and all(_is_figure(row[number]) for row in rows) for number in range(len(columns))]
    bodies = [[row[number] for row in rows] for number in range(len(columns))]
    contents = [max(map(cell_len, body), default=0) for body in bodies]
    natural = [max(cell_len(head), content) for head, content in zip(columns, contents, strict=True)]
    least = [
        max(_longest_word([head, *body]), content if is_figure else min(content, _LEGIBLE))
        for head, body, content, is_figure in zip(columns, bodies, contents, numeric, strict=True)
    ]
    groups = [list(range(len(columns)))]
    if _total(least) > width and len(columns) > 2 and (all(numeric[1:]) or len(rows) > _MANY):
        groups = _split(least, width)
    tables = []
    for group in groups:
        widths = _shrunk([natural[number] for number in group], [least[number] for number in group], width)
        if _total(widths) > width:
            return []
        tables.append([Column(number, own, numeric[number]) for number, own in zip(group, widths, strict=True)])
    return tables


def fits(group: Sequence[Column], rows: Sequence[Row]) -> bool:
    """Return whether no cell of a table has to be wrapped."""
    return all(cell_len(row[column.number]) <= column.width for row in rows for column in group)


def aligned(group: Sequence[Column], row: Row) -> str:
    """Return the line of a row that fits."""
    cells = []
    for column in group:
        cell = row[column.number]
        blanks = " " * (column.width - cell_len(cell))
        cells.append(blanks + cell if column.is_numeric else cell + blanks)
    return (" " * GAP).join(cells)


def stacked(columns: Row, rows: Sequence[Row], width: int) -> Iterator[str]:
    """Return the lines of a table with a block for each row: its first cell, then a line for each other cell."""
    labels = max(map(len, columns[1:]), default=0)
    indent = " " * (labels + 2 * GAP if labels else GAP)
    for row in rows:
        yield row[0]
        for column, cell in zip(columns[1:], row[1:], strict=True):
            label = f"{' ' * GAP}{column:{labels}}"
            yield from wrapped(cell, width, f"{label:{len(indent)}}", indent) or [label.rstrip()]


def wrapped(text: str, width: int, first: str = "", indent: str = " " * GAP) -> list[str]:
    """Return the lines of a text, wrapped at blanks, with `first` before the first line and `indent` before others."""
    return textwrap.wrap(
        text,
        max(width, len(indent) + _LEGIBLE),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _split(widths: Sequence[int], width: int) -> list[list[int]]:
    groups: list[list[int]] = []
    for number in range(1, len(widths)):
        if groups and _total([widths[one] for one in [*groups[-1], number]]) <= width:
            groups[-1].append(number)
        else:
            groups.append([0, number])
    return groups


def _shrunk(natural: list[int], least: Sequence[int], width: int) -> list[int]:
    widths = list(natural)
    while _total(widths) > width and widths != least:
        widths[max((n for n, own in enumerate(widths) if own > least[n]), key=widths.__getitem__)] -= 1
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _longest_word(cells: Sequence[str]) -> int:
    return max((cell_len(word) for cell in cells for word in cell.split()), default=0)


def _is_figure(text: str) -> bool:
    return text == "-" or text.startswith("- (") or text.lstrip("+-")[:1].isdigit()
