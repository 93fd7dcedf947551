"""What all formats share: tokens are read and written in blocks, so files may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mixhub.errors import CorpusError
from mixhub.workspace.manifest import TokenFormat, index_file

Ids = npt.NDArray[np.integer[Any]]
Ends = npt.NDArray[np.int64]
Notice = Callable[[str], None]
"""Receives one line about a file that was read or written."""

BLOCK = 2**20
"""Most tokens in memory at once, unless one row of a parquet file has more."""

CODES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Types of ids by the codes of Megatron and lit-gpt; their other codes are floats."""

OPTIMAL = 65_500
"""Megatron and lit-gpt store ids as uint16 if the vocabulary is smaller than this, otherwise as int32."""

AS_INT32 = "ids are stored as int32"


@dataclass(frozen=True)
class Vocabulary:
    """What the files of most formats do not record about their ids."""

    size: int
    """Number of ids of the tokenizer."""
    eos_id: int
    """Id of the token that ends each document."""
    dtype: np.dtype[Any]
    """Type of ids in files that do not record it."""
    tokenizer: str
    """Repo or name of the tokenizer."""
    is_dtype_given: bool = False
    """Whether the user chose the type."""


@dataclass(frozen=True)
class Block:
    """A part of a file of tokens."""

    ids: Ids
    """(N,) ids."""
    ends: Ends | None
    """(D,) ends of the documents that end in it, from 0 to N, ascending; None if the format does not record them."""


@dataclass(frozen=True)
class Stream:
    """Consecutive shards of a domain, which become one file or a sequence of chunks."""

    shards: Sequence[Path]
    sizes: Sequence[int]
    """Tokens of each shard."""
    dtype: np.dtype[Any]
    """Type of the ids in the shards."""
    chunk_tokens: int
    """Tokens in a chunk, for formats that cut files into chunks."""
    advance: Callable[[int], None]
    """Is called with the number of tokens that were read."""

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *np.cumsum(self.sizes, dtype=np.int64).tolist()]

    @property
    def tokens(self) -> int:
        """Number of tokens of all shards."""
        return self._starts[-1]

    def read(self, start: int, stop: int) -> Ids:
        """Return the ids from `start` to `stop`, or to the end of the stream."""
        parts: list[Ids] = [np.empty(0, self.dtype)]
        for path, first, size in zip(self.shards, self._starts, self.sizes, strict=False):
            if first < stop and start < first + size:
                skipped = max(0, start - first)
                count = min(stop - first, size) - skipped
                parts.append(np.fromfile(path, self.dtype, count, offset=skipped * self.dtype.itemsize))
        ids = np.concatenate(parts)
        self.advance(len(ids))
        return ids

    def blocks(self, dtype: npt.DTypeLike | None = None, start: int = 0, stop: int | None = None) -> Iterator[Ids]:
        """Yield the ids from `start` to `stop` in order, as `dtype`."""
        stop = self.tokens if stop is None else stop
        for position in range(start, stop, BLOCK):
            yield self.read(position, min(position + BLOCK, stop)).astype(dtype or self.dtype, copy=False)

    def ends(self) -> Ends:
        """Return the ends of all documents, (D,)."""
        parts = [np.fromfile(index_file(path), "<u8").astype(np.int64) for path in self.shards]
        return np.concatenate([ends + first for ends, first in zip(parts, self._starts, strict=False)])


class WrittenFile(NamedTuple):
    """A file that was written."""

    path: Path
    tokens: int = 0
    """Tokens of the stream in it."""
    padding: int = 0
    """Eos tokens behind them."""


Written = list[WrittenFile]


@dataclass(frozen=True)
class Format:
    """A format of files of tokens."""

    name: TokenFormat
    keeps_ends: bool
    """Whether it records where documents end."""
    read: Callable[[Path, Vocabulary, Notice], Iterator[Block]]
    """Yields the tokens of a file; raises CorpusError if it is not of the format, or damaged."""
    write: Callable[[Path, Stream, Vocabulary, Notice], Written]
    """Writes the files of a stream; their path is the given one with more at its end."""
    unit: Literal["shard", "domain", "chunks"] = "shard"
    """What becomes a file: a shard, all of a domain, or a part of a shard."""


def count_ids(path: Path, dtype: np.dtype[Any]) -> int:
    """Return the number of ids in a file of nothing else; raises CorpusError if it is not whole."""
    count, rest = divmod(path.stat().st_size, dtype.itemsize)
    if rest:
        raise malformed(path, f"{path.stat().st_size} bytes are not a whole number of {dtype.name} ids")
    return count


def blocks_of(
    path: Path, dtype: np.dtype[Any], count: int, *, offset: int = 0, ends: Ends | None = None
) -> Iterator[Block]:
    """Read `count` ids from a byte of a file on, in blocks; a file that was mapped would count as memory."""
    first = 0
    for start in range(0, max(count, 1), BLOCK):
        stop = min(start + BLOCK, count)
        ids = np.fromfile(path, dtype, stop - start, offset=offset + start * dtype.itemsize)
        if ends is None:
            yield Block(ids, None)
        else:
            last = int(np.searchsorted(ends, stop, "right"))
            yield Block(ids, ends[first:last] - start)
            first = last


def with_suffix(path: Path, suffix: str) -> Path:
    """Return a path with more at its end; names may have dots."""
    return path.with_name(path.name + suffix)


def write_file(path: Path, parts: Iterable[bytes | Ids]) -> Path:
    """Write bytes and ids one after the other."""
    with path.open("xb") as file:
        for part in parts:
            file.write(part if isinstance(part, bytes) else part.data)
    return path


def check_ends(path: Path, ends: Ends, tokens: int) -> Ends:
    """Return ends of documents if they ascend to the number of tokens; otherwise raise CorpusError."""
    if len(ends) and (ends[0] < 0 or np.any(ends[1:] < ends[:-1])):
        raise malformed(path, "the ends of its documents do not ascend")
    if tokens != (last := int(ends[-1]) if len(ends) else 0):
        raise malformed(path, f"its documents have {last:,} tokens, but there are {tokens:,}")
    return ends


def integer_type(path: Path, code: int) -> np.dtype[Any]:
    """Return the type of ids for a code of Megatron and lit-gpt."""
    if code not in CODES:
        raise malformed(path, f"the type code {code} is none of integers ({', '.join(map(str, CODES))})")
    return np.dtype(CODES[code])


def optimal_type(vocabulary: Vocabulary, notice: Notice) -> tuple[int, np.dtype[Any]]:
    """Return code and type of ids that Megatron and lit-gpt choose for a vocabulary."""
    code = 8 if vocabulary.size < OPTIMAL else 4
    if code == 4:
        notice(AS_INT32)
    return code, np.dtype(CODES[code])


def malformed(path: Path, rule: str) -> CorpusError:
    """Return the error for a file that is damaged, or not of its format."""
    return CorpusError(f"{path}: {rule}", code="tokens-file-malformed", path=path)
