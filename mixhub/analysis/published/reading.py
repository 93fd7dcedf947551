"""Tables of scores read from files: which grid has scores, its columns, rows and figures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from mixhub.analysis.published.figures import Printed, is_unclear, read_figure
from mixhub.analysis.published.grids import DELIMITERS, Grid, Kind, TableCell, read_grids
from mixhub.analysis.published.prints import is_print, read_prints
from mixhub.analysis.published.table import Column, PublishedRow, PublishedTable
from mixhub.analysis.published.titles import find_task, title_key, well_known
from mixhub.errors import ResultsError
from mixhub.phrases import listed, plural
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

    A table of scores has at least two columns, or rows, named after known tasks. Of several, those in Markdown come
    before those in HTML and in blocks of code, and those whose rows are seeds, indices or revisions before others. The
    tables that lm-eval printed are read as one. Columns without figures are omitted, as are cells that do not state one
    figure; notes list them.

    Args:
        path: `.md`, `.markdown`, `.csv` or `.tsv`.
        tasks: the suite; further tasks are known by their usual titles.
        line: line of the head, to choose one of several tables.

    Returns:
        The table, in percent; if all figures are between 0 and 1, they are read as fractions.

    Raises:
        ResultsError: no such file, no table of scores or several, a ragged row, or a repeated name; names file and
            line.
    """
    every = read_grids(path)
    grids = [grid for grid in every if line is None or line in (row[0].line for row in grid.rows[:2])]
    least = min(_MIN_TASKS, len(tasks))
    known = (*tasks, *(task for task in well_known() if task.name not in {one.name for one in tasks}))
    printed = [grid for grid in grids if is_print(grid)]
    others = [grid for grid in grids if not is_print(grid)]
    candidates = [found for grid in others if (found := _score_grid(path, grid, known, least)) is not None]
    best = next(filter(None, ([grid for grid in candidates if grid.kind == kind] for kind in _KINDS)), [])
    with_runs = [grid for grid in best if _has_runs(grid)]
    table = read_prints(str(path), printed, known) if not with_runs else None
    if table is not None and not best:
        return table
    best = with_runs or [*best, *(printed[:1] if table is not None else ())]
    if not best:
        raise _no_table(path, every, tasks)
    if len(best) > 1:
        lines = tuple(sorted(grid.line for grid in best))
        message = f"{path}: has {len(best)} tables of scores, on lines {listed(lines, last='and')}"
        raise ResultsError(
            message, code="table-ambiguous", hint=f"choose one by its line: {path}:{lines[0]}", path=path, lines=lines
        )
    return _published(path, best[0], known)


_KINDS: tuple[Kind, ...] = ("text", "HTML", "code")
"""In the order of preference."""


def _no_table(path: Path, grids: Sequence[Grid], tasks: Sequence[Task]) -> ResultsError:
    titles = listed([task.title for task in tasks], most=4)
    message = f"{path}: no table with two or more columns or rows named after known tasks ({titles})"
    kinds = {"text": "", "HTML": " (HTML)", "code": " (block of code)"}
    looked = [f"line {grid.line}{kinds[grid.kind]}" for grid in grids]
    seen = f"looked at {plural(len(grids), 'table')}: {listed(looked, most=5)}" if grids else "it has no table at all"
    return ResultsError(
        f"{message}; {seen}",
        code="table-missing",
        hint="name columns or rows by the tasks' titles, or choose another suite: --suite NAME",
        path=path,
        lines=tuple(grid.line for grid in grids),
    )


def _score_grid(path: Path, grid: Grid, tasks: Sequence[Task], least: int) -> Grid | None:
    """The grid with tasks as columns; None if it does not hold scores. The first line may stand above the head."""
    found = _turned(grid, tasks, least)
    if found is None and len(grid.body) > 1:
        found = _turned(grid._replace(rows=grid.body), tasks, least)
    if found is not None and grid.ragged:
        line, cells = grid.ragged[0]
        columns = plural(len(grid.head), "column")
        message = f"{path}:{line}: has {plural(cells, 'cell')}, but its table has {columns}"
        is_markdown = not DELIMITERS[path.suffix.lower()]
        how = "write a | inside a cell as \\|" if is_markdown else "put quotes around a cell with a delimiter in it"
        raise ResultsError(message, code="table-ragged", hint=f"fix the line; {how}", path=path, line=line)
    return found


