"""What a push would change on a branch: a pure comparison of two trees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixhub.errors import ExportError

Action = Literal["add", "replace", "delete", "keep"]

KEPT_ON_HUB = frozenset({".gitattributes"})
"""Files that the hub makes; a push leaves them alone."""


@dataclass(frozen=True)
class LocalFile:
    """A file to be on the branch."""

    source: Path | bytes
    size: int
    sha256: str
    git_oid: str
    """sha1 that git gives the content, by which a hub names a file that is not large."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that is on the branch."""

    size: int
    oid: str
    """sha1 of git's blob: of the content, or of the pointer to it."""
    sha256: str | None
    """sha256 of the content, where it is stored as a large file."""


@dataclass(frozen=True)
class Change:
    """What happens to one path."""

    path: str
    action: Action
    size: int
    """Bytes after the push; of a deleted file, those that it had."""


@dataclass(frozen=True)
class Plan:
    """What a push does to one branch."""

    repo_id: str
    branch: str
    files: Mapping[str, LocalFile]
    changes: tuple[Change, ...]
    parent: str | None
    """Commit to build on: the branch's, or the repo's first where the branch is new; None where the repo is new."""
    branch_exists: bool
    weights_sha256: str | None
    """The weights; None for the card on `main`."""

    @property
    def changed(self) -> list[Change]:
        """What the commit does."""
        return [change for change in self.changes if change.action != "keep"]

    @property
    def bytes_to_send(self) -> int:
        """Bytes of new and replaced files."""
        return sum(change.size for change in self.changed if change.action != "delete")


def local_file(source: Path | bytes) -> LocalFile:
    """Size and hashes of a file on disk, or of content in memory; raises ExportError when it cannot be read."""
    if isinstance(source, bytes):
        return LocalFile(source, len(source), hashlib.sha256(source).hexdigest(), _git_oid(source))
    sha256 = hashlib.sha256()
    try:
        size = source.stat().st_size
        git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                sha256.update(block)
                git.update(block)
    except OSError as error:
        raise ExportError(f"{source}: cannot be read: {error.strerror}", path=source) from None
    return LocalFile(source, size, sha256.hexdigest(), git.hexdigest())


def changes(local: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile]) -> list[Change]:
    """What makes `remote` into `local`, by path; the same content is kept, whatever its date.

    Args:
        local: the files to be on the branch.
        remote: those that are, as far as a push may delete them; those that the hub makes itself are left alone.
    """
    planned = []
    for path in sorted(local):
        if path not in remote:
            action: Action = "add"
        else:
            action = "keep" if same_content(local[path], remote[path]) else "replace"
        planned.append(Change(path, action, local[path].size))
    extra = sorted(set(remote) - set(local) - KEPT_ON_HUB)
    return planned + [Change(path, "delete", remote[path].size) for path in extra]


def same_content(local: LocalFile, remote: RemoteFile) -> bool:
    """Whether a file on a branch has the content of a local one, by hash."""
    if remote.sha256 is not None:
        return remote.sha256 == local.sha256
    return remote.oid == local.git_oid


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
