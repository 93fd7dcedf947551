"""Batches of sequences of tokens."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Order
from mixhub.data.orders.regmix import loader_validation
from mixhub.data.prefetch import prefetched
from mixhub.data.shards import Tokens, TokenShards
from mixhub.errors import CorpusError, RunError
from mixhub.phrases import listed, plural
from mixhub.spec import Family, Run, Training
from mixhub.workspace.manifest import Manifest

_STEPS_AHEAD = 2


class StepBatch(NamedTuple):
    """What one process reads in a step of M micro-steps."""

    tokens: Tokens
    """(M, B, T + 1)."""
    domains: npt.NDArray[np.int64]
    """(M, B), the number of each row's domain in the order."""


class TrainingBatches:
    """The batches of one process.

    Step s takes `global_batch_size` samples from s × `global_batch_size`. Each micro-step deals out one micro-batch to
    each process. So the samples of a step are the same for any number of processes, and the number of updates so far is
    all that has to be known to go on.

    Args:
        shards: the tokens.
        order: which tokens each sample has, by domain key.
        prefix: the part of a domain key before the name of the domain.
        training: has the batch sizes.
        rank: number of this process, from 0.
        world: number of processes.

    Raises:
        RunError: the global batch cannot be divided evenly.
    """

    def __init__(
        self, shards: TokenShards, order: Order, prefix: str, training: Training, *, rank: int, world: int
    ) -> None:
        require_divisible(training, world)
        size, micro = training.global_batch_size, training.micro_batch_size
        self._shards, self._order = shards, order
        self._names = [key.removeprefix(prefix) for key in order.domains]
        self._size = size
        self.rows: npt.NDArray[np.int64] = np.arange(size).reshape(-1, world, micro)[:, rank]
        """(M, B), where this process's samples are in the global batch."""

    def step(self, step: int) -> StepBatch:
        """Return the micro-batches of this process; `step` is the number of updates so far."""
        first = step * self._size
        domains, starts = self._order.samples(first, first + self._size)
        mine = self.rows.ravel()
        rows = self._shards.read("train", (self._names[number] for number in domains[mine].tolist()), starts[mine])
        return StepBatch(rows.reshape(*self.rows.shape, -1), domains[self.rows])

    def steps(self, first: int, last: int) -> Generator[StepBatch, None, None]:
        """Yield `step` of each step from `first` to before `last`, read by a thread ahead of time; see `prefetched`."""
        return prefetched(self.step, range(first, last), ahead=_STEPS_AHEAD)


def require_divisible(training: Training, processes: int) -> None:
    """Raise RunError if the global batch cannot be divided evenly over processes and their micro-batches."""
    size, micro = training.global_batch_size, training.micro_batch_size
    if size % (micro * processes):
        rule = f"must be a multiple of micro_batch_size × processes, {micro} × {processes}"
        message = f"training.global_batch_size = {size}: {rule}"
        code = "batch-indivisible"
        raise RunError(message, code=code, global_batch_size=size, micro_batch_size=micro, processes=processes)


def validation_starts(family: Family, run: Run, manifest: Manifest) -> dict[str, npt.NDArray[np.int64]]:
    """Return the first tokens of the samples of each validation domain, (N,) each, by domain key.

    Raises:
        CorpusError: a domain is smaller than a sequence; or with `validation_order: regmix`, no domain has enough
            chunks, or one was packed by a version that did not count the tokens of each file.
    """
    training, shares = family.training, family.validation.shares
    keys = {key: key.removeprefix(family.data.valid_prefix) for key in shares}
    if training.validation_order == "regmix":
        assert run.order_seed is not None
        parts = {
            key: loader_validation(key, manifest.valid[name], training, run.order_seed) for key, name in keys.items()
        }
        if read := {key: starts for key, starts in parts.items() if len(starts)}:
            return read
        message = f"no validation domain has {_needed(training)}, so none would be validated"
        hint = "add text, set training.loader.validation_chunk_sequences, or set training.validation_order to null"
        raise CorpusError(message, code="domains-skipped", hint=hint, domains=tuple(keys))
    length = training.sequence_length
    counts = {key: manifest.sequences("valid", name, length) for key, name in keys.items()}
    return {key: np.arange(min(count, training.validation_sequences)) * length for key, count in counts.items()}


def validation_notices(family: Family, starts: Mapping[str, npt.NDArray[np.int64]]) -> Iterator[str]:
    """Yield which domains are not validated, where RegMix's loader skips them without a word."""
    if skipped := [key for key in family.validation.shares if key not in starts]:
        yield f"not validated, as in RegMix's loader, which needs {_needed(family.training)}: {listed(skipped)}"


def _needed(training: Training) -> str:
    assert training.loader is not None
    chunk = training.loader.validation_chunk * (training.sequence_length + 1)
    return f"{plural(training.loader.ranks, 'chunk')} of {chunk:,} tokens"


def validation_batches(
    shards: TokenShards, domain: str, starts: npt.NDArray[np.int64], batch_size: int, *, rank: int, world: int
) -> Iterator[Tokens]:
    """Yield this process's part of the samples of a validation domain, each batch (≤ B, T + 1).

    Every process gets equally many batches; the last one may be empty.

    Args:
        shards: the tokens.
        domain: name without prefix.
        starts: (N,) first tokens of the samples.
        batch_size: B.
        rank: number of this process, from 0.
        world: number of processes.
    """
    for first in range(0, len(starts), world * batch_size):
        mine = starts[first : first + world * batch_size][rank * batch_size :][:batch_size]
        yield shards.read("valid", [domain] * len(mine), mine)