def _turned(grid: Grid, tasks: Sequence[Task], least: int) -> Grid | None:
    """The grid with tasks as columns, without lines and columns before the labels that are no labels."""
    if find_task(grid.head[0].text, tasks) is not None and _holds_scores(grid.head[0].text, grid.body, 0):
        lines = [row[0].line for row in grid.rows]  # a table without labels
        labels = ["", *(f"line {line}" for line in lines[1:])]
        cells = [TableCell(*label) for label in zip(labels, lines, strict=True)]
        grid = grid._replace(rows=[[label, *row] for label, row in zip(cells, grid.rows, strict=True)])
    width = min(map(len, grid.rows))
    body = [row for row in grid.body if any(cell.text for cell in row[1:])]
    if sum(find_task(cell.text, tasks) is not None for cell in grid.head[1:]) >= least:
        first = next((at for at in range(width) if any(row[at].text for row in body)), 0)
        rows = [row[first:] for row in (grid.head, *body)]
        return grid._replace(rows=[rows[0], *(row for row in rows[1:] if any(cell.text for cell in row[1:]))])
    by_label = [[row for row in body if find_task(row[at].text, tasks) is not None] for at in range(min(width, 3))]
    of_tasks = max(by_label, key=len, default=[])
    at = by_label.index(of_tasks) if of_tasks else 0
    scores = [one for one in range(at + 1, width) if _holds_scores(grid.head[one].text, of_tasks, one)]
    if len(of_tasks) < least or not scores:
        return None
    named = [row for row in (grid.head, *body) if row is grid.head or row[at].text]
    return grid._replace(rows=[[row[one] for row in named] for one in (at, *scores)])


def _holds_scores(title: str, rows: Sequence[Sequence[TableCell]], position: int) -> bool:
    """Whether a column beside names of tasks holds scores, and not versions, metrics or sizes of the tasks."""
    cells = [text for row in rows if any(map(str.isalnum, text := row[position].text))]
    figures = sum(read_figure(text) is not None for text in cells)
    return title_key(title) not in _NOT_SCORES and bool(cells) and 2 * figures >= len(cells)


def _has_runs(grid: Grid) -> bool:
    """Whether the rows are seeds, indices or revisions."""
    labels = [row[0].text for row in grid.body if not _is_summary(row[0].text)]
    return title_key(grid.head[0].text) in _RUN_TITLES or (bool(labels) and all(map(_is_run, labels)))


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
_STDERR = re.compile(r"(.+?)[\s_,(-]*(?:std[.\s_-]*err(?:or)?|standard[\s_-]*error|se)\)?", re.IGNORECASE)
_BASELINES = frozenset({"chance", "randomchance", "bestconstant", "bestconstantanswer"})


def _is_spread(label: str) -> bool:
    """Whether a row summarizes the others."""
    words = set(re.findall(r"[a-z]+|±", label.casefold()))
    return not words.isdisjoint(_SUMMARY_WORDS) and words <= _SUMMARY_WORDS | _LINKING_WORDS


def _is_summary(label: str) -> bool:
    """Whether a row is not of a run: it summarizes the others, or holds the score of guessing."""
    return _is_spread(label) or title_key(label) in _BASELINES


