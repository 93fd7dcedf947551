"""Branches of a repo on a hub: their files, and the content of the small ones."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, HubUnreachableError, MixhubError
from mixhub.hub.remote.client import PARALLEL_REQUESTS, read_bytes, remote_tree, snapshot, unreachable
from mixhub.hub.remote.files import RemoteFile, local_file, safetensors_in, same_content, weights_in
from mixhub.hub.remote.small_files import fetch_small_files
from mixhub.hub.rules.config import ADAPTER_CONFIG, CONFIG
from mixhub.hub.rules.export import is_pickle
from mixhub.hub.rules.weights import MAX_HEADER, Tensor, header_end, header_tensors
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workspace.export import opened_weights
from mixhub.workspace.lineage import combined_sha256

_LOG = logging.getLogger(__name__)

SMALL = 100_000_000
"""Size in bytes up to which a file that is not weights is read; the largest tokenizers have a third of it."""
_HASHED = 1_000_000
"""Size in bytes up to which a file in the cache is compared by its hash."""
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
        """Files of weights, not in folders; not those of adapters."""
        return [path for path in safetensors_in(self.tree) if not path.startswith("adapter_")]

    @property
    def pickles(self) -> list[str]:
        """Files that run code when they are opened, not in folders."""
        found = (path for path in self.tree if is_pickle(path) and "/" not in path)
        return sorted(path for path in found if not path.startswith("adapter_"))

    @cached_property
    def opened(self) -> list[str]:
        """Files of weights that Transformers opens; if it finds none, all that there are."""
        try:
            names = [path for path in opened_weights(self.folder, self.tree) if path in self.tree]
        except MixhubError:  # the rules of weights report it
            names = []
        return names or self.safetensors or self.pickles

    @property
    def opened_safetensors(self) -> list[str]:
        """Those of `opened` whose content is known without running code."""
        return [path for path in self.opened if path.endswith(".safetensors")]

    @property
    def is_adapter(self) -> bool:
        """Whether it holds an adapter, maybe with the state of its training, and no model."""
        has_weights = self.safetensors or any(path.startswith("pytorch_model") for path in self.pickles)
        return ADAPTER_CONFIG in self.tree and not has_weights

    @property
    def is_model(self) -> bool:
        """Whether it holds a model, or part of one."""
        return not self.is_adapter and bool(self.safetensors or self.pickles or CONFIG in self.tree)

    @property
    def other_weights(self) -> list[str]:
        """Weights in formats that Transformers does not open as they are, not in folders."""
        return sorted(path for path in self.tree if path.endswith(_WEIGHTS[1:]) and "/" not in path)

    @property
    def folders_with_models(self) -> list[str]:
        """Folders that hold a config and weights."""
        parents = {path.rpartition("/")[0] for path in self.tree if path.endswith("/config.json")}
        holding = {path.rpartition("/")[0] for path in self.tree if is_weights(path)}
        return sorted(parents & holding)

    def digest(self, path: str) -> str:
        """Return what identifies the content of a file."""
        return self.tree[path].sha256 or self.tree[path].oid

    @property
    def weights(self) -> str | None:
        """Identifies the weights by the hub's hashes, regardless of file names; None without weights."""
        hashes = [self.digest(path) for path in self.opened]
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
    endpoint: Endpoint,
    repo_id: str,
    heads: Mapping[str, str],
    progress: Progress = SILENT,
    unread: dict[str, MixhubError] | None = None,
) -> dict[str, Branch]:
    """Read branches: the names of all files, and the content of the small ones, from the cache if it is there.

    Each commit is listed once, and each content is downloaded once.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        heads: commits by name.
        progress: advances with each commit.
        unread: takes the branches that could not be read, with the reason.

    Returns:
        The branches by name, in order.

    Raises:
        HubError: a branch could not be read; not with `unread`.
    """
    trees = _trees(endpoint, repo_id, list(dict.fromkeys(heads.values())), progress)
    listed_trees = {commit: tree for commit, tree in trees.items() if not isinstance(tree, MixhubError)}
    files = {commit: _small_files(tree) for commit, tree in listed_trees.items()}
    folders = {**trees, **fetch_small_files(endpoint, repo_id, files)}
    branches, failed = {}, {}
    for name, commit in heads.items():
        folder = folders[commit]
        if isinstance(folder, Path):
            branches[name] = Branch(name, commit, listed_trees[commit], folder)
        elif isinstance(folder, MixhubError):
            failed[name] = folder
    if failed and unread is None:
        raise next(iter(failed.values()))
    if unread is not None:
        unread.update(failed)
    return branches


