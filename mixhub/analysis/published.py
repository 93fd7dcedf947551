"""Tables of scores as somebody printed them: in a family's specification, in a model card, or in a CSV file.

A printed figure is its own kind and never mixed with measured cells: nobody knows how many of those went into it.
"""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from mixhub.errors import ResultsError
from mixhub.spec.family import Family, Task

MARKDOWN_SUFFIXES = (".md", ".markdown")
"""Files that are read as Markdown."""
DELIMITERS = MappingProxyType({".csv": ",", ".tsv": "\t"})
"""Files that are read as one table, and what stands between their cells."""

_LEAST_DECIMALS = 2
"""YAML drops the zeros at the end, so a specification's figures have at least these."""
_LEAST_TASKS = 2
"""So many names of tasks make a table one of scores."""


@dataclass(frozen=True)
class Figure:
    """A score as it is printed."""

    value: float
    """Percent."""
    decimals: int
    """Digits printed behind the point of the percent; negative where fractions have one digit, or none."""
    stderr: float | None = None
    """What stands behind `±`, percent."""
    stderr_decimals: int | None = None
    """Its digits behind the point."""

    @property
    def shown(self) -> str:
        """The value with its digits, as `65.00`."""
        return f"{self.value:.{max(0, self.decimals)}f}"


@dataclass(frozen=True)
class Column:
    """One column of figures."""

    title: str
    """As it is printed."""
    task: Task | None
    """The task of the suite whose title or name it is; None where it is none of them."""


