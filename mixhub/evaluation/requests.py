"""The requests of a cell: built by lm-eval once, encoded and packed once, and read again for every other checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import platform
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from mixhub.errors import ResultsError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.options import CellKey, Storage
from mixhub.evaluation.packing import Ints, Packing, pack, starts_of
from mixhub.evaluation.suite import BuiltTask, SuiteTask, build
from mixhub.files import write_bytes
from mixhub.phrases import plural
from mixhub.progress import Progress
from mixhub.workspace.lineage import UNKNOWN, versions

FORMAT = 1
"""Version of the files, of the encoding and of the packing: raised by each change of what they hold."""
_PACKAGES = ("lm_eval", "datasets", "jinja2", "numpy", "tokenizers", "transformers")
_ARRAYS = tuple(array.name for array in fields(Packing))

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """The requests of one task at one shot count."""

    documents: Ints
    """(R,), which document of the evaluated split each request is of."""
    choices: Ints
    """(R,), lm-eval's number of the request within its document."""
    pairs: Sequence[tuple[str, str]]
    """R contexts and continuations."""
    packing: Packing
    """What is run for them."""

    @property
    def requests(self) -> int:
        """How many requests."""
        return len(self.pairs)

    def instances(self, task: Any) -> list[Any]:
        """lm-eval's requests, fresh, over the documents of a task with its dataset loaded."""
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
    """Builds the requests of a cell by lm-eval itself; None for a task that is not scored by log-likelihoods.

    Args:
        task: lm-eval's task, with its dataset loaded.
        encoder: of the model.
        num_fewshot: shots in each prompt.
        fewshot_seed: seed of the choice of shots.
        limit: only the first so many documents.

    Raises:
        ResultsError: a continuation has no token, or more than the context length.
    """
    from mixhub.evaluation.lm_eval_private import built_instances, seeded, templates_compiled_once

    if task.OUTPUT_TYPE not in ("loglikelihood", "multiple_choice"):
        return None
    configure(task, num_fewshot, fewshot_seed)
    with seeded(), templates_compiled_once():
        instances = built_instances(task, limit)
    if any(len(instance.args) != 2 for instance in instances):  # images or sound beside the text
        return None
    pairs = [instance.args for instance in instances]
    contexts, continuations = encoder.encode(pairs)
    return Prepared(
        documents=np.array([instance.doc_id for instance in instances], np.int32),
        choices=np.array([instance.idx for instance in instances], np.int32),
        pairs=pairs,
        packing=pack(contexts, continuations, encoder.max_length),
    )


def configure(task: Any, num_fewshot: int, fewshot_seed: int) -> None:
    """Sets the shots of an lm-eval task."""
    task.set_config("num_fewshot", num_fewshot)
    task.set_fewshot_seed(seed=fewshot_seed)


@dataclass(frozen=True)
class RequestKey:
    """All that requests follow from. Requests are stored under its hash, and with it."""

    parts: Mapping[str, Any]
    """By name; JSON can hold each."""

    @classmethod
    def of(cls, built: BuiltTask, encoder: Encoder, num_fewshot: int, fewshot_seed: int, limit: int | None) -> Self:
        """The key of a cell's requests."""
        return cls(
            {
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
        )

    @property
    def names_documents(self) -> bool:
        """Whether it says which documents the requests are of; else they must not outlive the process."""
        return bool(self.parts["dataset"] != UNKNOWN)

    @property
    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.parts, sort_keys=True)

    @property
    def sha256(self) -> str:
        """Names the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class RequestStore:
    """Built requests on disk, a file a key; files whose key is no longer asked for are never read."""

    root: Path

    def path(self, key: RequestKey) -> Path:
        """Where the requests of a key lie."""
        return self.root / str(key.parts["task"]) / f"{key.parts['num_fewshot']}shot-{key.sha256[:32]}.npz"

    def size(self, key: RequestKey) -> tuple[int, int] | None:
        """How many requests and tokens are stored under a key; None when there are none."""
        arrays = self._arrays(key, ("request_rows", "row_starts"))
        return None if arrays is None else (len(arrays["request_rows"]), int(arrays["row_starts"][-1]))

    def get(self, key: RequestKey) -> Prepared | None:
        """The requests of a key; None when they are not stored, or not whole."""
        arrays = self._arrays(key, None)
        if arrays is None:
            return None
        contexts = _texts(arrays["contexts"], arrays["context_starts"])
        continuations = _texts(arrays["continuations"], arrays["continuation_starts"])
        return Prepared(
            documents=arrays["documents"],
            choices=arrays["choices"],
            pairs=[
                (contexts[one], continuations[other])
                for one, other in zip(
                    arrays["pair_contexts"].tolist(), arrays["pair_continuations"].tolist(), strict=True
                )
            ],
            packing=Packing(**{name: arrays[name] for name in _ARRAYS}),
        )

    def _arrays(self, key: RequestKey, names: Sequence[str] | None) -> dict[str, Ints] | None:
        """Some arrays of a file, or all; None when the file is not there, not whole, or another key's."""
        try:
            with self.path(key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if stored["key"].tobytes() != key.text.encode():
                    return None
                return {name: stored[name] for name in names or stored.files}
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError):
            return None

    def put(self, key: RequestKey, prepared: Prepared) -> None:
        """Stores requests, whole or not at all."""
        contexts, pair_contexts = _numbered([context for context, _ in prepared.pairs])
        continuations, pair_continuations = _numbered([continuation for _, continuation in prepared.pairs])
        arrays: dict[str, Ints] = {
            "key": np.frombuffer(key.text.encode(), np.uint8),
            "documents": prepared.documents,
            "choices": prepared.choices,
            "pair_contexts": pair_contexts,
            "pair_continuations": pair_continuations,
            **{name: _narrow(getattr(prepared.packing, name)) for name in _ARRAYS},
        }
        arrays["contexts"], arrays["context_starts"] = _bytes(contexts)
        arrays["continuations"], arrays["continuation_starts"] = _bytes(continuations)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        try:
            write_bytes(self.path(key), file.getvalue())
        except OSError as error:
            raise ResultsError(
                f"{self.root}: built requests cannot be stored: {error.strerror}",
                code="requests-unwritable",
                hint="make room, or name another workspace",
                path=self.root,
            ) from None


