"""A revision of a repo, pinned to a commit and downloaded; optionally compared with what was published."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, HubUnreachableError, MixhubError
from mixhub.files import write_text
from mixhub.hub.remote.client import client, hub_errors, revision_not_found, snapshot
from mixhub.hub.remote.files import RemoteFile, local_file, same_content
from mixhub.hub.remote.model_files import WRONGLY_PUBLISHED, fetch_model
from mixhub.hub.rules.config import CONFIG
from mixhub.hub.rules.lineage import hash_findings
from mixhub.workspace.export import opened_weights
from mixhub.workspace.lineage import LINEAGE_FILE, file_sha256, read_lineage, weights_sha256

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A whole commit, which alone pins a revision."""
_NOT_FOR_LOADING = ["results/*", "metrics.jsonl", "*.svg", "*.png"]


def download(
    endpoint: Endpoint, repo_id: str, revision: str, *, subfolder: str = "", whole: bool = False
) -> tuple[str, Path]:
    """Return the commit that a revision names, and its snapshot with the files that Transformers opens.

    If the hub cannot be reached, the last download is used, with a warning that names the commit.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        revision: a branch, tag or commit.
        subfolder: the folder of the model in the repo.
        whole: with all weights, for callers who choose among them.

    Raises:
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second lists the existing ones.
        HubUnreachableError: nothing answers, and the cache does not hold the revision.
        ExportError: the revision holds no model that Transformers can open, by the names of its files.
    """
    from huggingface_hub import errors

    try:
        with hub_errors(endpoint, repo_id, revision):
            try:
                info = client(endpoint).model_info(repo_id, revision=revision, files_metadata=True)
            except errors.RevisionNotFoundError:
                raise revision_not_found(endpoint, repo_id, revision) from None
            head = str(info.sha)
        if COMMIT.fullmatch(revision) and head != revision:
            message = f"{endpoint}: answers with commit {head} of {repo_id} instead of {revision}"
            hint = "load from another hub: this one, or a mirror in between, is wrong"
            raise HubError(message, code="commit-differs", hint=hint, revision=revision)
        if whole:
            folder = snapshot(endpoint, repo_id, head, ignore_patterns=_NOT_FOR_LOADING)
        else:
            folder = fetch_model(endpoint, repo_id, head, _tree(info), f"{repo_id}@{revision}", subfolder)
        if revision != head:  # where the cache keeps what a name means, for when the hub cannot be reached
            with suppress(OSError):  # a shared cache may be read-only
                write_text(folder.parent.parent / "refs" / revision, head)
        return head, folder
    except HubUnreachableError as error:
        try:
            folder = snapshot(endpoint, repo_id, revision, local_files_only=True, ignore_patterns=_NOT_FOR_LOADING)
        except HubUnreachableError:
            raise error from None
        if not whole and not _is_complete(folder / subfolder):
            raise error from None
        commit = folder.name  # the cache names a snapshot's folder after its commit
        warnings.warn(
            f"{endpoint} cannot be reached; loading {repo_id}@{revision} from the cache, commit {commit}", stacklevel=3
        )
        return commit, folder


def cached_names(endpoint: Endpoint, repo_id: str) -> list[str]:
    """Return the names under which revisions of a repo were downloaded, for when the hub cannot be reached."""
    from huggingface_hub.constants import HF_HUB_CACHE

    refs = Path(endpoint.cache_dir or HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}" / "refs"
    return sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file())


def _tree(info: ModelInfo) -> dict[str, RemoteFile]:
    return {
        file.rfilename: RemoteFile(file.size or 0, file.blob_id or "", file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }


def _is_complete(folder: Path) -> bool:
    """Whether a snapshot has all that loading needs: `verify` downloads small files, a killed download leaves some."""
    if not all((folder / name).is_file() for name in (CONFIG, "tokenizer_config.json")):
        return False
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    try:
        weights = opened_weights(folder, present)
    except MixhubError:
        return False
    return bool(weights) and present.issuperset(weights)


def require_as_published(endpoint: Endpoint, repo_id: str, commit: str, path: Path) -> None:
    """Hash a snapshot, and compare it with the hub and its lineage.

    Raises:
        ExportError: a file differs from what was published; or there is neither a hub nor a lineage to compare with.
    """
    lineage = read_lineage(path) if (path / LINEAGE_FILE).is_file() else None
    tree = _tree_if_reachable(endpoint, repo_id, commit)
    if not tree and lineage is None:
        message = f"{repo_id}@{commit}: cannot be verified without the hub: it has no {LINEAGE_FILE}"
        hint = "pass verify=False, or load it with network access"
        raise ExportError(message, code="download-unverifiable", hint=hint)
    if (damaged := _first_difference(endpoint, commit, path, tree)) is not None:
        raise damaged
    if lineage is not None:
        tokenizer = path / "tokenizer.json"
        tokenizer_sha256 = file_sha256(tokenizer) if tokenizer.is_file() else "absent"
        where = f"{repo_id}@{commit}"
        for finding in hash_findings(where, lineage, weights_sha256(path), tokenizer_sha256, WRONGLY_PUBLISHED):
            raise ExportError(str(finding), code=finding.code, hint=finding.hint, path=path)


def damaged_file(endpoint: Endpoint, repo_id: str, commit: str, path: Path) -> ExportError | None:
    """Return the error for the first file of a snapshot that differs from the hub; None if none does, or unknown."""
    return _first_difference(endpoint, commit, path, _tree_if_reachable(endpoint, repo_id, commit))


def _tree_if_reachable(endpoint: Endpoint, repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """Return the files of a commit; empty if the hub does not answer."""
    try:
        with hub_errors(endpoint, repo_id, commit):  # one request; a listing would be retried if nothing answers
            return _tree(client(endpoint).model_info(repo_id, revision=commit, files_metadata=True))
    except HubUnreachableError:
        return {}


def _first_difference(
    endpoint: Endpoint, commit: str, path: Path, tree: Mapping[str, RemoteFile]
) -> ExportError | None:
    for file in sorted(path.rglob("*")) if tree else ():
        name = file.relative_to(path).as_posix()
        if not file.is_file() or (name in tree and same_content(local_file(file), tree[name])):
            continue
        hint = f"the copy in the cache is damaged: delete {file.resolve()}, and load it again"
        if name in tree:
            message = f"{file}: differs from {endpoint} at {commit}"
            return ExportError(message, code="download-differs", hint=hint, path=file)
        hint = f"delete {file}, and load it again"
        message = f"{file}: is not a file of {endpoint} at {commit}"
        return ExportError(message, code="download-foreign", hint=hint, path=file)
    return None
