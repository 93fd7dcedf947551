"""Whether the tables of a card are whole, and add up as far as their printed digits can tell.

A printed figure stands for any number that rounds to it, so nothing is found that rounding can explain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from mixhub.card.check.score_tables import SLACK, Figure, ScoreTable, mean_and_sd, row_line
from mixhub.card.check.subject import Subject
from mixhub.card.markdown.parse import ReadTable
from mixhub.findings import Finding
from mixhub.phrases import plural

_OF = re.compile(r"(\d{1,18})\s+of\s+(\d{1,18})")
_COPIED = "not re-measured"
"""In the heading above a table: its figures are copied, and whether they add up is not this card's doing."""


def ragged_rows(subject: Subject) -> Iterator[Finding]:
    """Rows that are not as wide as the head of their table."""
    for table in subject.card.tables:
        for row in range(len(table.rows)):
            line = row_line(table, row)
            cells, expected = _width(subject.card.lines[line - 1]), len(table.headers)
            if cells != expected:
                message = (
                    f"a row of {plural(cells, 'cell')} in a table of {expected} columns: "
                    "a page cuts or fills it without a word"
                )
                hint = "a | within a cell is written \\|; a blank line ends a table"
                yield Finding("table-ragged", subject.source, message, hint, line=line, about=table.headers[0])


def impossible_scores(subject: Subject) -> Iterator[Finding]:
    """Scores of models that do not lie in 0 to 100."""
    for scores in subject.score_tables:
        for number, at in scores.runs:
            for column, cell in enumerate(scores.table.rows[at][1:], start=1):
                figure = Figure.read(cell)
                if figure and not 0 <= figure.value <= 100:
                    where = scores.name(column, number)
                    message = f"{where}: {figure.text} is no score: must be 0 to 100, in percent"
                    hint = "mixhub card render, or mend the cell"
                    yield Finding(
                        "score-out-of-range", subject.source, message, hint, line=scores.line(at), about=where
                    )


def wrong_averages(subject: Subject) -> Iterator[Finding]:
    """Averages of models that are not the mean of their row; those that are copied are left alone."""
    for scores in subject.score_tables:
        if any(_COPIED in heading for heading in scores.table.section):
            continue
        for number, at in scores.runs:
            *cells, average = (Figure.read(cell) for cell in scores.table.rows[at][1:])
            figures = [cell for cell in cells if cell]
            if average is None or not figures or len(figures) < len(cells):
                continue
            mean, half = _mean(figures)
            if not average.may_be(mean - half, mean + half):
                where = scores.name(-1, number)
                message = f"{where}: the card says {average.text}, the mean of the row is {_beside(mean, average)}"
                hint = "one of the row's figures is wrong"
                yield Finding("average-differs", subject.source, message, hint, line=scores.line(at), about=where)


def wrong_means(subject: Subject) -> Iterator[Finding]:
    """Means and sds over models that are not those of the rows above."""
    for scores in subject.score_tables:
        if len(scores.means) != 1 or len(scores.runs) < 2:
            continue
        for column in range(1, len(scores.table.headers)):
            yield from _wrong_mean(subject, scores, column)


def _wrong_mean(subject: Subject, scores: ScoreTable, column: int) -> Iterator[Finding]:
    at = scores.means[0]
    figures = [Figure.read(scores.table.rows[row][column]) for _, row in scores.runs]
    printed = mean_and_sd(scores.table.rows[at][column])
    known = [figure for figure in figures if figure]
    if printed is None or len(known) < len(figures):
        return
    for name, figure, (value, half) in zip(("mean", "sd"), printed, (_mean(known), _sd(known)), strict=True):
        if not figure.may_be(value - half, value + half):
            code = "mean-differs" if name == "mean" else "sd-differs"
            where = f"{scores.table.headers[column]} {name}"
            rows = f"that of the {len(known)} rows is {_beside(value, figure)}"
            message = f"{where}: the card says {figure.text}, {rows}"
            hint = "it, or one of the figures above it, is wrong"
            yield Finding(code, subject.source, message, hint, line=scores.line(at), about=where)