@dataclass
class Requests:
    """The requests of the cells of one call: from the store where they are, else built and put there."""

    storage: Storage
    encoder: Encoder
    fewshot_seed: int
    limit: int | None
    _built: dict[str, BuiltTask] = field(default_factory=dict)
    _keys: dict[tuple[str, int], RequestKey | None] = field(default_factory=dict)
    _sizes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def __enter__(self) -> Requests:
        self._scratch = tempfile.TemporaryDirectory(prefix="mixhub-requests-")
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def build(self, cells: Sequence[CellKey], progress: Progress, *, stock: bool = False) -> None:
        """Has all requests stored, and all datasets loaded; the stock backend needs the datasets only.

        Raises:
            ResultsError: a dataset cannot be loaded, or a task has too few documents for the shots.
        """
        from mixhub.evaluation.lm_eval_private import quiet

        for task, shots in _by_task(cells):
            with quiet():
                self._built[task.name] = build(task, self.storage.datasets)
                _require_shots(self._built[task.name].task, max(shots))
        waiting = [] if stock else [cell for cell in cells if not self._is_stored(cell)]
        if waiting:
            logger.info("building the requests of %s", plural(len(waiting), "cell"))
            with progress.start("build requests", len(waiting), "cell") as bar:
                for cell in waiting:
                    with quiet():
                        self._store_again(cell)
                    bar.advance(note=str(cell))

    def task(self, cell: CellKey) -> BuiltTask:
        """The cell's task with its dataset loaded."""
        return self._built[cell.task.name]

    def size(self, cell: CellKey) -> tuple[int, int]:
        """Requests and tokens of a cell; (0, 0) if lm-eval builds them itself."""
        return self._sizes.get(cell.names, (0, 0))

    def get(self, cell: CellKey) -> Prepared | None:
        """The requests of a cell; None if lm-eval builds them itself."""
        key = self._keys.get(cell.names)
        if key is None:
            return None
        prepared = self._store(key).get(key)
        if prepared is None:  # deleted or damaged since
            self._store_again(cell)
            prepared = self._store(key).get(key)
        return prepared

    def _key(self, cell: CellKey) -> RequestKey:
        return RequestKey.of(self.task(cell), self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)

    def _is_stored(self, cell: CellKey) -> bool:
        key = self._key(cell)
        size = self._store(key).size(key)
        if size is not None:
            self._keys[cell.names], self._sizes[cell.names] = key, size
        return size is not None

    def _store_again(self, cell: CellKey) -> None:
        try:
            prepared = prepare(self.task(cell).task, self.encoder, cell.num_fewshot, self.fewshot_seed, self.limit)
        except ResultsError as error:
            raise ResultsError(
                f"cell {cell}: {error.message}", code=error.code, hint=error.hint, **error.fields
            ) from error
        if prepared is None:
            self._keys[cell.names] = None
            return
        key = self._key(cell)
        self._store(key).put(key, prepared)
        self._keys[cell.names] = key
        self._sizes[cell.names] = (prepared.requests, len(prepared.packing.tokens))

    def _store(self, key: RequestKey) -> RequestStore:
        root = self.storage.requests if key.names_documents else None
        return RequestStore(root or Path(self._scratch.name))


def _by_task(cells: Sequence[CellKey]) -> Iterator[tuple[SuiteTask, list[int]]]:
    for task in {cell.task.name: cell.task for cell in cells}.values():
        yield task, [cell.num_fewshot for cell in cells if cell.task.name == task.name]


def _require_shots(task: Any, num_fewshot: int) -> None:
    """Raises ResultsError when an lm-eval task has fewer documents to draw shots from than are asked for."""
    from mixhub.evaluation.lm_eval_private import shot_documents

    documents = shot_documents(task)
    if num_fewshot and documents is not None and num_fewshot > documents:
        raise ResultsError(
            f"task {task.config.task}: {num_fewshot} shots asked for, and there are {max(documents, 0)} documents to "
            "draw them from",
            code="shots-insufficient",
            hint="ask for fewer (evaluation.num_fewshot), or give the task more documents for shots",
            task=task.config.task,
            num_fewshot=num_fewshot,
            documents=max(documents, 0),
        )


def _numbered(texts: Sequence[str]) -> tuple[list[str], Ints]:
    positions: dict[str, int] = {}
    numbers = np.array([positions.setdefault(text, len(positions)) for text in texts], np.int32)
    return list(positions), numbers


def _bytes(texts: Sequence[str]) -> tuple[Ints, Ints]:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), starts_of(np.array([len(own) for own in encoded], np.int64))


def _texts(data: Ints, starts: Ints) -> list[str]:
    whole = data.tobytes()
    return [
        whole[start:end].decode("utf-8", "surrogatepass")
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]


def _narrow(values: Ints) -> Ints:
    """In the smallest type that holds the numbers."""
    if values.dtype == np.bool_ or not len(values):
        return values
    return values.astype(np.min_scalar_type(int(values.max())))
