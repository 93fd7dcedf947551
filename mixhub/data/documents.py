"""Which documents a stretch of a domain's tokens comes from."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixhub.data.shards import OPEN_FILES, damaged
from mixhub.workspace.manifest import Manifest, Shard, SourceFile, index_file


@dataclass(frozen=True)
class DocumentPart:
    """A part of a document."""

    source: SourceFile
    """The file that has the document."""
    document: int
    """Number of the document among those that were packed of the file, from 1."""
    first: int
    """First token of the part, counted from 0 in the document."""
    tokens: int
    """Tokens of the part."""
    document_tokens: int
    """Tokens of the document, with its eos token."""


class DocumentEnds:
    """The ends of the documents in a folder of token shards."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._shard_ends = lru_cache(None)(self._sum)
        self._ends = lru_cache(OPEN_FILES)(self._read)

    def parts(self, domain: str, start: int, stop: int) -> Iterator[DocumentPart]:
        """Yield the documents of a training domain's tokens from `start` to before `stop`, in order.

        Raises:
            CorpusError: the domain was packed by a version that kept no ends of documents, or they are damaged.
        """
        packed, ends = self._manifest.train[domain], self._shard_ends(domain)
        number = bisect_right(ends, start)
        while start < stop:
            shard, source = packed.shards[number], packed.sources[number]
            offset = ends[number] - shard.tokens
            until = min(stop, ends[number])
            yield from self._parts_of_shard(shard, source, start - offset, until - offset)
            start, number = max(start, until), number + 1

    def _parts_of_shard(self, shard: Shard, source: SourceFile, start: int, stop: int) -> Iterator[DocumentPart]:
        ends = self._ends(shard.file, shard.tokens)
        number = int(np.searchsorted(ends, start, side="right"))
        while start < stop:
            first, end = int(ends[number - 1]) if number else 0, int(ends[number])
            until = min(stop, end)
            if start < until:
                yield DocumentPart(source, number + 1, start - first, until - start, end - first)
            start, number = max(start, until), number + 1

    def _sum(self, domain: str) -> list[int]:
        packed = self._manifest.train[domain]
        packed.require_ends(f"train/{domain}")
        return list(accumulate(shard.tokens for shard in packed.shards))

    def _read(self, file: str, tokens: int) -> npt.NDArray[np.uint64]:
        path = index_file(self._folder / file)
        try:
            ends: npt.NDArray[np.uint64] = np.memmap(path, "<u8", mode="r").view(np.ndarray)
        except (OSError, ValueError) as error:  # ValueError: empty, or not of whole numbers
            raise damaged(path, f"cannot be read: {error}", self._folder) from None
        if ends[-1] != tokens:
            raise damaged(path, f"ends at token {ends[-1]:,}, but the shard has {tokens:,}", self._folder)
        return ends