@dataclass(frozen=True)
class PublishedRow:
    """The figures of one seed, index or model."""

    label: str
    """As it is printed."""
    figures: Mapping[str, Figure]
    """By title of the column; where nothing is printed there is no entry."""
    average: Figure | None = None
    """What the column of the average says."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of scores."""

    source: str
    """Address, or file and line of the table's head."""
    columns: tuple[Column, ...]
    """In the order of print, without the average."""
    rows: tuple[PublishedRow, ...]
    """In the order of print."""
    spreads: tuple[PublishedRow, ...] = ()
    """Rows that sum up the others, as `mean ± sd`: what their figures have behind `±` is no error over documents."""
    scale: Literal["percent", "fraction"] = "percent"
    """What was printed. Figures here are percent; of fractions, two digits fewer stand behind the point."""
    row_kind: str = ""
    """What the column of the labels is called, as `Seed`."""

    def row_name(self, label: str) -> str:
        """A row in words: a bare number is called `seed 1`."""
        return f"{self.row_kind.casefold()} {label}" if label.isdigit() and self.row_kind else label

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the suite that have a column."""
        return tuple(column.task for column in self.columns if column.task is not None)


def published_table(family: Family) -> PublishedTable | None:
    """The published scores of a family's specification; None where it has none.

    YAML drops the zeros at the end of a figure: all get as many decimals as the longest has, at least two.
    """
    printed = family.published_scores
    if printed is None:
        return None
    rows = printed.scores
    decimals = max(
        [_LEAST_DECIMALS]
        + [_decimals(Decimal(repr(value))) for row in (*rows.values(), printed.average) for value in row.values()]
    )
    shown = [task for task in family.evaluation.tasks if any(task.name in row for row in rows.values())]
    averages = {label: Figure(value, decimals) for label, value in printed.average.items()}
    return PublishedTable(
        source=printed.source,
        columns=tuple(Column(task.title, task) for task in shown),
        rows=tuple(
            PublishedRow(
                label,
                MappingProxyType({task.title: Figure(row[task.name], decimals) for task in shown if task.name in row}),
                averages.get(label),
            )
            for label, row in rows.items()
        ),
    )


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
    grids = [grid for grid in _grids(path, _text(path)) if line in (None, grid.line)]
    grid = _score_grid(path, grids, tasks)
    return _Reader(path, tasks).table(grid)


def require_columns(table: PublishedTable, tasks: Sequence[Task]) -> None:
    """Raises ResultsError, naming source and columns, when the table lacks tasks of the suite."""
    there = {task.name for task in table.tasks}
    missing = [task.title for task in tasks if task.name not in there]
    if missing:
        unknown = [column.title for column in table.columns if column.task is None]
        others = f"; not known as tasks: {', '.join(unknown)}" if unknown else ""
        raise ResultsError(
            f"{table.source}: lacks the columns {', '.join(missing)}{others}",
            hint="name columns as the suite names its tasks (mixhub families NAME), or name another suite: --suite",
            missing=tuple(missing),
        )


class _Cell(NamedTuple):
    text: str
    line: int


class _Grid(NamedTuple):
    """A table as it stands in a file, head first. Its rows may be ragged until it is known to be one of scores."""

    rows: list[list[_Cell]]
    width: int

    @property
    def line(self) -> int:
        """Where it begins."""
        return self.rows[0][0].line

    @property
    def head(self) -> list[_Cell]:
        """The titles."""
        return self.rows[0]

    @property
    def body(self) -> list[list[_Cell]]:
        """What stands below them."""
        return self.rows[1:]

    def turned(self) -> _Grid:
        """Lines as columns."""
        return _Grid([list(cells) for cells in zip(*self.rows, strict=True)], len(self.rows))


def _text(path: Path) -> str:
    if path.suffix.lower() not in (*MARKDOWN_SUFFIXES, *DELIMITERS):
        known = ", ".join((*MARKDOWN_SUFFIXES, *DELIMITERS))
        raise ResultsError(f"{path}: must end in one of {known}", hint="give a model card or a table", path=path)
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such file", hint="give a model card or a table", path=path) from None
    except UnicodeDecodeError as problem:
        raise ResultsError(
            f"{path}: not UTF-8: {problem.reason} at byte {problem.start}", hint="save it as UTF-8", path=path
        ) from None


def _grids(path: Path, text: str) -> Iterator[_Grid]:
    delimiter = DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        yield from _markdown_grids(text)
    elif rows := list(_delimited_rows(path, text, delimiter)):
        yield _Grid(rows, len(rows[0]))


def _delimited_rows(path: Path, text: str, delimiter: str) -> Iterator[list[_Cell]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield [_Cell(_clean(cell), first) for cell in row]
            first = reader.line_num + 1
    except csv.Error as problem:
        raise ResultsError(
            f"{path}:{reader.line_num}: not a table of cells: {problem}", hint="mend the line", path=path
        ) from None


_FENCE = re.compile(r"(?:`{3,}(?=[^`]*$)|~{3,})")
_DELIMITER_ROW = re.compile(r"\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?")


def _markdown_grids(text: str) -> Iterator[_Grid]:
    lines = list(_shown_lines(text))
    number = 1
    while number < len(lines):
        delimiters = lines[number].strip()
        if "|" not in lines[number - 1] or "-" not in delimiters or not _DELIMITER_ROW.fullmatch(delimiters):
            number += 1
            continue
        end = number + 1
        while end < len(lines) and "|" in lines[end]:
            end += 1
        rows = [_markdown_row(lines[at], at + 1) for at in (number - 1, *range(number + 1, end))]
        if all(rows):
            yield _Grid(rows, len(_markdown_row(delimiters, number + 1)))
        number = end + 1


def _shown_lines(text: str) -> Iterator[str]:
    """The lines of a card; those of its metadata, of code and of comments are empty, so that numbers stay."""
    lines = text.splitlines()
    start = 0
    if lines and lines[0].strip() == "---":
        ends = (at for at, line in enumerate(lines[1:], 1) if line.strip() in ("---", "..."))
        start = next(ends, -1) + 1
    yield from [""] * start
    fence, is_comment = "", False
    for line in lines[start:]:
        content = re.sub(r"^\s*(?:>\s?)*", "", line)
        opening = _FENCE.match(content)
        if fence:
            closes = opening is not None and opening[0].startswith(fence) and not content[opening.end() :].strip()
            fence = "" if closes else fence
            yield ""
        elif opening and not is_comment:
            fence = opening[0]
            yield ""
        else:
            shown, is_comment = _without_comments(content, is_comment)
            yield shown


def _without_comments(line: str, is_comment: bool) -> tuple[str, bool]:
    """What of a line is shown, and whether a comment goes on behind it."""
    shown = ""
    while line:
        before, mark, line = line.partition("-->" if is_comment else "<!--")
        shown += "" if is_comment else before
        is_comment ^= bool(mark)
    return shown, is_comment


def _markdown_row(line: str, number: int) -> list[_Cell]:
    cells = re.split(r"(?<!\\)\|", line.strip())
    if cells and not cells[0].strip():
        cells = cells[1:]
    if cells and not cells[-1].strip() and line.strip().endswith("|"):
        cells = cells[:-1]
    return [_Cell(_clean(cell), number) for cell in cells]


_MARKUP = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),  # images
    (re.compile(r"\[\^[^\]]*\]"), ""),  # footnotes
    (re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])"), r"\1"),  # links
    (re.compile(r"<(sup|sub)\b[^>]*>.*?</\1>", re.IGNORECASE), ""),
    (re.compile(r"<br\s*/?>", re.IGNORECASE), " "),
    (re.compile(r"</?[A-Za-z][^>]*>"), ""),
    (re.compile(r"\\pm\b"), "±"),
    (re.compile(r"\$(?!\s*$)([^$]*)\$"), r"\1"),
    (re.compile(r"\*\*|__(?=\S)|(?<=\S)__|~~|`|(?<!\\)\*"), ""),
    (re.compile(r"(?<![\w\\])_(?=\S)|(?<=\S)(?<!\\)_(?!\w)"), ""),
    (re.compile(r"\\([^\w\s])"), r"\1"),
    (re.compile(r"[†‡§¹²³⁴-⁹*]+$"), ""),
)


def _clean(text: str) -> str:
    """The text of a cell without markup, links and marks of footnotes."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text.strip())
    return " ".join(html.unescape(text).split())


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


