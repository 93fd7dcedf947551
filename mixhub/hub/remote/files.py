"""Files of a branch, on disk and on a hub: what names their content, and what each is for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import FileState
from mixhub.workspace.export import EXPORT_FILES, TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE
from mixhub.workspace.lineage import combined_sha256, file_sha256

MAIN = "main"
"""The branch of the family's card."""
CARD = "README.md"


METRICS = "metrics.jsonl"


TRAIN_CONFIG = "train_config.yaml"


RESULTS = "results"


_MODEL = {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE}


def is_result_file(path: str) -> bool:
    """Whether a file of a branch is what a push sends of results: a cell, or its samples."""
    return re.fullmatch(rf"{RESULTS}/[^/]+\.\d+shot(?:\.json|\.samples\.parquet)", path) is not None


def is_model_file(path: str) -> bool:
    """Whether a file of a branch is of its model: weights, their index, configs, tokenizer, lineage; no adapter."""
    is_weights = path.endswith(".safetensors") and "/" not in path and not path.startswith("adapter_")
    return path in _MODEL or is_weights


KEPT_ON_HUB = frozenset({".gitattributes"})
"""Files that the hub makes; a push leaves them alone."""


@dataclass(frozen=True)
class LocalFile:
    """A file to be on the branch."""

    source: Path | bytes | None
    """Where its content is; None of a file that lies on another hub, and need not be fetched where it is kept."""
    size: int
    sha256: str | None
    """None where only git's name of it is known."""
    oid: str | None = None
    """sha1 that git gives the content, where it is known already."""
    state: FileState | None = None
    """Of a file on disk, when it was hashed."""

    def git_oid(self) -> str | None:
        """sha1 that git gives the content, by which a hub names a file that is not large."""
        if self.oid is not None or self.source is None:
            return self.oid
        if isinstance(self.source, bytes):
            return git_oid(self.source)
        with _read(self.source):
            digest = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False)
            with self.source.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            return digest.hexdigest()


@dataclass(frozen=True)
class RemoteFile:
    """A file that is on the branch."""

    size: int
    oid: str
    """sha1 of git's blob: of the content, or of the pointer to it."""
    sha256: str | None
    """sha256 of the content, where it is stored as a large file."""


def local_file(source: Path | bytes) -> LocalFile:
    """Size and hash of a file on disk, or of content in memory; raises ExportError when it cannot be read."""
    if isinstance(source, bytes):
        return LocalFile(source, len(source), hashlib.sha256(source).hexdigest())
    with _read(source):
        state = FileState.of(source)
        return LocalFile(source, state.size, file_sha256(source), state=state)


def require_unchanged(files: Mapping[str, LocalFile]) -> None:
    """Raises ExportError when a file on disk is not as it was when it was hashed."""
    for file in files.values():
        if isinstance(file.source, Path):
            with _read(file.source):
                if file.state is not None and FileState.of(file.source) != file.state:
                    raise ExportError(
                        f"{file.source}: changed while it was pushed; nothing of this push is on the branch",
                        code="export-changed",
                        hint="wait until nothing writes there, then push again",
                        path=file.source,
                    )


def remote_file(file: RemoteFile) -> LocalFile:
    """A file that lies on another hub, as far as that hub tells."""
    return LocalFile(None, file.size, file.sha256, None if file.sha256 else file.oid)


def same_content(local: LocalFile, remote: RemoteFile) -> bool:
    """Whether a file on a branch has the content of a local one, by hash."""
    if remote.sha256 is not None:
        return remote.sha256 == local.sha256
    return remote.size == local.size and remote.oid == local.git_oid()


@contextmanager
def _read(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}", code="file-unreadable", path=path) from None


def safetensors_in(tree: Mapping[str, RemoteFile]) -> list[str]:
    """Files of weights of a branch, in no folder, by path."""
    return sorted(path for path in tree if path.endswith(".safetensors") and "/" not in path)


def weights_in(tree: Mapping[str, RemoteFile]) -> str | None:
    """As `weights_sha256`, from what a hub tells of a branch; None where it has none, or does not."""
    hashes = [(path, tree[path].sha256) for path in safetensors_in(tree)]
    if not hashes or any(digest is None for _, digest in hashes):
        return None
    return combined_sha256((path, str(digest)) for path, digest in hashes)


def git_oid(content: bytes) -> str:
    """sha1 that git gives some content."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
