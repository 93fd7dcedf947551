"""datatrove and nanotron: `.ds` with the ids, `.ds.index` with the ends of documents, `.ds.metadata` for people."""

from __future__ import annotations

from collections.abc import Iterator
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
    check_ends,
    count_ids,
    malformed,
    with_suffix,
    write_file,
)
from mixhub.data.formats.olmo import read_raw
from mixhub.workspace.manifest import index_file

_TYPES = {2: "<u2", 4: "<u4"}


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read a `.ds` file; the `.ds.index` beside it, if there is one, says how many bytes an id has."""
    index = index_file(path)
    if not index.is_file():
        yield from read_raw(path, vocabulary)
        return
    count_ids(index, np.dtype("<u8"))  # a whole number of ends
    ends = np.fromfile(index, "<u8").astype(np.int64)
    size, tokens = path.stat().st_size, int(ends[-1]) if len(ends) else 0
    width = size // tokens if tokens else 2
    if width not in _TYPES or size != tokens * width:
        raise malformed(path, f"has {size:,} bytes, but by {index.name} {tokens:,} ids of 2 or 4 bytes")
    yield from blocks_of(path, np.dtype(_TYPES[width]), tokens, ends=check_ends(index, ends, tokens))


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write ids, ends and metadata of a shard."""
    path = write_file(with_suffix(target, ".ds"), stream.blocks())
    index = write_file(index_file(path), [stream.ends().astype("<u8")])
    lines = [f"{vocabulary.tokenizer}|{stream.dtype.itemsize}", str(stream.tokens), _rounded(stream.tokens)]
    metadata = write_file(path.with_name(f"{path.name}.metadata"), ["\n".join(lines).encode()])
    return [WrittenFile(path, stream.tokens), WrittenFile(index), WrittenFile(metadata)]


def _rounded(tokens: int) -> str:
    """Format a count as datatrove does, in three digits: `1.23 MT`."""
    exponent = len(str(tokens)) - 1
    if round(tokens / 1000 ** (exponent // 3), 2 - exponent % 3) >= 10 ** (exponent % 3 + 1):
        exponent += 1  # 999,999 is 1.00 M, not 1000 k
    power, digits = divmod(exponent, 3)
    return f"{tokens / 1000**power:.{2 - digits}f} {['', 'k', 'M', 'G', 'T', 'P', 'E'][power]}T"
