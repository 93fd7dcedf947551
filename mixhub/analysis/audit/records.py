"""Measured cells audited: accuracies, standard errors, documents, weights and samples against each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from mixhub.analysis.audit.tables import (
    BINOMIAL,
    INDEPENDENT,
    LEVEL,
    RELATIVE,
    Audit,
    Finding,
    Kind,
    accuracy_stderr,
    listed,
)
from mixhub.analysis.samples import ROUNDING, read_documents
from mixhub.errors import ResultsError
from mixhub.spec.family import Task
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

SHARES = "an accuracy is a whole number of right documents out of those that were evaluated"

_PLAIN = ("acc", "acc_norm")
"""Metrics that are a share of right documents."""
_CONTINUOUS = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")
"""Figures that are never equal to the last digit by chance."""
_NEVER = 1e-6
"""What stands for the chance that they are."""
_FULL_DIGITS = 8
"""A cell whose figures all have fewer digits than these was rounded when it was written."""


def audit_records(records: Sequence[Record], tasks: Sequence[Task]) -> Audit:
    """What of measured cells fits together: accuracies, standard errors, documents, weights and samples.

    Only `acc` and `acc_norm` are tested, since they are shares of documents. A task that is not of the suite may give
    parts of a document; it is tested only where its standard error shows that it does not.

    Args:
        records: of any number of models, revisions, tasks and shot counts.
        tasks: the suite, whose numbers of documents stand in where a whole split was evaluated and its size is not in
            the file.
    """
    by_name = {task.name: task for task in tasks}
    cells = [_Cell.of(record, by_name.get(record.task)) for record in records]
    findings = (
        *(finding for cell in cells for finding in _cell_findings(cell)),
        *_split_findings(cells),
        *_weights_findings(records),
        *_repeated_cells(cells),
        *(finding for cell in cells for finding in _samples_findings(cell)),
    )
    revisions = {(record.model, record.revision) for record in records}
    return Audit(
        source=f"{_number(len(records), 'cell')} of {_number(len(revisions), 'revision')}",
        assumptions=(SHARES, BINOMIAL, INDEPENDENT),
        findings=findings,
        notes=tuple(_record_notes(cells)),
        figures=sum(len(cell.figures) for cell in cells),
        testable=sum(len(cell.figures) for cell in cells if cell.is_testable),
        runs=1,
        most_runs=1,
    )


@dataclass(frozen=True)
class _Cell:
    """A record with what is known of its documents."""

    record: Record
    task: Task | None
    figures: Mapping[str, float]
    """`acc` and `acc_norm`, fractions."""
    leeway: float
    """Half a unit of the last digit where the file holds rounded figures, else 0."""
    documents: int | None
    """That were evaluated, where it is known."""
    origin: Literal["file", "suite", "stderr", "unknown"]
    """What tells the number of documents."""

    @classmethod
    def of(cls, record: Record, task: Task | None) -> _Cell:
        figures = {name: value for name, value in record.metrics.items() if name.partition(",")[0] in _PLAIN}
        leeway = _leeway((*record.metrics.values(), *record.stderrs.values()))
        if isinstance(record.documents, int):
            return cls(record, task, figures, leeway, record.documents, "file")
        if record.limit is None and task is not None and task.documents is not None:
            return cls(record, task, figures, leeway, task.documents, "suite")
        implied = {round(n) for n in _implied(record, figures, leeway).values() if abs(n - round(n)) < _WHOLE * n}
        if len(implied) == 1:
            return cls(record, task, figures, leeway, implied.pop(), "stderr")
        return cls(record, task, figures, leeway, None, "unknown")

    @property
    def name(self) -> str:
        """As `piqa 5-shot of seed-1`, with the model where the revision is not known."""
        revision = self.record.model if self.record.revision == UNKNOWN else self.record.revision
        return f"{self.place} of {revision}"

    @property
    def place(self) -> str:
        """As `piqa 5-shot`."""
        return f"{self.record.task} {self.record.num_fewshot}-shot"

    @property
    def is_testable(self) -> bool:
        """Whether its number of documents is known, and its accuracies are shares of them."""
        if self.documents is None:
            return False
        return self.task is not None or any(self.stderr_fits(metric) for metric in self.figures)

    def is_whole(self, metric: str) -> bool:
        """Whether a metric is a whole number of documents."""
        assert self.documents is not None
        right = self.figures[metric] * self.documents
        return abs(right - round(right)) <= self.leeway * self.documents + RELATIVE

    def stderr_fits(self, metric: str) -> bool:
        """Whether a metric has a standard error, and the one that follows from its value."""
        stderr = self.record.stderrs.get(metric)
        if stderr is None or self.documents is None or self.documents < 2:
            return False
        low, high = (min(1.0, max(0.0, self.figures[metric] + sign * self.leeway)) for sign in (-1, 1))
        ends = [accuracy_stderr(100 * end, self.documents) / 100 for end in (low, high)]
        most = accuracy_stderr(50.0, self.documents) / 100 if low < 0.5 < high else max(ends)
        slack = self.leeway + RELATIVE * most
        return min(ends) - slack <= stderr <= most + slack

    def finding(self, kind: Kind, what: str, *assumptions: str) -> Finding:
        """That `what` does not fit."""
        if self.origin == "suite":
            assumptions = (*assumptions, f"{self.record.task} has {self.documents:,} documents, as the suite says")
        return Finding(kind, self.record.revision, self.place, f"{self.name}: {what}", assumptions)


_WHOLE = 1e-7
"""How near to a whole number, relatively, a number of documents must be that a standard error implies."""


def _leeway(figures: Iterable[float]) -> float:
    """Half a unit of the last digit; 0 where some figure is written in full."""
    digits = max((len(repr(value).partition(".")[2]) for value in figures if "e" not in repr(value)), default=0)
    return 0.0 if digits > _FULL_DIGITS else 0.5 * 10**-digits


def _implied(record: Record, figures: Mapping[str, float], leeway: float) -> dict[str, float]:
    """The numbers of documents that follow from standard errors, where they are written in full."""
    if leeway:
        return {}
    stderrs = {metric: record.stderrs.get(metric) for metric in figures}
    return {
        metric: value * (1 - value) / stderr**2 + 1
        for metric, value in figures.items()
        if 0 < value < 1 and (stderr := stderrs[metric])
    }


def _cell_findings(cell: _Cell) -> Iterator[Finding]:
    """What does not fit inside one cell."""
    implied = _implied(cell.record, cell.figures, cell.leeway)
    if cell.origin == "unknown" and len({round(n) for n in implied.values()}) > 1 and _any_whole(implied):
        shown = listed([f"{metric} over {n:,.0f}" for metric, n in implied.items()])
        yield cell.finding("documents", f"the standard errors are those of {shown} documents", BINOMIAL)
    for metric, value in cell.figures.items():
        if not 0 <= value <= 1:
            yield cell.finding("range", f"{metric} = {value:g} is no share: it is outside 0 to 1")
        elif cell.is_testable:
            yield from _metric_findings(cell, metric, implied.get(metric))


def _any_whole(numbers: Mapping[str, float]) -> bool:
    return any(abs(n - round(n)) < _WHOLE * n for n in numbers.values())


def _metric_findings(cell: _Cell, metric: str, implied: float | None) -> Iterator[Finding]:
    value, documents = cell.figures[metric], cell.documents
    assert documents is not None
    if not cell.is_whole(metric):
        right = value * documents
        yield cell.finding(
            "count", f"{metric} = {value:.6g} is {right:,.3f} right answers of {documents:,}, no whole number", SHARES
        )
    stderr = cell.record.stderrs.get(metric)
    if stderr is not None and documents > 1 and not cell.stderr_fits(metric):
        near = accuracy_stderr(100 * value, documents) / 100
        hint = "" if implied is None else f"; it is that of {implied:,.1f} documents"
        what = (
            f"{metric} = {value:.6g} over {documents:,} documents has the standard error {near:.6g}, not {stderr:.6g}"
        )
        yield cell.finding("stderr", what + hint, BINOMIAL)


def _split_findings(cells: Sequence[_Cell]) -> Iterator[Finding]:
    """Numbers of documents against the suite's and against each other."""
    for cell in cells:
        record, in_split = cell.record, cell.record.documents_in_split
        if isinstance(in_split, int) and isinstance(record.documents, int) and record.documents > in_split:
            yield cell.finding("documents", f"{record.documents:,} documents were evaluated, of {in_split:,}")
        elif isinstance(in_split, int) and cell.task and cell.task.documents not in (None, in_split):
            what = f"its split has {in_split:,} documents, and the suite's has {cell.task.documents:,}"
            yield cell.finding("documents", what, "the task is the suite's")


