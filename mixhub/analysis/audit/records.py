"""Measured cells audited: accuracies, standard errors, documents, weights and samples against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from mixhub.analysis.audit.cells import PLAIN, AuditCell, is_whole_number
from mixhub.analysis.audit.report import Audit
from mixhub.analysis.audit.stderrs import accuracy_stderr
from mixhub.analysis.audit.view import LEVEL
from mixhub.analysis.audit.wording import BINOMIAL, INDEPENDENT, listed
from mixhub.analysis.samples import ROUNDING, read_documents
from mixhub.errors import ResultsError
from mixhub.findings import Finding
from mixhub.phrases import plural
from mixhub.spec import Task
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

SHARES = "an accuracy is a whole number of right documents out of those that were evaluated"

_CONTINUOUS = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")
"""Figures that are never equal to the last digit by chance."""
_NEVER = 1e-6
"""What stands for the chance that they are."""


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
    cells = [AuditCell.of(record, by_name.get(record.task)) for record in records]
    revisions = {(record.model, record.revision) for record in records}
    return Audit(
        source=f"{plural(len(records), 'cell')} of {plural(len(revisions), 'revision')}",
        assumptions=(SHARES, BINOMIAL, INDEPENDENT),
        findings=tuple(finding for rule in RULES for finding in rule(cells)),
        notes=tuple(_notes(cells)),
        figures=sum(len(cell.figures) for cell in cells),
        testable=sum(len(cell.figures) for cell in cells if cell.is_testable),
        runs=1,
        most_runs=1,
    )


def figures_unfit(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Accuracies that are no share of the cell's documents, and standard errors that do not go with them."""
    for cell in cells:
        implied = cell.implied
        if (
            cell.origin == "unknown"
            and len({round(n) for n in implied.values()}) > 1
            and any(map(is_whole_number, implied.values()))
        ):
            shown = listed([f"{metric} over {n:,.0f}" for metric, n in implied.items()])
            what = f"the standard errors are those of {shown} documents"
            yield _finding(cell, what, BINOMIAL, code="documents-differ")
        for metric, value in cell.figures.items():
            if not 0 <= value <= 1:
                what = f"{metric} = {value:g} is no share: it is outside 0 to 1"
                yield _finding(cell, what, code="score-out-of-range")
            elif cell.is_testable:
                yield from _metric_unfit(cell, metric)


def _metric_unfit(cell: AuditCell, metric: str) -> Iterator[Finding]:
    value, documents = cell.figures[metric], cell.documents
    assert documents is not None
    if not cell.is_whole(metric):
        right = value * documents
        what = f"{metric} = {value:.6g} is {right:,.3f} right answers of {documents:,}, no whole number"
        yield _finding(cell, what, SHARES, code="figure-impossible")
    stderr = cell.record.stderrs.get(metric)
    if stderr is not None and documents > 1 and not cell.stderr_fits(metric):
        near = accuracy_stderr(100 * value, documents) / 100
        hint = f"; it is that of {cell.implied[metric]:,.1f} documents" if metric in cell.implied else ""
        what = (
            f"{metric} = {value:.6g} over {documents:,} documents has the standard error {near:.6g}, not {stderr:.6g}"
        )
        yield _finding(cell, what + hint, BINOMIAL, code="stderr-unfit")


