"""Samples as lm-eval writes them: what each document contributed to a cell, read without what is not needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from mixhub.analysis.scores import SCORE, SHARED, Column, Measure, cells_of
from mixhub.analysis.statistics import clustered_stderr
from mixhub.errors import ResultsError
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

if TYPE_CHECKING:
    import numpy

_FILTER = "none"
"""Only samples of this filter make `acc` and `acc_norm`; others repeat the same documents."""
ROUNDING = 1e-9
"""Largest difference between a metric and the mean of its samples, which sums in another order give."""
_LABELLED = 200
"""So many documents tell whether the choices of a task are labels, the same in each document."""


@dataclass(frozen=True)
class Documents:
    """What each document contributed to one cell."""

    ids: numpy.ndarray
    """(D,) int64, ascending: lm-eval's number of the document."""
    values: numpy.ndarray
    """(D,) float64: the metric of each document, in the unit of the measure; documents that have none are left out."""
    content: str
    """Hash of the documents, so that it is known whether two cells saw the same; empty where the file has no hashes."""


@dataclass(frozen=True)
class DocumentScores:
    """What each document contributed to the scores of a table: the mean over the shot counts."""

    values: Mapping[tuple[str, str], Documents]
    """By revision and task, where the samples of every shot count are there and saw the same documents."""
    clusters: Mapping[tuple[str, str], numpy.ndarray]
    """By revision and task, (D,) int64: the number of what a document shares with others; where documents stand alone
    there is none."""
    baselines: Mapping[str, Baseline]
    """By task."""

    def summary(self) -> SampleSummary:
        """Standard errors that know what documents share, and the hashes of the documents."""
        stderrs = {key: clustered_stderr(found.values, self.clusters.get(key)) for key, found in self.values.items()}
        contents = {key: found.content for key, found in self.values.items()}
        return SampleSummary(MappingProxyType(stderrs), MappingProxyType(contents), self.baselines)


@dataclass(frozen=True)
class Baseline:
    """What a model scores that knows nothing, percent."""

    chance: float | None
    """Guessing among the choices; None for tasks without choices."""
    constant: float | None
    """Always the same answer, the best one; None where the choices are no labels, so that there is no such answer."""


@dataclass(frozen=True)
class SampleSummary:
    """What the card and the tables need of samples, without what each document contributed."""

    stderrs: Mapping[tuple[str, str], float | None]
    """By revision and task: the standard error of the score over documents, in the unit of the measure; None where
    there are too few of them."""
    contents: Mapping[tuple[str, str], str]
    """By revision and task: the hash of the documents; empty where the files have none."""
    baselines: Mapping[str, Baseline]
    """By task."""


