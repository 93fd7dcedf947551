"""A folder of token shards, mapped into memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixhub.errors import CorpusError
from mixhub.workspace.manifest import Manifest, Shard, Split, index_file, read_manifest

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

OPEN_FILES = 256
"""How many files are mapped at a time; a process may not open as many as a large corpus has."""


class TokenShards:
    """A folder of token shards.

    The stream of a domain is its shards, one after the other. A sample is `sequence_length` + 1 tokens of a stream: the
    targets are the inputs shifted by one.
    """

    def __init__(self, folder: Path, sequence_length: int) -> None:
        self.folder = folder
        self.sequence_length = sequence_length
        self.manifest = read_manifest(folder)
        check_shards(self.manifest, folder)
        self._map = lru_cache(OPEN_FILES)(self._open)
        self._streams: dict[tuple[Split, str], _Stream] = {}

    def sequences(self, split: Split, domain: str) -> int:
        """Return the number of whole sequences of a domain; raises CorpusError if it is 0."""
        return self.manifest.sequences(split, domain, self.sequence_length)

    def read(self, split: Split, domains: Iterable[str], starts: npt.NDArray[np.int64]) -> Tokens:
        """Return samples, with the type that tokens have in the shards.

        Args:
            split: training or validation domains.
            domains: (N,) names without prefix.
            starts: (N,) first tokens, counted from the start of the domain's stream.

        Returns:
            (N, T + 1) tokens.

        Raises:
            CorpusError: a shard is gone or was cut since the folder was opened.
        """
        rows: Tokens = np.empty((len(starts), self.sequence_length + 1), self.manifest.dtype)
        for row, domain, start in zip(rows, domains, starts.tolist(), strict=True):
            self._stream(split, domain).copy(start, row)
        return rows

    def _stream(self, split: Split, domain: str) -> _Stream:
        key = (split, domain)
        if key not in self._streams:
            self._streams[key] = _Stream(self.manifest.domains(split)[domain].shards, self._map)
        return self._streams[key]

    def _open(self, file: str, size: int) -> Tokens:
        path, dtype = self.folder / file, np.dtype(self.manifest.dtype).newbyteorder("<")
        try:
            tokens: Tokens = np.memmap(path, dtype, mode="r", shape=(size,)).view(np.ndarray)
        except (OSError, ValueError) as error:  # ValueError: the file is shorter
            raise damaged(path, f"cannot be read: {error}", self.folder) from None
        return tokens


class _Stream:
    """The tokens of a domain."""

    def __init__(self, shards: Iterable[Shard], open_shard: Callable[[str, int], Tokens]) -> None:
        self._open = open_shard
        self._shards = [(shard.file, shard.tokens) for shard in shards if shard.tokens]
        self._ends = list(accumulate(size for _, size in self._shards))

    def copy(self, start: int, row: Tokens) -> None:
        """Fill a row with the tokens from `start` on."""
        number, filled = bisect_right(self._ends, start), 0
        while filled < len(row):
            file, size = self._shards[number]
            offset = start + filled - (self._ends[number] - size)
            part = self._open(file, size)[offset : offset + len(row) - filled]
            row[filled : filled + len(part)] = part
            filled, number = filled + len(part), number + 1


def check_shards(manifest: Manifest, tokens: Path) -> None:
    """Raise CorpusError if a shard or the file with the ends of its documents is missing or has the wrong size."""
    for domain in (*manifest.train.values(), *manifest.valid.values()):
        sizes = {shard.file: shard.tokens * manifest.token_size for shard in domain.shards}
        if domain.has_ends:
            pairs = zip(domain.shards, domain.sources, strict=True)
            sizes |= {str(index_file(Path(shard.file))): 8 * (source.documents or 0) for shard, source in pairs}
        for file, wanted in sizes.items():
            path = tokens / file
            size = path.stat().st_size if path.is_file() else None
            if size != wanted:
                fault = "is missing" if size is None else f"has {size} bytes, not {wanted}"
                raise damaged(path, fault, tokens, size=size)


def damaged(path: Path, fault: str, tokens: Path, **fields: object) -> CorpusError:
    """Return the error for a file of token shards that is not as it was packed."""
    message = f"{path}: the shard {fault}"
    return CorpusError(message, code="tokens-damaged", hint=pack_again(tokens), path=path, **fields)


def pack_again(tokens: Path) -> str:
    """Return the hint for token shards that must be packed again."""
    return f"delete or rename {tokens} to pack again; runs on the old tokens cannot resume with the new ones"