def documents_differ(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Numbers of documents that contradict the suite's, or each other."""
    for cell in cells:
        record, in_split = cell.record, cell.record.documents_in_split
        if isinstance(in_split, int) and isinstance(record.documents, int) and record.documents > in_split:
            what = f"{record.documents:,} documents were evaluated, of {in_split:,}"
            yield _finding(cell, what, code="documents-differ")
        elif isinstance(in_split, int) and cell.task and cell.task.documents not in (None, in_split):
            what = f"its split has {in_split:,} documents, and the suite's has {cell.task.documents:,}"
            yield _finding(cell, what, "the task is the suite's", code="documents-differ")


def weights_repeated(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Different revisions that were measured with the same weights."""
    revisions: dict[str, dict[tuple[str, str], None]] = {}
    for record in (cell.record for cell in cells):
        if record.weights_sha256 != UNKNOWN:
            revisions.setdefault(record.weights_sha256, {})[record.model, record.revision] = None
    for sha256, found in revisions.items():
        if len(found) > 1:
            names = listed([_revision_name(key) for key in found])
            message = f"{names} were measured with the same weights ({sha256[:12]})"
            assumed = ("revisions differ in their weights",)
            yield Finding("weights-measured-twice", next(reversed(found))[1], message, assumptions=assumed)


def cells_repeated(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Revisions, or shot counts of one revision, with the same figures to the last digit, beyond chance."""
    runs: dict[_Line, dict[_Key, AuditCell]] = {}
    shots: dict[_Line, dict[_Line, dict[_Key, AuditCell]]] = {}
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
        yield Finding("figures-repeated", second[1], message, assumptions=(INDEPENDENT,))
    for (one, other), number in _equal_lines(list(shots.values())):
        message = f"{_revision_name(other)}: {other[2]}-shot repeats {one[2]}-shot: all {number} tasks are equal"
        assumed = ("shots change what a model answers",)
        yield Finding("shots-repeated", other[1], message, assumptions=assumed)


_Line: TypeAlias = tuple[str, ...]
"""Model and revision, and perhaps the shots."""
_Key: TypeAlias = tuple[object, ...]
"""What names a cell within its line."""


def _revision_name(line: _Line) -> str:
    model, revision = line[:2]
    return model if revision == UNKNOWN else f"{model} {revision}"


def _equal_lines(
    groups: Sequence[Mapping[_Line, Mapping[_Key, AuditCell]]],
) -> Iterator[tuple[tuple[_Line, _Line], int]]:
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


def _shared_if_equal(one: Mapping[_Key, AuditCell], other: Mapping[_Key, AuditCell]) -> list[AuditCell]:
    """The cells that both have, where all are equal; else none, as most pairs tell at their first cell."""
    shared = []
    for key, cell in other.items():
        if key in one:
            if _figures(one[key]) != _figures(cell):
                return []
            shared.append(cell)
    return shared


def _figures(cell: AuditCell) -> tuple[Mapping[str, float], ...]:
    return cell.record.metrics, cell.record.stderrs, cell.record.measures


def _chance_of_equal_cell(cell: AuditCell) -> float:
    """How likely an independent model has the same figures: as likely as the one that tells most, since they go
    together."""
    record = cell.record
    if any(name in figures for name in _CONTINUOUS for figures in (record.metrics, record.measures)):
        return _NEVER
    if cell.documents is None:
        return 1.0
    errors = [math.sqrt(value * (1 - value) * cell.documents) for value in cell.figures.values() if 0 < value < 1]
    return min((1 / (2 * error * math.sqrt(math.pi)) for error in errors), default=1.0)


def samples_differ(cells: Sequence[AuditCell]) -> Iterator[Finding]:
    """Samples that the figures beside them were not made of, or that cannot be read."""
    for cell in cells:
        if cell.record.samples is not None and cell.record.samples.is_file():
            yield from _cell_samples_differ(cell)


def _cell_samples_differ(cell: AuditCell) -> Iterator[Finding]:
    record = cell.record
    for metric in PLAIN:
        if metric not in record.metrics:
            continue
        try:
            documents = read_documents(record, metric)
        except ResultsError as problem:
            yield _finding(cell, problem.message, code=problem.code)
            return
        found = len(documents.ids)
        if isinstance(record.documents, int) and found != record.documents:
            what = f"{record.samples}: holds {found:,} documents, of {record.documents:,}"
            yield _finding(cell, what, code="samples-differ")
            return
        mean = math.fsum(documents.values) / 100 / found
        if abs(mean - record.metrics[metric]) > ROUNDING + cell.leeway:
            says = f"the result says {record.metrics[metric]:.9g}"
            what = f"{record.samples}: the mean of {metric} is {mean:.9g}, and {says}"
            yield _finding(cell, what, code="samples-differ")


RULES: tuple[Callable[[Sequence[AuditCell]], Iterator[Finding]], ...] = (
    figures_unfit,
    documents_differ,
    weights_repeated,
    cells_repeated,
    samples_differ,
)
"""In the order of their findings."""


def _finding(cell: AuditCell, what: str, *assumptions: str, code: str) -> Finding:
    """That `what` does not fit in a cell."""
    if cell.origin == "suite":
        assumptions = (*assumptions, f"{cell.record.task} has {cell.documents:,} documents, as the suite says")
    return Finding(code, cell.record.revision, f"{cell.name}: {what}", about=cell.place, assumptions=assumptions)


def _notes(cells: Sequence[AuditCell]) -> Iterator[str]:
    origins: dict[str, int] = {}
    for cell in cells:
        origins[cell.origin] = origins.get(cell.origin, 0) + 1
    if number := origins.get("suite"):
        yield f"{plural(number, 'cell')} without a number of documents: that of the suite's task is assumed"
    if number := origins.get("stderr"):
        yield f"{plural(number, 'cell')} without a number of documents: it follows from the standard error"
    if untested := sorted({cell.record.task for cell in cells if cell.figures and not cell.is_testable}):
        yield f"not tested, since their documents are not known, or count in parts: {listed(untested)}"
    if others := sorted({cell.record.task for cell in cells if not cell.figures}):
        yield f"not tested, since they have neither acc nor acc_norm: {listed(others)}"
    with_samples = sum(cell.record.samples is not None and cell.record.samples.is_file() for cell in cells)
    yield f"samples: {with_samples:,} of {plural(len(cells), 'cell')} have them"
