"""The requests of a cell: built by lm-eval once, encoded and packed once, and read again for every other checkpoint."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import random
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mixhub.errors import ResultsError
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.packing import Ints, Packing, pack, starts_of
from mixhub.evaluation.suite import BuiltTask
from mixhub.files import write_bytes
from mixhub.workspace.lineage import UNKNOWN, versions

FORMAT = 1
"""Version of the files, of the encoding and of the packing: raised by each change of what they hold."""
_PACKAGES = ("lm_eval", "datasets", "jinja2", "numpy", "tokenizers", "transformers")
_ARRAYS = tuple(field.name for field in fields(Packing))


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
        from lm_eval.api.instance import Instance

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
    if task.OUTPUT_TYPE not in ("loglikelihood", "multiple_choice"):
        return None
    configure(task, num_fewshot, fewshot_seed)
    with templates_compiled_once():
        task.build_all_requests(limit=limit, rank=0, world_size=1)
    instances, task._instances = task.instances, None
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
    """Sets an lm-eval task and all generators that it may draw from, as `simple_evaluate` does before each call."""
    import torch

    task.set_config("num_fewshot", num_fewshot)
    task.set_fewshot_seed(seed=fewshot_seed)
    random.seed(PYTHON_SEED)
    np.random.seed(NUMPY_SEED)
    torch.manual_seed(TORCH_SEED)


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Has lm-eval keep its compiled templates for the block; by itself it compiles one anew for each text it makes."""
    from lm_eval.utils import env

    env.from_string = lru_cache(maxsize=256)(type(env).from_string.__get__(env))
    try:
        yield
    finally:
        del env.from_string


# lm-eval's own defaults; they reach tasks that sample, and none of the suites' prompts.
PYTHON_SEED, NUMPY_SEED, TORCH_SEED = 0, 1234, 1234


@dataclass(frozen=True)
class Key:
    """All that requests follow from. Requests are stored under its hash, and with it."""

    told: Mapping[str, Any]

    @classmethod
    def of(cls, built: BuiltTask, encoder: Encoder, num_fewshot: int, fewshot_seed: int, limit: int | None) -> Key:
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
        return bool(self.told["dataset"] != UNKNOWN)

    @property
    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.told, sort_keys=True)

    @property
    def sha256(self) -> str:
        """Names the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class RequestStore:
    """Built requests on disk, a file a key; files whose key is no longer asked for are never read."""

    root: Path

    def path(self, key: Key) -> Path:
        """Where the requests of a key lie."""
        return self.root / str(key.told["task"]) / f"{key.told['num_fewshot']}shot-{key.sha256[:32]}.npz"

    def size(self, key: Key) -> tuple[int, int] | None:
        """How many requests and tokens are stored under a key; None when there are none."""
        arrays = self._arrays(key, ("request_rows", "row_starts"))
        return None if arrays is None else (len(arrays["request_rows"]), int(arrays["row_starts"][-1]))

    def get(self, key: Key) -> Prepared | None:
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

    def _arrays(self, key: Key, names: Sequence[str] | None) -> dict[str, Ints] | None:
        """Some arrays of a file, or all; None when the file is not there, not whole, or another key's."""
        try:
            with self.path(key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if stored["key"].tobytes() != key.text.encode():
                    return None
                return {name: stored[name] for name in names or stored.files}
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError):
            return None

    def put(self, key: Key, prepared: Prepared) -> None:
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
                hint="make room, or name another workspace",
            ) from None


def _numbered(texts: Sequence[str]) -> tuple[list[str], Ints]:
    known: dict[str, int] = {}
    numbers = np.array([known.setdefault(text, len(known)) for text in texts], np.int32)
    return list(known), numbers


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
