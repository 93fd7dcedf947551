"""Whether the figures in the tables of a card are consistent.

A printed figure stands for any number that rounds to it, so rules report only what rounding cannot explain.
"""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.card.check.score_tables import Figure, mean, sample_sd
from mixhub.card.check.subject import Subject
from mixhub.card.markdown.model_index import AVERAGE
from mixhub.card.markdown.parse import Block
from mixhub.findings import Finding

HINT = "run mixhub card render, or correct the wrong figure"
_COPIED = "not re-measured"
"""Marks the heading of a table whose figures are copied; its averages are not ours to check."""


def impossible_scores(subject: Subject) -> Iterator[Finding]:
    """Find scores of models outside of 0 to 100."""
    for table in subject.score_tables:
        for row, cells in table.runs.items():
            for column, cell in cells.items():
                if not 0 <= cell.score.value <= 100:
                    where = f"{column} {row}"
                    message = f"{where}: {cell.score.text} is not a score: must be 0 to 100 percent"
                    yield subject.finding("score-out-of-range", message, HINT, line=cell.line, about=where)


def wrong_averages(subject: Subject) -> Iterator[Finding]:
    """Find averages of models that are not the mean of their row; copied ones are not checked."""
    for table in subject.score_tables:
        if any(_COPIED in heading for heading in table.block.section):
            continue
        for row, cells in table.runs.items():
            if len(cells) != len(table.columns) or len(cells) < 2:
                continue
            average = cells[AVERAGE]
            expected, error = mean(cell.score for column, cell in cells.items() if column != AVERAGE)
            if not average.score.rounds(expected, error):
                where, value = f"{AVERAGE} {row}", average.score.beside(expected)
                message = f"{where}: the card says {average.score.text}, the mean of the row is {value}"
                yield subject.finding("average-differs", message, HINT, line=average.line, about=where)


def wrong_means(subject: Subject) -> Iterator[Finding]:
    """Find means and sds over models that are not those of the rows above."""
    for table in subject.score_tables:
        for column, cell in table.means.items():
            figures = [cells[column].score for cells in table.runs.values() if column in cells]
            if len(figures) != len(table.runs) or len(figures) < 2:
                continue
            parts = (("mean-differs", "mean", cell.score, mean), ("sd-differs", "sd", cell.sd, sample_sd))
            for code, name, figure, compute in parts:
                expected, error = compute(figures)
                if figure and not figure.rounds(expected, error):
                    where, value = f"{column} {name}", figure.beside(expected)
                    message = f"{where}: the card says {figure.text}, the {len(figures)} rows give {value}"
                    yield subject.finding(code, message, HINT, line=cell.line, about=where)


def share_column(table: Block) -> int | None:
    """Return the column of shares in a table with a row per domain; None for other tables."""
    headers = [header.strip().casefold() for header in table.headers]
    return headers.index("share") if headers[0] == "domain" and "share" in headers else None


def wrong_shares(subject: Subject) -> Iterator[Finding]:
    """Find shares of domains that do not sum to 100 percent."""
    for table in subject.card.tables:
        column = share_column(table)
        if column is None:
            continue
        figures = [Figure.read(row[column]) for row in table.rows]
        total, error = sum(f.value for f in figures if f), sum(f.half for f in figures if f)
        if figures and None not in figures and not Figure("100", 100, error).rounds(total):
            message = f"the shares sum to {total:.4g}%, not to 100%"
            yield subject.finding("shares-sum-differs", message, HINT, line=table.line, about="Share")


def wrong_intervals(subject: Subject) -> Iterator[Finding]:
    """Find intervals for the mean of a task that do not contain it."""
    for table in subject.card.tables:
        scores = [scores for scores in subject.score_tables if scores.block.section == table.section]
        if table.headers[0].strip() != "Task" or len(scores) != 1:
            continue
        for line, row in enumerate(table.rows, start=table.line + 2):
            center = scores[0].means.get(row[0])
            for header, text in zip(table.headers, row, strict=True):
                low, high = (Figure.read(end) for end in (*" ".join(text.split()).split(" to "), "", "")[:2])
                if header.startswith("95 %") and center and low and high:
                    middle, width = (low.value + high.value) / 2, (high.value - low.value) / 2
                    if not center.score.rounds(middle, width + low.half + high.half):
                        where = f"{row[0]} {header}"
                        message = f"{where}: {text.strip()} does not contain the mean, {center.score.text}"
                        yield subject.finding("interval-differs", message, HINT, line=line, about=where)
