"""Score tables as CSV: what `mixhub results --format csv` prints, and reading it back."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, get_args

from mixhub.analysis.building import over_each_seed
from mixhub.analysis.evidence import known_tasks
from mixhub.analysis.scores import (
    ALL_TEXT,
    LOSS,
    MEASURES,
    OVERALL,
    SCORE,
    Column,
    Measure,
    Score,
    ScoreRow,
    Standing,
    average,
)
from mixhub.analysis.selection import Selection, select_columns
from mixhub.analysis.tables import ScoreTable, mixed_steps
from mixhub.errors import ResultsError, UsageError
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    import pandas

_ROW = ("name", "standing", "measure", "over", "step", "revision")
"""Columns that say what a row is; the others are figures. There is a step only of losses."""
_RENAMED = " (column)"
"""Follows the title of a task that is named like one of them."""
_AVERAGE = "Average"


class _Line(NamedTuple):
    """A row of the file."""

    number: int
    """From 1."""
    row: Mapping[str, str]
    """What it says of itself."""
    figures: Mapping[str, float | None]
    """By title."""


def tables_frame(tables: Sequence[ScoreTable]) -> pandas.DataFrame:
    """The rows of all tables: name of the table, standing, measure, what varies over its rows, the steps of losses,
    revision, and the figures by title."""
    import pandas as pd

    frames = []
    for table in tables:
        frame = table.frame().rename(columns={title: f"{title}{_RENAMED}" for title in _ROW}).reset_index()
        steps = sorted({step for own in table.steps.values() for step in own if step is not None})
        values = (table.name, table.standing, table.measure.name, table.kind, " ".join(map(str, steps)))
        for at, (title, value) in enumerate(zip(_ROW, values, strict=False)):
            frame.insert(at, title, value)
        frame.attrs = {}
        frames.append(frame)
    every = pd.concat(frames, ignore_index=True)
    every.insert(len(every.columns) - 1, _AVERAGE, every.pop(_AVERAGE))
    return every if any(table.measure is LOSS for table in tables) else every.drop(columns="step")


def read_tables(path: Path, workspace: Workspace | None, selection: Selection) -> list[ScoreTable] | None:
    """Read the tables in a CSV that `tables_frame` made; None if it is another file.

    The figures and averages are those in the file, with the standing that it states. Of selected tasks, the average is
    computed again.

    Args:
        path: the file.
        workspace: the workspace whose tasks have known titles.
        selection: the tasks, and whether rows are seeds.

    Raises:
        ResultsError: a cell is malformed.
        UsageError: single shot counts, or a measure or step that the file does not have, are selected.
        UnknownNameError: a selected task does not exist.
    """
    lines = _lines(path)
    if lines is None:
        return None
    by_table: dict[tuple[str, ...], list[_Line]] = {}
    for line in lines:
        by_table.setdefault(tuple(line.row.get(title, "") for title in _ROW[:-1]), []).append(line)
    return [_table(path, own, workspace, selection) for own in by_table.values()]


def _lines(path: Path) -> list[_Line] | None:
    """The lines of the file; None if its titles are not those of `tables_frame`."""
    if path.suffix.casefold() != ".csv" or not path.is_file():
        return None
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        titles = next(reader, [])
        if titles[:4] != list(_ROW[:4]) or "revision" not in titles[4:6]:
            return None
        rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error):  # reported as for tables of others
        return None
    lines = []
    for number, row in rows:
        if len(row) != len(titles):
            message = f"{path}:{number}: has {len(row)} cells, but {len(titles)} titles"
            raise ResultsError(message, code="table-ragged", hint="export it again", path=path, line=number)
        cells = dict(zip(titles, row, strict=True))
        figures = {title: _figure(path, number, title, text) for title, text in cells.items() if title not in _ROW}
        lines.append(_Line(number, {title: cells[title] for title in _ROW if title in cells}, figures))
    return lines


def _figure(path: Path, number: int, title: str, text: str) -> float | None:
    try:
        value = float(text) if text.strip() else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise _malformed(path, number, title, text, "must be a number or empty")
    return value


def _malformed(path: Path, number: int, title: str, text: str, rule: str) -> ResultsError:
    message = f"{path}:{number}: {title} = {text!r}: {rule}"
    hint = "export the table again with mixhub results --format csv"
    return ResultsError(message, code="cell-malformed", hint=hint, path=path, line=number)


def _table(path: Path, lines: Sequence[_Line], workspace: Workspace | None, selection: Selection) -> ScoreTable:
    number, row, _ = lines[0]
    measure = _measure(path, lines[0], selection)
    if row["standing"] not in get_args(Standing):
        raise _malformed(path, number, "standing", row["standing"], f"must be one of {', '.join(get_args(Standing))}")
    every = _columns(lines, measure, workspace)
    columns = select_columns(list(every.values()), selection)
    is_whole = len(columns) == len(every)
    titles = {column.task: title for title, column in every.items()}
    rows = []
    for line in lines:
        scores = {column.task: _score(line.figures[titles[column.task]]) for column in columns}
        averaged = [scores[column.task] for column in columns if column.is_averaged]
        mean = average(averaged, (), allow_incomplete=False, measure=measure)
        rows.append(
            ScoreRow(
                line.row["revision"],
                MappingProxyType(scores),
                _score(line.figures.get(_AVERAGE)) if is_whole else mean,
            )
        )
    steps = _steps(path, lines[0], selection)
    kind = "seed" if selection.rows_are_seeds else row["over"]
    return ScoreTable(
        name=row["name"],
        standing=next(one for one in get_args(Standing) if one == row["standing"]),
        source=str(path),
        measure=measure,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=over_each_seed(kind, columns, rows, {column.task: mixed_steps(steps) for column in columns}),
        notes=(),
        steps=MappingProxyType({column.task: steps for column in columns} if measure is LOSS else {}),
    )


def _measure(path: Path, line: _Line, selection: Selection) -> Measure:
    name = line.row["measure"]
    measure = next((one for one in MEASURES if one.name == name), None)
    if measure is None:
        raise _malformed(
            path, line.number, "measure", name, f"must be one of {', '.join(one.name for one in MEASURES)}"
        )
    if selection.num_fewshot is not None or selection.measure not in (SCORE, measure):
        what = "single shot counts" if selection.num_fewshot is not None else selection.measure.name
        raise UsageError(
            f"{path}: has the measure {measure.name}, and no {what}",
            code="measure-unpublished",
            hint="omit the option, or pass the results that the table was made from",
            name=str(path),
            measure=selection.measure.name,
        )
    return measure


def _steps(path: Path, line: _Line, selection: Selection) -> tuple[int | None, ...]:
    text = line.row.get("step", "")
    if not all(map(str.isdecimal, text.split())):
        raise _malformed(path, line.number, "step", text, "must be a step, or several with blanks between them")
    steps = tuple(map(int, text.split()))
    if selection.step is not None and steps != (selection.step,):
        message = f"--step = {selection.step}: {path} has the losses of step {text or 'unknown'}"
        raise UsageError(message, code="option-value", hint="omit --step", option="--step", value=selection.step)
    return steps or (None,)


def _columns(lines: Sequence[_Line], measure: Measure, workspace: Workspace | None) -> dict[str, Column]:
    """The columns by title. Those that name another metric than an accuracy, and a loss over all text, count for the
    average only if it is the mean of all columns."""
    titles = [
        title
        for title in lines[0].figures
        if title != _AVERAGE and any(line.figures[title] is not None for line in lines)
    ]
    names = {task.title: task.name for task in known_tasks(workspace)}
    is_mean = all(_is_mean(line, titles) for line in lines)
    columns = {}
    for title in titles:
        plain = title.removesuffix(_RENAMED) if title.removesuffix(_RENAMED) in _ROW else title
        named = re.fullmatch(r"(.+) \((\w+)\)", plain) if measure is SCORE and plain == title else None
        if measure is LOSS:
            name, is_other = OVERALL if plain == ALL_TEXT else plain, plain == ALL_TEXT
        else:
            name, is_other = names.get(plain, plain) if named is None else named[1], named is not None
        metric = named[2] if named is not None else ""
        columns[title] = Column(name, plain, (), metric, scale=1.0 if is_other and not is_mean else 100.0)
    return columns


def _is_mean(line: _Line, titles: Sequence[str]) -> bool:
    figures, mean = [line.figures[title] for title in titles], line.figures.get(_AVERAGE)
    known = [figure for figure in figures if figure is not None]
    return mean is None or len(known) < len(figures) or math.isclose(fmean(known), mean, rel_tol=1e-9, abs_tol=1e-9)


def _score(value: float | None) -> Score:
    return Score(value, int(value is not None), 1, "" if value is not None else "not in the CSV")
