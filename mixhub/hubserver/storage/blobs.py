"""Large files, stored once under their sha256, whichever repos and branches name them."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import IO

from mixhub.hubserver.storage.names import check_sha256
from mixhub.hubserver.storage.refusals import BadRequest

_READ_BYTES = 4 * 2**20


class Incoming:
    """A file on its way in: hashed while it is written, then moved to its place or dropped.

    Used as a context; what has not been kept at its end is deleted.
    """

    def __init__(self, uploads: Path) -> None:
        uploads.mkdir(parents=True, exist_ok=True)
        self._path = uploads / secrets.token_hex(16)
        self._file: IO[bytes] = self._path.open("xb")
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: bytes | memoryview) -> None:
        """Appends `data`."""
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        """Of what has been written so far, in hex."""
        return self._hash.hexdigest()

    def reopen(self) -> IO[bytes]:
        """The file as written so far, for reading."""
        self._file.flush()
        return self._path.open("rb")

    def move_to(self, target: Path) -> None:
        """Makes the file `target`, durably and at once, in place of what was there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)


class Blobs:
    """The store of large files.

    Args:
        folder: where they lie.
        uploads: where they are while they arrive; on the same file system.
    """

    def __init__(self, folder: Path, uploads: Path) -> None:
        self._folder = folder
        self._uploads = uploads

    def path(self, sha256: str) -> Path:
        """Where the file with that hash lies, or would lie."""
        check_sha256(sha256)
        return self._folder / sha256[:2] / sha256[2:4] / sha256

    def size(self, sha256: str) -> int | None:
        """Bytes, or None when there is no such file."""
        try:
            return self.path(sha256).stat().st_size
        except FileNotFoundError:
            return None

    def incoming(self) -> Incoming:
        """A new file to be written, then kept by `keep`."""
        return Incoming(self._uploads)

    def keep(self, incoming: Incoming, expected: str | None = None) -> str:
        """Stores what has been written and returns its sha256; raises BadRequest when that is not `expected`."""
        sha256 = incoming.sha256
        if expected is not None and sha256 != expected:
            raise BadRequest(f"the content has sha256 {sha256}, not {expected}")
        if self.size(sha256) is None:
            incoming.move_to(self.path(sha256))
        return sha256

    def add_file(self, source: Path) -> tuple[str, int]:
        """Copies `source` in unless its content is here already; returns sha256 and bytes."""
        sha256, size = hash_file(source)
        if self.size(sha256) is None:
            with self.incoming() as incoming, source.open("rb") as file:
                while block := file.read(_READ_BYTES):
                    incoming.write(block)
                sha256, size = self.keep(incoming), incoming.size
        return sha256, size

    def write_part(self, upload: str, offset: int, data: bytes) -> None:
        """Writes a piece of the multipart upload `upload` at `offset` bytes."""
        path = self._part_path(upload)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.seek(offset)
            file.write(data)

    def finish_parts(self, upload: str, expected: str) -> None:
        """Stores a multipart upload; raises BadRequest when a part is missing or the whole is not `expected`.

        A missing part leaves a hole, which the hash finds.
        """
        path = self._part_path(upload)
        if self.size(expected) is not None:
            path.unlink(missing_ok=True)
            return
        if not path.exists():
            raise BadRequest(f"no part of {expected} has arrived")
        sha256, _ = hash_file(path)
        if sha256 != expected:
            path.unlink(missing_ok=True)
            raise BadRequest(f"the parts together have sha256 {sha256}, not {expected}")
        with path.open("rb") as file:
            os.fsync(file.fileno())
        target = self.path(expected)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)

    def _part_path(self, upload: str) -> Path:
        if len(upload) != 32 or not set(upload) <= set("0123456789abcdef"):
            raise BadRequest(f"no upload is named {upload!r}")
        return self._uploads / f"parts-{upload}"


def hash_file(path: Path) -> tuple[str, int]:
    """sha256 in hex and bytes of a file, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size
