"""The store of xorbs: the chunks that clients have uploaded and may refer to, for as long as the store lives.

A xorb arrives as a file. Once all its chunks lie in files that were rebuilt from it, it is folded: replaced by a list
of where its chunks lie in the blobs, so that the same bytes are not kept twice. Blobs are never deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixhub.files import write_bytes
from mixhub.hubserver.storage.blobs import Blobs, Incoming
from mixhub.hubserver.storage.chunks import CorruptUpload, Xorb, check_run
from mixhub.hubserver.storage.refusals import BadRequest

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """Where a decoded chunk lies in the blobs."""

    sha256: str
    offset: int
    size: int
    """Bytes."""


class FoldedXorb:
    """A xorb whose chunks are read from the blobs; stands for a `Xorb`."""

    def __init__(self, places: list[Place], blobs: Blobs) -> None:
        self.chunks = places
        self._blobs = blobs

    def decode(self, first: int, end: int) -> Iterator[bytes]:
        """The chunks [first, end); raises CorruptUpload when there are not so many."""
        check_run(first, end, len(self.chunks))
        for place in self.chunks[first:end]:
            with self._blobs.path(place.sha256).open("rb") as file:
                file.seek(place.offset)
                yield file.read(place.size)


class Xorbs:
    """The xorbs of one store.

    Args:
        folder: where they lie.
        blobs: the large files, into which they are folded.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    def keep(self, incoming: Incoming, xorb: str) -> bool:
        """Stores a xorb that has been written, in place of an earlier one; returns whether it is new.

        Raises CorruptUpload when its chunks do not fill it.
        """
        packed = self._packed(xorb)
        with incoming.reopen() as file:
            Xorb(file)
        new = not (packed.exists() or self._folded(xorb).exists())
        incoming.move_to(packed)
        return new

    def open(self, xorb: str) -> AbstractContextManager[Xorb | FoldedXorb]:
        """Opens a xorb for a block; raises CorruptUpload when it has not been uploaded."""
        return self._opened(xorb)

    def fold(self, xorb: str, places: Mapping[int, Place]) -> bool:
        """Replaces a xorb by `places`, chunk number to place, if these are all its chunks; returns whether they are."""
        with self.open(xorb) as opened:
            if isinstance(opened, FoldedXorb) or sorted(places) != list(range(len(opened.chunks))):
                return False
        files = sorted({place.sha256 for place in places.values()})
        number = {sha256: index for index, sha256 in enumerate(files)}
        rows = [(number[place.sha256], place.offset, place.size) for _, place in sorted(places.items())]
        write_bytes(self._folded(xorb), json.dumps({"format": 1, "blobs": files, "chunks": rows}).encode())
        self._packed(xorb).unlink(missing_ok=True)
        return True

    @contextmanager
    def _opened(self, xorb: str) -> Iterator[Xorb | FoldedXorb]:
        try:
            file = self._packed(xorb).open("rb")
        except FileNotFoundError:
            yield self._read_folded(xorb)
            return
        with file:
            yield Xorb(file)

    def _read_folded(self, xorb: str) -> FoldedXorb:
        try:
            folded = json.loads(self._folded(xorb).read_bytes())
        except FileNotFoundError:
            raise CorruptUpload(f"the xorb {xorb} has not been uploaded") from None
        files = folded["blobs"]
        return FoldedXorb([Place(files[file], offset, size) for file, offset, size in folded["chunks"]], self._blobs)

    def _packed(self, xorb: str) -> Path:
        if not _HASH.fullmatch(xorb):
            raise BadRequest(f"a xorb's hash must be 64 hex digits, not {xorb!r}")
        return self._folder / xorb[:2] / xorb

    def _folded(self, xorb: str) -> Path:
        return self._packed(xorb).with_name(f"{xorb}.json")
