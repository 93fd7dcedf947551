"""Large files, stored once under their sha256, whichever repos and branches name them."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import IO

from mixhub.hubserver.storage.names import check_sha256
from mixhub.hubserver.storage.refusals import BadRequest

_READ_BYTES = 4 * 2**20


class Incoming:
    """A file on its way in, hashed while it is written. It is a context: a file that was not moved is deleted."""

    def __init__(self, uploads: Path) -> None:
        uploads.mkdir(parents=True, exist_ok=True)
        self.path = uploads / secrets.token_hex(16)
        self._file: IO[bytes] = self.path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Hash of what was written so far, in hex."""
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Make what was written readable at `path`."""
        self._file.flush()

    def move_to(self, target: Path) -> None:
        """Move the file to `target`, replacing what is there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)


class Blobs:
    """The store of large files.

    Args:
        folder: holds the files.
        uploads: holds files that are arriving; on the same file system.
    """

    def __init__(self, folder: Path, uploads: Path) -> None:
        self._folder = folder
        self._uploads = uploads

    def path(self, sha256: str) -> Path:
        """Return the path for a hash, whether the file exists or not."""
        check_sha256(sha256)
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """Return the size in bytes; None if there is no such file."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def incoming(self) -> Incoming:
        """Return a new file to write, which `keep` stores."""
        return Incoming(self._uploads)

    def keep(self, incoming: Incoming, expected: str | None = None) -> str:
        """Store what was written and return its sha256; raises BadRequest if that is not `expected`."""
        sha256 = incoming.sha256
        if expected is not None and sha256 != expected:
            raise BadRequest(f"the content has sha256 {sha256}, not {expected}")
        if self.size(sha256) is None:
            incoming.move_to(self.path(sha256))
        return sha256

    def add_file(self, source: Path) -> tuple[str, int]:
        """Copy a file in unless its content is stored already; return sha256 and bytes."""
        with source.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if (size := self.size(sha256)) is not None:
            return sha256, size
        with self.incoming() as incoming, source.open("rb") as file:
            while block := file.read(_READ_BYTES):
                incoming.write(block)
            return self.keep(incoming), incoming.size
