"""Tables of scores read from files: which grid has scores, its columns, rows and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

from mixhub.analysis.published.grids import DELIMITERS, Grid, TableCell, read_grids
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable, count_decimals
from mixhub.errors import ResultsError
from mixhub.phrases import listed
from mixhub.spec import Task

_MIN_TASKS = 2
"""Names of tasks that make a table one of scores."""


def table_file(source: str) -> tuple[Path, int | None] | None:
    """The file of a table, and the line of its head if the source is `card.md:12`; None if it is not such a file."""
    name, _, line = source.rpartition(":")
    path, at = (Path(name), int(line)) if name and line.isdecimal() else (Path(source), None)
    return (path, at) if path.suffix.lower() in DELIMITERS else None


def read_published(path: Path, tasks: Sequence[Task], line: int | None = None) -> PublishedTable:
    """Read the table of scores in a model card (Markdown), or in a CSV or TSV file.

    A table of scores has at least two columns, or rows, named after tasks of the suite. Of several, those whose rows
    are seeds, indices or revisions come first. Columns without figures are omitted.

    Args:
        path: `.md`, `.markdown`, `.csv` or `.tsv`.
        tasks: the suite.
        line: line of the head, to choose one of several tables.

    Returns:
        The table, in percent; if all figures are between 0 and 1, they are read as fractions.

    Raises:
        ResultsError: no such file, no table of scores or several, a ragged row, a repeated name, or a cell that is not
            a finite number; names file and line.
    """
    grids = [grid for grid in read_grids(path) if line in (None, grid.line)]
    candidates = [found for grid in grids if (found := _score_grid(path, grid, tasks)) is not None]
    best = [grid for grid in candidates if _has_runs(grid)] or candidates
    if not best:
        titles = listed([task.title for task in tasks], most=4)
        message = f"{path}: no table with two or more columns or rows named after tasks of the suite ({titles})"
        raise ResultsError(message, code="table-missing", hint="choose another suite: --suite NAME", path=path)
    if len(best) > 1:
        lines = tuple(grid.line for grid in best)
        message = f"{path}: has {len(best)} tables of scores, on lines {listed(lines, last='and')}"
        raise ResultsError(
            message, code="table-ambiguous", hint=f"choose one by its line: {path}:{lines[0]}", path=path, lines=lines
        )
    return _published(path, best[0], tasks)


def _score_grid(path: Path, grid: Grid, tasks: Sequence[Task]) -> Grid | None:
    """The grid with tasks as columns; None if it does not hold scores."""
    least = min(_MIN_TASKS, len(tasks))
    is_wide = sum(_task(cell.text, tasks) is not None for cell in grid.head[1:]) >= least
    of_tasks = [row for row in grid.body if _task(row[0].text, tasks) is not None]
    scores = [at for at in range(1, min(map(len, grid.rows))) if _holds_scores(grid.head[at].text, of_tasks, at)]
    if not is_wide and (len(of_tasks) < least or not scores):
        return None
    if grid.ragged:
        line, cells = grid.ragged[0]
        message = f"{path}:{line}: has {cells} cells, but its table has {len(grid.head)} columns"
        raise ResultsError(
            message, code="table-ragged", hint="fix the line; write a | inside a cell as \\|", path=path, line=line
        )
    return grid if is_wide else Grid([[row[at] for row in grid.rows] for at in (0, *scores)], [])


def _holds_scores(title: str, rows: Sequence[Sequence[TableCell]], position: int) -> bool:
    """Whether a column beside names of tasks holds scores, and not versions, metrics or sizes of the tasks."""
    cells = [text for row in rows if not _NO_FIGURE.fullmatch(text := row[position].text)]
    figures = sum(_FIGURE.fullmatch(text) is not None for text in cells)
    return _key(title) not in _NOT_SCORES and bool(cells) and 2 * figures >= len(cells)


def _has_runs(grid: Grid) -> bool:
    """Whether the rows are seeds, indices or revisions."""
    labels = [row[0].text for row in grid.body if not _is_summary(row[0].text)]
    return _key(grid.head[0].text) in _RUN_TITLES or (bool(labels) and all(map(_is_run, labels)))


def _is_run(label: str) -> bool:
    """Whether a label is a number, or words for a run and a number, such as `model-index-3`."""
    match = re.fullmatch(r"(\D*)\d+", label)
    return match is not None and set(re.findall(r"\w+", match[1].replace("_", " ").casefold())) <= _RUN_NAMES


_MEAN_NAMES = frozenset({"average", "avg", "mean", "averagescore", "macroaverage"})
_SUMMARY_WORDS = frozenset(
    {"mean", "average", "avg", "median", "min", "max", "range", "±"}
    | {"sd", "std", "stdev", "stddev", "standard", "deviation", "dev", "stderr", "error", "se"}
)
_LINKING_WORDS = frozenset({"of", "over", "and", "the", "all", "seeds", "runs", "models", "indices", "in"})
_RUN_NAMES = frozenset({"seed", "seeds", "index", "run", "revision", "branch", "checkpoint", "step", "model"})
_RUN_TITLES = _RUN_NAMES - {"model"}
_NOT_SCORES = frozenset({"n", "documents", "documentcount", "size", "shots", "nshot", "fewshot", "version", "chance"})
_BASELINES = frozenset({"chance", "randomchance", "bestconstant", "bestconstantanswer"})
_NO_FIGURE = re.compile(r"(?:[-–—]+(?:\s*\(.*\))?|n/?a)?", re.IGNORECASE)
_NUMBER = r"[-+−]?(?:\d{1,12}(?:\.\d*)?|\.\d+)"
_FIGURE = re.compile(rf"(?P<value>{_NUMBER})\s*%?(?:\s*\(?(?:±|\+/?[-−])\s*(?P<stderr>{_NUMBER})\s*%?\s*\)?)?")


def _key(text: str) -> str:
    """A name without case, separators, and arrows that show which way is better."""
    return re.sub(r"[\s_\-‐-―↑↓.]+", "", text).casefold()


def _task(title: str, tasks: Sequence[Task]) -> Task | None:
    """The task with this title or name, also with a metric in parentheses after it."""
    keys = {_key(title), _key(re.sub(r"\s*\([^()]*\)\s*$", "", title))} - {""}
    return next((task for task in tasks if not keys.isdisjoint((_key(task.title), _key(task.name)))), None)


def _is_spread(label: str) -> bool:
    """Whether a row summarizes the others."""
    words = set(re.findall(r"[a-z]+|±", label.casefold()))
    return not words.isdisjoint(_SUMMARY_WORDS) and words <= _SUMMARY_WORDS | _LINKING_WORDS


def _is_summary(label: str) -> bool:
    """Whether a row is not of a run: it summarizes the others, or holds the score of guessing."""
    return _is_spread(label) or _key(label) in _BASELINES


def _figure(match: re.Match[str], *, is_fraction: bool) -> Figure:
    """The figure of a cell, in percent."""
    texts = [text.replace("−", "-") for text in match.groups() if text is not None]
    value, *stderrs = [Decimal(text).scaleb(2 if is_fraction else 0) for text in texts]
    if not stderrs:
        return Figure(float(value), count_decimals(value))
    return Figure(float(value), count_decimals(value), float(stderrs[0]), count_decimals(stderrs[0]))


def _is_share(match: re.Match[str]) -> bool:
    """Whether a figure can be a fraction."""
    return 0 <= float(match["value"].replace("−", "-")) <= 1


def _published(path: Path, grid: Grid, tasks: Sequence[Task]) -> PublishedTable:
    """The figures of a grid; errors name the line."""
    columns, average = _columns(path, grid, tasks)
    labels = _labels(path, grid)
    scored = {at for at, column in columns.items() if column.task is not None} | {average}
    entries = [
        {at: match for at in (*columns, *([average] if average else ())) if (match := _match(path, grid, row, at))}
        for row in grid.body
    ]
    scores = [match for row in entries for at, match in row.items() if at in scored]
    is_fraction = bool(scores) and all(map(_is_share, scores))
    rows = []
    for label, row in zip(labels, entries, strict=True):
        figures = {
            at: _figure(match, is_fraction=is_fraction and (at in scored or _is_share(match)))
            for at, match in row.items()
        }
        by_title = {column.title: figures[at] for at, column in columns.items() if at in figures}
        rows.append(PublishedRow(label, MappingProxyType(by_title), figures.get(average)))
    return PublishedTable(
        source=f"{path}:{grid.line}",
        columns=tuple(columns.values()),
        rows=tuple(row for row in rows if not _is_summary(row.label)),
        spreads=tuple(row for row in rows if _is_spread(row.label)),
        scale="fraction" if is_fraction else "percent",
        row_kind=grid.head[0].text,
    )


def _columns(path: Path, grid: Grid, tasks: Sequence[Task]) -> tuple[Mapping[int, Column], int]:
    """The columns of figures, by position, and the position of the average, 0 if there is none."""
    columns: dict[int, Column] = {}
    average, seen = 0, set()
    for at, title in enumerate(grid.head[1:], 1):
        task = _task(title.text, tasks)
        holds_figures = any(_FIGURE.fullmatch(row[at].text) for row in grid.body)
        if task is None and (not title.text or _key(title.text) in _NOT_SCORES or not holds_figures):
            continue
        is_average = task is None and _key(title.text) in _MEAN_NAMES
        key = task.name if task is not None else "average" if is_average else _key(title.text)
        if key in seen:
            what = f"the column {title.text!r} is repeated"
            raise _cell_error(path, title, what, code="label-repeated", column=title.text)
        seen.add(key)
        if is_average:
            average = at
        else:
            columns[at] = Column(title.text, task)
    return columns, average


def _labels(path: Path, grid: Grid) -> list[str]:
    """The labels of the rows; `line 12` for a row without one."""
    labels: list[str] = []
    for row in grid.body:
        label = row[0].text or f"line {row[0].line}"
        if label in labels:
            raise _cell_error(path, row[0], f"the row {label!r} is repeated", code="label-repeated", row=label)
        labels.append(label)
    if all(map(_is_summary, labels)):
        raise _cell_error(path, grid.head[0], "the table of scores has no rows", code="table-empty")
    return labels


def _match(path: Path, grid: Grid, row: Sequence[TableCell], at: int) -> re.Match[str] | None:
    """The figure in a cell; None for a blank cell."""
    cell, title = row[at], grid.head[at].text
    match = _FIGURE.fullmatch(cell.text)
    if match is None and not _NO_FIGURE.fullmatch(cell.text):
        what = f"{title} = {cell.text!r}: must be a number such as 65.00 or 65.00 ± 1.11"
        raise _cell_error(path, cell, what, code="figure-malformed", column=title, value=cell.text)
    return match


def _cell_error(path: Path, cell: TableCell, what: str, *, code: str, **fields: object) -> ResultsError:
    return ResultsError(
        f"{path}:{cell.line}: {what}",
        code=code,
        hint="fix the table; leave a cell empty if it has no figure",
        path=path,
        line=cell.line,
        **fields,
    )
