"""Samples as lm-eval writes them: the value of each document in a cell, and a cache of summaries.

The cache serves cards: a card is rendered many times, but gigabytes of samples are read once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from mixhub.analysis.scores import SCORE, SHARED, Column, Measure, cells_of
from mixhub.analysis.statistics.crossed import clustered_stderr
from mixhub.errors import ResultsError
from mixhub.files import write_json
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import ACCURACIES, Record

if TYPE_CHECKING:
    import numpy

_FILTER = "none"
"""The filter whose samples make `acc` and `acc_norm`; others repeat the same documents."""
ROUNDING = 1e-9
"""Largest difference between a metric and the mean of its samples, from another order of the sum."""
_LABEL_DOCUMENTS = 200
"""Documents that are read to see whether the choices of a task are labels, the same in each document."""
_FORMAT = 1
"""Increase it when a summary of the same samples changes."""
_MAX_ENTRIES = 20_000
"""Scores; the oldest are dropped first."""
_REMEDY = "evaluate the cell again, or delete the samples: scores do not need them (mixhub results --no-samples)"


@dataclass(frozen=True)
class Documents:
    """The values of the documents of one cell."""

    ids: numpy.ndarray
    """(D,) int64, ascending: lm-eval's number of the document."""
    values: numpy.ndarray
    """(D,) float64: the metric of each document that has one, in the unit of the measure."""
    content: str
    """Hash of all documents, to compare those of two cells; empty if the file has no hashes."""


@dataclass(frozen=True)
class Baseline:
    """The score of guessing, percent."""

    chance: float | None
    """Of guessing among the choices; None for tasks without choices."""
    constant: float | None
    """Of the best answer that is the same for all documents; None if the choices are not labels."""


@dataclass(frozen=True)
class DocumentScores:
    """The values of the documents in the scores of a table: means over the shot counts."""

    values: Mapping[tuple[str, str], Documents]
    """By revision and task, if all shot counts have samples of the same documents."""
    clusters: Mapping[tuple[str, str], numpy.ndarray]
    """By revision and task, (D,) int64: the number of the passage that a document shares with others, if any."""
    baselines: Mapping[str, Baseline]
    """By task."""

    def summary(self) -> SampleSummary:
        """Standard errors that take shared passages into account, and the hashes of the documents."""
        stderrs = {key: clustered_stderr(own.values, self.clusters.get(key)) for key, own in self.values.items()}
        contents = {key: own.content for key, own in self.values.items()}
        return SampleSummary(MappingProxyType(stderrs), MappingProxyType(contents), self.baselines)


@dataclass(frozen=True)
class SampleSummary:
    """What cards and tables need from samples."""

    stderrs: Mapping[tuple[str, str], float | None]
    """By revision and task: the standard error of the score over documents, in the unit of the measure; None for too
    few documents."""
    contents: Mapping[tuple[str, str], str]
    """By revision and task: the hash of the documents; empty if the files have none."""
    baselines: Mapping[str, Baseline]
    """By task."""


NO_SAMPLES = SampleSummary(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))
NO_DOCUMENTS = DocumentScores(MappingProxyType({}), MappingProxyType({}), MappingProxyType({}))

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Sample(msgspec.Struct):
    doc_id: _Number
    filter: str = _FILTER


class _Line(_Sample):
    doc_hash: str = ""
    acc: float | bool | None = None
    acc_norm: float | bool | None = None
    mixhub_measures: dict[str, float | None] = {}


class _Shared(_Sample, kw_only=True):
    doc: dict[str, Any]


class _Answer(_Sample, kw_only=True):
    filtered_resps: list[Any]
    target: Any = None
    acc: float | bool | None = None


class _Choices(_Sample):
    arguments: Any = None


AnySample = TypeVar("AnySample", bound=_Sample)


