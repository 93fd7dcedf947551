"""The names that clients send: repos, refs and paths. All are checked here, before they reach git or the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mixhub.hubserver.storage.refusals import BadRequest

RepoType = Literal["model", "dataset"]
REPO_TYPES: tuple[RepoType, ...] = ("model", "dataset")

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
# The first part of a URL path selects the service; a namespace of that name would be unreachable.
_RESERVED = {"api", "cas", "datasets", "lfs", "models", "spaces"}


@dataclass(frozen=True, order=True)
class RepoName:
    """The type, namespace and name of a repo, all valid."""

    repo_type: RepoType
    namespace: str
    name: str

    @property
    def repo_id(self) -> str:
        """The name as clients write it: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """The path of the repo's page; that of a model has no prefix."""
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    def __str__(self) -> str:
        return f"{self.repo_type} {self.repo_id}"


def repo_name(repo_type: str, repo_id: str) -> RepoName:
    """Parse `namespace/name`; raises BadRequest with the broken rule."""
    if repo_type not in REPO_TYPES:
        raise BadRequest(f"repo type {repo_type!r}: this hub has only models and datasets")
    namespace, slash, name = repo_id.partition("/")
    if not slash or "/" in name:
        raise BadRequest(f"repo id {repo_id!r} must be namespace/name")
    for part in (namespace, name):
        if not _NAME.fullmatch(part):
            rule = "1 to 96 letters, digits, '-', '_' or '.', and must not start or end with '-' or '.'"
            raise BadRequest(f"repo id {repo_id!r}: {part!r} must have {rule}")
        if "--" in part or ".." in part or part.endswith(".git"):
            raise BadRequest(f"repo id {repo_id!r}: {part!r} must not contain '--' or '..', or end with '.git'")
    if namespace.lower() in _RESERVED:
        raise BadRequest(f"repo id {repo_id!r}: the namespace {namespace!r} is reserved")
    return RepoName(repo_type, namespace, name)


def check_path(path: object) -> str:
    """Return a file's path inside a repo; raises BadRequest if it could leave the repo or break git."""
    if not isinstance(path, str) or not path:
        raise BadRequest(f"path {path!r} must be text, and not empty")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BadRequest(f"path {path!r} must be relative, without empty parts, '.' or '..'")
    # Windows and macOS strip trailing dots and blanks, and git~1 is the short name of .git on Windows.
    if any(part.rstrip(". ").lower() in (".git", "git~1") for part in parts):
        raise BadRequest(f"path {path!r}: '.git' cannot be part of a path")
    if re.search(r"[\x00-\x1f\x7f\\\ud800-\udfff]", path) or any(len(part.encode()) > 255 for part in parts):
        rule = "must be Unicode without control characters and backslashes, and its parts at most 255 bytes long"
        raise BadRequest(f"path {path[:300]!r} {rule}")
    return path


def check_ref(name: str, kind: str) -> str:
    """Return the name of a branch or tag; raises BadRequest if git or a client would misread it."""
    import pygit2

    if not pygit2.reference_is_valid_name(f"refs/heads/{name}") or name.startswith(("refs/", "-")):
        raise BadRequest(f"{name!r} is not a valid name for a {kind}")
    if re.fullmatch(r"[0-9a-f]{40}", name):
        raise BadRequest(f"{kind} {name!r} looks like a commit id")
    return name


def is_commit_prefix(revision: str) -> bool:
    """Return whether `revision` can be the start of a commit id: 7 to 40 hex digits."""
    return re.fullmatch(r"[0-9a-f]{7,40}", revision) is not None


def check_sha256(oid: object) -> str:
    """Return a sha256 of 64 lower-case hex digits; raises BadRequest for anything else."""
    if not isinstance(oid, str) or not re.fullmatch(r"[0-9a-f]{64}", oid):
        raise BadRequest(f"oid {oid!r} must be a sha256 in 64 hex digits")
    return oid
