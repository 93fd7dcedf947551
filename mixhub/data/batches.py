"""Batches of sequences of tokens."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Order
from mixhub.data.prefetch import prefetched
from mixhub.data.shards import Tokens, TokenShards
from mixhub.errors import RunError
from mixhub.spec import Training

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


def validation_batches(
    shards: TokenShards, domain: str, most: int, batch_size: int, *, rank: int, world: int
) -> Iterator[Tokens]:
    """Yield this process's part of the first `most` sequences of a validation domain, each batch (≤ B, T + 1).

    Every process gets equally many batches; the last one may be empty.
    """
    count = min(most, shards.sequences("valid", domain))
    for first in range(0, count, world * batch_size):
        start = first + rank * batch_size
        starts = np.arange(start, min(count, start + batch_size)) * shards.sequence_length
        yield shards.read("valid", [domain] * len(starts), starts)
