"""lit-gpt, TinyLlama and RegMix: chunks of equal size, `<prefix>_<number>.bin`, that cut documents anywhere.

Layout as in `lit_gpt/packed_dataset.py`: `LITPKDS`, u64 version 1, u8 type code, u64 ids in the chunk, ids.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mixhub.data.formats.base import (
    BLOCK,
    Block,
    Notice,
    Stream,
    Vocabulary,
    Written,
    WrittenFile,
    blocks_of,
    integer_type,
    malformed,
    optimal_type,
    with_suffix,
    write_file,
)
from mixhub.phrases import plural

MAGIC = b"LITPKDS"
_HEADER = struct.Struct("<7sQBQ")


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read a chunk. A run of eos ids at its end is padding, of which one is kept."""
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if not header.startswith(MAGIC) or len(header) < _HEADER.size:
        raise malformed(path, f"is no chunk of lit-gpt: it does not begin with {MAGIC!r} and a header")
    _, version, code, count = _HEADER.unpack(header)
    if version != 1:
        raise malformed(path, f"has version {version} of the layout; only 1 can be read")
    dtype = integer_type(path, code)
    expected, size = _HEADER.size + count * dtype.itemsize, path.stat().st_size
    if size != expected:
        raise malformed(path, f"has {size:,} bytes, but a chunk of {count:,} ids needs {expected:,}")
    tokens = min(count, _before_padding(path, dtype, count, vocabulary.eos_id) + 1)
    if tokens < count:
        notice(f"{path.name}: {plural(count - tokens, 'eos token')} at its end taken for padding, and not imported")
    yield from blocks_of(path, dtype, tokens, offset=_HEADER.size)


def _before_padding(path: Path, dtype: np.dtype[Any], count: int, eos_id: int) -> int:
    """Return the number of ids before the run of eos ids at the end."""
    for stop in range(count, 0, -BLOCK):
        start = max(0, stop - BLOCK)
        ids = np.fromfile(path, dtype, stop - start, offset=_HEADER.size + start * dtype.itemsize)
        others = np.flatnonzero(ids != eos_id)
        if len(others):
            return start + int(others[-1]) + 1
    return 0


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write a shard as chunks, the last one padded with eos ids."""
    return _write(target, stream, vocabulary, notice, -(-stream.tokens // stream.chunk_tokens))


def write_full(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write a shard as the chunks of RegMix: a chunk is only written if a token follows it in its file."""
    return _write(target, stream, vocabulary, notice, max(stream.tokens - 1, 0) // stream.chunk_tokens)


def _write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice, chunks: int) -> Written:
    code, dtype = optimal_type(vocabulary, notice)
    size = stream.chunk_tokens
    header = _HEADER.pack(MAGIC, 1, code, size)
    written = []
    for number in range(chunks):
        start, stop = number * size, min((number + 1) * size, stream.tokens)
        padding = np.full(size - (stop - start), vocabulary.eos_id, dtype)
        path = with_suffix(target, f"_{number:010d}.bin")
        write_file(path, chain([header], stream.blocks(dtype, start, stop), [padding]))
        written.append(WrittenFile(path, stop - start, len(padding)))
    return written
