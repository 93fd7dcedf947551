"""What differs between two tables, and the names of their cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixhub.card.diff.change import Change, Kind
from mixhub.card.diff.parts import link_changes, side
from mixhub.card.diff.sections import FIRST, FOOTER, Key, Outline, numbered
from mixhub.card.markdown import figures
from mixhub.card.markdown.parse import ReadCard, ReadTable
from mixhub.phrases import plural

_BY_RUN = ("seed", "index", "branch")
"""First headers of tables with a line per model."""
_FIGURE = re.compile(r"[-+]?\d[\d,.]*(?:e-?\d+)?[%KMBT]?(?!\w)")


@dataclass(frozen=True)
class Grid:
    """A table with names for rows and columns; repeated names are numbered."""

    first: str
    """The header of the row names."""
    columns: tuple[str, ...]
    """The other headers."""
    rows: Mapping[str, Mapping[str, str]]
    """Cells by row, then by column."""

    @classmethod
    def of(cls, table: ReadTable) -> Grid:
        columns = tuple(_distinct(table.headers[1:]))
        cells = (dict(zip(columns, row[1:], strict=True)) for row in table.rows)
        return cls(table.headers[0], columns, dict(zip(_distinct([row[0] for row in table.rows]), cells, strict=True)))

    @property
    def is_by_run(self) -> bool:
        """Whether it has a line per model."""
        return self.first.casefold() in _BY_RUN

    @property
    def is_of_facts(self) -> bool:
        """Whether the first column names what the second one says."""
        return not self.is_by_run and (len(self.columns) == 1 or self.columns[:1] == ("Value",))

    def name(self, row: str, column: str | None) -> str:
        """Names a cell, or without a column a whole row, to who knows the table."""
        if self.is_by_run:
            shown = f"{self.first.lower()} {row}" if row.isdigit() else row
            return shown if column is None else f"{column} {shown}"
        return row if column is None or (self.is_of_facts and column == self.columns[0]) else f"{row}, {column}"

    def names(self) -> set[str]:
        """All names of cells and rows."""
        return {self.name(row, column) for row in self.rows for column in (None, *self.columns)}

    def column(self, column: str) -> str:
        """The cells of a column, on one line."""
        return ", ".join(cells[column] for cells in self.rows.values())

    def row(self, row: str) -> str:
        """The cells of a row, on one line."""
        return ", ".join(self.rows[row].values())


class Names:
    """Names of sections and of cells, just long enough to tell them apart in both cards."""

    def __init__(self, cards: Sequence[ReadCard]) -> None:
        self._sections = _repeated([[key[-1] for key in Outline.of(card).sections if key] for card in cards])
        self._cells = _repeated([[n for table in card.tables for n in Grid.of(table).names()] for card in cards])

    def section(self, key: Key) -> str:
        if key in (FIRST, FOOTER):
            return "footer" if key else "first part"
        return " › ".join(key) if key[-1] in self._sections else key[-1]

    def cell(self, section: str, grid: Grid, row: str, column: str | None = None) -> str:
        """The name of a cell, or of a whole row."""
        name = grid.name(row, column)
        if grid.is_by_run:
            return f"{section}, {name}" if name in self._cells else name
        return name if grid.is_of_facts and name not in self._cells else f"{section}: {name}"


def table_changes(section: str, old: ReadTable | None, new: ReadTable | None, names: Names) -> Iterator[Change]:
    """What differs between two tables; of one that is new or gone, a summary."""
    if old is None or new is None:
        yield Change("fact", f"{section}: table", side(old, _summary), side(new, _summary))
    else:
        yield from _cell_changes(section, Grid.of(old), Grid.of(new), names)
        yield from link_changes(section, old, new)


def _cell_changes(section: str, old: Grid, new: Grid, names: Names) -> Iterator[Change]:
    is_mixture = "mixture" in section.casefold()
    kind: Kind = "mixture" if is_mixture else "fact" if old.is_of_facts else "figure"
    if old.first != new.first:
        yield Change("fact", f"{section}: header of the first column", old.first, new.first)
    yield from _column_changes(kind, section, old, new)
    columns = [column for column in new.columns if column in old.columns]
    for row in new.rows:
        if row not in old.rows:
            yield Change(kind, names.cell(section, new, row), None, new.row(row))
            continue
        for column in columns:
            if (was := old.rows[row][column]) != (now := new.rows[row][column]):
                yield _cell_change(kind, names.cell(section, new, row, column), was, now)
    for row in old.rows:
        if row not in new.rows:
            yield Change(kind, names.cell(section, old, row), old.row(row), None)
    yield from _order_of(f"{section}: order of the columns", old.columns, new.columns)
    yield from _order_of(f"{section}: order of the rows", list(old.rows), list(new.rows))


def _column_changes(kind: Kind, section: str, old: Grid, new: Grid) -> Iterator[Change]:
    for column in dict.fromkeys((*old.columns, *new.columns)):
        if column in old.columns and column in new.columns:
            continue
        grid = old if column in old.columns else new
        where, cells = f"column {column}" if grid.is_by_run else f"{section}: column {column}", grid.column(column)
        yield Change(kind, where, cells if grid is old else None, cells if grid is new else None)


def _cell_change(kind: Kind, where: str, old: str, new: str) -> Change:
    if kind == "figure" and not (_FIGURE.match(old) or _FIGURE.match(new)):
        kind = "fact"
    absent = ("", figures.ABSENT)
    return Change(kind, where, None if old in absent and new else old, None if new in absent and old else new)


def _order_of(where: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    was, now = ([name for name in names if name in old and name in new] for names in (old, new))
    if was != now:
        yield Change("fact", where, ", ".join(was), ", ".join(now))


def _summary(table: ReadTable) -> str:
    return f"{plural(len(table.rows), 'row')} of {', '.join(header or '(no header)' for header in table.headers)}"


def scores_by_run(card: ReadCard) -> dict[tuple[str, str], list[str]]:
    """What the tables with a line per model say, by column and row."""
    found: dict[tuple[str, str], list[str]] = {}
    for grid in map(Grid.of, card.tables):
        if grid.is_by_run:
            for row, cells in grid.rows.items():
                for column, cell in cells.items():
                    found.setdefault((column, row), []).append(cell)
    return found


def _distinct(names: Sequence[str]) -> list[str]:
    return [name for (name,) in numbered([(name,) for name in names])]


def _repeated(names: Iterable[Sequence[str]]) -> set[str]:
    """The names that stand more than once in one of the lists."""
    return {name for those in names for name, times in Counter(those).items() if times > 1}
