"""The requests of a cell: lm-eval builds them once; they are encoded, packed and stored for every other checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from mixhub.errors import ResultsError
from mixhub.evaluation.datasets import is_read_only
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.options import CellKey, Failures, Storage
from mixhub.evaluation.packing import Ints, Packing, pack
from mixhub.evaluation.suite import BuiltTask, build
from mixhub.files import disk_problem, write_bytes
from mixhub.phrases import plural
from mixhub.progress import Progress
from mixhub.workspace.lineage import UNKNOWN, versions

FORMAT = 3
"""Version of the files, of the encoding and of the packing: raise it when what they hold changes."""
_PACKAGES = ("lm_eval", "datasets", "jinja2", "numpy", "tokenizers", "transformers")
_ARRAYS = tuple(array.name for array in fields(Packing))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """The requests of one task at one shot count."""

    documents: Ints
    """(R,), the number of each request's document in the evaluated split."""
    choices: Ints
    """(R,), lm-eval's number of the request within its document."""
    pairs: Sequence[tuple[str, str]]
    """R contexts and continuations."""
    packing: Packing
    """The rows of tokens to run."""
    own_shots: int = 0
    """Documents that are among their own shots."""

    def instances(self, task: Any) -> list[Any]:
        """Return new lm-eval requests over the documents of a task with its dataset loaded."""
        from mixhub.evaluation.lm_eval_private import Instance

        count = int(self.documents.max()) + 1
        documents = [document for _, document in zip(range(count), task.eval_docs, strict=False)]
        return [
            Instance(
                request_type="loglikelihood",
                doc=documents[number],
                arguments=pair,
                idx=choice,
                metadata=(task.config.task, number, task.config.repeats),
            )
            for number, choice, pair in zip(self.documents.tolist(), self.choices.tolist(), self.pairs, strict=True)
        ]


def prepare(task: Any, encoder: Encoder, num_fewshot: int, fewshot_seed: int, limit: int | None) -> Prepared | None:
    """Have lm-eval build the requests of a cell; None for a task that is not scored by log-likelihoods.

    Args:
        task: lm-eval's task, with its dataset loaded.
        encoder: the encoder of the model.
        num_fewshot: shots in each prompt.
        fewshot_seed: seed of the choice of shots.
        limit: use only the first N documents.

    Raises:
        ResultsError: a continuation has no token, or more than the context length.
    """
    from mixhub.evaluation.lm_eval_private import built_instances, reading_documents, seeded, tuned

    if task.OUTPUT_TYPE not in ("loglikelihood", "multiple_choice"):
        return None
    configure(task, num_fewshot, fewshot_seed)
    with reading_documents(task) as reading, seeded(), tuned():
        instances = built_instances(task, limit, encoder.tokenizer, encoder.prompting)
    if any(len(instance.args) != 2 for instance in instances):  # images or sound beside the text
        return None
    pairs = [instance.args for instance in instances]
    try:
        contexts, continuations = encoder.encode(pairs)
    except ResultsError as error:
        instance = instances[error.fields["request"]]  # type: ignore[call-overload]
        message, fields = f"document {instance.doc_id}: {error.message}", {**error.fields, "document": instance.doc_id}
        raise ResultsError(message, code=error.code, hint=error.hint, **fields) from None
    return Prepared(
        documents=np.array([instance.doc_id for instance in instances], np.int32),
        choices=np.array([instance.idx for instance in instances], np.int32),
        pairs=pairs,
        packing=pack(contexts, continuations, encoder.max_length),
        own_shots=reading.own_shots,
    )


def configure(task: Any, num_fewshot: int, fewshot_seed: int) -> None:
    """Set the shots of an lm-eval task."""
    task.set_config("num_fewshot", num_fewshot)
    task.set_fewshot_seed(seed=fewshot_seed)


@dataclass(frozen=True)
class RequestFile:
    """Built requests on disk, under the hash of everything that determines them."""

    path: Path
    key: str
    """Everything that determines them, as JSON; stored with them."""

    @classmethod
    def of(
        cls, root: Path, built: BuiltTask, encoder: Encoder, num_fewshot: int, fewshot_seed: int, limit: int | None
    ) -> Self:
        """Return the file of a cell's requests below `root`."""
        parts = {
            "format": FORMAT,
            "task": built.suite.name,
            "task_sha256": built.suite.sha256,
            "task_version": built.suite.version,
            "dataset": built.fingerprint,
            "num_fewshot": num_fewshot,
            "fewshot_seed": fewshot_seed,
            "limit": limit,
            "encoder": encoder.sha256,
            "max_length": encoder.max_length,
            "versions": versions(*_PACKAGES),
            "python": platform.python_version(),
        }
        key = json.dumps(parts, sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()
        return cls(root / built.suite.name / f"{num_fewshot}shot-{digest[:32]}.npz", key)

    def size(self) -> tuple[int, int] | None:
        """Return the numbers of requests and tokens; None if they are not stored, or damaged."""
        arrays = self._arrays(("request_rows", "row_starts"))
        return None if arrays is None else (len(arrays["request_rows"]), int(arrays["row_starts"][-1]))

    def read(self) -> Prepared | None:
        """Return the requests; None if they are not stored, or damaged."""
        arrays = self._arrays()
        if arrays is None:
            return None
        texts = json.loads(arrays["texts"].tobytes())
        pairs = [(texts[context], texts[continuation]) for context, continuation in arrays["pairs"].tolist()]
        packing = Packing(**{name: arrays[name] for name in _ARRAYS})
        return Prepared(arrays["documents"], arrays["choices"], pairs, packing, int(arrays["own_shots"]))

    def write(self, prepared: Prepared) -> bool:
        """Store requests; return whether the store can be written to."""
        numbers: dict[str, int] = {}
        pairs = [[numbers.setdefault(text, len(numbers)) for text in pair] for pair in prepared.pairs]
        arrays: dict[str, Ints] = {
            "key": np.frombuffer(self.key.encode(), np.uint8),
            "texts": np.frombuffer(json.dumps(list(numbers)).encode(), np.uint8),
            "pairs": np.array(pairs, np.int32),
            "documents": prepared.documents,
            "choices": prepared.choices,
            "own_shots": np.array(prepared.own_shots),
            **{name: _compact(getattr(prepared.packing, name)) for name in _ARRAYS},
        }
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        try:
            write_bytes(self.path, file.getvalue())
        except OSError as error:
            if is_read_only(error):
                return False
            message = f"{error.filename or self.path}: cannot store built requests: {error.strerror}"
            hint = "free disk space" if disk_problem(error) else "delete or rename what is in its place"
            raise ResultsError(message, code="requests-unwritable", hint=hint, path=self.path) from None
        return True

    def _arrays(self, names: Sequence[str] | None = None) -> Mapping[str, Ints] | None:
        """Return arrays of the file, by default all; None if the file is missing, damaged, or has another key."""
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if stored["key"].tobytes() != self.key.encode():
                    return None
                return {name: stored[name] for name in names or stored.files}
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError):
            return None


