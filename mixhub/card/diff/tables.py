"""What differs between two tables."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from mixhub.card.diff.change import Change
from mixhub.card.markdown.figures import ABSENT
from mixhub.card.markdown.parse import Block, ReadCard
from mixhub.phrases import plural

_BY_RUN = ("seed", "index", "branch", "run")
"""First headers of tables with a row per model."""
_FIGURE = re.compile(r"[-+]?\d[\d,.]*(?:e-?\d+)?[%KMBT]?(?!\w)")


def table_changes(section: str, old: Block | None, new: Block | None, repeated: Container[str]) -> Iterator[Change]:
    """Yield what differs between two tables with the same first header; a summary if one is missing.

    Args:
        section: the heading above them.
        old: the table of the old card.
        new: that of the new one.
        repeated: names of cells that are in several tables of a card; the section goes before them.
    """
    if old is None or new is None:
        yield Change(f"{section}, table", _summary(old) if old else None, _summary(new) if new else None)
        return
    was, now = _cells(old), _cells(new)
    for row in dict.fromkeys((*now, *was)):
        if row not in was or row not in now:
            before, after = (", ".join(cells[row].values()) if row in cells else None for cells in (was, now))
            yield Change(_qualified(section, new, _name(new, row), repeated), before, after, _has_figures(new))
            continue
        for column in dict.fromkeys((*now[row], *was[row])):
            texts = (cells[row].get(column) for cells in (was, now))
            before, after = (None if text in ("", ABSENT) else text for text in texts)
            if before != after:
                where = _qualified(section, new, _name(new, row, column), repeated)
                is_figure = _has_figures(new) and any(_FIGURE.match(text or "") for text in (before, after))
                yield Change(where, before, after, is_figure)


def scores_by_run(card: ReadCard) -> Iterator[tuple[str, str]]:
    """Yield name (such as `SciQ seed 3`) and text of each cell of the tables with a row per model."""
    for table in filter(_is_by_run, card.tables):
        for row, cells in _cells(table).items():
            yield from ((_name(table, row, column), text) for column, text in cells.items())


def _cells(table: Block) -> dict[str, dict[str, str]]:
    """The cells of a table by row, then by column; repeated names are numbered."""
    columns = unique(table.headers[1:])
    names = unique([row[0] for row in table.rows])
    return {name: dict(zip(columns, row[1:], strict=True)) for name, row in zip(names, table.rows, strict=True)}


def _name(table: Block, row: str, column: str | None = None) -> str:
    if _is_by_run(table):
        name = f"{table.headers[0].lower()} {row}" if row.isdigit() else row
        return f"{column} {name}" if column is not None else name
    return row if column is None or (_is_of_facts(table) and column == table.headers[1]) else f"{row}, {column}"


def unique(names: tuple[str, ...] | list[str]) -> list[str]:
    """Number repeated names: `a`, `a (2)`."""
    taken: dict[str, None] = {}
    last: dict[str, int] = {}
    for name in names:
        number = last.get(name, 1)
        while (numbered := name if number == 1 else f"{name} ({number})") in taken:
            number += 1
        taken[numbered], last[name] = None, number
    return [*taken]


def _qualified(section: str, table: Block, name: str, repeated: Container[str]) -> str:
    if _is_by_run(table):
        return f"{section}, {name}" if name in repeated else name
    return name if _is_of_facts(table) else f"{section}: {name}"


def _is_by_run(table: Block) -> bool:
    return table.headers[0].casefold() in _BY_RUN


def _is_of_facts(table: Block) -> bool:
    """Whether the first column names the values in the second."""
    return not _is_by_run(table) and (len(table.headers) == 2 or table.headers[1:2] == ("Value",))


def _has_figures(table: Block) -> bool:
    return table.headers[0] != "Domain" and not _is_of_facts(table)


def _summary(table: Block) -> str:
    return f"{plural(len(table.rows), 'row')} of {', '.join(table.headers)}"