def _score_grid(path: Path, grids: Iterable[_Grid], tasks: Sequence[Task]) -> _Grid:
    """The one table of scores, with tasks as columns."""
    ranked: dict[bool, list[_Grid]] = {}
    for grid in grids:
        if (found := _as_scores(path, grid, tasks)) is not None:
            ranked.setdefault(_is_of_runs(found), []).append(found)
    if not ranked:
        named = ", ".join(task.title for task in tasks[:4]) + (" …" if len(tasks) > 4 else "")
        raise ResultsError(
            f"{path}: no table of scores, with two or more columns or lines named after tasks of the suite ({named})",
            hint="columns are parted by | (.md), commas (.csv) or tabs (.tsv); another suite: --suite NAME",
            path=path,
        )
    best = ranked.get(True) or ranked[False]
    if len(best) > 1:
        places = " and ".join(", ".join(str(grid.line) for grid in best).rsplit(", ", 1))
        raise ResultsError(
            f"{path}: holds {len(best)} tables of scores, in lines {places}",
            hint=f"name the one that is meant: {path}:{best[0].line}",
            path=path,
        )
    return best[0]


def _as_scores(path: Path, grid: _Grid, tasks: Sequence[Task]) -> _Grid | None:
    """The table with tasks as columns; None where it is none of scores."""
    least = min(_LEAST_TASKS, len(tasks))
    if sum(_task(cell.text, tasks) is not None for cell in grid.head[1:]) >= least:
        _require_even(path, grid)
        return grid
    of_tasks = [row for row in grid.body if _task(row[0].text, tasks) is not None]
    kept = [at for at in range(1, min(map(len, grid.rows))) if _is_of_scores(grid.head[at].text, of_tasks, at)]
    if len(of_tasks) < least or not kept:
        return None
    _require_even(path, grid)
    turned = grid.turned()
    return _Grid([turned.head, *(turned.rows[at] for at in kept)], turned.width)


def _require_even(path: Path, grid: _Grid) -> None:
    for row in grid.rows:
        if len(row) != grid.width:
            raise ResultsError(
                f"{path}:{row[0].line}: has {len(row)} cells, but its table has {grid.width} columns",
                hint="mend the line; a | inside a cell is written \\|",
                path=path,
                line=row[0].line,
            )


