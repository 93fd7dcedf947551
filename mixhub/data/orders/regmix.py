"""The order of RegMix's data loader: a pure function of seed, weights, tokens of each source file and its sizes.

The loader (github.com/sail-sg/regmix, `lit_gpt/packed_dataset.py` and `pretrain/tinyllama.py`) cuts each source file
into chunks, and each chunk into blocks. It writes a chunk only when the token after it arrives, and never writes the
last part of a file. It sorts the chunk files of a domain by name, shuffles them, and deals them out to its ranks; the
remainder is not read. A domain with fewer chunks than ranks is skipped, and its weight goes to the others. For each
block, all ranks draw the same domain, and each takes the next block from its own chunks of it: chunk by chunk, over and
over, each time with a new permutation of the blocks of the chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Samples
from mixhub.data.orders.streams import numpy_permutations, python_shuffled, python_uniform
from mixhub.errors import CorpusError
from mixhub.phrases import listed, magnitude, plural
from mixhub.spec.parts import Training
from mixhub.workspace.manifest import PackedDomain


@dataclass(frozen=True)
class LoaderDomain:
    """What RegMix's data loader makes of a domain."""

    domain: str
    """Its key in the mixture."""
    files: int
    """Source files."""
    tokens: int
    """Tokens of the source files."""
    chunks: int
    """Chunks that are cut from the source files."""
    chunks_read: int
    """Chunks that are read in an epoch of the domain: a multiple of the ranks; 0 if the domain is skipped."""
    tokens_lost: int
    """Tokens at the ends of source files that are in no chunk."""
    weight: float
    """Weight in the mixture; the weights sum to 1."""
    share: float
    """Share of the samples: weight after those of skipped domains are gone; the shares sum to 1, if any is above 0."""

    @property
    def is_skipped(self) -> bool:
        """Whether the domain is not sampled, since it has fewer chunks than there are ranks."""
        return self.chunks_read == 0


def loader_domains(
    weights: Mapping[str, float], domains: Mapping[str, PackedDomain], training: Training
) -> list[LoaderDomain]:
    """Return what RegMix's data loader makes of each domain with a weight above 0, in the order of the weights.

    Args:
        weights: by domain key, in the order of the YAML file.
        domains: the packed domains, by domain key.
        training: has the sizes of the loader.

    Raises:
        CorpusError: a domain was packed by a version that did not count the tokens of each source file.
    """
    assert training.loader is not None
    ranks, weights = training.loader.ranks, {key: weight for key, weight in weights.items() if weight > 0}
    chunk = _chunk_tokens(training)
    counts = {key: sum(map(len, _chunk_starts(key, domains[key], chunk))) for key in weights}
    total, sampled = (sum(weight for key, weight in weights.items() if counts[key] >= least) for least in (0, ranks))
    return [
        LoaderDomain(
            domain=key,
            files=len(domains[key].sources),
            tokens=domains[key].tokens,
            chunks=counts[key],
            chunks_read=counts[key] // ranks * ranks,
            tokens_lost=domains[key].tokens - counts[key] * chunk,
            weight=weight / total,
            share=weight / sampled if counts[key] >= ranks else 0.0,
        )
        for key, weight in weights.items()
    ]