def wrong_shares(subject: Subject) -> Iterator[Finding]:
    """Shares of domains that do not sum to 100 percent."""
    for table in subject.card.tables:
        for column in _share_columns(table):
            cells = [row[column].strip() for row in table.rows]
            figures = [figure for cell in cells if (figure := Figure.read(cell))]
            total, half = sum(figure.value for figure in figures), sum(figure.half for figure in figures)
            if figures and len(figures) == len(cells) and abs(total - 100) > half + SLACK:
                message = f"the shares sum to {total:.4g}%, not to 100%"
                hint, about = "mixhub card render, or mend the shares", table.headers[column]
                yield Finding("shares-sum-differs", subject.source, message, hint, line=table.line, about=about)


def wrong_cells_by_task(subject: Subject) -> Iterator[Finding]:
    """Intervals, standard errors and numbers of cells that cannot be, in tables with a line per task."""
    for table in subject.card.tables:
        if table.headers[0].strip().casefold() != "task":
            continue
        scores = [other for other in subject.score_tables if other.table.section == table.section]
        for at, row in enumerate(table.rows):
            for header, cell in zip(table.headers, row, strict=False):
                if problem := _task_problem(header, cell, _mean_of(scores, row[0])):
                    code, rule = problem
                    where = f"{row[0]} {header}"
                    message = f"{where}: {cell.strip()}: {rule}"
                    hint = "mixhub card render, or mend the cell"
                    yield Finding(code, subject.source, message, hint, line=row_line(table, at), about=where)


def _width(line: str) -> int:
    """How many cells a written row has; a bar counts unless a backslash stands before it."""
    row = re.sub(r"^(?:[ \t]*>)*", "", line).strip()
    cells = re.split(r"(?<!\\)\|", row)
    has_ends = (cells[0] == "") + (len(cells) > 1 and cells[-1] == "")
    return len(cells) - has_ends


def _share_columns(table: ReadTable) -> Iterator[int]:
    """Columns of shares in percent, in a table with a line per domain."""
    for column, header in enumerate(table.headers):
        is_share = table.headers[0].strip().casefold() == "domain" and header.strip().casefold() == "share"
        if is_share and all(row[column].strip().endswith("%") for row in table.rows):
            yield column


def _task_problem(header: str, cell: str, mean: Figure | None) -> tuple[str, str] | None:
    """Code and rule of what cannot be in a cell of a task; None if nothing is wrong."""
    if header.startswith("95 %"):
        return _interval_problem(cell, mean)
    if header.startswith("Standard error"):
        figure = Figure.read(cell.replace("at most", ""))
        return ("stderr-negative", "an error is not negative") if figure and figure.value < 0 else None
    if header == "Cells" and (counts := _OF.fullmatch(cell.strip())) and int(counts[1]) > int(counts[2]):
        return "cells-excess", "more cells than are expected"
    return None


def _interval_problem(cell: str, mean: Figure | None) -> tuple[str, str] | None:
    low, _, high = " ".join(cell.split()).partition(" to ")
    ends = Figure.read(low), Figure.read(high)
    if ends[0] is None or ends[1] is None:
        return None
    if ends[0].value > ends[1].value:
        return "interval-reversed", "the lower end of an interval stands first"
    slack = ends[0].half + ends[1].half
    if mean is not None and not mean.may_be(ends[0].value - slack, ends[1].value + slack):
        return "interval-differs", f"does not hold its mean, {mean.text}"
    return None


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


def _beside(value: float, printed: Figure) -> str:
    """A number with the decimals of a printed one, and one more where those would not tell them apart."""
    decimals = len(printed.text.partition(".")[2])
    shown = f"{value:.{decimals}f}"
    return shown if shown != printed.text else f"{value:.{decimals + 1}f}"
