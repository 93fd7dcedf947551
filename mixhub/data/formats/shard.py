"""A file of any format becomes a shard: its ids checked and converted, the ends of its documents beside them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mixhub.data.formats.base import Block, Ends, Ids, Vocabulary
from mixhub.errors import CorpusError
from mixhub.workspace.manifest import index_file


@dataclass(frozen=True)
class WrittenShard:
    """A shard that was written."""

    documents: int
    tokens: int
    content_sha256: str
    """Hash of its ids."""
    ends_sha256: str
    """Hash of the ends of its documents."""
    is_cut: bool
    """Whether its last document has no eos token, because the file ends within a document."""


class ShardWriter:
    """Writes the blocks of one file to a shard.

    Args:
        shard: the open shard.
        source: the file that the blocks are from.
        vocabulary: ids outside it are refused.
        dtype: type of the ids in the shard.
        add_eos: whether to end documents that lack it with an eos token, instead of refusing them.
    """

    def __init__(
        self, shard: BinaryIO, source: Path, vocabulary: Vocabulary, dtype: np.dtype[Any], *, add_eos: bool
    ) -> None:
        self._shard, self._source, self._vocabulary, self._dtype = shard, source, vocabulary, dtype
        self._add_eos = add_eos
        self._digest = hashlib.sha256()
        self._ends: list[Ends] = []
        self._documents = self._tokens = 0  # written
        self._read = self._last_end = 0  # tokens of the source, and where its last document ended

    def add(self, block: Block) -> None:
        """Write a block; raises CorpusError if an id is not in the vocabulary, or a document has no eos token."""
        self._check_ids(block.ids)
        ids, eos = block.ids.astype(self._dtype, copy=False), self._vocabulary.eos_id
        ends = block.ends if block.ends is not None else np.flatnonzero(ids == eos) + 1
        is_open = ends == np.concatenate([[self._last_end - self._read], ends])[:-1]  # (D,): documents without tokens
        is_open[~is_open] = ids[ends[~is_open] - 1] != eos
        if len(ends):
            self._last_end = self._read + int(ends[-1])
        self._read += len(ids)
        if is_open.any():
            if not self._add_eos:
                self._refuse(int(np.argmax(is_open)))
            ids, ends = np.insert(ids, ends[is_open], eos), ends + np.cumsum(is_open)
        self._write(ids, ends)

    def finish(self) -> WrittenShard:
        """Write the ends of documents; tokens behind the last eos token are a document."""
        is_cut = self._read > self._last_end
        if is_cut:
            eos = np.full(int(self._add_eos), self._vocabulary.eos_id, self._dtype)
            self._write(eos, np.array([len(eos)]))
        index = np.concatenate([np.empty(0, np.int64), *self._ends]).astype("<u8")
        index.tofile(index_file(Path(self._shard.name)))
        ends_sha256 = hashlib.sha256(index.data).hexdigest()
        is_cut = is_cut and not self._add_eos
        return WrittenShard(self._documents, self._tokens, self._digest.hexdigest(), ends_sha256, is_cut)

    def _write(self, ids: Ids, ends: Ends) -> None:
        self._shard.write(ids.data)
        self._digest.update(ids.data)
        self._ends.append(ends + self._tokens)
        self._tokens += len(ids)
        self._documents += len(ends)

    def _check_ids(self, ids: Ids) -> None:
        size = self._vocabulary.size
        if len(ids) and (ids.min() < 0 or ids.max() >= size):
            wrong = int(np.argmax((ids < 0) | (ids >= size)))
            position, number = self._read + wrong, int(ids[wrong])
            message = f"{self._source}: token {position:,} is {number}, but the tokenizer has the ids 0 to {size - 1}"
            raise CorpusError(message, code="ids-out-of-range", path=self._source, position=position, id=number)

    def _refuse(self, number: int) -> None:
        document, eos = self._documents + number + 1, self._vocabulary.eos_id
        message = f"{self._source}: document {document:,} does not end with the eos token (id {eos})"
        hint = "pass --add-eos to add it to each document that lacks it"
        raise CorpusError(message, code="eos-missing", hint=hint, path=self._source, document=document)
