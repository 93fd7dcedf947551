"""Branches of a repo as they lie on a hub: their files, and the content of the small ones."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.files import read_json
from mixhub.hub.remote.client import ASKED_AT_ONCE, first_bytes, hub_errors, remote_tree
from mixhub.hub.remote.files import RemoteFile, safetensors_in, weights_in
from mixhub.hub.rules.export import is_pickle
from mixhub.hub.rules.weights import MOST_HEADER, Tensor, header_end, header_tensors
from mixhub.progress import Bar
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, WeightsIndex
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage, combined_sha256, read_lineage

_SMALL = 30_000_000
"""Bytes up to which a file is read, that is no weights."""
_HEADER = 100_000
"""Bytes in which the header of most files of weights lies."""
_NOT_READ = (".safetensors", ".parquet", ".png", ".svg", ".h5", ".msgpack", ".onnx", ".gguf")


@dataclass(frozen=True)
class Branch:
    """A branch at one commit."""

    name: str
    commit: str
    tree: Mapping[str, RemoteFile]
    """All files, by path."""
    folder: Path
    """Holds the small ones."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.tree.values())

    @property
    def safetensors(self) -> list[str]:
        """Files of weights, in no folder."""
        return safetensors_in(self.tree)

    @property
    def pickles(self) -> list[str]:
        """Files that run code when they are opened, in no folder."""
        return sorted(path for path in self.tree if is_pickle(path) and "/" not in path)

    @property
    def is_model(self) -> bool:
        """Whether it holds a model, or part of one."""
        return bool(self.safetensors or self.pickles or "config.json" in self.tree)

    @property
    def weights(self) -> str | None:
        """Names the weights by the hashes that the hub tells, whatever the files are called; None without weights."""
        hashes = [self.tree[path].sha256 or self.tree[path].oid for path in self.safetensors or self.pickles]
        return combined_sha256(("", digest) for digest in hashes) if hashes else None

    @property
    def weights_sha256(self) -> str | None:
        """As `mixhub.workspace.lineage.weights_sha256`, from what the hub tells; None where it does not."""
        return weights_in(self.tree)

    def index(self) -> WeightsIndex | None:
        """The index of its shards, if it has one; raises ExportError when that is malformed."""
        return WeightsIndex.read(self.folder) if WEIGHTS_INDEX_FILE in self.tree else None

    def lineage(self) -> Lineage | None:
        """Its lineage, where it has one; raises MixhubError when that is malformed."""
        return read_lineage(self.folder) if LINEAGE_FILE in self.tree else None

    def json(self, path: str) -> Any:
        """The content of one of its small files; None where it has none, or it is no JSON."""
        try:
            return read_json(self.folder / path, MixhubError)
        except MixhubError:
            return None

    def text(self, path: str) -> str | None:
        """The text of one of its small files; None where it has none."""
        file = self.folder / path
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None


def read_branches(endpoint: Endpoint, repo_id: str, heads: Mapping[str, str], bar: Bar) -> Iterator[Branch]:
    """Reads branches, some at a time, in their order.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        heads: commits by branch.
        bar: is told of each branch that was read.
    """

    def one(item: tuple[str, str]) -> Branch:
        return read_branch(endpoint, repo_id, *item)

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        for branch in pool.map(one, heads.items()):
            bar.advance(note=branch.name)
            yield branch


def read_branch(endpoint: Endpoint, repo_id: str, name: str, commit: str) -> Branch:
    """Reads one branch: the names of all files, and the content of the small ones, from the cache where it is there."""
    tree = remote_tree(endpoint, repo_id, commit)
    readable = [path for path, file in tree.items() if not path.endswith(_NOT_READ) and not is_pickle(path)]
    return Branch(name, commit, tree, fetch(endpoint, repo_id, commit, [p for p in readable if tree[p].size <= _SMALL]))


def fetch(endpoint: Endpoint, repo_id: str, commit: str, paths: Sequence[str]) -> Path:
    """The folder that holds some files of a commit, downloaded where they are not in the cache."""
    from huggingface_hub import snapshot_download

    with hub_errors(endpoint, repo_id, commit):
        folder = snapshot_download(
            repo_id,
            revision=commit,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            allow_patterns=[glob.escape(path) for path in paths] or [".gitattributes"],
        )
    return Path(str(folder))


def tensors_of(endpoint: Endpoint, repo_id: str, branch: Branch, path: str) -> dict[str, Tensor]:
    """The tensors of a file of weights, from its first bytes alone.

    Raises:
        ExportError: it is no safetensors file, or has another size than its header says.
        HubError: the hub does not give it.
    """
    size = branch.tree[path].size
    start = first_bytes(endpoint, repo_id, branch.commit, path, _HEADER)
    if len(start) < header_end(start) <= min(size, MOST_HEADER):
        start = first_bytes(endpoint, repo_id, branch.commit, path, header_end(start))
    return header_tensors(path, size, start)
