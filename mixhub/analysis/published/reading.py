"""Tables of scores read from files: which grid is one, what its columns and rows are, and its figures."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mixhub.analysis.published.grids import DELIMITERS, MARKDOWN_SUFFIXES, Grid, TableCell, read_grids
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable, count_decimals
from mixhub.errors import ResultsError
from mixhub.phrases import listed
from mixhub.spec import Task

_MIN_TASKS = 2
"""So many names of tasks make a table one of scores."""


def table_file(source: str) -> tuple[Path, int | None] | None:
    """The file of a table, and the line of its head where the source is `card.md:12`; None for what is no such file."""
    name, _, line = source.rpartition(":")
    path, at = (Path(name), int(line)) if name and line.isdecimal() else (Path(source), None)
    return (path, at) if path.suffix.lower() in (*MARKDOWN_SUFFIXES, *DELIMITERS) else None


def read_published(path: Path, tasks: Sequence[Task], line: int | None = None) -> PublishedTable:
    """Reads the table of scores in a model card (Markdown), or a CSV or TSV file that is one.

    A table of scores has at least two columns, or lines, that are named after tasks of the suite. Of several, those
    whose rows are seeds, indices or revisions come first. Columns that hold no figure at all are left out.

    Args:
        path: `.md`, `.markdown`, `.csv` or `.tsv`.
        tasks: the suite, whose names and titles are known.
        line: of the head of the one table that is meant.

    Returns:
        The table, in percent; figures that all lie in 0 to 1 are taken for fractions.

    Raises:
        ResultsError: no such file, no table of scores or several, a ragged row, a name given twice, or a cell that is
            no finite number; names file and line.
    """
    grids = [grid for grid in read_grids(path) if line in (None, grid.line)]
    grid = _score_grid(path, grids, tasks)
    return _Reader(path, tasks).table(grid)


def _score_grid(path: Path, grids: Iterable[Grid], tasks: Sequence[Task]) -> Grid:
    """The one table of scores, with tasks as columns."""
    ranked: dict[bool, list[Grid]] = {}
    for grid in grids:
        if (found := _as_scores(path, grid, tasks)) is not None:
            ranked.setdefault(_is_of_runs(found), []).append(found)
    if not ranked:
        named = ", ".join(task.title for task in tasks[:4]) + (" …" if len(tasks) > 4 else "")
        raise ResultsError(
            f"{path}: no table of scores, with two or more columns or lines named after tasks of the suite ({named})",
            code="table-missing",
            hint="columns are parted by | (.md), commas (.csv) or tabs (.tsv); another suite: --suite NAME",
            path=path,
        )
    best = ranked.get(True) or ranked[False]
    if len(best) > 1:
        lines = [grid.line for grid in best]
        raise ResultsError(
            f"{path}: holds {len(best)} tables of scores, in lines {listed(lines, last='and')}",
            code="table-ambiguous",
            hint=f"name the one that is meant: {path}:{best[0].line}",
            path=path,
            lines=tuple(lines),
        )
    return best[0]


def _as_scores(path: Path, grid: Grid, tasks: Sequence[Task]) -> Grid | None:
    """The table with tasks as columns; None where it is none of scores."""
    least = min(_MIN_TASKS, len(tasks))
    if sum(_task(cell.text, tasks) is not None for cell in grid.head[1:]) >= least:
        _require_even(path, grid)
        return grid
    of_tasks = [row for row in grid.body if _task(row[0].text, tasks) is not None]
    kept = [at for at in range(1, min(map(len, grid.rows))) if _is_of_scores(grid.head[at].text, of_tasks, at)]
    if len(of_tasks) < least or not kept:
        return None
    _require_even(path, grid)
    turned = grid.turned()
    return Grid([turned.head, *(turned.rows[at] for at in kept)], turned.width)


def _require_even(path: Path, grid: Grid) -> None:
    for row in grid.rows:
        if len(row) != grid.width:
            raise ResultsError(
                f"{path}:{row[0].line}: has {len(row)} cells, but its table has {grid.width} columns",
                code="table-ragged",
                hint="mend the line; a | inside a cell is written \\|",
                path=path,
                line=row[0].line,
            )


def _is_of_scores(title: str, rows: Sequence[Sequence[TableCell]], position: int) -> bool:
    """Whether a column beside names of tasks holds scores of a run, and not the tasks' versions, metrics or sizes."""
    cells = [text for row in rows if not _NO_FIGURE.fullmatch(text := row[position].text)]
    return _key(title) not in _NOT_SCORES and bool(cells) and 2 * sum(map(_is_figure, cells)) >= len(cells)


