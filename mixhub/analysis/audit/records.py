"""The audit of measured cells: accuracies, standard errors, documents, weights and samples against each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mixhub.analysis.audit.repeats import find_repeats
from mixhub.analysis.audit.report import BINOMIAL, INDEPENDENT, Audit
from mixhub.analysis.audit.tables import accuracy_stderr, stderr_range
from mixhub.analysis.audit.view import name_some
from mixhub.analysis.samples import read_documents, require_same
from mixhub.errors import ResultsError
from mixhub.findings import Finding, Level
from mixhub.phrases import plural
from mixhub.spec import Task
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

SHARES = "an accuracy is a whole number of correct answers over the evaluated documents"

_SHARE_METRICS = ("acc", "acc_norm")
_RELATIVE = 1e-6
"""Bound of floating-point errors, in standard errors and whole numbers."""
_FULL_DIGITS = 8
"""If all figures of a cell have fewer digits, they were rounded when they were written."""


_INITIAL = re.compile(r"(?:^|[^a-z])step[-_]?0+$", re.IGNORECASE)
"""Names of the revision before the first update."""


@dataclass(frozen=True)
class AuditCell:
    """A record, and what is known about its documents."""

    record: Record
    task: Task | None
    """The task of the suite."""

    @cached_property
    def figures(self) -> dict[str, float]:
        """`acc` and `acc_norm`, fractions."""
        return {name: value for name, value in self.record.metrics.items() if name.partition(",")[0] in _SHARE_METRICS}

    @cached_property
    def leeway(self) -> float:
        """Half a unit of the last digit if the file holds rounded figures, else 0."""
        written = [repr(value) for value in (*self.record.metrics.values(), *self.record.stderrs.values())]
        digits = max((len(text.partition(".")[2]) for text in written if "e" not in text), default=0)
        return 0.0 if digits > _FULL_DIGITS else 0.5 * 10**-digits

    @cached_property
    def documents(self) -> int | None:
        """The number of evaluated documents, from the file, else from the suite; None if unknown."""
        if isinstance(self.record.documents, int):
            return self.record.documents
        return self.task.documents if self.task is not None and self.record.limit is None else None

    @property
    def place(self) -> str:
        """For example `piqa 5-shot`."""
        return f"{self.record.task} {self.record.num_fewshot}-shot"

    @property
    def is_testable(self) -> bool:
        """Whether its number of documents is known, and its accuracies are shares of them."""
        has_shares = self.task is not None or any(map(self.stderr_fits, self.figures))
        return self.documents is not None and has_shares

    def stderr_fits(self, metric: str) -> bool:
        """Whether a metric has the standard error that follows from its value."""
        stderr = self.record.stderrs.get(metric)
        if stderr is None or self.documents is None or self.documents < 2:
            return False
        value = self.figures[metric]
        least, most = stderr_range(value - self.leeway, value + self.leeway, self.documents)
        slack = self.leeway + _RELATIVE * most
        return least - slack <= stderr <= most + slack


def audit_records(records: Sequence[Record], tasks: Sequence[Task]) -> Audit:
    """Check whether measured cells are consistent: accuracies, standard errors, documents, weights and samples.

    Only `acc` and `acc_norm` are tested, since they are shares of documents. A task outside the suite may count parts
    of a document; it is tested only if its standard error shows that it does not.

    Args:
        records: of any number of models, revisions, tasks and shot counts.
        tasks: the suite. Its numbers of documents are used for whole splits whose size is not in the file.
    """
    by_name = {task.name: task for task in tasks}
    groups = sorted({record.task for record in records if record.is_group})
    cells = [AuditCell(record, by_name.get(record.task)) for record in records if not record.is_group]
    revisions = {(record.model, record.revision) for record in records}
    return Audit(
        source=f"{plural(len(records), 'cell')} of {plural(len(revisions), 'revision')}",
        assumptions=(SHARES, BINOMIAL, INDEPENDENT),
        findings=tuple(finding for rule in RULES for finding in rule(cells)),
        notes=(*_notes(cells), *([f"not tested, because they summarize tasks: {name_some(groups)}"] if groups else ())),
        figures=sum(len(cell.figures) for cell in cells),
        testable=sum(len(cell.figures) for cell in cells if cell.is_testable),
        runs=1,
        most_runs=1,
    )


def figures_unfit(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Accuracies that are not a share of the cell's documents, and standard errors that do not follow from them."""
    for cell in cells:
        for metric, value in cell.figures.items():
            if not 0 <= value <= 1:
                yield _finding(cell, f"{metric} = {value:g} is not between 0 and 1", "score-out-of-range")
            elif cell.is_testable:
                yield from _metric_unfit(cell, metric, value, cell.documents or 0)


def _metric_unfit(cell: AuditCell, metric: str, value: float, documents: int) -> Iterator[Finding]:
    right = value * documents
    if abs(right - round(right)) > cell.leeway * documents + _RELATIVE:
        what = f"{metric} = {value:.6g} is {right:,.3f} correct answers of {documents:,}, not a whole number"
        yield _finding(cell, what, "figure-impossible", SHARES)
    stderr = cell.record.stderrs.get(metric)
    if stderr is not None and documents > 1 and not cell.stderr_fits(metric):
        near = accuracy_stderr(value, documents)
        what = f"{metric} = {value:.6g} of {documents:,} documents has the standard error {near:.6g}, not {stderr:.6g}"
        yield _finding(cell, what, "stderr-unfit", BINOMIAL)


