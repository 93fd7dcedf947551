"""Whether the tables of a card are whole, and add up as far as their printed digits can tell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mixhub.card.check.finding import Finding
from mixhub.card.markdown.parse import ReadCard, ReadTable

_SLACK = 1e-9
"""More than floats lose in a mean or an sd; nothing that digits would show."""
_NUMBER = re.compile(r"[-+]?\d{1,18}(?:\.\d+)?(?:e[-+]?\d{1,2})?")
_RUN = re.compile(r"(?:(?:seed|index)[ -]?)?(\d+)", re.IGNORECASE)
_OF = re.compile(r"(\d{1,18})\s+of\s+(\d{1,18})")
_MEAN = re.compile(r"mean ± (?:sd|std)\.?", re.IGNORECASE)
_COPIED = "not re-measured"
"""In the heading above a table: its figures are copied, and whether they add up is not this card's doing."""


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
        return low - self.half - _SLACK <= self.value <= high + self.half + _SLACK


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


def table_findings(card: ReadCard, source: str) -> Iterator[Finding]:
    """What is wrong with the tables of a card.

    Rows must be as wide as the head. In a table with a line per seed or index, scores lie in 0 to 100, an average is
    the mean of its row, and a mean and sd are those of the rows above; shares of domains sum to 100 percent. With a
    line per task, an interval holds its mean, an error is not negative, and no more cells are there than expected. A
    printed figure stands for any number that rounds to it, so nothing is found that rounding can explain.
    """
    for table in card.tables:
        yield from _widths(card, table, source)
        if scores := ScoreTable.of(table):
            yield from _ranges(scores, source)
            if not any(_COPIED in heading for heading in table.section):
                yield from _averages(scores, source)
            yield from _means(scores, source)
        if table.headers[0].strip().casefold() == "domain":
            yield from _shares(table, source)
        if table.headers[0].strip().casefold() == "task":
            yield from _by_task(card, table, source)


def _widths(card: ReadCard, table: ReadTable, source: str) -> Iterator[Finding]:
    for row in range(len(table.rows)):
        line = row_line(table, row)
        cells, expected = _width(card.lines[line - 1]), len(table.headers)
        if cells != expected:
            what = f"{cells} cell{'s' if cells != 1 else ''}"
            message = f"a row of {what} in a table of {expected} columns: a page cuts or fills it without a word"
            hint = "a | within a cell is written \\|; a blank line ends a table"
            yield Finding("table", source, line, table.headers[0], message, hint)


def _width(line: str) -> int:
    """How many cells a written row has; a bar counts unless a backslash stands before it."""
    row = re.sub(r"^(?:[ \t]*>)*", "", line).strip()
    cells = re.split(r"(?<!\\)\|", row)
    has_ends = (cells[0] == "") + (len(cells) > 1 and cells[-1] == "")
    return len(cells) - has_ends


def _ranges(scores: ScoreTable, source: str) -> Iterator[Finding]:
    for number, at in scores.runs:
        for column, cell in enumerate(scores.table.rows[at][1:], start=1):
            figure = Figure.read(cell)
            if figure and not 0 <= figure.value <= 100:
                where = scores.name(column, number)
                message = f"{where}: {figure.text} is no score: must be 0 to 100, in percent"
                yield Finding("table", source, scores.line(at), where, message, "mixhub card render, or mend the cell")


def _averages(scores: ScoreTable, source: str) -> Iterator[Finding]:
    for number, at in scores.runs:
        *cells, average = (Figure.read(cell) for cell in scores.table.rows[at][1:])
        figures = [cell for cell in cells if cell]
        if average is None or not figures or len(figures) < len(cells):
            continue
        mean, half = _mean(figures)
        if not average.may_be(mean - half, mean + half):
            where = scores.name(-1, number)
            message = f"{where}: the card says {average.text}, the mean of the row is {_shown(mean, average)}"
            yield Finding("table", source, scores.line(at), where, message, "one of the row's figures is wrong")


