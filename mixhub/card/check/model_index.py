"""Whether the model-index of a card has the shape that the Hub reads, and says what the tables of the card say.

A score of a seed or an index is held against the cells of the same seed and dataset in tables of scores, one with an sd
against their line of means; it has to agree with one of them to the digits that are printed there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from mixhub.card.check.index_shape import shape_faults
from mixhub.card.check.metadata import MEND
from mixhub.card.check.score_tables import Figure, ScoreTable, mean_and_sd
from mixhub.card.check.subject import Subject
from mixhub.card.markdown.figures import is_finite
from mixhub.card.markdown.model_index import IndexEntry
from mixhub.card.markdown.text import yaml_line
from mixhub.findings import Finding

_RENDER = "mixhub card render"


def misshapen_index(subject: Subject) -> Iterator[Finding]:
    """Parts that are missing, or are not of the kind that the Hub reads."""
    for fault in shape_faults(subject.card.metadata):
        key = ".".join(map(str, fault.path))
        line = subject.lines.line(*fault.path)
        yield Finding(fault.code, subject.source, f"{key}: {fault.rule}", MEND, line=line, about=key)


def conflicting_scores(subject: Subject) -> Iterator[Finding]:
    """Scores of the same thing that differ."""
    first: dict[str, IndexEntry] = {}
    for entry in subject.index:
        other = first.setdefault(_identity(entry), entry)
        if other.value != entry.value:
            line = subject.lines.line(*other.path, "value")
            label = _label(entry)
            message = (
                f"{label}: the model-index says {yaml_line(entry.value)}, and {yaml_line(other.value)} in line {line}"
            )
            at = subject.lines.line(*entry.path, "value")
            yield Finding("model-index-conflict", subject.source, message, MEND, line=at, about=label)


def scores_unlike_tables(subject: Subject) -> Iterator[Finding]:
    """Scores that stand in tables, and in none of them are the same."""
    tables = subject.score_tables
    for entry in subject.index:
        value, sd = _number(entry.value), entry.args.get("sd")
        if value is None:
            continue
        if entry.run:
            cells = [cell for table in tables for cell in _cells_of_run(entry, table)]
            yield from _disagreement(subject, entry, "value", value, cells)
        elif sd is not None and is_finite(sd):
            pairs = [pair for table in tables for pair in _cells_of_means(entry, table)]
            yield from _disagreement(subject, entry, "value", value, [(line, mean) for line, mean, _ in pairs])
            yield from _disagreement(subject, entry, "sd", sd, [(line, figure) for line, _, figure in pairs])


def scores_missing_from_index(subject: Subject) -> Iterator[Finding]:
    """Scores of the one table of scores that the model-index lacks, though it has others of their column."""
    table = _only_table(subject)
    if table is None:
        return
    told = {(column, entry.run) for entry in subject.index if entry.run for column in _columns(entry, table)}
    for column in sorted({column for column, _ in told}):
        for number, row in table.runs:
            if (column, (table.kind, number)) not in told and Figure.read(table.table.rows[row][column]):
                where = table.name(column, number)
                message = f"{where}: stands in the table, and the model-index, which has the column, lacks it"
                line = table.line(row)
                yield Finding("model-index-incomplete", subject.source, message, _RENDER, line=line, about=where)


def misnamed_datasets(subject: Subject) -> Iterator[Finding]:
    """Datasets that are almost called as a column of the one table of scores."""
    table = _only_table(subject)
    if table is None:
        return
    headers = table.table.headers[1:]
    for name in dict.fromkeys(entry.dataset for entry in subject.index if entry.run and not _columns(entry, table)):
        if near := [one for one in difflib.get_close_matches(name, headers, 1, cutoff=0.8) if _differ(name, one)]:
            path = next(entry.path for entry in subject.index if entry.dataset == name)
            message = f"{name}: is no column of the table of scores; did you mean {near[0]}?"
            line = subject.lines.line(*path, "value")
            yield Finding("dataset-misnamed", subject.source, message, MEND, line=line, about=name)


def _label(entry: IndexEntry) -> str:
    """As `SciQ seed 3`, or `SciQ score, mean of 5 seeds`."""
    return f"{entry.dataset} {' '.join(map(str, entry.run)) if entry.run else entry.metric_name}"


def _identity(entry: IndexEntry) -> str:
    """What two scores share that are of the same thing."""
    about = {key: value for key, value in entry.result.items() if key != "source"}
    figure = {key: value for key, value in entry.metric.items() if key in ("type", "name", "config")}
    # A mean stands with its sd among the arguments, which is no less a figure than itself.
    args = {key: value for key, value in entry.args.items() if key != "sd"}
    return _canonical([about, figure, args])


def _canonical(value: object) -> str:
    """The same text for mappings that differ in the order of their keys only, whatever these are."""
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{key!r}: {_canonical(inner)}' for key, inner in value.items()))}}}"
    return f"[{', '.join(map(_canonical, value))}]" if isinstance(value, list) else repr(value)


def _number(value: object) -> float | None:
    """A finite number, also one that stands in quotes; None of anything else."""
    if isinstance(value, str) and (figure := Figure.read(value)) is not None:
        return figure.value
    return float(value) if isinstance(value, (int, float)) and is_finite(value) else None


def _only_table(subject: Subject) -> ScoreTable | None:
    """The table of scores; where several stand beside each other, the model-index has the figures of one of them."""
    return subject.score_tables[0] if len(subject.score_tables) == 1 else None


def _differ(one: str, other: str) -> bool:
    """Whether two names differ in more than numbers, as those of two versions of a dataset do."""
    return re.sub(r"\d+", "", one) != re.sub(r"\d+", "", other)


def _columns(entry: IndexEntry, table: ScoreTable) -> list[int]:
    """The columns that are of the dataset of a score."""
    headers = table.table.headers
    if entry.is_average:
        return [len(headers) - 1]
    return [at for at, header in enumerate(headers) if at > 0 and header == entry.dataset]


def _cells_of_run(entry: IndexEntry, table: ScoreTable) -> Iterator[tuple[int, Figure]]:
    for number, row in table.runs:
        if (table.kind, number) == entry.run:
            for column in _columns(entry, table):
                if figure := Figure.read(table.table.rows[row][column]):
                    yield table.line(row), figure


def _cells_of_means(entry: IndexEntry, table: ScoreTable) -> Iterator[tuple[int, Figure, Figure]]:
    for row in table.means:
        for column in _columns(entry, table):
            if pair := mean_and_sd(table.table.rows[row][column]):
                yield table.line(row), *pair


def _disagreement(
    subject: Subject, entry: IndexEntry, what: str, value: float, cells: Sequence[tuple[int, Figure]]
) -> Iterator[Finding]:
    """A finding when tables have the figure, and in none of them it is this one, as a percentage or a fraction."""
    if not cells or any(figure.may_be(number, number) for _, figure in cells for number in (value, 100 * value)):
        return
    line, figure = cells[0]
    at = subject.lines.line(*entry.path, *(("value",) if what == "value" else ("args", what)))
    label = _label(entry) if what == "value" else f"{_label(entry)}, {what}"
    message = f"{label}: the model-index says {value}, the table in line {line} says {figure.text}"
    hint = "mixhub card render, or mend the one that is wrong"
    yield Finding("model-index-differs", subject.source, message, hint, line=at, about=label)
