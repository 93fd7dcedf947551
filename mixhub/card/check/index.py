"""Whether the model-index of a card has the shape that the Hub reads, and says what the tables of the card say."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixhub.card.check.finding import Finding
from mixhub.card.check.metadata import MEND, MetadataLines, shown
from mixhub.card.check.tables import Figure, ScoreTable, mean_and_sd
from mixhub.card.markdown.parse import ReadCard

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

_INDEX = "model-index"
_RANGE = re.compile(r"\d+(?:\s*-\s*\d+)?(?:,\s*\d+(?:\s*-\s*\d+)?)*")


@dataclass(frozen=True)
class _Entry:
    """A figure of the model-index."""

    path: Path
    """Keys and indices that lead to it."""
    result: Mapping[str, Any]
    """What holds it: task, dataset and more."""
    metric: Mapping[str, Any]

    @property
    def dataset(self) -> str:
        return str(self.result["dataset"]["name"])

    @property
    def args(self) -> Mapping[str, Any]:
        found = self.metric.get("args")
        return found if isinstance(found, dict) else {}

    @property
    def run(self) -> tuple[str, int] | None:
        """`seed` or `index`, and which; None of a figure that is of no single model."""
        for kind in ("seed", "index"):
            number = self.args.get(kind)
            if isinstance(number, int):
                return kind, number
        return None

    @property
    def label(self) -> str:
        of = " ".join(map(str, self.run)) if self.run else str(self.metric.get("name", self.metric["type"]))
        return f"{self.dataset} {of}"

    def key(self) -> str:
        """What two figures share that are of the same thing."""
        about = {key: value for key, value in self.result.items() if key not in ("metrics", "source")}
        figure = {key: value for key, value in self.metric.items() if key in ("type", "name", "config")}
        # A mean stands with its sd among the arguments, which is no less a figure than itself.
        args = {key: value for key, value in self.args.items() if key != "sd"}
        return _canonical([about, figure, args])


def index_findings(card: ReadCard, lines: MetadataLines, source: str) -> Iterator[Finding]:
    """What is wrong with the model-index of a card: its shape, figures that contradict each other or the tables.

    A figure of a seed or an index is held against the cells of the same seed and dataset in tables of scores, one with
    an sd against their line of means; it has to agree with one of them to the digits that are printed there.

    Args:
        card: the card as read.
        lines: where its metadata stands.
        source: names the card in findings.
    """
    index = card.metadata.get(_INDEX)
    if index is None:
        return
    problems = list(_shape_problems(index))
    for path, rule in problems:
        key = ".".join(map(str, path))
        yield Finding("metadata", source, lines.line(*path), key, f"{key}: {rule}", MEND)
    if problems:
        return
    entries = list(_entries(index))
    yield from _contradictions(entries, lines, source)
    tables = [scores for table in card.tables if (scores := ScoreTable.of(table))]
    for entry in entries:
        yield from _table_findings(entry, tables, lines, source)
    if len(tables) == 1:  # where several stand beside each other, the model-index has the figures of one of them
        yield from _untold(entries, tables[0], lines, source)


def _shape_problems(index: object) -> Iterator[Problem]:
    if not isinstance(index, list) or not index:
        yield (_INDEX,), "must be a list with an entry per model"
        return
    for at, model in enumerate(index):
        path: Path = (_INDEX, at)
        if not isinstance(model, dict):
            yield path, "must be a mapping with name and results"
            continue
        yield from _text_problem(path, model, "name")
        results = model.get("results")
        if not isinstance(results, list):
            yield (*path, "results"), "must be a list"
            continue
        for number, result in enumerate(results):
            yield from _result_problems((*path, "results", number), result)


def _result_problems(path: Path, result: object) -> Iterator[Problem]:
    if not isinstance(result, dict):
        yield path, "must be a mapping with task, dataset and metrics"
        return
    for part, keys in {"task": ("type",), "dataset": ("type", "name")}.items():
        inner = result.get(part)
        if not isinstance(inner, dict):
            yield (*path, part), f"must be a mapping with {' and '.join(keys)}"
            continue
        for key in keys:
            yield from _text_problem((*path, part), inner, key)
    if "source" in result:
        yield from _source_problems((*path, "source"), result["source"])
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield (*path, "metrics"), "must be a list with an entry per figure"
        return
    for at, metric in enumerate(metrics):
        yield from _metric_problems((*path, "metrics", at), metric)


def _source_problems(path: Path, of: object) -> Iterator[Problem]:
    if not isinstance(of, dict):
        yield path, "must be a mapping with url, and name if need be"
    elif not isinstance(of.get("url"), str):
        yield (*path, "url"), "is required, and must be text"


def _metric_problems(path: Path, metric: object) -> Iterator[Problem]:
    if not isinstance(metric, dict):
        yield path, "must be a mapping with type and value"
        return
    yield from _text_problem(path, metric, "type")
    if "name" in metric:
        yield from _text_problem(path, metric, "name")
    value = metric.get("value")
    if value is None:
        yield (*path, "value"), "is required"
    elif not (isinstance(value, str) or _is_finite(value)):
        yield (*path, "value"), f"must be a finite number or text, not {shown(value)}"
    args = metric.get("args")
    if not isinstance(args, dict):
        return
    for key in ("seed", "index", "num_fewshot"):
        if key in args and not _is_count(args[key], is_range=key == "num_fewshot"):
            rule = "must be a whole number" + (", a list of them, or a range as 0-5" if key == "num_fewshot" else "")
            yield (*path, "args", key), f"{rule}, not {shown(args[key])}"


def _text_problem(path: Path, mapping: Mapping[str, Any], key: str) -> Iterator[Problem]:
    value = mapping.get(key)
    if value is None:
        yield (*path, key), "is required"
    elif not isinstance(value, str):
        yield (*path, key), f"must be text, not {shown(value)}"


def _canonical(value: object) -> str:
    """The same text for mappings that differ in the order of their keys only, whatever these are."""
    if isinstance(value, dict):
        return f"{{{', '.join(sorted(f'{key!r}: {_canonical(inner)}' for key, inner in value.items()))}}}"
    return f"[{', '.join(map(_canonical, value))}]" if isinstance(value, list) else repr(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object, *, is_range: bool) -> bool:
    if isinstance(value, list) and is_range:
        return all(_is_whole(item) for item in value)
    return _is_whole(value) or (is_range and isinstance(value, str) and bool(_RANGE.fullmatch(value)))


def _entries(index: Sequence[Mapping[str, Any]]) -> Iterator[_Entry]:
    for place, model in enumerate(index):
        for number, result in enumerate(model["results"]):
            for at, metric in enumerate(result["metrics"]):
                yield _Entry((_INDEX, place, "results", number, "metrics", at), result, metric)


def _contradictions(entries: Sequence[_Entry], lines: MetadataLines, source: str) -> Iterator[Finding]:
    first: dict[str, _Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.key(), entry)
        if other.metric["value"] != entry.metric["value"]:
            line = lines.line(*other.path, "value")
            here, there = shown(entry.metric["value"]), shown(other.metric["value"])
            message = f"{entry.label}: the model-index says {here}, and {there} in line {line}"
            yield Finding("metadata", source, lines.line(*entry.path, "value"), entry.label, message, MEND)


def _table_findings(
    entry: _Entry, tables: Sequence[ScoreTable], lines: MetadataLines, source: str
) -> Iterator[Finding]:
    value, sd = _number(entry.metric["value"]), entry.args.get("sd")
    if value is None:
        return
    if entry.run:
        cells = [cell for table in tables for cell in _cells_of_run(entry, table)]
        yield from _disagreement(entry, "value", value, cells, lines, source)
    elif sd is not None and _is_finite(sd):
        pairs = [pair for table in tables for pair in _cells_of_means(entry, table)]
        yield from _disagreement(entry, "value", value, [(line, mean) for line, mean, _ in pairs], lines, source)
        yield from _disagreement(entry, "sd", sd, [(line, figure) for line, _, figure in pairs], lines, source)


def _untold(entries: Sequence[_Entry], table: ScoreTable, lines: MetadataLines, source: str) -> Iterator[Finding]:
    """Figures of the one table of scores that the model-index lacks, though it has others of their column; and datasets
    that are almost called as a column."""
    told = {(column, entry.run) for entry in entries if entry.run for column in _columns(entry, table)}
    for column in sorted({column for column, _ in told}):
        for number, row in table.runs:
            if (column, (table.kind, number)) not in told and Figure.read(table.table.rows[row][column]):
                where = table.name(column, number)
                message = f"{where}: stands in the table, and the model-index, which has the column, lacks it"
                yield Finding("figures", source, table.line(row), where, message, "mixhub card render")
    headers = table.table.headers[1:]
    for name in dict.fromkeys(entry.dataset for entry in entries if entry.run and not _columns(entry, table)):
        if near := [one for one in difflib.get_close_matches(name, headers, 1, cutoff=0.8) if _differ(name, one)]:
            path = next(entry.path for entry in entries if entry.dataset == name)
            message = f"{name}: is no column of the table of scores; did you mean {near[0]}?"
            yield Finding("figures", source, lines.line(*path, "value"), name, message, MEND)


def _differ(one: str, other: str) -> bool:
    """Whether two names differ in more than numbers, as those of two versions of a dataset do."""
    return re.sub(r"\d+", "", one) != re.sub(r"\d+", "", other)


def _number(value: object) -> float | None:
    """A finite number, also one that stands in quotes; None of anything else."""
    if isinstance(value, str) and (figure := Figure.read(value)) is not None:
        return figure.value
    return float(value) if isinstance(value, (int, float)) and _is_finite(value) else None


def _columns(entry: _Entry, table: ScoreTable) -> list[int]:
    """The columns that are of the dataset of a figure."""
    last = len(table.table.headers) - 1
    if str(entry.result["dataset"]["type"]).casefold() == "average":
        return [last]
    return [at for at, header in enumerate(table.table.headers) if at > 0 and header == entry.dataset]


def _cells_of_run(entry: _Entry, table: ScoreTable) -> Iterator[tuple[int, Figure]]:
    for number, row in table.runs:
        if (table.kind, number) == entry.run:
            for column in _columns(entry, table):
                if figure := Figure.read(table.table.rows[row][column]):
                    yield table.line(row), figure


def _cells_of_means(entry: _Entry, table: ScoreTable) -> Iterator[tuple[int, Figure, Figure]]:
    for row in table.means:
        for column in _columns(entry, table):
            if pair := mean_and_sd(table.table.rows[row][column]):
                yield table.line(row), *pair


def _disagreement(
    entry: _Entry,
    what: str,
    value: float,
    cells: Sequence[tuple[int, Figure]],
    lines: MetadataLines,
    source: str,
) -> Iterator[Finding]:
    """A finding when tables have the figure, and in none of them it is this one, as a percentage or a fraction."""
    if not cells or any(figure.may_be(number, number) for _, figure in cells for number in (value, 100 * value)):
        return
    line, figure = cells[0]
    at = lines.line(*entry.path, "value") if what == "value" else lines.line(*entry.path, "args", what)
    named = entry.label if what == "value" else f"{entry.label}, {what}"
    message = f"{named}: the model-index says {value}, the table in line {line} says {figure.text}"
    yield Finding("figures", source, at, named, message, "mixhub card render, or mend the one that is wrong")