@dataclass
class Requests:
    """The requests of the cells of one call, from the store or newly built.

    Requests stay in memory if there is no store, or if nothing identifies the documents of their task.
    """

    storage: Storage
    encoder: Encoder
    fewshot_seed: int
    limit: int | None
    _built: dict[str, BuiltTask] = field(default_factory=dict)
    _sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    _memory: dict[tuple[str, int], Prepared | None] = field(default_factory=dict)

    def build(
        self, cells: Sequence[CellKey], progress: Progress, failures: Failures, *, stock: bool = False
    ) -> list[CellKey]:
        """Load all datasets and build all requests, and return the cells that have them.

        The stock backend needs only the datasets. Cells fail if their dataset cannot be loaded, or if their task has
        too few documents for the shots.
        """
        from mixhub.evaluation.lm_eval_private import quiet

        unusable: dict[str, ResultsError] = {}
        for cell in cells:
            name = cell.task.name
            if name not in self._built and name not in unusable:
                try:
                    with quiet():
                        self._built[name] = build(cell.task, self.storage.datasets)
                except ResultsError as error:
                    unusable[name] = error
            if name in unusable:
                failures.add(cell, unusable[name])
                continue
            with failures.catch(cell):
                _require_shots(self.task(cell).task, cell.num_fewshot)
        cells = failures.without(cells)
        waiting = [] if stock else [cell for cell in cells if not self._is_stored(cell)]
        if waiting:
            logger.info("building the requests of %s", plural(len(waiting), "cell"))
            with progress.start("build requests", len(waiting), "cell") as bar:
                for cell in waiting:
                    with failures.catch(cell), quiet():
                        self._prepare(cell)
                    bar.advance(note=str(cell))
        return failures.without(cells)

    def task(self, cell: CellKey) -> BuiltTask:
        """Return the cell's task with its dataset loaded."""
        return self._built[cell.task.name]

    def size(self, cell: CellKey) -> tuple[int, int]:
        """Return the numbers of requests and tokens of a cell; (0, 0) if lm-eval builds the requests itself."""
        return self._sizes.get(cell.names, (0, 0))

    def get(self, cell: CellKey) -> Prepared | None:
        """Return the requests of a cell; None if lm-eval builds them itself."""
        file = self._file(cell)
        if file is None or cell.names in self._memory or cell.names not in self._sizes:
            return self._memory.get(cell.names)
        return file.read() or self._prepare(cell)  # deleted or damaged meanwhile

    def _is_stored(self, cell: CellKey) -> bool:
        file = self._file(cell)
        if file is not None and (size := file.size()):
            self._sizes[cell.names] = size
        return cell.names in self._sizes

    def _prepare(self, cell: CellKey) -> Prepared | None:
        prepared = prepare(self.task(cell).task, self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)
        if prepared is not None:
            self._sizes[cell.names] = (len(prepared.pairs), len(prepared.packing.tokens))
        file = self._file(cell)
        if prepared is None or file is None or not file.write(prepared):
            self._memory[cell.names] = prepared
        return prepared

    def _file(self, cell: CellKey) -> RequestFile | None:
        root, built = self.storage.requests, self.task(cell)
        if root is None or built.fingerprint == UNKNOWN:
            return None
        return RequestFile.of(root, built, self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)


def _require_shots(task: Any, num_fewshot: int) -> None:
    """Refuse a shot count larger than the number of documents that lm-eval draws shots from."""
    from mixhub.evaluation.lm_eval_private import shot_documents

    documents = shot_documents(task)
    if num_fewshot and documents is not None and num_fewshot > documents:
        name, documents = task.config.task, max(documents, 0)
        message = f"task {name}: {num_fewshot} shots requested, but it has only {documents} documents to draw them from"
        hint = "request fewer (evaluation.num_fewshot), or give the task more documents for shots"
        raise ResultsError(
            message, code="shots-insufficient", hint=hint, task=name, num_fewshot=num_fewshot, documents=documents
        )


def _compact(values: Ints) -> Ints:
    """Return the numbers in the smallest type that holds them."""
    if values.dtype == np.bool_ or not len(values):
        return values
    return values.astype(np.min_scalar_type(int(values.max())))
