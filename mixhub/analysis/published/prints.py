"""The tables that lm-eval prints, which have a line for each metric of a task."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mixhub.analysis.published.figures import Printed, read_figure
from mixhub.analysis.published.grids import Grid, TableCell
from mixhub.analysis.published.table import Column, Figure, PublishedRow, PublishedTable
from mixhub.analysis.published.titles import find_task, title_key
from mixhub.spec import Task
from mixhub.workspace.records import ACCURACIES, is_share, main_metric

_TASKS = frozenset({"task", "tasks", "groups"})
_HEADER = re.compile(
    r"^\S+ \((?P<arguments>.*?)\), .*?limit: (?P<limit>[\d.]+|None)\b.*?num_fewshot: (?P<shots>\d+|None)\b",
    re.MULTILINE,
)


@dataclass
class _Entry:
    """One task of a print-out."""

    name: str
    shots: int | None
    metrics: dict[str, Printed] = field(default_factory=dict)


@dataclass
class _Print:
    """The tasks that were printed for one run."""

    label: str
    limit: float | None
    line: int
    entries: dict[str, _Entry] = field(default_factory=dict)


def is_print(grid: Grid) -> bool:
    """Whether a table has the columns that lm-eval prints."""
    keys = [title_key(cell.text) for cell in grid.head]
    return bool(keys) and keys[0] in _TASKS and {"metric", "value"} <= set(keys)


def read_prints(path: str, grids: Sequence[Grid], tasks: Sequence[Task]) -> PublishedTable | None:
    """The scores in the tables that lm-eval printed, a row for each run; None if they have no figures.

    Each task has its main metric, as in results files. Tasks of a group whose score is printed are omitted.

    Args:
        path: the file.
        grids: tables for which `is_print` holds, in their order; consecutive ones without a task in common are of one
            run, unless a header line names another one.
        tasks: the tasks whose documents are known.
    """
    prints: list[_Print] = []
    for grid in grids:
        headers = [*_HEADER.finditer(grid.above)]
        header = headers[-1] if headers else None
        entries = {entry.name: entry for entry in _entries(grid, header) if entry.metrics}
        is_groups = title_key(grid.head[0].text) == "groups"
        if header is None and prints and (is_groups or not prints[-1].entries.keys() & entries.keys()):
            prints[-1].entries |= {name: one for name, one in entries.items() if name not in prints[-1].entries}
        elif entries:
            limit = header["limit"] if header else "None"
            label = _model(header["arguments"]) if header else grid.head[_at(grid, "value")].text
            prints.append(_Print(label, None if limit == "None" else float(limit), grid.line, entries))
    if not prints:
        return None
    return _table(path, prints, tasks)


def _entries(grid: Grid, header: re.Match[str] | None) -> list[_Entry]:
    """The tasks of one table; below a group with a score, its tasks are omitted."""
    at = {key: _at(grid, key) for key in ("filter", "nshot", "metric", "value", "stderr")}
    overall = int(header["shots"]) if header and header["shots"] != "None" else None
    entries: list[_Entry] = []
    group: _Entry | None = None
    for row in grid.body:
        name = row[0].text
        is_inner = name.startswith("-")
        if name:
            shots = _text(row, at["nshot"])
            entry = _Entry(name.lstrip("- "), int(shots) if shots.isdecimal() else overall)
            if not is_inner:
                group = entry
            if not (is_inner and group is not None and group.metrics):
                entries.append(entry)
        elif not entries and group is None:
            continue
        figure, metric, kind = read_figure(_text(row, at["value"])), _text(row, at["metric"]), _text(row, at["filter"])
        if figure is not None and metric:
            stderr = read_figure(_text(row, at["stderr"]))
            filtered = metric if kind in ("", "none") else f"{metric},{kind}"
            entry.metrics[filtered] = Printed(figure.value, stderr.value if stderr else None)
    return entries


def _at(grid: Grid, key: str) -> int:
    """The position of a column; -1 if there is none."""
    keys = [title_key(cell.text) for cell in grid.head]
    return keys.index(key) if key in keys else -1


def _text(row: Sequence[TableCell], at: int) -> str:
    return row[at].text if 0 <= at < len(row) else ""


def _model(arguments: str) -> str:
    named = re.search(r"(?:pretrained|model)=([^,]+)", arguments)
    return named[1] if named else arguments


def _table(path: str, prints: Sequence[_Print], tasks: Sequence[Task]) -> PublishedTable:
    is_fraction = all(
        figure.can_be_share
        for one in prints
        for entry in one.entries.values()
        for metric, figure in entry.metrics.items()
        if metric in ACCURACIES
    )
    columns: dict[str, Column] = {}
    rows = []
    labels = [one.label for one in prints]
    for one in prints:
        figures: dict[str, Figure] = {}
        for entry in one.entries.values():
            metric, figure = _main(entry)
            is_accuracy = metric in ACCURACIES
            title = entry.name if is_accuracy else f"{entry.name} ({metric})"
            is_scaled = is_fraction and is_share(metric, float(figure.value))
            figures[title] = figure.figure(is_fraction=is_scaled)
            task = find_task(entry.name, tasks) if is_accuracy else None
            shots = entry.shots if title not in columns or columns[title].num_fewshot == entry.shots else None
            columns[title] = Column(title, task, shots, "" if is_accuracy else metric)
        label = one.label if labels.count(one.label) == 1 else f"{one.label} (line {one.line})"
        rows.append(PublishedRow(label, MappingProxyType(figures), limit=one.limit))
    return PublishedTable(
        source=f"{path}:{prints[0].line}",
        columns=tuple(columns.values()),
        rows=tuple(rows),
        scale="fraction" if is_fraction else "percent",
        row_kind="model",
    )


def _main(entry: _Entry) -> tuple[str, Printed]:
    metric = main_metric({name: float(figure.value) for name, figure in entry.metrics.items()})
    assert metric is not None
    return metric, entry.metrics[metric]