def _published(path: Path, grid: Grid, tasks: Sequence[Task]) -> PublishedTable:
    """The figures of a grid; errors name the line."""
    columns, average = _columns(path, grid, tasks)
    stderrs = _stderrs(grid, columns)
    columns = {at: column for at, column in columns.items() if at not in stderrs.values()}
    labels = _labels(path, grid)
    scored = {at for at, column in columns.items() if column.task is not None} | {average}
    shown = (*columns, *([average] if average else ()))
    entries = [{at: figure for at in shown if (figure := _figure(row, at, stderrs.get(at)))} for row in grid.body]
    if not any(entries):
        raise _cell_error(path, grid.head[0], "the table of scores has no figures", code="table-empty")
    scores = [figure for row in entries for at, figure in row.items() if at in scored]
    is_fraction = bool(scores) and all(figure.can_be_share for figure in scores)
    rows = []
    for label, row in zip(labels, entries, strict=True):
        figures = {
            at: figure.figure(is_fraction=is_fraction and (at in scored or figure.can_be_share))
            for at, figure in row.items()
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
        notes=tuple(_unclear(grid, labels, {*shown, *_task_columns(grid, tasks)})),
    )


def _figure(row: Sequence[TableCell], at: int, stderr_at: int | None) -> Printed | None:
    """The figure of a cell, with a standard error from another column if there is one."""
    figure = read_figure(row[at].text)
    stderr = None if stderr_at is None else read_figure(row[stderr_at].text)
    return figure if figure is None or stderr is None else figure._replace(stderr=stderr.value)


def _stderrs(grid: Grid, columns: Mapping[int, Column]) -> dict[int, int]:
    """The positions of columns with standard errors, such as `piqa_stderr`, by those of their scores."""
    by_title = {title_key(column.title): at for at, column in columns.items()}
    matches = {at: _STDERR.fullmatch(grid.head[at].text) for at in columns}
    return {by_title[key]: at for at, match in matches.items() if match and (key := title_key(match[1])) in by_title}


def _task_columns(grid: Grid, tasks: Sequence[Task]) -> Iterator[int]:
    return (at for at, title in enumerate(grid.head) if at and find_task(title.text, tasks) is not None)


def _unclear(grid: Grid, labels: Sequence[str], shown: Collection[int]) -> Iterator[str]:
    """Which cells are not read."""
    cells = [
        f"{grid.head[at].text} of {label} (line {row[at].line}): {row[at].text!r:.40}"
        for label, row in zip(labels, grid.body, strict=True)
        for at in sorted(shown)
        if is_unclear(row[at].text)
    ]
    if cells:
        yield f"not read, because they do not state one figure: {listed(cells, most=5)}"


def _columns(path: Path, grid: Grid, tasks: Sequence[Task]) -> tuple[Mapping[int, Column], int]:
    """The columns of figures, by position, and the position of the average, 0 if there is none."""
    columns: dict[int, Column] = {}
    average, seen = 0, set()
    for at, title in enumerate(grid.head[1:], 1):
        task, key = find_task(title.text, tasks), title_key(title.text)
        holds_figures = any(read_figure(row[at].text) for row in grid.body)
        if not holds_figures or (task is None and (not title.text or key in _NOT_SCORES)):
            continue
        if key in seen:
            what = f"the column {title.text!r} is repeated"
            raise _cell_error(path, title, what, code="label-repeated", column=title.text)
        seen.add(key)
        if task is None and key in _MEAN_NAMES:
            average = at
        else:
            columns[at] = Column(title.text, task)
    return columns, average


def _labels(path: Path, grid: Grid) -> list[str]:
    """The labels of the rows; `line 12` for a row without one."""
    labels: list[str] = []
    has_runs = _has_runs(grid)
    for row in grid.body:
        label = row[0].text or f"line {row[0].line}"
        if label in labels and has_runs:
            raise _cell_error(path, row[0], f"the row {label!r} is repeated", code="label-repeated", row=label)
        while label in labels:
            label += f" (line {row[0].line})"
        labels.append(label)
    if all(map(_is_summary, labels)):
        raise _cell_error(path, grid.head[0], "the table of scores has no rows", code="table-empty")
    return labels


def _cell_error(path: Path, cell: TableCell, what: str, *, code: str, **fields: object) -> ResultsError:
    return ResultsError(
        f"{path}:{cell.line}: {what}", code=code, hint="fix the table", path=path, line=cell.line, **fields
    )
