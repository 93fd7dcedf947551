"""OLMo: `.npy` files of ids without a header, in spite of their name. nanoGPT's `.bin` files are the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    count_ids,
    with_suffix,
    write_file,
)
from mixhub.errors import CorpusError

_NUMPY = b"\x93NUMPY"
_FEWEST = 1024
"""Fewest ids whose every second one is 0 by no accident."""


def read(path: Path, vocabulary: Vocabulary, notice: Notice) -> Iterator[Block]:
    """Read a file of ids, whose type is the vocabulary's; the ends of documents are not recorded."""
    with path.open("rb") as file:
        if file.read(len(_NUMPY)) == _NUMPY:
            hint = "write its ids without a header: numpy.load(FILE).tofile(NEW)"
            message = f"{path}: a NumPy file with a header, which OLMo's files do not have"
            raise CorpusError(message, code="tokens-file-malformed", hint=hint, path=path)
    yield from read_raw(path, vocabulary)


def read_raw(path: Path, vocabulary: Vocabulary) -> Iterator[Block]:
    """Read a file of nothing but ids; raises CorpusError if they seem to have another type than the vocabulary's."""
    count = count_ids(path, vocabulary.dtype)
    is_sure = vocabulary.is_dtype_given or vocabulary.dtype.itemsize != 2 or count < _FEWEST
    if not is_sure and not np.any(np.fromfile(path, vocabulary.dtype, BLOCK)[1::2]):
        hint = "pass --dtype uint32; or --dtype uint16 if every second id is 0 indeed"
        message = f"{path}: every second id is 0, as if its ids were uint32 and not uint16"
        raise CorpusError(message, code="ids-type", hint=hint, path=path)
    yield from blocks_of(path, vocabulary.dtype, count)


def write(target: Path, stream: Stream, vocabulary: Vocabulary, notice: Notice) -> Written:
    """Write the ids of a shard as they are."""
    return [WrittenFile(write_file(with_suffix(target, ".npy"), stream.blocks()), stream.tokens)]