NO_SAMPLES = SampleSummary(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
"""Where no samples were read."""


_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Line(msgspec.Struct):
    doc_id: _Number
    filter: str = _FILTER
    doc_hash: str = ""
    acc: float | bool | None = None
    acc_norm: float | bool | None = None
    mixhub_measures: dict[str, float | None] = {}


class _Shared(msgspec.Struct):
    doc_id: _Number
    doc: dict[str, Any]
    filter: str = _FILTER


class _Answer(msgspec.Struct):
    doc_id: _Number
    filtered_resps: list[Any]
    filter: str = _FILTER
    target: Any = None
    acc: float | bool | None = None


class _Choices(msgspec.Struct):
    doc_id: _Number
    arguments: Any = None
    filter: str = _FILTER


AnyLine = TypeVar("AnyLine", _Line, _Shared, _Answer, _Choices)


def read_documents(record: Record, metric: str, measure: Measure = SCORE) -> Documents:
    """What each document contributed to `metric` of a cell.

    Raises:
        ResultsError: the samples are missing, malformed, hold a document twice, or hold no value of the metric.
    """
    import numpy as np

    path = _path(record)
    numbers: list[int] = []
    values: list[float] = []
    hashes: list[str] = []
    for line in _lines(path, _Line):
        value = getattr(line, metric) if measure is SCORE else line.mixhub_measures.get(metric)
        if value is not None:
            numbers.append(line.doc_id)
            values.append(value)
            hashes.append(line.doc_hash)
    if not values:
        raise ResultsError(
            f"{path}: no sample has {metric}, which {record.path.name} reports",
            code="metric-missing",
            hint="measure it anew, or delete the samples: scores do without them",
            path=path,
            metric=metric,
        )
    ids = np.array(numbers, np.int64)
    order = np.argsort(ids, kind="stable")
    if len(np.unique(ids)) != len(ids):
        raise ResultsError(
            f"{path}: holds a document twice", code="document-repeated", hint="measure the cell anew", path=path
        )
    in_order = hashes if (np.diff(ids) > 0).all() else [hashes[number] for number in order]
    content = hashlib.sha256("".join(in_order).encode()).hexdigest() if any(hashes) else ""
    return Documents(ids[order], measure.scale * np.array(values, np.float64)[order], content)


def read_scores(
    records: Mapping[str, Sequence[Record]],
    columns: Sequence[Column],
    measure: Measure = SCORE,
    progress: Progress = SILENT,
) -> DocumentScores:
    """What each document contributed to the scores of a table, as far as samples are there.

    Args:
        records: cells, by revision.
        columns: the tasks, and the shot counts that a score is the mean over.
        measure: what the table is of.
        progress: shows the files that are read.

    Raises:
        ResultsError: samples are malformed, or lack a value.
    """
    values: dict[tuple[str, str], Documents] = {}
    clusters: dict[tuple[str, str], numpy.ndarray] = {}
    baselines: dict[str, Baseline] = {}
    wanted = [
        (revision, column, cells)
        for column in columns
        for revision, own in records.items()
        if (cells := cells_with_samples(own, column))
    ]
    with progress.start("samples", sum(len(cells) for _, _, cells in wanted), "file") as bar:
        for revision, column, cells in wanted:
            documents = mean_over_shots(cells, measure, bar)
            if documents is None:
                continue
            if column.task not in baselines:
                baselines[column.task] = read_baseline(cells[0]) if measure is SCORE else Baseline(None, None)
            if (shared := read_clusters(cells[0], documents.ids)) is not None:
                clusters[revision, column.task] = shared
            values[revision, column.task] = documents
    return DocumentScores(MappingProxyType(values), MappingProxyType(clusters), MappingProxyType(baselines))


def cells_with_samples(records: Sequence[Record], column: Column) -> list[Record]:
    """The cells of one score, when all are there and have samples; else none."""
    cells = cells_of(records, column.task, column.num_fewshot)
    whole = len(cells) == len(column.num_fewshot) and all(cell.samples and cell.samples.is_file() for cell in cells)
    return cells if whole else []


def mean_over_shots(cells: Sequence[Record], measure: Measure, bar: Bar) -> Documents | None:
    """What each document contributed to one score: the mean over the shot counts; None where they are not of the same
    documents. Raises ResultsError as `read_documents` does, and when samples are not those of their result."""
    total: Documents | None = None
    for cell in cells:
        metric = measure.metric(cell)
        bar.advance()
        if metric is None:
            return None
        found = read_documents(cell, metric, measure)
        _require_same(cell, metric, found, measure)
        if total is None:
            total = found
        elif found.content != total.content or found.ids.tolist() != total.ids.tolist():
            return None
        else:
            total = Documents(total.ids, total.values + found.values, total.content)
    assert total is not None
    return Documents(total.ids, total.values / len(cells), total.content)


def _require_same(cell: Record, metric: str, found: Documents, measure: Measure) -> None:
    """Raises ResultsError when the samples beside a result are not those that it was made of."""
    says, mean = measure.scale * measure.figures(cell)[metric], float(found.values.mean())
    number = cell.documents if measure is SCORE else cell.measures.get(f"{metric}_documents", UNKNOWN)
    fields: dict[str, float]
    if abs(mean - says) > ROUNDING * measure.scale:
        what = f"the mean of its {metric} is {mean:.4f}, and {cell.path.name} says {says:.4f}"
        fields = {"mean": mean, "reported_mean": says}
    elif number not in (UNKNOWN, len(found.ids)):
        what = f"holds {metric} of {len(found.ids):,} documents, and {cell.path.name} says {number:,}"
        fields = {"documents": len(found.ids), "reported_documents": number}
    else:
        return
    raise ResultsError(
        f"{cell.samples}: {what}",
        code="samples-differ",
        hint="they do not belong together: measure the cell anew, or delete the samples: scores do without them",
        paths=(cell.samples, cell.path),
        metric=metric,
        **fields,
    )


def read_clusters(record: Record, ids: numpy.ndarray) -> numpy.ndarray | None:
    """(D,) int64: for each document of `ids` the number of what it shares with others, as a passage; None where
    documents of the task share nothing that is known of."""
    import numpy as np

    field = SHARED.get(record.task)
    if field is None:
        return None
    numbers: dict[str, int] = {}
    of_document: dict[int, int] = {}
    for line in _lines(_path(record), _Shared):
        if field not in line.doc:
            return None
        of_document[line.doc_id] = numbers.setdefault(str(line.doc[field]), len(numbers))
    return np.array([of_document[number] for number in ids.tolist()], np.int64)


def read_baseline(record: Record) -> Baseline:
    """What knowing nothing scores on the documents of a cell, as far as its samples tell.

    The right answer of a document follows from the metric if the model chose it or had two choices, else from the
    target. A constant answer means something only where the choices are labels, the same in each document, as
    yes and no; what the choices of a document begin with in common does not matter.
    """
    chances: list[float] = []
    right: list[int | None] = []
    for line in _lines(_path(record), _Answer):
        choices = len(line.filtered_resps)
        if choices < 2 or line.acc not in (0, 1):
            return Baseline(None, None)
        chances.append(1 / choices)
        right.append(_right(line, choices))
    if not chances:
        return Baseline(None, None)
    known = [number for number in right if number is not None]
    constant = None
    if len(known) == len(right) and _choices_are_labels(_path(record)):
        constant = 100 * max(known.count(number) for number in set(known)) / len(known)
    return Baseline(100 * sum(chances) / len(chances), constant)


def _right(line: _Answer, choices: int) -> int | None:
    """The number of the right choice; None where the sample does not tell."""
    likelihoods = [_likelihood(response) for response in line.filtered_resps]
    if None not in likelihoods:
        chosen = max(range(choices), key=lambda number: likelihoods[number] or 0.0)
        if line.acc:
            return chosen
        if choices == 2:
            return 1 - chosen
    target = str(line.target)
    return int(target) if target.isdecimal() and int(target) < choices else None


def _likelihood(response: Any) -> float | None:
    """The log-likelihood of a response, which versions of lm-eval write as number, as text, alone or in a list."""
    first = response[0] if isinstance(response, list) and response else response
    try:
        return float(first)
    except (TypeError, ValueError):
        return None


def _choices_are_labels(path: Path) -> bool:
    first: tuple[str, ...] | None = None
    for number, line in enumerate(_lines(path, _Choices)):
        if number == _LABELLED:
            break
        texts = _continuations(line.arguments)
        shared = _shared_length(texts)
        labels = tuple(text[shared:] for text in texts)
        first = first or labels
        if labels != first or len(set(labels)) < len(labels) or not labels:
            return False
    return first is not None


def _continuations(arguments: Any) -> list[str]:
    """The text of each choice: lm-eval writes lists, or since 0.4.3 mappings of `gen_args_0` to `arg_0`, `arg_1`."""
    given = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if not isinstance(given, list):
        return []
    pairs = [list(one.values()) if isinstance(one, dict) else one for one in given]
    return [str(pair[1]) if isinstance(pair, list) and len(pair) > 1 else "" for pair in pairs]


def _shared_length(texts: Sequence[str]) -> int:
    length = min(map(len, texts), default=0)
    return next((at for at in range(length) if len({text[at] for text in texts}) > 1), length)


def _lines(path: Path, kind: type[AnyLine]) -> Iterator[AnyLine]:
    """The samples of a file; old versions of lm-eval wrote one JSON list where newer ones write a line each."""
    number = 0
    try:
        with path.open("rb") as file:
            if file.read(1) == b"[":
                samples: list[AnyLine] = msgspec.json.decode(path.read_bytes(), type=list[kind])  # type: ignore[valid-type]
                yield from (sample for sample in samples if sample.filter == _FILTER)
                return
            file.seek(0)
            decode = msgspec.json.Decoder(kind).decode
            for number, line in enumerate(file, 1):  # noqa: B007 (named in the error)
                sample = decode(line)
                if sample.filter == _FILTER:
                    yield sample
    except msgspec.DecodeError as problem:
        place = f"{path}:{number}" if number else str(path)
        raise ResultsError(
            f"{place}: not a sample of lm-eval: {problem}",
            code="samples-malformed",
            hint="measure the cell anew, or delete the samples: scores do without them",
            path=path,
            line=number,
        ) from None


def _path(record: Record) -> Path:
    if record.samples is None or not record.samples.is_file():
        raise ResultsError(
            f"{record.path}: has no samples beside it",
            code="samples-missing",
            hint="lm-eval writes them with --log_samples, mixhub evaluate always",
            path=record.path,
        )
    return record.samples
