"""The folders and files under the root of a hub.

    store.json                         format, store_id, port
    repos/models/<namespace>/<name>.git    a bare git repository per repo; large files are pointers
    blobs/ab/cd/<sha256>               the large files
    xorbs/ab/<hash>[.json]             the chunks that Xet clients uploaded, or where they are in the blobs
    uploads/                           files that are arriving; swept when they are a day old
    locks/                             lock files, which work between processes

All state is on disk, so several processes over one root see each other's commits.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mixhub.errors import WorkspaceError
from mixhub.files import disk_problem, locked, new_folder, read_json, write_json
from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.names import REPO_TYPES, RepoName, repo_name
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
        """Open the store at `root`, or make one.

        Raises:
            WorkspaceError: the store has a newer format, is damaged, or cannot be written.
        """
        root = Path(root).resolve()
        try:
            with _identity_lock(root):
                identity = _read_identity(root)
                if identity is None:
                    identity = {"format": FORMAT, "store_id": secrets.token_hex(8), "port": None}
                    write_json(root / "store.json", identity)
        except OSError as problem:
            if disk_problem(problem):
                raise
            message, hint = f"{root}: cannot write the hub's storage: {problem.strerror}", "choose a writable folder"
            raise WorkspaceError(message, code="storage-unwritable", hint=hint, path=root) from problem
        return cls(root, identity["store_id"])

    @property
    def port(self) -> int | None:
        """The TCP port that servers on this root prefer; None before the first."""
        return (_read_identity(self.root) or {}).get("port")

    def remember_port(self, port: int) -> None:
        """Prefer `port` from now on, unless another process has set one meanwhile."""
        with _identity_lock(self.root):
            identity = _read_identity(self.root)
            if identity is not None and identity.get("port") is None:
                write_json(self.root / "store.json", {**identity, "port": port})

    @property
    def chunks_id(self) -> str:
        """Hex that identifies this folder of chunks. Clients remember by it which chunks a hub has, so it differs for
        a folder that was emptied, and for the copy of a storage.
        """
        folder = self.root / "xorbs"
        folder.mkdir(parents=True, exist_ok=True)
        status = folder.stat()
        return hashlib.sha256(f"{self.store_id} {status.st_dev} {status.st_ino}".encode()).hexdigest()[:16]

    @property
    def uploads(self) -> Path:
        """The folder of files that are arriving."""
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
        """Return the name of every repo, sorted."""
        names = []
        for repo_type in REPO_TYPES:
            for folder in (self.root / "repos" / f"{repo_type}s").glob("*/*.git"):
                with suppress(Refusal):  # the remains of a creation that was killed
                    names.append(repo_name(repo_type, f"{folder.parent.name}/{folder.name.removesuffix('.git')}"))
        return sorted(names)

    def exists(self, name: RepoName) -> bool:
        """Return whether a repo exists."""
        return self._folder(name).is_dir()

    @contextmanager
    def repo(self, name: RepoName) -> Iterator[Repo]:
        """Open a repo for the block; raises RepoNotFound."""
        self._require(name)
        repo = Repo(self._folder(name), name, partial(self._lock_existing, name), self.blobs)
        try:
            yield repo
        finally:
            repo.close()

    def create(self, name: RepoName, *, private: bool = False) -> None:
        """Create a repo whose first commit holds the default `.gitattributes`; raises Conflict if it exists."""
        with self._lock(name):
            if self.exists(name):
                raise Conflict(f"the {name} already exists")
            with new_folder(self._folder(name)) as folder:
                initialise(folder, private=private)

    def delete(self, name: RepoName) -> None:
        """Delete a repo with all its branches; raises RepoNotFound. Its large files stay: others may name them."""
        leaving = self.uploads / secrets.token_hex(16)
        with self._lock_existing(name):
            self.uploads.mkdir(parents=True, exist_ok=True)
            self._folder(name).rename(leaving)  # it disappears at once, however long the deletion takes
        shutil.rmtree(leaving, ignore_errors=True)

    def sweep_uploads(self) -> None:
        """Delete uploads that were broken off more than a day ago; younger ones may be another server's."""
        before = time.time() - _LEFTOVER_SECONDS
        for leftover in self.uploads.glob("*"):
            with suppress(OSError):  # another server has swept it
                if leftover.stat().st_mtime < before:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def _lock(self, name: RepoName) -> AbstractContextManager[None]:
        """Lock a repo for writing; raises WorkspaceError if the lock stays taken for a minute."""
        path = self.root / "locks" / f"{name.repo_type}s" / name.namespace / f"{name.name}.lock"
        return locked(path, f"the {name} is being written", timeout=_LOCK_SECONDS)

    @contextmanager
    def _lock_existing(self, name: RepoName) -> Iterator[None]:
        with self._lock(name):
            self._require(name)
            yield

    def _require(self, name: RepoName) -> None:
        if not self.exists(name):
            raise RepoNotFound(f"the {name} does not exist on this hub")

    def _folder(self, name: RepoName) -> Path:
        return self.root / "repos" / f"{name.repo_type}s" / name.namespace / f"{name.name}.git"


def _identity_lock(root: Path) -> AbstractContextManager[None]:
    return locked(root / "locks" / "store.lock", f"{root} is being set up", timeout=_LOCK_SECONDS)


def _read_identity(root: Path) -> dict[str, Any] | None:
    path = root / "store.json"
    if not path.exists():
        return None
    identity = read_json(path)
    fields = identity if isinstance(identity, dict) else {}
    version, port = fields.get("format"), fields.get("port")
    if isinstance(version, int) and version > FORMAT:
        message = f"{path}: format {version} is newer than this mixhub supports ({FORMAT})"
        raise WorkspaceError(message, code="storage-newer", hint="install a newer mixhub", path=path)
    has_port = port is None or (isinstance(port, int) and 0 < port < 65536)
    if version != FORMAT or not has_port or not re.fullmatch(r"[0-9a-f]{8,64}", str(fields.get("store_id"))):
        rule = f"format must be {FORMAT}, store_id hex, and port absent or 1 to 65535"
        hint = "restore or delete the file"
        raise WorkspaceError(f"{path}: {rule}", code="storage-damaged", hint=hint, path=path)
    return fields