def _is_of_runs(grid: Grid) -> bool:
    """Whether the rows are seeds, indices or revisions."""
    labels = [row[0].text for row in grid.body if not _is_summary(row[0].text)]
    return _key(grid.head[0].text) in _RUN_TITLES or (bool(labels) and all(map(_is_run, labels)))


def _is_run(label: str) -> bool:
    """Whether a label is a number, or words for a run and a number, as `model-index-3`."""
    match = re.fullmatch(r"(\D*)\d+", label)
    return match is not None and set(re.findall(r"\w+", match[1].replace("_", " ").casefold())) <= _RUN_NAMES


_MEAN_NAMES = frozenset({"average", "avg", "mean", "averagescore", "macroaverage"})
_SUM_WORDS = frozenset({"mean", "average", "avg", "median", "min", "max", "range"})
_SPREAD_WORDS = frozenset(
    {"sd", "std", "stdev", "stddev", "standard", "deviation", "dev", "stderr", "error", "se", "±"}
)
_LINKING_WORDS = frozenset({"of", "over", "and", "the", "all", "seeds", "runs", "models", "indices", "in"})
_RUN_NAMES = frozenset({"seed", "seeds", "index", "run", "revision", "branch", "checkpoint", "step", "model"})
_RUN_TITLES = _RUN_NAMES - {"model"}
_NOT_SCORES = frozenset({"n", "documents", "documentcount", "size", "shots", "nshot", "fewshot", "version", "chance"})
_BASELINES = frozenset({"chance", "randomchance", "bestconstant", "bestconstantanswer"})
_NO_FIGURE = re.compile(r"(?:[-–—]+(?:\s*\(.*\))?|n/?a)?", re.IGNORECASE)
_WITH_SPREAD = re.compile(r"(?P<value>.*?)\s*\(?(?:±|\+/?[-−])(?P<stderr>[^()]*)\)?")


def _key(text: str) -> str:
    """What of a name counts: neither case nor what separates words, nor the arrows that say which way is better."""
    return re.sub(r"[\s_\-‐-―↑↓.]+", "", text).casefold()


def _task(title: str, tasks: Sequence[Task]) -> Task | None:
    """The task that a title means, by its own title or by lm-eval's name; a metric in parentheses behind it is fine."""
    keys = {_key(title), _key(re.sub(r"\s*\([^()]*\)\s*$", "", title))} - {""}
    return next((task for task in tasks if not keys.isdisjoint((_key(task.title), _key(task.name)))), None)


def _is_spread(label: str) -> bool:
    """Whether a row sums up the others."""
    words = set(re.findall(r"[a-z]+|±", label.casefold()))
    return not words.isdisjoint(_SUM_WORDS | _SPREAD_WORDS) and words <= _SUM_WORDS | _SPREAD_WORDS | _LINKING_WORDS


def _is_summary(label: str) -> bool:
    """Whether a row is of no run: it sums up the others, or says what knowing nothing scores."""
    return _is_spread(label) or _key(label) in _BASELINES


def _is_figure(text: str) -> bool:
    try:
        return _parsed(text) is not None
    except ValueError:
        return False


def _parsed(text: str) -> tuple[Decimal, Decimal | None] | None:
    """Value and what stands behind `±`; None where nothing is printed; ValueError, saying why, for anything else."""
    if _NO_FIGURE.fullmatch(text):
        return None
    with_spread = _WITH_SPREAD.fullmatch(text)
    if with_spread is None:
        return _number(text), None
    return _number(with_spread["value"]), _number(with_spread["stderr"])


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text.strip().removesuffix("%").rstrip().replace("−", "-"))
    except InvalidOperation:
        raise ValueError("must be a figure, as 65.00 or 65.00 ± 1.11") from None
    if not number.is_finite() or not math.isfinite(float(number)):
        raise ValueError("must be a finite number")
    if "_" in text:
        raise ValueError("must be a figure without _")
    return number


class _Entry(NamedTuple):
    """A cell with what was read in it: value, and what stands behind `±`."""

    value: Decimal
    stderr: Decimal | None

    @property
    def is_share(self) -> bool:
        """Whether it can be a fraction."""
        return 0 <= self.value <= 1

    def figure(self, *, is_fraction: bool) -> Figure:
        """The figure in percent."""
        scale, shift = (100, 2) if is_fraction else (1, 0)
        return Figure(
            float(self.value * scale),
            count_decimals(self.value) - shift,
            None if self.stderr is None else float(self.stderr * scale),
            None if self.stderr is None else count_decimals(self.stderr) - shift,
        )