def _is_of_scores(title: str, rows: Sequence[Sequence[_Cell]], position: int) -> bool:
    """Whether a column beside names of tasks holds scores of a run, and not the tasks' versions, metrics or sizes."""
    cells = [text for row in rows if not _NO_FIGURE.fullmatch(text := row[position].text)]
    return _key(title) not in _NOT_SCORES and bool(cells) and 2 * sum(map(_is_figure, cells)) >= len(cells)


def _is_of_runs(grid: _Grid) -> bool:
    """Whether the rows are seeds, indices or revisions."""
    labels = [row[0].text for row in grid.body if not _is_summary(row[0].text)]
    return _key(grid.head[0].text) in _RUN_TITLES or (bool(labels) and all(map(_is_run, labels)))


def _is_run(label: str) -> bool:
    """Whether a label is a number, or words for a run and a number, as `model-index-3`."""
    match = re.fullmatch(r"(\D*)\d+", label)
    return match is not None and set(re.findall(r"\w+", match[1].replace("_", " ").casefold())) <= _RUN_NAMES


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


def _decimals(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


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
            _decimals(self.value) - shift,
            None if self.stderr is None else float(self.stderr * scale),
            None if self.stderr is None else _decimals(self.stderr) - shift,
        )


@dataclass(frozen=True)
class _Reader:
    """Makes a table of figures of one of text; every error names the line."""

    path: Path
    tasks: Sequence[Task]

    def table(self, grid: _Grid) -> PublishedTable:
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

    def _columns(self, grid: _Grid) -> tuple[list[int], dict[int, Column]]:
        """By position: the average, of which there is one at most, and the columns that hold figures."""
        average: list[int] = []
        columns: dict[int, Column] = {}
        seen: dict[str, _Cell] = {}
        for position, title in enumerate(grid.head[1:], 1):
            task = _task(title.text, self.tasks)
            if task is None and not (title.text and self._holds_scores(grid, position)):
                continue
            is_average = task is None and _key(title.text) in _MEAN_NAMES
            key = task.name if task is not None else "average" if is_average else _key(title.text)
            if key in seen:
                raise self._error(title, f"the column {title.text!r} stands twice ({seen[key].text!r} before)")
            seen[key] = title
            if is_average:
                average.append(position)
            else:
                columns[position] = Column(title.text, task)
        return average, columns

    @staticmethod
    def _holds_scores(grid: _Grid, position: int) -> bool:
        is_size = _key(grid.head[position].text) in _NOT_SCORES
        return not is_size and any(
            _is_figure(row[position].text) and not _NO_FIGURE.fullmatch(row[position].text) for row in grid.body
        )

    def _labels(self, grid: _Grid) -> list[str]:
        """What the rows are called; a row without a name is called by its line."""
        labels: list[str] = []
        for row in grid.body:
            label = row[0].text or f"line {row[0].line}"
            if label in labels:
                raise self._error(row[0], f"the row {label!r} stands twice")
            labels.append(label)
        if all(map(_is_summary, labels)):
            raise ResultsError(
                f"{self.path}:{grid.line}: a table of scores without rows", hint="give a table with figures"
            )
        return labels

    def _entry(self, grid: _Grid, cell: _Cell, column: int) -> _Entry | None:
        try:
            parsed = _parsed(cell.text)
        except ValueError as problem:
            raise self._error(cell, f"{grid.head[column].text} = {cell.text!r}: {problem}") from None
        return None if parsed is None else _Entry(*parsed)

    @staticmethod
    def _are_fractions(entries: Sequence[Mapping[int, _Entry]], scored: Sequence[int]) -> bool:
        found = [row[column] for row in entries for column in scored if column in row]
        return bool(found) and all(entry.is_share for entry in found)

    def _error(self, cell: _Cell, what: str) -> ResultsError:
        return ResultsError(
            f"{self.path}:{cell.line}: {what}",
            hint="mend the table; where there is no figure, leave the cell empty",
            path=self.path,
            line=cell.line,
        )
