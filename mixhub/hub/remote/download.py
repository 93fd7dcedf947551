"""A revision of a repo, downloaded: pinned to a commit first, and compared with what was published if asked for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, HubUnreachableError
from mixhub.files import write_text
from mixhub.hub.remote.client import client, hub_errors, revision_not_found
from mixhub.hub.remote.files import RemoteFile, local_file, same_content
from mixhub.workspace.export import WEIGHTS_INDEX_FILE, weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, file_sha256, read_lineage, weights_sha256

COMMIT = re.compile(r"[0-9a-f]{40}")
"""A commit in full: what alone pins a revision."""
_OTHER_WEIGHTS = ["*.bin", "*.pt", "*.pth", "*.h5", "*.msgpack", "*.onnx", "*.gguf", "*.ckpt"]
_NOT_FOR_LOADING = ["results/*", "metrics.jsonl", "*.svg", "*.png"]


def download(endpoint: Endpoint, repo_id: str, revision: str) -> tuple[str, Path]:
    """The commit that a revision names, and its snapshot, without results, plots and duplicate weights.

    Where the hub cannot be reached, what it gave last is taken from the cache, with a warning that names the commit.

    Raises:
        RepoNotFoundError, RevisionNotFoundError: the hub has none; the second names those that it has.
        HubUnreachableError: nothing answers, and the cache does not hold the revision whole.
    """
    from huggingface_hub import errors

    try:
        with hub_errors(endpoint, repo_id, revision):
            try:
                info = client(endpoint).model_info(repo_id, revision=revision)
                paths = [sibling.rfilename for sibling in info.siblings or ()]
                head: str | None = str(info.sha)
            except errors.RevisionNotFoundError:
                head = None
        if head is None:
            raise revision_not_found(endpoint, repo_id, revision)
        if COMMIT.fullmatch(revision) and head != revision:
            raise HubError(
                f"{endpoint}: was asked for commit {revision} of {repo_id}, and answers with {head}",
                code="commit-differs",
                hint="this hub, or a mirror before it, does not give what is asked for: load it from another",
                repo_id=repo_id,
                revision=revision,
            )
        commit, path = _snapshot(endpoint, repo_id, head, paths, local_files_only=False)
        if revision != commit:  # where the cache keeps what a name meant, for when the hub cannot be asked
            with suppress(OSError):  # a cache that others filled may be read-only
                write_text(path.parent.parent / "refs" / revision, commit)
        return commit, path
    except HubUnreachableError as error:
        try:
            commit, path = _snapshot(endpoint, repo_id, revision, [], local_files_only=True)
        except HubUnreachableError:
            raise error from None
        if not _is_whole(path):
            raise error from None
        warnings.warn(
            f"{endpoint} cannot be reached; loading {repo_id}@{revision} from the cache, commit {commit}", stacklevel=3
        )
        return commit, path


def require_as_published(endpoint: Endpoint, repo_id: str, commit: str, path: Path) -> None:
    """Hashes a snapshot, and compares it with what the hub and its lineage say.

    Raises:
        ExportError: a file is another than was published; or neither the hub nor a lineage tells what was.
    """
    hint = f"delete {path.parent.parent} and load again; if it stays, tell who published it"
    lineage = read_lineage(path) if (path / LINEAGE_FILE).is_file() else None
    try:
        tree = _told_files(endpoint, repo_id, commit)
    except HubUnreachableError:
        tree = {}
    if not tree and lineage is None:
        raise ExportError(
            f"{repo_id}@{commit}: cannot be verified: the hub cannot be reached, and it has no {LINEAGE_FILE}",
            code="download-unverifiable",
            hint="load it with verify=False, or where the hub can be reached",
        )
    present = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    if beside := [name for name in present if tree and name not in tree]:
        raise ExportError(
            f"{path / beside[0]}: is not among the files that {endpoint} has at {commit}",
            code="download-foreign",
            hint=hint,
            path=path / beside[0],
        )
    for name, file in tree.items():
        if (path / name).is_file() and not same_content(local_file(path / name), file):
            raise ExportError(
                f"{path / name}: is not the file that {endpoint} has at {commit}",
                code="download-differs",
                hint=hint,
                path=path / name,
            )
    if lineage is None:
        return
    tokenizer = path / "tokenizer.json"
    tokenizer_sha256 = file_sha256(tokenizer) if tokenizer.is_file() else "absent"
    for what, code, told, actual in (
        ("weights", "weights-differ", lineage.weights_sha256, weights_sha256(path)),
        ("tokenizer", "tokenizer-differs", lineage.tokenizer_sha256, tokenizer_sha256),
    ):
        if told not in (UNKNOWN, actual):
            raise ExportError(
                f"{repo_id}@{commit}: its {what} are {actual}, but {LINEAGE_FILE} says {told}",
                code=code,
                hint="this revision was published wrongly; tell who did, or load another",
                path=path,
            )


def _told_files(endpoint: Endpoint, repo_id: str, commit: str) -> dict[str, RemoteFile]:
    """The files of a commit, asked for once: a listing would be asked for again and again where nothing answers."""
    with hub_errors(endpoint, repo_id, commit):
        info = client(endpoint).model_info(repo_id, revision=commit, files_metadata=True)
    return {
        file.rfilename: RemoteFile(file.size or 0, file.blob_id or "", file.lfs.sha256 if file.lfs else None)
        for file in info.siblings or ()
    }


def _snapshot(
    endpoint: Endpoint, repo_id: str, revision: str, paths: Iterable[str], *, local_files_only: bool
) -> tuple[str, Path]:
    from huggingface_hub import snapshot_download

    ignored = list(_NOT_FOR_LOADING)
    if any(path.endswith(".safetensors") for path in paths):
        ignored += _OTHER_WEIGHTS
    with hub_errors(endpoint, repo_id, revision):
        folder = snapshot_download(
            repo_id,
            revision=revision,
            endpoint=endpoint.url,
            token=endpoint.token,
            cache_dir=endpoint.cache_dir,
            ignore_patterns=ignored,
            local_files_only=local_files_only,
        )
    path = Path(str(folder))
    return path.name, path  # the cache names a snapshot's folder by its commit


def _is_whole(snapshot: Path) -> bool:
    """Whether an earlier download of a model came to its end."""
    if not all((snapshot / name).exists() for name in ("config.json", "tokenizer_config.json")):
        return False
    index = snapshot / WEIGHTS_INDEX_FILE
    if index.exists():
        return all((snapshot / name).exists() for name in weight_files(snapshot))
    return any(snapshot.glob("*.safetensors")) or any(snapshot.glob("*.bin"))