def _weights_findings(records: Sequence[Record]) -> Iterator[Finding]:
    """Different revisions that were measured with the same weights."""
    revisions: dict[str, dict[tuple[str, str], None]] = {}
    for record in records:
        if record.weights_sha256 != UNKNOWN:
            revisions.setdefault(record.weights_sha256, {})[record.model, record.revision] = None
    for sha256, found in revisions.items():
        if len(found) > 1:
            names = listed([_revision_name(key) for key in found])
            message = f"{names} were measured with the same weights ({sha256[:12]})"
            yield Finding("weights", next(reversed(found))[1], "", message, ("revisions differ in their weights",))


def _revision_name(key: tuple[str, ...]) -> str:
    model, revision = key[:2]
    return model if revision == UNKNOWN else f"{model} {revision}"


def _repeated_cells(cells: Sequence[_Cell]) -> Iterator[Finding]:
    """Revisions, or shot counts of one revision, with the same figures to the last digit, beyond chance."""
    runs: dict[_Line, dict[_Key, _Cell]] = {}
    shots: dict[_Line, dict[_Line, dict[_Key, _Cell]]] = {}
    for cell in cells:
        record = cell.record
        run = (record.model, record.revision)
        runs.setdefault(run, {})[record.task, record.num_fewshot, record.limit] = cell
        line = (*run, str(record.num_fewshot))
        shots.setdefault(run, {}).setdefault(line, {})[record.task, record.limit] = cell
    for (first, second), number in _equal_lines([runs]):
        message = (
            f"{_revision_name(second)} repeats {_revision_name(first)}: the figures of all {number} cells are equal"
        )
        yield Finding("repeat", second[1], "", message, (INDEPENDENT,))
    for (one, other), number in _equal_lines(list(shots.values())):
        message = f"{_revision_name(other)}: {other[2]}-shot repeats {one[2]}-shot: all {number} tasks are equal"
        yield Finding("repeat", other[1], "", message, ("shots change what a model answers",))