def documents_differ(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Numbers of documents that contradict the suite's, or each other."""
    for cell in cells:
        documents, in_split = cell.record.documents, cell.record.documents_in_split
        if not isinstance(in_split, int):
            continue
        if isinstance(documents, int) and documents > in_split:
            yield _finding(cell, f"{documents:,} documents were evaluated, but {in_split:,} exist", "documents-differ")
        elif cell.task and cell.task.documents not in (None, in_split):
            what = f"its split has {in_split:,} documents, but the suite's has {cell.task.documents:,}"
            yield _finding(cell, what, "documents-differ", "the task is the one in the suite")


def weights_repeated(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Different revisions that were measured with the same weights."""
    revisions: dict[str, dict[tuple[str, str], None]] = {}
    for cell in cells:
        if cell.record.weights_sha256 != UNKNOWN:
            revisions.setdefault(cell.record.weights_sha256, {})[cell.record.model, cell.record.revision] = None
    for sha256, names in revisions.items():
        if len(names) > 1:
            message = f"{name_some(map(_revision_name, names))} were measured with the same weights ({sha256[:12]})"
            assumed = ("revisions differ in their weights",)
            yield Finding("weights-measured-twice", list(names)[-1][1], message, assumptions=assumed)


def cells_repeated(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Revisions, or shot counts of one revision, with the same figures to the last digit."""
    revisions: dict[tuple[str, str], dict[tuple[Any, ...], Any]] = {}
    shots: dict[tuple[str, str], dict[object, dict[tuple[Any, ...], Any]]] = {}
    for record in (cell.record for cell in cells):
        revision, figures = (record.model, record.revision), (record.metrics, record.stderrs, record.measures)
        revisions.setdefault(revision, {})[record.task, record.num_fewshot, record.limit] = figures
        by_shots = shots.setdefault(revision, {}).setdefault(record.num_fewshot, {})
        by_shots[record.task, record.limit] = figures
    for first, second, number in find_repeats(revisions):
        message = f"{_revision_name(second)} repeats {_revision_name(first)}: all {number} cells are equal"
        if is_first := _INITIAL.search(first[1]) is not None:
            message += "; that is expected if the learning rate was 0 until then"
        level: Level = "warning" if is_first else "error"
        yield Finding("figures-repeated", second[1], message, level=level, assumptions=(INDEPENDENT,))
    for revision, own in shots.items():
        for one, other, number in find_repeats(own):
            message = f"{_revision_name(revision)}: {other}-shot repeats {one}-shot: all {number} tasks are equal"
            assumed = ("the number of shots changes a model's answers",)
            yield Finding("shots-repeated", revision[1], message, assumptions=assumed)


def samples_differ(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Samples that do not give the figures beside them, or that cannot be read."""
    for cell in cells:
        record = cell.record
        if record.samples is None or not record.samples.is_file():
            continue
        for metric in (name for name in _SHARE_METRICS if name in record.metrics):
            try:
                require_same(record, metric, read_documents(record, metric), leeway=cell.leeway)
            except ResultsError as problem:
                yield _finding(cell, problem.message, problem.code)
                break


RULES: tuple[Callable[[Sequence[AuditCell]], Iterator[Finding]], ...] = (
    figures_unfit,
    documents_differ,
    weights_repeated,
    cells_repeated,
    samples_differ,
)
"""In the order of their findings."""


def _finding(cell: AuditCell, what: str, code: str, *assumptions: str) -> Finding:
    record = cell.record
    if record.documents == UNKNOWN and cell.documents is not None:
        assumptions = (*assumptions, f"{record.task} has {cell.documents:,} documents, as the suite says")
    revision = record.model if record.revision == UNKNOWN else record.revision
    message = f"{cell.place} of {revision}: {what}"
    return Finding(code, record.revision, message, about=cell.place, assumptions=assumptions)


def _notes(cells: Sequence[AuditCell]) -> Iterator[str]:
    if number := sum(cell.record.documents == UNKNOWN and cell.documents is not None for cell in cells):
        yield f"{plural(number, 'cell')} without a number of documents: assuming that of the suite's task"
    if untested := sorted({cell.record.task for cell in cells if cell.figures and not cell.is_testable}):
        yield f"not tested, because documents are not counted, or not as 0 or 1: {name_some(untested)}"
    if others := sorted({cell.record.task for cell in cells if not cell.figures}):
        yield f"not tested, because they have neither acc nor acc_norm: {name_some(others)}"
    with_samples = sum(cell.record.samples is not None and cell.record.samples.is_file() for cell in cells)
    yield f"samples: {with_samples:,} of {plural(len(cells), 'cell')}"


def _revision_name(line: tuple[str, str]) -> str:
    model, revision = line
    return model if revision == UNKNOWN else f"{model} {revision}"
