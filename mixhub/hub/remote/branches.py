"""Branches of a repo on a hub: their files, and the content of the small ones."""

from __future__ import annotations

import glob
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, MixhubError
from mixhub.hub.remote.client import PARALLEL_REQUESTS, first_bytes, remote_tree, snapshot, unreachable
from mixhub.hub.remote.files import RemoteFile, safetensors_in, weights_in
from mixhub.hub.rules.export import is_pickle
from mixhub.hub.rules.weights import MAX_HEADER, Tensor, header_end, header_tensors
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workspace.export import opened_weights
from mixhub.workspace.lineage import combined_sha256

_LOG = logging.getLogger(__name__)

SMALL = 100_000_000
"""Size in bytes up to which a file that is not weights is read; the largest tokenizers have a third of it."""
_HEADER = 100_000
"""Bytes that hold the header of most files of weights."""
_WEIGHTS = (".safetensors", ".h5", ".msgpack", ".onnx", ".gguf", ".ot", ".tflite")
_NOT_READ = (".parquet", ".png", ".svg")


@dataclass(frozen=True)
class Branch:
    """A branch at one commit."""

    name: str
    commit: str
    tree: Mapping[str, RemoteFile]
    """All files, by path."""
    folder: Path
    """Holds the small files."""

    @property
    def safetensors(self) -> list[str]:
        """Files of weights, not in folders."""
        return safetensors_in(self.tree)

    @property
    def pickles(self) -> list[str]:
        """Files that run code when they are opened, not in folders."""
        return sorted(path for path in self.tree if is_pickle(path) and "/" not in path)

    @cached_property
    def opened(self) -> list[str]:
        """Files of weights that Transformers opens; if it finds none, all that there are."""
        try:
            names = [path for path in opened_weights(self.folder, self.tree) if path in self.tree]
        except MixhubError:  # the rules of weights report it
            names = []
        return names or self.safetensors or self.pickles

    @property
    def is_model(self) -> bool:
        """Whether it holds a model, or part of one."""
        return bool(self.safetensors or self.pickles or "config.json" in self.tree)

    @property
    def weights(self) -> str | None:
        """Identifies the weights by the hub's hashes, regardless of file names; None without weights."""
        hashes = [self.tree[path].sha256 or self.tree[path].oid for path in self.opened]
        return combined_sha256(("", digest) for digest in hashes) if hashes else None

    @property
    def weights_sha256(self) -> str | None:
        """As `mixhub.workspace.lineage.weights_sha256`; None if the hub does not state the hashes."""
        return weights_in(self.tree)

    def text(self, path: str) -> str | None:
        """Return the text of a small file; None if it is missing."""
        file = self.folder / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def read_branches(
    endpoint: Endpoint, repo_id: str, heads: Mapping[str, str], progress: Progress = SILENT
) -> dict[str, Branch]:
    """Read branches, given as commits by name, several at a time; return them by name, in order."""
    branches = {}
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool, progress.start("branches", len(heads), "branch") as bar:
        for branch in pool.map(lambda item: read_branch(endpoint, repo_id, *item), heads.items()):
            bar.advance(note=branch.name)
            branches[branch.name] = branch
    return branches


def read_branch(endpoint: Endpoint, repo_id: str, name: str, commit: str) -> Branch:
    """Read one branch: the names of all files, and the content of the small ones, from the cache if it is there."""
    tree = remote_tree(endpoint, repo_id, commit)
    readable = [
        path
        for path, file in tree.items()
        if file.size <= SMALL and not path.endswith(_NOT_READ) and not is_weights(path)
    ]
    return Branch(name, commit, tree, fetch(endpoint, repo_id, commit, readable, tree))


def is_weights(path: str) -> bool:
    """Whether a file of that name holds weights, in any format."""
    return path.endswith(_WEIGHTS) or is_pickle(path)


def fetch(
    endpoint: Endpoint, repo_id: str, commit: str, paths: Sequence[str], tree: Mapping[str, RemoteFile] | None = None
) -> Path:
    """Return the folder with some files of a commit, downloaded unless cached.

    Files in the cache that are shorter than in `tree` are damaged, and downloaded again.

    Raises:
        HubUnreachableError: the hub stopped answering before all files in `tree` were there.
        ExportError: a damaged file in the cache cannot be replaced.
    """

    def patterns(names: Sequence[str]) -> list[str]:
        return [glob.escape(name) for name in names]

    folder = snapshot(endpoint, repo_id, commit, allow_patterns=patterns(paths) or [".gitattributes"])
    if tree is None:
        return folder
    if not all((folder / path).is_file() for path in paths):  # the client returns what the cache has
        raise unreachable(endpoint)
    if damaged := [path for path in paths if (folder / path).stat().st_size < tree[path].size]:
        _LOG.warning("%s: damaged in the cache, downloading again: %s", folder, listed(damaged, most=3))
        try:
            snapshot(endpoint, repo_id, commit, allow_patterns=patterns(damaged), force_download=True)
        except OSError as error:
            file = (folder / damaged[0]).resolve()
            message = f"{file}: the copy in the cache is damaged, and cannot be replaced: {error.strerror or error}"
            hint = "delete the file, and run it again"
            raise ExportError(message, code="download-differs", hint=hint, path=file) from None
    return folder


def tensors_of(endpoint: Endpoint, repo_id: str, branch: Branch, path: str) -> dict[str, Tensor]:
    """Return the tensors of a file of weights, from its first bytes.

    Raises:
        ExportError: it is not a safetensors file, or its size contradicts its header.
        HubError: the hub does not send it.
    """
    size = branch.tree[path].size
    start = first_bytes(endpoint, repo_id, branch.commit, path, _HEADER)
    if len(start) < header_end(start) <= min(size, MAX_HEADER):
        start = first_bytes(endpoint, repo_id, branch.commit, path, header_end(start))
    return header_tensors(path, size, start)
