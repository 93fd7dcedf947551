"""Sequences of tokens, and batches of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Order
from mixhub.data.pack import check_shards
from mixhub.errors import CorpusError, RunError
from mixhub.spec import Training
from mixhub.workspace.manifest import Split, read_manifest

Tokens = npt.NDArray[np.int64]


class TokenShards:
    """A folder of token shards, mapped into memory.

    A domain is one stream of tokens. Its sequence j is the `sequence_length` + 1 tokens from j × `sequence_length`:
    the targets of a sequence are its inputs shifted by one, so adjacent sequences share one token.
    """

    def __init__(self, folder: Path, sequence_length: int) -> None:
        self.folder = folder
        self.sequence_length = sequence_length
        self.manifest = read_manifest(folder)
        check_shards(self.manifest, folder)
        self._dtype = np.dtype(self.manifest.dtype).newbyteorder("<")
        self._maps: dict[str, Tokens] = {}

    def sequences(self, split: Split, domain: str) -> int:
        """Return the number of whole sequences of a domain; raises CorpusError if it is 0."""
        tokens = self.manifest.domains(split)[domain].tokens
        if tokens <= self.sequence_length:
            message = (
                f"{self.folder / split / domain}: {tokens} tokens, but a sequence needs {self.sequence_length} + 1"
            )
            raise CorpusError(message, code="domain-too-small", split=split, domain=domain, tokens=tokens)
        return (tokens - 1) // self.sequence_length

    def sequence(self, split: Split, domain: str, start: int) -> Tokens:
        """Return the tokens of the sequence that starts at a token of a domain's stream, (T + 1,)."""
        stop = start + self.sequence_length + 1
        parts, offset = [], 0
        for shard in self.manifest.domains(split)[domain].shards:
            if shard.tokens and start < offset + shard.tokens and stop > offset:
                if shard.file not in self._maps:
                    self._maps[shard.file] = np.memmap(self.folder / shard.file, dtype=self._dtype, mode="r")
                parts.append(self._maps[shard.file][max(0, start - offset) : stop - offset])
            offset += shard.tokens
        return np.concatenate(parts).astype(np.int64)


class TrainingBatches:
    """The batches of one process.

    Step s takes `global_batch_size` samples from s × `global_batch_size`. Each micro-step deals out one micro-batch to
    each process. So the samples of a step are the same for any number of processes.

    Args:
        shards: the tokens.
        order: which sequence each sample is, by domain key.
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
        size, micro = training.global_batch_size, training.micro_batch_size
        if size % (micro * world):
            rule = f"must be a multiple of micro_batch_size × processes, {micro} × {world}"
            message = f"training.global_batch_size = {size}: {rule}"
            code = "batch-indivisible"
            raise RunError(message, code=code, global_batch_size=size, micro_batch_size=micro, processes=world)
        self._shards, self._order, self._prefix = shards, order, prefix
        self._size, self._micro, self._rank, self._world = size, micro, rank, world
        self.micro_steps = size // (micro * world)

    def batch(self, step: int, micro_step: int) -> Tokens:
        """Return a micro-batch of this process, (B, T + 1); `step` is the number of updates so far."""
        start = step * self._size + (micro_step * self._world + self._rank) * self._micro
        names = [key.removeprefix(self._prefix) for key in self._order.domains]
        samples = zip(*self._order.samples(start, start + self._micro), strict=True)
        return np.stack([self._shards.sequence("train", names[domain], int(first)) for domain, first in samples])


def validation_batches(
    shards: TokenShards, domain: str, most: int, batch_size: int, *, rank: int, world: int
) -> Iterator[Tokens]:
    """Yield this process's part of the first `most` sequences of a validation domain, each batch (≤ B, T + 1)."""
    count = min(most, shards.sequences("valid", domain))
    for start in range(rank * batch_size, count, world * batch_size):
        stop = min(count, start + batch_size)
        length = shards.sequence_length
        yield np.stack([shards.sequence("valid", domain, index * length) for index in range(start, stop)])