def read_branch(endpoint: Endpoint, repo_id: str, name: str, commit: str) -> Branch:
    """Read one branch, as `read_branches`."""
    return read_branches(endpoint, repo_id, {name: commit})[name]


def _trees(
    endpoint: Endpoint, repo_id: str, commits: Sequence[str], progress: Progress
) -> dict[str, Mapping[str, RemoteFile] | MixhubError]:
    """Return the files of each commit, or why they could not be listed; a hub that is gone is waited for once."""
    gone: list[HubUnreachableError] = []

    def tree(commit: str) -> Mapping[str, RemoteFile] | MixhubError:
        try:
            return gone[0] if gone else remote_tree(endpoint, repo_id, commit)
        except HubError as error:
            gone.extend([error] if isinstance(error, HubUnreachableError) else [])
            return error

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool, progress.start("branches", len(commits), "commit") as bar:
        trees = {}
        for commit, result in zip(commits, pool.map(tree, commits), strict=True):
            bar.advance(note=commit[:12])
            trees[commit] = result
    return trees


def _small_files(tree: Mapping[str, RemoteFile]) -> dict[str, RemoteFile]:
    """Return the files whose content is read; none that a folder of the cache could not hold."""
    return {
        path: file
        for path, file in tree.items()
        if file.size <= SMALL
        and not path.endswith(_NOT_READ)
        and not is_weights(path)
        and not {"..", ""} & {*path.split("/")}
    }


def is_weights(path: str) -> bool:
    """Whether a file of that name holds weights, in any format."""
    return path.endswith(_WEIGHTS) or is_pickle(path)


def fetch(
    endpoint: Endpoint, repo_id: str, commit: str, paths: Sequence[str], tree: Mapping[str, RemoteFile] | None = None
) -> Path:
    """Return the folder with some files of a commit, downloaded unless cached.

    Files in the cache that are shorter than in `tree`, or small and other than there, are damaged, and downloaded
    again. Weights are not hashed here.

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
    if damaged := [path for path in paths if _is_damaged(folder / path, path, tree[path])]:
        _LOG.warning("%s: damaged in the cache, downloading again: %s", folder, listed(damaged, most=3))
        try:
            snapshot(endpoint, repo_id, commit, allow_patterns=patterns(damaged), force_download=True)
        except OSError as error:
            file = (folder / damaged[0]).resolve()
            message = f"{file}: the copy in the cache is damaged, and cannot be replaced: {error.strerror or error}"
            hint = "delete the file, and run it again"
            raise ExportError(message, code="download-differs", hint=hint, path=file) from None
    return folder


def _is_damaged(file: Path, path: str, stated: RemoteFile) -> bool:
    size = file.stat().st_size
    is_hashed = size <= _HASHED and not is_weights(path) and (stated.sha256 or stated.oid)
    return size < stated.size or bool(is_hashed and not same_content(local_file(file), stated))


def tensors_of(endpoint: Endpoint, repo_id: str, branch: Branch, path: str) -> dict[str, Tensor]:
    """Return the tensors of a file of weights, from its first bytes.

    Raises:
        ExportError: it is not a safetensors file, or its size contradicts its header.
        HubError: the hub does not send it.
    """
    size = branch.tree[path].size
    start = read_bytes(endpoint, repo_id, branch.commit, path, min(_HEADER, size)) if size else b""
    if len(start) < header_end(start) <= min(size, MAX_HEADER):
        start = read_bytes(endpoint, repo_id, branch.commit, path, header_end(start))
    return header_tensors(path, size, start)


def read_headers(
    endpoint: Endpoint, repo_id: str, branches: Iterable[Branch]
) -> dict[str, Mapping[str, Tensor] | MixhubError]:
    """Return the tensors of the safetensors files that Transformers opens, or why they could not be read, by content.

    Several at a time, and each content once.
    """
    files = {branch.digest(path): (branch, path) for branch in branches for path in branch.opened_safetensors}

    def read(item: tuple[Branch, str]) -> Mapping[str, Tensor] | MixhubError:
        try:
            return tensors_of(endpoint, repo_id, *item)
        except MixhubError as error:
            return error

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return dict(zip(files, pool.map(read, files.values()), strict=True))
