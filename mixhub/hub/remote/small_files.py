"""Small files of many commits, in the cache of huggingface_hub, with one request for each content.

The branches of a family share configs and tokenizer. huggingface_hub would list each commit again, and make two
requests for each file of it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, MixhubError
from mixhub.files import write_bytes
from mixhub.hub.remote.client import PARALLEL_REQUESTS, read_bytes
from mixhub.hub.remote.files import RemoteFile, git_oid

_LOG = logging.getLogger(__name__)


def fetch_small_files(
    endpoint: Endpoint, repo_id: str, files: Mapping[str, Mapping[str, RemoteFile]]
) -> dict[str, Path | MixhubError]:
    """Return the folder of each commit with some of its files, downloaded unless cached, or why one could not be read.

    Files in the cache of another size than stated are damaged, and downloaded again.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        files: the files to read, by commit and path.
    """
    from mixhub.hub.remote.huggingface_private import link_content, repo_storage

    storage = repo_storage(endpoint.cache_dir, repo_id)
    folders = {commit: storage / "snapshots" / commit for commit in files}
    absent: dict[Path, tuple[str, str, RemoteFile]] = {}
    links: list[tuple[str, Path, Path]] = []
    for commit, path, file in _each(files):
        pointer, blob = folders[commit] / path, storage / "blobs" / (file.sha256 or file.oid)
        if not _is_whole(pointer, file):
            links.append((commit, blob, pointer))
            if not _is_whole(blob, file):
                absent.setdefault(blob, (commit, path, file))
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        results = pool.map(lambda item: _download(endpoint, repo_id, item[0], *item[1]), absent.items())
        errors = {blob: error for blob, error in zip(absent, results, strict=True) if error is not None}
    answer: dict[str, Path | MixhubError] = dict(folders)
    for commit, blob, pointer in links:
        if (error := errors.get(blob)) is not None:
            answer[commit] = error
        else:
            pointer.parent.mkdir(parents=True, exist_ok=True)
            pointer.unlink(missing_ok=True)
            link_content(blob, pointer)
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)  # of a commit without such files
    return answer


def _each(files: Mapping[str, Mapping[str, RemoteFile]]) -> Iterator[tuple[str, str, RemoteFile]]:
    return ((commit, path, file) for commit, tree in files.items() for path, file in tree.items())


def _is_whole(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _download(
    endpoint: Endpoint, repo_id: str, blob: Path, commit: str, path: str, file: RemoteFile
) -> MixhubError | None:
    """Download one content; return what went wrong."""
    if blob.is_file():
        _LOG.warning("%s: damaged in the cache, downloading %s again", blob, path)
    try:
        content = read_bytes(endpoint, repo_id, commit, path, file.size) if file.size else b""
    except HubError as error:
        return error
    actual = git_oid(content) if file.sha256 is None else hashlib.sha256(content).hexdigest()
    if actual != (file.sha256 or file.oid):
        message = f"{endpoint}: sends another {path} of {repo_id} at {commit} than it lists"
        hint = "try again; if it persists, report it to the hub's operators"
        return HubError(message, code="download-differs", hint=hint, path=path)
    try:
        write_bytes(blob, content)
    except OSError as error:
        message = f"{blob}: cannot be written: {error.strerror or error}"
        return ExportError(message, code="download-differs", hint="make the cache writable, or delete it", path=blob)
    return None
