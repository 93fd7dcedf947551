"""Writing the records of cells into a folder, laid out as the data of Every Eval Ever."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from mixhub.analysis.every_eval_ever.aggregate import TaskEntries, evaluation_log
from mixhub.analysis.every_eval_ever.identity import Identity, folder_of
from mixhub.analysis.every_eval_ever.instances import instances
from mixhub.analysis.every_eval_ever.schema import DetailedResults, EvaluationLog
from mixhub.analysis.evidence import Evidence, common_columns, family_columns
from mixhub.analysis.samples import read_documents, require_same
from mixhub.analysis.scores import SCORE
from mixhub.analysis.selection import Selection
from mixhub.errors import MixhubError, ResultsError, UnknownNameError
from mixhub.files import locked, read_json, require_folder, writing
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workspace.lineage import UNKNOWN, file_sha256
from mixhub.workspace.records import ACCURACIES, Record

_STAGED = ".mixhub-"
"""Start of the name of a folder with records that are not complete."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    records: tuple[Path, ...]
    """New records, one for each cell."""
    samples: tuple[Path, ...]
    """New files of instances."""
    unchanged: int
    """Records and files with instances that were there already."""
    notes: tuple[str, ...]
    """Which cells have no record, and what is unknown, a sentence each."""


def write_records(
    evidence: Sequence[Evidence],
    output: Path,
    selection: Selection,
    *,
    organization: str | None = None,
    progress: Progress = SILENT,
) -> Written:
    """Write a record for each cell as `data/<task>/<owner>/<model>/<uuid>.json`, and its samples beside it.

    The uuid follows from the content: the same cells have the same files. Nothing is written if a file of that name has
    another content.

    Args:
        evidence: families and models.
        output: the folder.
        selection: suite, tasks and shots; whether to write instances, and cells that a limit cut short.
        organization: who measured.
        progress: shows the cells.

    Raises:
        ResultsError: there are no cells, samples are malformed or not those of their result, or a file with another
            content is in the way.
        UnknownNameError: no cell has a selected task.
        OSError: the folder cannot be written to, or a file is in the place of a folder.
    """
    chosen = [_chosen(one, selection) for one in evidence]
    _require_known(selection.tasks or (), chosen)
    chosen = [_of_tasks(one, selection) for one in chosen]
    cells = [(record, one) for one in chosen for own in one.records.values() for record in own]
    if not cells:
        names = ", ".join(one.name for one in evidence)
        hint = "records need cells: run mixhub evaluate --all, or pass results of lm-eval"
        raise ResultsError(f"{names}: no cells to write", code="results-missing", hint=hint, name=names)
    unnamed: set[str] = set()
    require_folder(output)
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
    with writing(output):
        _clear_leftovers(output)
        staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=output))
    try:
        with _in_use(staged), progress.start("records", len(cells), "cell") as bar, writing(output):
            for record, one in cells:
                identity = Identity.of(record, one, organization)
                _write(record, identity, staged, with_samples=selection.samples)
                unnamed |= {record.model} if identity.developer == UNKNOWN else set()
                bar.advance()
            new, unchanged = _moved(staged, output)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    notes = [note for one in chosen for note in one.notes]
    if unnamed:
        notes.append(f"the owner of {listed(sorted(unnamed), most=3)} is unknown: name it with --organization")
    records, samples = (tuple(path for path in new if path.suffix == suffix) for suffix in (".json", ".jsonl"))
    return Written(records, samples, unchanged, tuple(dict.fromkeys(notes)))


def _in_use(staged: Path) -> AbstractContextManager[None]:
    """Lock a folder with records that are being written."""
    return locked(staged / ".lock", f"{staged} is being written")


def _clear_leftovers(output: Path) -> None:
    """Delete what killed processes left."""
    for leftover in output.glob(f"{_STAGED}*"):
        with suppress(MixhubError), _in_use(leftover):
            shutil.rmtree(leftover, ignore_errors=True)


def _chosen(evidence: Evidence, selection: Selection) -> Evidence:
    """The evidence with only the cells that count for scores."""
    suite = selection.suite or (evidence.family.evaluation if evidence.family else None)
    limited = selection.allow_incomplete
    if suite is not None:
        counted, _ = family_columns(suite, evidence, limited=limited)
    else:
        ((counted,), _) = common_columns([evidence], limited=limited)
    return counted


