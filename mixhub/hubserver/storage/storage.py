"""What lies under the root of a hub.

    store.json                         format, store_id, port
    repos/models/<namespace>/<name>.git    one bare git repository a repo; large files are pointers
    blobs/ab/cd/<sha256>               the large files
    xorbs/ab/<hash>[.json]             the chunks that Xet clients uploaded, or where they lie in the blobs
    uploads/                           what is on its way in; swept when it is a day old
    locks/                             lock files, which work between processes

All state is on disk, so that several processes over one root see each other's commits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixhub.errors import WorkspaceError
from mixhub.files import locked, new_folder, read_json, write_json
from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.names import REPO_TYPES, RepoName, RepoType, repo_name
from mixhub.hubserver.storage.refusals import Conflict, Refusal, RepoNotFound
from mixhub.hubserver.storage.repo import Repo, initialise
from mixhub.hubserver.storage.xorbs import Xorbs

FORMAT = 1
_LOCK_SECONDS = 60.0
_LEFTOVER_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Store:
    """The storage of one hub."""

    root: Path
    store_id: str
    """Random hex. Copies of a storage share it."""

    @classmethod
    def open(cls, root: Path) -> Store:
        """Opens the store at `root`, and makes one where there is none.

        Raises:
            WorkspaceError: the store has a newer format, is damaged, or cannot be written.
        """
        root = Path(root).resolve()
        try:
            with cls._identity_lock(root):
                identity = cls._read_identity(root)
                if identity is None:
                    identity = {"format": FORMAT, "store_id": secrets.token_hex(8), "port": None}
                    write_json(root / "store.json", identity)
        except OSError as problem:
            raise WorkspaceError(
                f"{root}: the hub's storage cannot be written: {problem.strerror}",
                code="storage-unwritable",
                hint="choose a folder that you may write to",
                path=root,
            ) from problem
        return cls(root, identity["store_id"])

    @property
    def port(self) -> int | None:
        """The TCP port that servers on this root prefer, or None before the first."""
        identity = self._read_identity(self.root)
        return identity["port"] if identity else None

    def remember_port(self, port: int) -> None:
        """Makes `port` the preferred one, unless another process has set one meanwhile."""
        with self._identity_lock(self.root):
            identity = self._read_identity(self.root)
            if identity is not None and identity["port"] is None:
                write_json(self.root / "store.json", {**identity, "port": port})

    @property
    def chunks_id(self) -> str:
        """Hex that names this folder of chunks. Clients remember by it which chunks are there, so another folder has
        another: one that was emptied, and that of a copy of the storage, to which they send other chunks from then on.
        """
        folder = self.root / "xorbs"
        folder.mkdir(parents=True, exist_ok=True)
        status = folder.stat()
        return hashlib.sha256(f"{self.store_id} {status.st_dev} {status.st_ino}".encode()).hexdigest()[:16]

    @property
    def uploads(self) -> Path:
        """Where files are while they arrive."""
        return self.root / "uploads"

    @property
    def blobs(self) -> Blobs:
        """The large files."""
        return Blobs(self.root / "blobs", self.uploads)

    @property
    def xorbs(self) -> Xorbs:
        """The chunks that Xet clients uploaded."""
        return Xorbs(self.root / "xorbs", self.blobs)

    def names(self) -> list[RepoName]:
        """Every repo, sorted."""
        found = (name for repo_type in REPO_TYPES for name in self._names_of(repo_type))
        return sorted(found)

    def exists(self, name: RepoName) -> bool:
        """Whether there is such a repo."""
        return self._folder(name).is_dir()

    @contextmanager
    def repo(self, name: RepoName) -> Iterator[Repo]:
        """Opens a repo for the block; raises RepoNotFound."""
        folder = self._folder(name)
        if not folder.is_dir():
            raise RepoNotFound(f"there is no {name} on this hub")
        repo = Repo(folder, name, partial(self._lock_existing, name), self.blobs)
        try:
            yield repo
        finally:
            repo.close()

    def create(self, name: RepoName, *, private: bool = False) -> None:
        """Makes a repo whose first commit holds the default `.gitattributes`; raises Conflict when there is one."""
        with self.lock(name):
            if self.exists(name):
                raise Conflict(f"the {name} exists already")
            with new_folder(self._folder(name)) as folder:
                initialise(folder, private=private)

    def delete(self, name: RepoName) -> None:
        """Deletes a repo with all its branches; raises RepoNotFound. Its large files stay, others may name them."""
        with self.lock(name):
            if not self.exists(name):
                raise RepoNotFound(f"there is no {name} on this hub")
            doomed = self.uploads / secrets.token_hex(16)
            self.uploads.mkdir(parents=True, exist_ok=True)
            self._folder(name).rename(doomed)  # at once gone for everybody, however long the deletion takes
        shutil.rmtree(doomed, ignore_errors=True)

    def lock(self, name: RepoName) -> AbstractContextManager[None]:
        """The lock under which a repo is written; raises WorkspaceError when it stays taken for a minute."""
        path = self.root / "locks" / f"{name.repo_type}s" / name.namespace / f"{name.name}.lock"
        return locked(path, f"the {name} is being written", timeout=_LOCK_SECONDS)

    @contextmanager
    def _lock_existing(self, name: RepoName) -> Iterator[None]:
        with self.lock(name):
            if not self.exists(name):  # deleted while this waited
                raise RepoNotFound(f"there is no {name} on this hub")
            yield

    def sweep_uploads(self) -> None:
        """Deletes uploads that were broken off more than a day ago; younger ones may be another server's."""
        before = time.time() - _LEFTOVER_SECONDS
        for leftover in self.uploads.glob("*"):
            try:
                if leftover.stat().st_mtime < before:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            except OSError:  # another server has swept it
                continue

    def _names_of(self, repo_type: RepoType) -> Iterator[RepoName]:
        for folder in (self.root / "repos" / f"{repo_type}s").glob("*/*.git"):
            try:
                yield repo_name(repo_type, f"{folder.parent.name}/{folder.name.removesuffix('.git')}")
            except Refusal:  # the remains of a creation that was killed
                continue

    def _folder(self, name: RepoName) -> Path:
        return self.root / "repos" / f"{name.repo_type}s" / name.namespace / f"{name.name}.git"

    @staticmethod
    def _identity_lock(root: Path) -> AbstractContextManager[None]:
        return locked(root / "locks" / "store.lock", f"{root} is being set up", timeout=_LOCK_SECONDS)

    @staticmethod
    def _read_identity(root: Path) -> dict[str, Any] | None:
        path = root / "store.json"
        if not path.exists():
            return None
        identity = read_json(path)
        if not isinstance(identity, dict) or not isinstance(identity.get("format"), int):
            raise _damaged(path, "not the identity of a hub", "format")
        if identity["format"] > FORMAT:
            raise WorkspaceError(
                f"{path}: format {identity['format']} is newer than this mixhub reads ({FORMAT})",
                code="storage-newer",
                hint="install a newer mixhub",
                path=path,
                key="format",
            )
        if not re.fullmatch(r"[0-9a-f]{8,64}", str(identity.get("store_id"))):
            raise _damaged(path, "store_id must be hex", "store_id")
        port = identity.get("port")
        if port is not None and not (isinstance(port, int) and 0 < port < 65536):
            raise _damaged(path, "port must be 1 to 65535", "port")
        return {**identity, "port": port}


def _damaged(path: Path, rule: str, key: str) -> WorkspaceError:
    hint = "restore or delete the file"
    return WorkspaceError(f"{path}: {rule}", code="storage-damaged", hint=hint, path=path, key=key)
