"""llm.c: a header of 256 int32, then uint16 ids (GPT-2) or uint32 ids (Llama 3). llm.c puts eos before documents."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from mixhub.data.formats.base import (
    Block,
    Notice,
    Stream,
    Vocabulary,
    Written,
    WrittenFile,
    blocks_of,
    malformed,
    with_suffix,
    write_file,
)

MOST = 2**31 - 1
"""Most ids in a file."""

KINDS = {(20240520, 1): "<u2", (20240801, 7): "<u4"}
"""Type of ids by the first two numbers of a header."""

_HEADER_BYTES = 256 * 4


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read a file; the ends of documents are not recorded."""
    size = path.stat().st_size
    header = np.fromfile(path, "<i4", 256)
    kind = KINDS.get((int(header[0]), int(header[1]))) if len(header) == 256 else None
    if kind is None:
        known = " or ".join(f"{magic}, {version}" for magic, version in KINDS)
        raise malformed(path, f"is no token file of llm.c: it does not begin with the numbers {known}")
    count, dtype = int(header[2]), np.dtype(kind)
    if size != (expected := _HEADER_BYTES + count * dtype.itemsize):
        raise malformed(path, f"has {size:,} bytes, but {count:,} ids need {expected:,}")
    yield from blocks_of(path, dtype, count, offset=_HEADER_BYTES)


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write a shard as files of at most 2³¹ − 1 ids."""
    kinds = {np.dtype(dtype): numbers for numbers, dtype in KINDS.items()}
    written = []
    for number, start in enumerate(range(0, stream.tokens, MOST)):
        stop = min(start + MOST, stream.tokens)
        header = np.zeros(256, "<i4")
        header[:3] = [*kinds[stream.dtype], stop - start]
        path = with_suffix(target, f"_{number:06d}.bin")
        write_file(path, chain([header], stream.blocks(start=start, stop=stop)))
        written.append(WrittenFile(path, stop - start))
    return written