def read_documents(record: Record, metric: str, measure: Measure = SCORE) -> Documents:
    """Read the value of `metric` for each document of a cell.

    Raises:
        ResultsError: the samples are missing or malformed, hold a document twice, or have no value of the metric.
    """
    import numpy as np

    path = _path(record)
    lines = []
    for line in _lines(path, _Line):
        value = getattr(line, metric) if measure is SCORE else line.mixhub_measures.get(metric)
        if value is not None:
            lines.append((line.doc_id, value, line.doc_hash))
    if not lines:
        message = f"{path}: no sample has {metric}, but {record.path.name} does"
        raise ResultsError(message, code="metric-missing", hint=_REMEDY, path=path, metric=metric)
    lines.sort(key=lambda line: line[0])
    ids, values, hashes = zip(*lines, strict=True)
    if len(set(ids)) < len(ids):
        raise ResultsError(f"{path}: has a document twice", code="document-repeated", hint=_REMEDY, path=path)
    content = hashlib.sha256("".join(hashes).encode()).hexdigest() if any(hashes) else ""
    return Documents(np.array(ids, np.int64), measure.scale * np.array(values, np.float64), content)


def read_scores(
    records: Mapping[str, Sequence[Record]],
    columns: Sequence[Column],
    measure: Measure = SCORE,
    progress: Progress = SILENT,
) -> DocumentScores:
    """Read the value of each document in the scores of a table, where there are samples.

    Args:
        records: cells, by revision.
        columns: the tasks, and the shot counts that a score is the mean over.
        measure: the measure of the table.
        progress: shows the files that are read.

    Raises:
        ResultsError: samples are malformed, or lack a value.
    """
    values: dict[tuple[str, str], Documents] = {}
    clusters: dict[tuple[str, str], numpy.ndarray] = {}
    baselines: dict[str, Baseline] = {}
    cells_by_score = cells_with_samples(records, columns)
    with progress.start("samples", sum(map(len, cells_by_score.values())), "file") as bar:
        for (revision, task), cells in cells_by_score.items():
            if (documents := mean_over_shots(cells, measure, bar)) is None:
                continue
            if task not in baselines:
                baselines[task] = read_baseline(cells[0]) if measure is SCORE else Baseline(None, None)
            if (shared := read_clusters(cells[0], documents.ids)) is not None:
                clusters[revision, task] = shared
            values[revision, task] = documents
    return DocumentScores(MappingProxyType(values), MappingProxyType(clusters), MappingProxyType(baselines))


def cells_with_samples(
    records: Mapping[str, Sequence[Record]], columns: Sequence[Column]
) -> dict[tuple[str, str], list[Record]]:
    """The cells of each score, by revision and task; without scores that lack cells or samples."""
    cells_by_score = {}
    for column in columns:
        for revision, own in records.items():
            cells = cells_of(own, column.task, column.num_fewshot)
            samples = [cell.samples for cell in cells if cell.samples and cell.samples.is_file()]
            if 0 < len(samples) == len(column.num_fewshot):
                cells_by_score[revision, column.task] = cells
    return cells_by_score


def mean_over_shots(cells: Sequence[Record], measure: Measure, bar: Bar) -> Documents | None:
    """The value of each document in one score: the mean over the shot counts; None if their documents differ.

    Raises:
        ResultsError: as `read_documents`, or the samples do not belong to their result.
    """
    import numpy as np

    read: list[Documents] = []
    for cell in cells:
        bar.advance()
        metric = measure.metric(cell)
        if metric is None or (measure is SCORE and metric not in ACCURACIES):
            return None
        documents = read_documents(cell, metric, measure)
        require_same(cell, metric, documents, measure)
        if read and (documents.content != read[0].content or documents.ids.tolist() != read[0].ids.tolist()):
            return None
        read.append(documents)
    return Documents(read[0].ids, np.mean([one.values for one in read], axis=0), read[0].content)


def require_same(
    cell: Record, metric: str, documents: Documents, measure: Measure = SCORE, leeway: float = 0.0
) -> None:
    """Check that samples belong to the result beside them; `leeway` allows for rounded results."""
    reported, mean = measure.scale * measure.figures(cell)[metric], float(documents.values.mean())
    number = cell.documents if measure is SCORE else cell.measures.get(f"{metric}_documents", UNKNOWN)
    count = len(documents.ids)
    if abs(mean - reported) <= measure.scale * (ROUNDING + leeway) and number in (UNKNOWN, count):
        return
    message = f"{cell.samples}: the mean of {metric} over {count:,} documents is {mean:.7g}, but {cell.path.name} has "
    message += f"{reported:.7g}" + ("" if number == UNKNOWN else f" over {number:,}")
    fields = {"mean": mean, "reported_mean": reported, "documents": count, "reported_documents": number}
    paths = (cell.samples, cell.path)
    raise ResultsError(message, code="samples-differ", hint=_REMEDY, paths=paths, metric=metric, **fields)


