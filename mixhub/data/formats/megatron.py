"""Megatron-LM and NeMo: `.bin` with the ids, `.idx` with the documents.

Layout as in `megatron.core.datasets.indexed_dataset`: the index is the magic bytes, u64 version 1, u8 type code, u64
sequences, u64 documents + 1, i32 lengths of sequences, i64 their offsets in bytes, i64 first sequences of documents.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixhub.data.formats.base import (
    Block,
    Ids,
    Notice,
    Stream,
    Vocabulary,
    Written,
    WrittenFile,
    blocks_of,
    check_ends,
    count_ids,
    integer_type,
    malformed,
    optimal_type,
    with_suffix,
    write_file,
)
from mixhub.errors import CorpusError

MAGIC = b"MMIDIDX\0\0"
_HEADER = struct.Struct("<9sQBQQ")


def index_of(path: Path) -> Path:
    """Return the index beside a `.bin` file."""
    return path.with_name(f"{path.name.removesuffix('.bin')}.idx")


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read a `.bin` file by the `.idx` file beside it."""
    index = index_of(path)
    if not index.is_file():
        raise CorpusError(f"{index}: no such file, but {path.name} needs it", code="file-missing", path=index)
    lengths, offsets, documents, dtype = _read_index(index)
    bounds = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])  # (sequences + 1,)
    if lengths.min(initial=0) < 0:
        raise malformed(index, f"sequence {int(np.argmin(lengths))} has the length {lengths.min()}")
    if not np.array_equal(offsets, bounds[:-1] * dtype.itemsize):
        wrong = int(np.argmin(offsets == bounds[:-1] * dtype.itemsize))
        expected = bounds[wrong] * dtype.itemsize
        raise malformed(
            index, f"sequence {wrong} is at byte {offsets[wrong]}, but the one before it ends at {expected}"
        )
    if documents[0] != 0 or np.any(documents[1:] < documents[:-1]) or documents[-1] != len(lengths):
        raise malformed(index, f"its documents do not go from sequence 0 to sequence {len(lengths)} in order")
    count = count_ids(path, dtype)
    yield from blocks_of(path, dtype, count, ends=check_ends(path, bounds[documents[1:]], count))


def _read_index(path: Path) -> tuple[Ids, Ids, Ids, np.dtype[Any]]:
    """Return lengths and offsets of the sequences, first sequences of documents, and the type of ids."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if not header.startswith(MAGIC) or len(header) < _HEADER.size:
        raise malformed(path, f"is no index of Megatron: it does not begin with {MAGIC!r} and a header")
    _, version, code, sequences, documents = _HEADER.unpack(header)
    if version != 1:
        raise malformed(path, f"has version {version} of the index; only 1 can be read")
    dtype = integer_type(path, code)
    expected = _HEADER.size + 12 * sequences + 8 * documents
    if not documents or size != expected:
        raise malformed(path, f"has {size:,} bytes, but {sequences:,} sequences and their documents need {expected:,}")
    with path.open("rb") as file:
        file.seek(_HEADER.size)
        parts = [
            np.fromfile(file, kind, count)
            for kind, count in (("<i4", sequences), ("<i8", sequences), ("<i8", documents))
        ]
    return parts[0], parts[1], parts[2], dtype


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write a domain as one `.bin` and one `.idx`, whose path without suffix is what `--data-path` takes."""
    code, dtype = optimal_type(vocabulary, notice)
    ends = stream.ends()
    path = write_file(with_suffix(target, ".bin"), stream.blocks(dtype))
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    header = _HEADER.pack(MAGIC, 1, code, len(ends), len(ends) + 1)
    lengths, documents = (ends - starts).astype("<i4"), np.arange(len(ends) + 1, dtype="<i8")
    index = write_file(index_of(path), [header, lengths, (starts * dtype.itemsize).astype("<i8"), documents])
    return [WrittenFile(path, stream.tokens), WrittenFile(index)]
