"""Figures as they are printed, and the tables of a card that have a line per model."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

from mixhub.card.markdown.parse import ReadTable

SLACK = 1e-9
"""More than floats lose in a mean or an sd; nothing that digits would show."""
_NUMBER = re.compile(r"[-+]?\d{1,18}(?:\.\d+)?(?:e[-+]?\d{1,2})?")
_RUN = re.compile(r"(?:(?:seed|index)[ -]?)?(\d+)", re.IGNORECASE)
_MEAN = re.compile(r"mean ± (?:sd|std)\.?", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A number as it is printed."""

    text: str
    value: float
    half: float
    """Half a unit of its last digit: what it stands for lies no farther away."""

    @classmethod
    def read(cls, text: str) -> Figure | None:
        """The figure that a text is; None where it is none, or more than one."""
        text = text.strip().removesuffix("%").strip()
        if not _NUMBER.fullmatch(text):
            return None
        digits, _, exponent = text.partition("e")
        decimals = len(digits.partition(".")[2]) - int(exponent or 0)
        value = float(text)
        return cls(text, value, 0.5 * 10.0**-decimals) if math.isfinite(value) else None

    def may_be(self, low: float, high: float) -> bool:
        """Whether it can stand for a number between two others."""
        return low - self.half - SLACK <= self.value <= high + self.half + SLACK


@dataclass(frozen=True)
class ScoreTable:
    """A table with a line per model: its seed or index, scores in percent, and their average."""

    table: ReadTable

    @classmethod
    def of(cls, table: ReadTable) -> ScoreTable | None:
        """None where the table is of another kind."""
        headers = [header.strip().casefold() for header in table.headers]
        is_one = len(headers) > 1 and headers[0] in ("seed", "index") and headers[-1] == "average"
        return cls(table) if is_one else None

    @property
    def kind(self) -> str:
        """`seed` or `index`."""
        return self.table.headers[0].strip().casefold()

    @cached_property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Seed or index of each model, and the index of its row."""
        matches = ((at, _RUN.fullmatch(row[0].strip())) for at, row in enumerate(self.table.rows))
        return tuple((int(match[1]), at) for at, match in matches if match)

    @cached_property
    def means(self) -> tuple[int, ...]:
        """Indices of the rows with means and sds."""
        return tuple(at for at, row in enumerate(self.table.rows) if _MEAN.fullmatch(row[0].strip()))

    def line(self, row: int) -> int:
        """The line of a row in the file."""
        return row_line(self.table, row)

    def name(self, column: int, number: int) -> str:
        """What a cell is, as `SciQ seed 3`."""
        return f"{self.table.headers[column]} {self.kind} {number}"


def row_line(table: ReadTable, row: int) -> int:
    """The line of a row in the file; two lines stand above the first, the head and its rule."""
    return table.line + 2 + row


def mean_and_sd(cell: str) -> tuple[Figure, Figure] | None:
    """The two figures of `65.54 ± 0.68`; None where a text is something else."""
    mean, sign, sd = cell.partition("±")
    figures = Figure.read(mean), Figure.read(sd)
    return (figures[0], figures[1]) if sign and figures[0] and figures[1] else None