def read_clusters(record: Record, ids: numpy.ndarray) -> numpy.ndarray | None:
    """(D,) int64: the number of the passage of each document in `ids`; None if documents of the task share none."""
    import numpy as np

    if (field := SHARED.get(record.task)) is None:
        return None
    passages = {line.doc_id: line.doc.get(field) for line in _lines(_path(record), _Shared)}
    if None in passages.values():
        return None
    numbers = {passage: number for number, passage in enumerate(dict.fromkeys(map(str, passages.values())))}
    return np.array([numbers[str(passages[document])] for document in ids.tolist()], np.int64)


def read_baseline(record: Record) -> Baseline:
    """Read what guessing scores on the documents of a cell.

    The right answer of a document follows from the metric if the model chose it or had two choices, else from the
    target. A constant answer exists only if the choices are labels, the same in each document, as yes and no; a common
    beginning of a document's choices does not matter.
    """
    chances: list[float] = []
    right: list[int | None] = []
    for line in _lines(_path(record), _Answer):
        choices = len(line.filtered_resps)
        if choices < 2 or line.acc not in (0, 1):
            return Baseline(None, None)
        chances.append(1 / choices)
        right.append(_right_choice(line))
    if not chances:
        return Baseline(None, None)
    constant = None
    if None not in right and _choices_are_labels(_path(record)):
        constant = 100 * max(map(right.count, set(right))) / len(right)
    return Baseline(100 * sum(chances) / len(chances), constant)


def _right_choice(line: _Answer) -> int | None:
    """The number of the right choice; None if unknown."""
    # Versions of lm-eval write a log-likelihood as number or as text, alone or first in a list.
    responses = [one[0] if isinstance(one, list) and one else one for one in line.filtered_resps]
    try:
        likelihoods = list(map(float, responses))
    except (TypeError, ValueError):
        likelihoods = []
    if likelihoods and (line.acc or len(likelihoods) == 2):
        chosen = likelihoods.index(max(likelihoods))
        return chosen if line.acc else 1 - chosen
    target = str(line.target)
    return int(target) if target.isdecimal() and int(target) < len(responses) else None


def _choices_are_labels(path: Path) -> bool:
    first: list[str] = []
    for number, line in enumerate(_lines(path, _Choices)):
        if number == _LABEL_DOCUMENTS:
            break
        texts = _continuations(line.arguments)
        shared = len(os.path.commonprefix(texts))  # noqa: RUF071 (not paths)
        labels = [text[shared:] for text in texts]
        first = first or labels
        if labels != first or len(set(labels)) < len(labels) or not labels:
            return False
    return bool(first)


def _continuations(arguments: Any) -> list[str]:
    """The text of each choice: lm-eval writes lists, or since 0.4.3 mappings of `gen_args_0` to `arg_0`, `arg_1`."""
    choices = list(arguments.values()) if isinstance(arguments, dict) else arguments
    if not isinstance(choices, list):
        return []
    pairs = [list(one.values()) if isinstance(one, dict) else one for one in choices]
    return [str(pair[1]) if isinstance(pair, list) and len(pair) > 1 else "" for pair in pairs]


def _lines(path: Path, kind: type[AnySample]) -> Iterator[AnySample]:
    """The samples of a file that make `acc` and `acc_norm`."""
    return (sample for sample in _decoded(path, kind) if sample.filter == _FILTER)


