"""Printed figures, and the tables of a card that have a row per model."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mixhub.card.markdown.model_index import AVERAGE, MEAN
from mixhub.card.markdown.parse import Block

_SLACK = 1e-9
"""More than floats lose in a mean or an sd, and less than printed digits show."""
_NUMBER = re.compile(r"[-+]?\d{1,18}(?:\.\d+)?(?:e[-+]?\d{1,2})?")
_RUN = re.compile(r"(?:(?:seed|index)[ -]?)?(\d+)", re.IGNORECASE)
_MEAN = re.compile(r"mean ± (?:sd|std)\.?", re.IGNORECASE)


class Figure(NamedTuple):
    """A number as it is printed."""

    text: str
    value: float
    half: float
    """Half a unit of its last digit: the exact number is no farther away."""

    @classmethod
    def read(cls, text: str) -> Figure | None:
        """Return the figure in a text; None if it holds anything else."""
        text = text.strip().removesuffix("%").strip()
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            return None
        digits, _, exponent = text.partition("e")
        return cls(text, float(text), 0.5 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])))

    def rounds(self, value: float, error: float = 0.0) -> bool:
        """Return whether it can be the printed form of a number that is known up to an error."""
        return abs(self.value - value) <= self.half + error + _SLACK

    def beside(self, value: float) -> str:
        """Return another number with one more digit than this figure has."""
        return f"{value:.{len(self.text.partition('.')[2]) + 1}f}"


class Cell(NamedTuple):
    """A score in a table."""

    line: int
    score: Figure
    sd: Figure | None


@dataclass(frozen=True)
class ScoreTable:
    """A table with a row per model: its seed or index, scores in percent, and their average in any place."""

    block: Block
    words: frozenset[str] = frozenset()
    """Seeds that are words; a row of another word is not of a model."""

    @staticmethod
    def fits(table: Block) -> bool:
        """Return whether a table is of this kind."""
        headers = [header.strip().casefold() for header in table.headers]
        return headers[0] in ("seed", "index") and headers[1:].count(AVERAGE.casefold()) == 1

    @property
    def columns(self) -> tuple[str, ...]:
        """The tasks, and the average."""
        titles = self.block.headers[1:]
        return tuple(AVERAGE if title.strip().casefold() == AVERAGE.casefold() else title for title in titles)

    @cached_property
    def rows(self) -> dict[str, dict[str, Cell]]:
        """The scores of each model (`seed 3`) and the means (`mean ± sd`) by column, without empty cells."""
        rows: dict[str, dict[str, Cell]] = {}
        for line, (first, *texts) in enumerate(self.block.rows, start=self.block.line + 2):
            run = _RUN.fullmatch(first.strip())
            label = run[1] if run else first.strip() if first.strip() in self.words else None
            if label is None and not _MEAN.fullmatch(first.strip()):
                continue
            cells = rows[f"{self.block.headers[0].strip().lower()} {label}" if label else MEAN] = {}
            for column, text in zip(self.columns, texts, strict=True):
                score, sd = (Figure.read(part) for part in (*text.split("±", 1), "")[:2])
                if score:
                    cells[column] = Cell(line, score, sd)
        return rows

    @property
    def runs(self) -> dict[str, dict[str, Cell]]:
        """The rows of models."""
        return {row: cells for row, cells in self.rows.items() if row != MEAN}

    @property
    def means(self) -> dict[str, Cell]:
        """The row of means; empty if there is none."""
        return self.rows.get(MEAN, {})


def mean(figures: Iterable[Figure]) -> tuple[float, float]:
    """Return the mean of figures, and the most that rounding can have moved it."""
    figures = list(figures)
    return sum(figure.value for figure in figures) / len(figures), sum(f.half for f in figures) / len(figures)


def sample_sd(figures: Iterable[Figure]) -> tuple[float, float]:
    """Return the sample sd of figures, and the most that rounding can have moved it."""
    figures = list(figures)
    center = mean(figures)[0]
    scale = math.sqrt(len(figures) - 1)
    return math.hypot(*(f.value - center for f in figures)) / scale, math.hypot(*(f.half for f in figures)) / scale