@dataclass(frozen=True)
class _Reader:
    """Makes a table of figures of one of text; every error names the line."""

    path: Path
    tasks: Sequence[Task]

    def table(self, grid: Grid) -> PublishedTable:
        """The figures."""
        average, columns = self._columns(grid)
        labels = self._labels(grid)
        entries = [
            {column: entry for column in (*columns, *average) if (entry := self._entry(grid, row[column], column))}
            for row in grid.body
        ]
        scored = [*average, *(column for column, known in columns.items() if known.task is not None)]
        is_fraction = self._are_fractions(entries, scored)
        rows = []
        for label, found in zip(labels, entries, strict=True):
            figures = {
                column: entry.figure(is_fraction=is_fraction and (column in scored or entry.is_share))
                for column, entry in found.items()
            }
            by_title = {columns[column].title: figure for column, figure in figures.items() if column in columns}
            means = [figures[column] for column in average if column in figures]
            rows.append(PublishedRow(label, MappingProxyType(by_title), means[0] if means else None))
        return PublishedTable(
            source=f"{self.path}:{grid.line}",
            columns=tuple(columns.values()),
            rows=tuple(row for row in rows if not _is_summary(row.label)),
            spreads=tuple(row for row in rows if _is_spread(row.label)),
            scale="fraction" if is_fraction else "percent",
            row_kind=grid.head[0].text,
        )

    def _columns(self, grid: Grid) -> tuple[list[int], dict[int, Column]]:
        """By position: the average, of which there is one at most, and the columns that hold figures."""
        average: list[int] = []
        columns: dict[int, Column] = {}
        seen: dict[str, TableCell] = {}
        for position, title in enumerate(grid.head[1:], 1):
            task = _task(title.text, self.tasks)
            if task is None and not (title.text and self._holds_scores(grid, position)):
                continue
            is_average = task is None and _key(title.text) in _MEAN_NAMES
            key = task.name if task is not None else "average" if is_average else _key(title.text)
            if key in seen:
                what = f"the column {title.text!r} stands twice ({seen[key].text!r} before)"
                raise _cell_error(self.path, title, what, code="label-repeated", column=title.text)
            seen[key] = title
            if is_average:
                average.append(position)
            else:
                columns[position] = Column(title.text, task)
        return average, columns

    @staticmethod
    def _holds_scores(grid: Grid, position: int) -> bool:
        is_size = _key(grid.head[position].text) in _NOT_SCORES
        return not is_size and any(
            _is_figure(row[position].text) and not _NO_FIGURE.fullmatch(row[position].text) for row in grid.body
        )

    def _labels(self, grid: Grid) -> list[str]:
        """What the rows are called; a row without a name is called by its line."""
        labels: list[str] = []
        for row in grid.body:
            label = row[0].text or f"line {row[0].line}"
            if label in labels:
                raise _cell_error(
                    self.path, row[0], f"the row {label!r} stands twice", code="label-repeated", row=label
                )
            labels.append(label)
        if all(map(_is_summary, labels)):
            raise ResultsError(
                f"{self.path}:{grid.line}: a table of scores without rows",
                code="table-empty",
                hint="give a table with figures",
                path=self.path,
                line=grid.line,
            )
        return labels

    def _entry(self, grid: Grid, cell: TableCell, column: int) -> _Entry | None:
        try:
            parsed = _parsed(cell.text)
        except ValueError as problem:
            title = grid.head[column].text
            raise _cell_error(
                self.path,
                cell,
                f"{title} = {cell.text!r}: {problem}",
                code="figure-malformed",
                column=title,
                value=cell.text,
            ) from None
        return None if parsed is None else _Entry(*parsed)

    @staticmethod
    def _are_fractions(entries: Sequence[Mapping[int, _Entry]], scored: Sequence[int]) -> bool:
        found = [row[column] for row in entries for column in scored if column in row]
        return bool(found) and all(entry.is_share for entry in found)


def _cell_error(path: Path, cell: TableCell, what: str, *, code: str, **fields: object) -> ResultsError:
    return ResultsError(
        f"{path}:{cell.line}: {what}",
        code=code,
        hint="mend the table; where there is no figure, leave the cell empty",
        path=path,
        line=cell.line,
        **fields,
    )