def loader_validation(key: str, domain: PackedDomain, training: Training, seed: int) -> npt.NDArray[np.int64]:
    """Return the first tokens of the samples of a validation domain that RegMix's loader reads each time.

    The loader shuffles the chunk files of the domain as those of training, but not the blocks in them. The published
    losses are those of its first rank: block by block through its chunks, again from the first if there are too few.

    Args:
        key: of the domain, for errors.
        domain: the packed domain.
        training: has the sizes of the loader and the number of sequences.
        seed: the order seed.

    Returns:
        (N,) first tokens; empty if the domain has fewer chunks than there are ranks: the loader does not validate it.

    Raises:
        CorpusError: the domain was packed by a version that did not count the tokens of each source file.
    """
    assert training.loader is not None
    ranks, rows, block = training.loader.ranks, training.loader.validation_chunk, training.sequence_length + 1
    starts = _shuffled(key, domain, rows * block, seed)
    read = starts[: len(starts) // ranks * ranks : ranks]
    blocks = (read[:, None] + np.arange(rows) * block).ravel()
    return np.resize(blocks, training.validation_sequences) if len(blocks) else blocks


class RegmixOrder:
    """Which block of which domain each sample is, as RegMix's data loader orders them.

    Sample i belongs to a micro-step, a rank and a row of the loader, in this order, whatever the number of processes
    that train now. Nothing is replayed: what is kept is the domain of each draw and how many draws before it had the
    same one, the permutations, and the shuffled chunks.

    Args:
        weights: by domain key, in the order of the YAML file.
        domains: the packed domains, by domain key.
        training: has the sizes of sequences and of the loader.
        seed: the order seed.
        samples: number of samples.

    Raises:
        CorpusError: all domains are skipped, or one was packed by a version that did not count the tokens of each
            source file.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        domains: Mapping[str, PackedDomain],
        training: Training,
        seed: int,
        samples: int,
    ) -> None:
        assert training.loader is not None
        self._samples, self._loader, self._block = samples, training.loader, training.sequence_length + 1
        self._report = loader_domains(weights, domains, training)
        self._chunk_tokens = _chunk_tokens(training)
        self.notices = tuple(_notices(self._report, self._loader.ranks, self._chunk_tokens))
        read = [one for one in self._report if not one.is_skipped]
        if not read:
            raise self._nothing_to_read()
        self.domains = tuple(one.domain for one in read)
        ranks, rows, size = self._loader.ranks, self._loader.micro_batch_size, self._loader.chunk_sequences
        draws = -(-samples // (ranks * rows)) * rows
        self._domain = _draws(seed, [weights[key] for key in self.domains], draws)  # (N / R,)
        self._number = np.zeros(draws, np.uint32)  # (N / R,) draws of the same domain before
        for d in range(len(self.domains)):
            own = np.flatnonzero(self._domain == d)
            self._number[own] = np.arange(len(own), dtype=np.uint32)
        most = -(-(int(self._number.max()) + 1) // size) if draws else 0
        # (R, chunks, C); the k-th chunk that a rank reads has the same permutation in every domain
        self._permutations = [numpy_permutations(seed + rank, most, size) for rank in range(ranks)]
        starts = [_shuffled(key, domains[key], self._chunk_tokens, seed) for key in self.domains]
        self._chunks_per_rank = np.array([len(part) // ranks for part in starts])  # (D,)
        self._first_chunk = np.cumsum([0, *map(len, starts[:-1])])  # (D,)
        self._start = np.concatenate(starts)  # of the chunks of all domains, each in the order of its shuffled files

    def __len__(self) -> int:
        return self._samples

    def samples(self, start: int, stop: int) -> Samples:
        """Return domain and first token of the samples from `start` to before `stop`."""
        ranks, rows, size = self._loader.ranks, self._loader.micro_batch_size, self._loader.chunk_sequences
        index = np.arange(start, min(stop, self._samples))
        micro_step, place = np.divmod(index, ranks * rows)
        rank, row = np.divmod(place, rows)
        draw = micro_step * rows + row
        domain = self._domain[draw].astype(np.int64)
        chunk, place = np.divmod(self._number[draw].astype(np.int64), size)
        block = np.empty(len(index), np.int64)
        for r in range(ranks):
            own = rank == r
            block[own] = self._permutations[r][chunk[own], place[own]]
        file = chunk % self._chunks_per_rank[domain] * ranks + rank
        return domain, self._start[self._first_chunk[domain] + file] + block * self._block

    def _nothing_to_read(self) -> CorpusError:
        ranks, chunk = self._loader.ranks, self._chunk_tokens
        counts = listed([f"{one.domain} {one.chunks:,}" for one in self._report], most=5)
        message = f"no domain has {plural(ranks, 'chunk')} of {chunk:,} tokens, one for each rank of RegMix's loader, "
        message += f"so none would be read (chunks: {counts})"
        hint = "add text, or set smaller training.loader.chunk_sequences or ranks in a family that extends this one"
        chunks = {one.domain: one.chunks for one in self._report}
        return CorpusError(message, code="domains-skipped", hint=hint, ranks=ranks, chunks=chunks)


def _chunk_tokens(training: Training) -> int:
    assert training.loader is not None
    return training.loader.chunk_sequences * (training.sequence_length + 1)


def _chunk_starts(key: str, domain: PackedDomain, chunk: int) -> list[npt.NDArray[np.int64]]:
    """Return the first tokens of the chunks of each source file, in the order in which the loader sorts the files."""
    domain.require_ends(key)
    starts, offset = [], 0
    for shard in domain.shards:
        starts.append(offset + np.arange(max(0, shard.tokens - 1) // chunk, dtype=np.int64) * chunk)
        offset += shard.tokens
    names = [_sorted_name(source.name) for source in domain.sources]
    return [starts[n] for n in sorted(range(len(names)), key=names.__getitem__)]


def _sorted_name(source: str) -> str:
    """Return the part of a chunk's file name that sorts it: `<domain>-<n>_`, so that 10 is before 1."""
    name = source.rpartition("/")[2]
    stem, dash, number = name.rpartition("-")
    return f"{stem}{dash}{number.partition('.')[0]}_"


def _shuffled(key: str, domain: PackedDomain, chunk: int, seed: int) -> npt.NDArray[np.int64]:
    starts = np.concatenate([np.zeros(0, np.int64), *_chunk_starts(key, domain, chunk)])
    return starts[python_shuffled(seed, len(starts))]


def _draws(seed: int, weights: Sequence[float], count: int) -> npt.NDArray[np.uint16]:
    """Draw domains as `random.Random(seed).choices` does, each with its weight divided by their sum."""
    *_, total = accumulate(weights)
    *bounds, last = accumulate(weight / total for weight in weights)
    drawn = [np.searchsorted(bounds, uniform * last, side="right") for uniform in python_uniform(seed, count)]
    return np.concatenate([np.zeros(0, np.uint16), *(part.astype(np.uint16) for part in drawn)])


def _notices(report: Sequence[LoaderDomain], ranks: int, chunk: int) -> Iterator[str]:
    """Yield what the loader skips or loses without a word, with amounts: a line for each kind."""
    if skipped := [one for one in report if one.is_skipped]:
        named = [f"{one.domain} ({plural(one.chunks, 'chunk')}, {one.weight:.3g} of the mixture)" for one in skipped]
        yield (
            f"not sampled, as in RegMix's loader, which needs {plural(ranks, 'chunk')} of {chunk:,} tokens: "
            f"{listed(named)}; the other domains share their weight"
        )
    read = [one for one in report if not one.is_skipped]
    if lost := sum(one.tokens_lost for one in read):
        named = [f"{one.domain} {magnitude(one.tokens_lost)}" for one in read if one.tokens_lost]
        total = sum(one.tokens for one in read)
        amount = f"{magnitude(lost)} of {magnitude(total)} tokens"
        yield f"never read, after the last whole chunk of a file: {amount} ({listed(named)})"
    if left := [one for one in read if one.chunks > one.chunks_read]:
        named = [f"{one.domain} {one.chunks - one.chunks_read} of {one.chunks:,}" for one in left]
        yield f"chunks never read, since each of the {plural(ranks, 'rank')} takes equally many: {listed(named)}"
