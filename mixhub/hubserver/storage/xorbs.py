"""The store of xorbs: the chunks that clients have uploaded and may refer to, for as long as the store lives.

A xorb arrives as a file. Once files that were rebuilt from it hold all its chunks, it is folded: replaced by a list of
where its chunks are in the blobs, so that the same bytes are not stored twice. Blobs are never deleted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mixhub.files import write_bytes
from mixhub.hubserver.storage.blobs import Blobs, Incoming
from mixhub.hubserver.storage.chunks import PLAIN, Chunk, CorruptUpload, scan_xorb
from mixhub.hubserver.storage.refusals import BadRequest

_HASH = re.compile(r"[0-9a-f]{64}")


class Xorbs:
    """The xorbs of one store.

    Args:
        folder: holds the xorbs.
        blobs: the large files, into which they are folded.
    """

    def __init__(self, folder: Path, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs

    def keep(self, incoming: Incoming, xorb: str) -> bool:
        """Store a xorb that was written, replacing an earlier one; return whether it is new.

        Raises CorruptUpload unless chunks fill it.
        """
        packed = self._packed(xorb)
        incoming.flush()
        with incoming.path.open("rb") as file:
            list(scan_xorb(file))
        is_new = not (packed.exists() or self._folded(xorb).exists())
        incoming.move_to(packed)
        return is_new

    def chunks(self, xorb: str) -> list[tuple[Path, Chunk]]:
        """Return the file and position of each chunk of a xorb; raises CorruptUpload if it was not uploaded."""
        packed = self._packed(xorb)
        try:
            with packed.open("rb") as file:
                return [(packed, chunk) for chunk in scan_xorb(file)]
        except FileNotFoundError:
            pass
        try:
            folded = json.loads(self._folded(xorb).read_bytes())
        except FileNotFoundError:
            raise CorruptUpload(f"the xorb {xorb} was not uploaded") from None
        files = [self._blobs.path(sha256) for sha256 in folded["blobs"]]
        return [(files[number], Chunk(offset, size, PLAIN, size)) for number, offset, size in folded["chunks"]]

    def fold(self, xorb: str, places: Mapping[int, tuple[str, int, int]]) -> None:
        """Replace a xorb by the places of its chunks in the blobs, if `places` has them all.

        Args:
            xorb: hash of the xorb.
            places: by the number of the chunk, sha256 of the blob, offset and size in bytes.
        """
        if not self._packed(xorb).exists() or len(places) != len(self.chunks(xorb)):
            return
        files = sorted({sha256 for sha256, _, _ in places.values()})
        rows = [(files.index(sha256), offset, size) for _, (sha256, offset, size) in sorted(places.items())]
        write_bytes(self._folded(xorb), json.dumps({"format": 1, "blobs": files, "chunks": rows}).encode())
        self._packed(xorb).unlink(missing_ok=True)

    def _packed(self, xorb: str) -> Path:
        if not _HASH.fullmatch(xorb):
            raise BadRequest(f"the hash of a xorb must be 64 hex digits, not {xorb!r}")
        return self._folder / xorb[:2] / xorb

    def _folded(self, xorb: str) -> Path:
        return self._packed(xorb).with_name(f"{xorb}.json")