def all_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of a file, of all filters, with all their keys; raises ResultsError if one is malformed."""
    return _decoded(path, dict[str, Any])


def _decoded(path: Path, kind: type[Any]) -> Iterator[Any]:
    """The samples of a file; old versions of lm-eval wrote one JSON list instead of a line per sample."""
    number = 0
    try:
        with path.open("rb") as file:
            if file.read(1) == b"[":
                yield from msgspec.json.decode(path.read_bytes(), type=list[kind])  # type: ignore[valid-type]
                return
            file.seek(0)
            decode = msgspec.json.Decoder(kind).decode
            for number, line in enumerate(file, 1):  # noqa: B007 (named in the error)
                yield decode(line)
    except msgspec.DecodeError as problem:
        where = f"{path}:{number}" if number else str(path)
        message = f"{where}: not an lm-eval sample: {problem}"
        raise ResultsError(message, code="samples-malformed", hint=_REMEDY, path=path, line=number) from None


def _path(record: Record) -> Path:
    if record.samples is None or not record.samples.is_file():
        raise ResultsError(
            f"{record.path}: has no samples file beside it",
            code="samples-missing",
            hint="run lm-eval with --log_samples, or use mixhub evaluate",
            path=record.path,
        )
    return record.samples


class _Entry(msgspec.Struct, omit_defaults=True):
    """The summary of one score; all None if the shot counts saw different documents."""

    stderr: float | None = None
    content: str | None = None
    chance: float | None = None
    constant: float | None = None


class _Cache(msgspec.Struct):
    entries: dict[str, _Entry]
    """By `_cache_key`, which has the format."""


def read_summary(
    records: Mapping[str, Sequence[Record]], columns: Sequence[Column], cache: Path, progress: Progress = SILENT
) -> SampleSummary:
    """Read what cards and tables need from samples, where there are samples.

    Args:
        records: cells, by revision.
        columns: the tasks, and the shot counts that a score is the mean over.
        cache: a file with earlier summaries, by name, size and date of the samples. It is updated, and may be deleted
            at any time.
        progress: shows the files that are read.

    Raises:
        ResultsError: samples are malformed, lack a value, or do not belong to their result.
    """
    scores = {key: (_cache_key(*key, cells), cells) for key, cells in cells_with_samples(records, columns).items()}
    known = _read_cache(cache)
    missing = {name: cells for name, cells in scores.values() if name not in known}
    with progress.start("samples", sum(map(len, missing.values())), "file") as bar:
        known |= {name: _summarize(cells, bar) for name, cells in missing.items()}
    used = {key: known[name] for key, (name, _) in scores.items()}
    if missing:
        for name, _ in scores.values():  # the newest last, so that the oldest are dropped
            known[name] = known.pop(name)
        entries = msgspec.to_builtins(dict(list(known.items())[-_MAX_ENTRIES:]))
        with suppress(OSError):  # the workspace may be read-only
            write_json(cache, {"entries": entries})
    baselines: dict[str, Baseline] = {}
    for (_, task), entry in used.items():
        if entry.content is not None:
            baselines.setdefault(task, Baseline(entry.chance, entry.constant))
    return SampleSummary(
        stderrs=MappingProxyType({key: entry.stderr for key, entry in used.items() if entry.content is not None}),
        contents=MappingProxyType({key: entry.content for key, entry in used.items() if entry.content is not None}),
        baselines=MappingProxyType(baselines),
    )


def _cache_key(revision: str, task: str, cells: Sequence[Record]) -> str:
    """Changes with the samples, and with the results that they belong to."""
    parts: list[object] = [_FORMAT, revision, task]
    for cell in cells:
        assert cell.samples is not None
        status = cell.samples.stat()
        state = [cell.samples.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        parts.append([*state, SCORE.metric(cell), cell.metrics])
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()


def _summarize(cells: Sequence[Record], bar: Bar) -> _Entry:
    documents = mean_over_shots(cells, SCORE, bar)
    if documents is None:
        return _Entry()
    baseline = read_baseline(cells[0])
    return _Entry(
        stderr=clustered_stderr(documents.values, read_clusters(cells[0], documents.ids)),
        content=documents.content,
        chance=baseline.chance,
        constant=baseline.constant,
    )


def _read_cache(cache: Path) -> dict[str, _Entry]:
    """The earlier summaries; none if the file is missing or malformed."""
    try:
        return msgspec.json.decode(cache.read_bytes(), type=_Cache).entries
    except (OSError, msgspec.MsgspecError):
        return {}