_Line = tuple[str, ...]
_Key = tuple[object, ...]


def _equal_lines(groups: Sequence[Mapping[_Line, Mapping[_Key, _Cell]]]) -> Iterator[tuple[tuple[_Line, _Line], int]]:
    """Pairs of lines of one group whose shared cells are all equal, at least two tasks of them, and their number."""
    tried = sum(len(lines) * (len(lines) - 1) // 2 for lines in groups)
    for lines in groups:
        repeated: set[_Line] = set()
        for one, other in combinations(lines, 2):
            if other in repeated or not (shared := _shared_if_equal(lines[one], lines[other])):
                continue
            chance = math.prod(map(_chance_of_equal_cell, shared))
            if len({cell.record.task for cell in shared}) > 1 and tried * chance < LEVEL:
                repeated.add(other)
                yield (one, other), len(shared)


def _shared_if_equal(one: Mapping[_Key, _Cell], other: Mapping[_Key, _Cell]) -> list[_Cell]:
    """The cells that both have, where all are equal; else none, as most pairs tell at their first cell."""
    shared = []
    for key, cell in other.items():
        if key in one:
            if _figures(one[key]) != _figures(cell):
                return []
            shared.append(cell)
    return shared


def _figures(cell: _Cell) -> tuple[Mapping[str, float], ...]:
    return cell.record.metrics, cell.record.stderrs, cell.record.measures


def _chance_of_equal_cell(cell: _Cell) -> float:
    """How likely an independent model has the same figures: as likely as the one that tells most, since they go
    together."""
    record = cell.record
    if any(name in figures for name in _CONTINUOUS for figures in (record.metrics, record.measures)):
        return _NEVER
    if cell.documents is None:
        return 1.0
    errors = [math.sqrt(value * (1 - value) * cell.documents) for value in cell.figures.values() if 0 < value < 1]
    return min((1 / (2 * error * math.sqrt(math.pi)) for error in errors), default=1.0)


def _samples_findings(cell: _Cell) -> Iterator[Finding]:
    """Samples against the figures that are made of them."""
    record = cell.record
    if record.samples is None or not record.samples.is_file():
        return
    for metric in _PLAIN:
        if metric not in record.metrics:
            continue
        try:
            documents = read_documents(record, metric)
        except ResultsError as problem:
            yield cell.finding("samples", problem.message)
            return
        found = len(documents.ids)
        if isinstance(record.documents, int) and found != record.documents:
            yield cell.finding("samples", f"{record.samples}: holds {found:,} documents, of {record.documents:,}")
            return
        mean = math.fsum(documents.values) / 100 / found
        if abs(mean - record.metrics[metric]) > ROUNDING + cell.leeway:
            says = f"the result says {record.metrics[metric]:.9g}"
            yield cell.finding("samples", f"{record.samples}: the mean of {metric} is {mean:.9g}, and {says}")


def _record_notes(cells: Sequence[_Cell]) -> Iterator[str]:
    origins: dict[str, int] = {}
    for cell in cells:
        origins[cell.origin] = origins.get(cell.origin, 0) + 1
    if number := origins.get("suite"):
        yield f"{_number(number, 'cell')} without a number of documents: that of the suite's task is assumed"
    if number := origins.get("stderr"):
        yield f"{_number(number, 'cell')} without a number of documents: it follows from the standard error"
    if untested := sorted({cell.record.task for cell in cells if cell.figures and not cell.is_testable}):
        yield f"not tested, since their documents are not known, or count in parts: {listed(untested)}"
    if others := sorted({cell.record.task for cell in cells if not cell.figures}):
        yield f"not tested, since they have neither acc nor acc_norm: {listed(others)}"
    with_samples = sum(cell.record.samples is not None and cell.record.samples.is_file() for cell in cells)
    yield f"samples: {with_samples:,} of {_number(len(cells), 'cell')} have them"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
