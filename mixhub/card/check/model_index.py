"""Whether the model-index of a card agrees with its tables."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.card.check.score_tables import Figure
from mixhub.card.check.subject import Subject
from mixhub.card.check.tables import HINT
from mixhub.card.markdown.model_index import read_model_index
from mixhub.findings import Finding


def scores_unlike_tables(subject: Subject) -> Iterator[Finding]:
    """Find scores that differ from the tables, as a percentage and as a fraction.

    If several tables have the score, it has to agree with one of them, to the digits that are printed there.
    """
    for entry in read_model_index(subject.card.metadata) or ():
        rows = [table.rows.get(entry.row or "", {}) for table in subject.score_tables]
        cells = [cells[entry.column] for cells in rows if entry.column in cells]
        parts: list[tuple[str, tuple[str, ...], object, list[tuple[int, Figure]]]] = [
            ("", ("value",), entry.metric.value, [(cell.line, cell.score) for cell in cells]),
            (", sd", ("args", "sd"), entry.args.get("sd"), [(cell.line, cell.sd) for cell in cells if cell.sd]),
        ]
        for name, path, stated, printed in parts:
            value = Figure.read(str(stated))
            if printed and value and not any(f.rounds(value.value) or f.rounds(100 * value.value) for _, f in printed):
                line, figure = printed[0]
                label = f"{entry.label}{name}"
                message = f"{label}: the model-index says {stated}, the table on line {line} says {figure.text}"
                at = subject.card.metadata_line(*entry.path, *path)
                yield subject.finding("model-index-differs", message, HINT, line=at, about=label)


def scores_missing_from_index(subject: Subject) -> Iterator[Finding]:
    """Find scores of the only table of scores that the model-index lacks, though it has others of the same column."""
    entries = read_model_index(subject.card.metadata) or ()
    if len(subject.score_tables) != 1:
        return
    indexed = {(entry.column, entry.row) for entry in entries}
    columns = {column for column, _ in indexed}
    for row, cells in subject.score_tables[0].runs.items():
        for column, cell in cells.items():
            if column in columns and (column, row) not in indexed:
                where = f"{column} {row}"
                message = f"{where}: is in the table, but not in the model-index"
                yield subject.finding("model-index-incomplete", message, HINT, line=cell.line, about=where)