def _means(scores: ScoreTable, source: str) -> Iterator[Finding]:
    if len(scores.means) != 1 or len(scores.runs) < 2:
        return
    at = scores.means[0]
    for column in range(1, len(scores.table.headers)):
        figures = [Figure.read(scores.table.rows[row][column]) for _, row in scores.runs]
        printed = mean_and_sd(scores.table.rows[at][column])
        known = [figure for figure in figures if figure]
        if printed is None or len(known) < len(figures):
            continue
        for name, figure, (value, half) in zip(("mean", "sd"), printed, (_mean(known), _sd(known)), strict=True):
            if not figure.may_be(value - half, value + half):
                where = f"{scores.table.headers[column]} {name}"
                said = f"the card says {figure.text}, that of the {len(known)} rows is {_shown(value, figure)}"
                hint = "it, or one of the figures above it, is wrong"
                yield Finding("table", source, scores.line(at), where, f"{where}: {said}", hint)


def _shares(table: ReadTable, source: str) -> Iterator[Finding]:
    for column, header in enumerate(table.headers):
        cells = [row[column].strip() for row in table.rows]
        if header.strip().casefold() != "share" or not all(cell.endswith("%") for cell in cells):
            continue
        figures = [figure for cell in cells if (figure := Figure.read(cell))]
        total, half = sum(figure.value for figure in figures), sum(figure.half for figure in figures)
        if figures and len(figures) == len(cells) and abs(total - 100) > half + _SLACK:
            message = f"the shares sum to {total:.4g}%, not to 100%"
            yield Finding("table", source, table.line, header, message, "mixhub card render, or mend the shares")


def _by_task(card: ReadCard, table: ReadTable, source: str) -> Iterator[Finding]:
    """Intervals, standard errors and numbers of cells in a table with a line per task."""
    scores = [
        found for other in card.tables if other.section == table.section and (found := ScoreTable.of(other)) is not None
    ]
    hint = "mixhub card render, or mend the cell"
    for at, row in enumerate(table.rows):
        for header, cell in zip(table.headers, row, strict=False):
            where, message = f"{row[0]} {header}", None
            if header.startswith("95 %"):
                message = _interval_problem(cell, _mean_of(scores, row[0]))
            elif header.startswith("Standard error"):
                figure = Figure.read(cell.replace("at most", ""))
                message = "an error is not negative" if figure and figure.value < 0 else None
            elif header == "Cells" and (counts := _OF.fullmatch(cell.strip())):
                message = "more cells than are expected" if int(counts[1]) > int(counts[2]) else None
            if message:
                yield Finding("table", source, row_line(table, at), where, f"{where}: {cell.strip()}: {message}", hint)


def _mean_of(scores: Sequence[ScoreTable], task: str) -> Figure | None:
    """The mean of a task over seeds, as the only table of scores in a section has it."""
    pairs = [
        mean_and_sd(one.table.rows[row][column])
        for one in scores
        for row in one.means
        for column, header in enumerate(one.table.headers)
        if column and header == task
    ]
    return pairs[0][0] if len(pairs) == 1 and pairs[0] else None


def _interval_problem(cell: str, mean: Figure | None) -> str | None:
    low, _, high = " ".join(cell.split()).partition(" to ")
    ends = Figure.read(low), Figure.read(high)
    if ends[0] is None or ends[1] is None:
        return None
    if ends[0].value > ends[1].value:
        return "the lower end of an interval stands first"
    slack = ends[0].half + ends[1].half
    if mean is not None and not mean.may_be(ends[0].value - slack, ends[1].value + slack):
        return f"does not hold its mean, {mean.text}"
    return None


def _mean(figures: Sequence[Figure]) -> tuple[float, float]:
    """The mean, and how far rounding may have moved it."""
    return (
        math.fsum(figure.value for figure in figures) / len(figures),
        math.fsum(figure.half for figure in figures) / len(figures),
    )


def _sd(figures: Sequence[Figure]) -> tuple[float, float]:
    """The sample sd, and how far rounding may have moved it: no farther than the norm of what each lost."""
    mean, _ = _mean(figures)
    freedom = len(figures) - 1
    sd = math.sqrt(math.fsum((figure.value - mean) ** 2 for figure in figures) / freedom)
    return sd, math.sqrt(math.fsum(figure.half**2 for figure in figures) / freedom)


def _shown(value: float, beside: Figure) -> str:
    """A number with the decimals of a printed one, and one more where those would not tell them apart."""
    decimals = len(beside.text.partition(".")[2])
    shown = f"{value:.{decimals}f}"
    return shown if shown != beside.text else f"{value:.{decimals + 1}f}"