def _require_known(names: Sequence[str], evidence: Sequence[Evidence]) -> None:
    """Raise UnknownNameError for a task that no cell has."""
    tasks = {record.task for one in evidence for own in one.records.values() for record in own}
    for task in names:
        if task not in tasks:
            raise UnknownNameError("task", task, sorted(tasks))


def _of_tasks(evidence: Evidence, selection: Selection) -> Evidence:
    """The evidence with only the cells of the selected tasks and shot counts."""

    def is_selected(record: Record) -> bool:
        has_shots = selection.num_fewshot is None or record.num_fewshot in selection.num_fewshot
        return has_shots and (selection.tasks is None or record.task in selection.tasks)

    records = {revision: tuple(filter(is_selected, own)) for revision, own in evidence.records.items()}
    return replace(evidence, records=MappingProxyType(records))


def _write(record: Record, identity: Identity, root: Path, *, with_samples: bool) -> None:
    """Write the record of a cell, and its samples, below a folder."""
    entries = TaskEntries.of(record, read_json(record.path, ResultsError))
    log = evaluation_log(record, entries, identity)
    samples = record.samples if with_samples and record.samples is not None and record.samples.is_file() else None
    try:
        content = msgspec.json.encode(log) + (file_sha256(samples).encode() if samples else b"")
    except UnicodeEncodeError:
        message = f"{record.path}: has text with an unpaired surrogate, which is not Unicode"
        hint = "fix the file, or move it away"
        raise ResultsError(message, code="lm-eval-file-malformed", hint=hint, path=record.path) from None
    name = str(uuid.UUID(bytes=hashlib.sha256(content).digest()[:16], version=4))  # the schema wants version 4
    folder = folder_of(record.task, identity.model_id)
    model = f"{identity.model_id.replace('/', '_')}@{record.revision}"
    when = name if record.date is None else log.retrieved_timestamp
    log = msgspec.structs.replace(log, evaluation_id=f"{record.task}-{record.num_fewshot}shot/{model}/{when}")
    (root / folder).mkdir(parents=True, exist_ok=True)
    if samples is not None:
        _require_own_samples(record)
        log = _with_instances(record, log, root, f"{folder}/{name}_samples.jsonl", entries.delimiter)
    text = msgspec.json.format(msgspec.json.encode(log), indent=2)
    (root / folder / f"{name}.json").write_bytes(text + b"\n")


def _require_own_samples(record: Record) -> None:
    """Raise ResultsError if the samples beside a result are not those that it was computed from."""
    metric = SCORE.metric(record)
    if metric in ACCURACIES:
        require_same(record, metric, read_documents(record, metric, SCORE))


def _with_instances(record: Record, log: EvaluationLog, root: Path, path: str, delimiter: str) -> EvaluationLog:
    """Write the instances of a cell, and return its record with their place; without any, write none."""
    digest, rows = hashlib.sha256(), 0
    with (root / path).open("wb") as file:
        for row in instances(record, log, delimiter):
            line = msgspec.json.encode(row) + b"\n"
            digest.update(line)
            file.write(line)
            rows += 1
    if not rows:
        (root / path).unlink()
        return log
    found = DetailedResults(
        format="jsonl", file_path=path, hash_algorithm="sha256", checksum=digest.hexdigest(), total_rows=rows
    )
    return msgspec.structs.replace(log, detailed_evaluation_results=found)


def _moved(staged: Path, output: Path) -> tuple[list[Path], int]:
    """Move staged files to their places; return the new ones, and the number of those that were there already."""
    pairs = [(path, output / path.relative_to(staged)) for path in _files(staged)]
    for folder in sorted({parent for _, target in pairs for parent in target.parents if output in parent.parents}):
        require_folder(folder)
    new = [(path, target) for path, target in pairs if not target.exists()]
    for path, target in pairs:
        if target.exists() and file_sha256(path) != file_sha256(target):
            message = f"{target}: has another content than the record of that name"
            hint = "it was changed, or is of another version of mixhub: move it away, or pass another --output"
            raise ResultsError(message, code="record-differs", hint=hint, path=target)
    with writing(output):
        for path, target in new:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    return [target for _, target in new], len(pairs) - len(new)


def _files(folder: Path) -> list[Path]:
    """The staged files of a folder; samples before the records that name them."""
    files = (path for path in (folder / "data").rglob("*") if path.is_file())
    return sorted(files, key=lambda path: (path.suffix == ".json", path))
