"""Files of a branch, on disk and on a hub: their hashes, and their roles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import FileState
from mixhub.spec.revisions import MAIN as MAIN
from mixhub.workspace.export import EXPORT_FILES, TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE
from mixhub.workspace.lineage import combined_sha256, file_sha256

CARD = "README.md"
METRICS = "metrics.jsonl"
RESULTS = "results"
KEPT_ON_HUB = frozenset({".gitattributes"})
"""Files that the hub makes; a push does not touch them."""


def is_result_file(path: str) -> bool:
    """Whether a push sends a file of a branch as a result: a cell, or its samples."""
    return re.fullmatch(rf"{RESULTS}/[^/]+\.\d+shot(?:\.json|\.samples\.parquet)", path) is not None


def is_model_file(path: str) -> bool:
    """Whether a file of a branch belongs to its model: weights, index, configs, tokenizer, lineage; not an adapter."""
    is_weights = path.endswith(".safetensors") and "/" not in path and not path.startswith("adapter_")
    return is_weights or path in {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE}


@dataclass(frozen=True)
class LocalFile:
    """A file that a branch should hold."""

    source: Path | bytes | None
    """Its content; None if it is on another hub, and not needed unless it has to be sent."""
    size: int
    sha256: str | None
    """None if only git's name of it is known."""
    oid: str | None = None
    """sha1 of git's blob, if known."""
    state: FileState | None = None
    """Of a file on disk, when it was hashed."""

    def git_oid(self) -> str | None:
        """Return the sha1 of git's blob, by which a hub identifies files that are not large."""
        if self.oid is not None or self.source is None:
            return self.oid
        if isinstance(self.source, bytes):
            return git_oid(self.source)
        with _readable(self.source):
            return git_oid(self.source.read_bytes())


@dataclass(frozen=True)
class RemoteFile:
    """A file on a branch."""

    size: int
    oid: str
    """sha1 of git's blob: of the content, or of the pointer to it."""
    sha256: str | None
    """sha256 of the content, if it is stored as a large file."""


def local_file(source: Path | bytes) -> LocalFile:
    """Return size and hash of a file on disk, or of content in memory; raises ExportError if it cannot be read."""
    if isinstance(source, bytes):
        return LocalFile(source, len(source), hashlib.sha256(source).hexdigest())
    with _readable(source):
        state = FileState.of(source)
        return LocalFile(source, state.size, file_sha256(source), state=state)


def require_unchanged(files: Mapping[str, LocalFile]) -> None:
    """Raise ExportError if a file on disk changed since it was hashed."""
    for file in files.values():
        if isinstance(file.source, Path):
            with _readable(file.source):
                if file.state is not None and FileState.of(file.source) != file.state:
                    message = f"{file.source}: changed during the push; nothing was published"
                    hint = "wait until nothing writes to the folder, then push again"
                    raise ExportError(message, code="export-changed", hint=hint, path=file.source)


def remote_file(file: RemoteFile) -> LocalFile:
    """Return a file on another hub, with the hash that the hub states."""
    return LocalFile(None, file.size, file.sha256, None if file.sha256 else file.oid)


def same_content(local: LocalFile, remote: RemoteFile) -> bool:
    """Whether a file on a branch has the content of a local one, by hash."""
    if remote.sha256 is not None:
        return remote.sha256 == local.sha256
    return remote.size == local.size and remote.oid == local.git_oid()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}", code="file-unreadable", path=path) from None


def safetensors_in(tree: Mapping[str, RemoteFile]) -> list[str]:
    """Return the paths of files of weights of a branch, without those in folders."""
    return sorted(path for path in tree if path.endswith(".safetensors") and "/" not in path)


def weights_in(tree: Mapping[str, RemoteFile]) -> str | None:
    """As `weights_sha256`, by the hashes of a branch on a hub; None if there are none."""
    hashes = [(path, digest) for path in safetensors_in(tree) if (digest := tree[path].sha256) is not None]
    return combined_sha256(hashes) if hashes and len(hashes) == len(safetensors_in(tree)) else None


def git_oid(content: bytes) -> str:
    """Return the sha1 of git's blob for some content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
