"""The names that clients send: repos, refs and paths. All are checked here, before they reach git or the disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mixhub.hubserver.storage.refusals import BadRequest

RepoType = Literal["model", "dataset"]
REPO_TYPES: tuple[RepoType, ...] = ("model", "dataset")

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT_PREFIX = re.compile(r"[0-9a-f]{7,40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The first part of a URL path says what is asked for; a namespace of that name would hide it.
_RESERVED = {"api", "cas", "datasets", "lfs", "models", "spaces"}


@dataclass(frozen=True, order=True)
class RepoName:
    """Which repo: its type, namespace and name, all valid."""

    repo_type: RepoType
    namespace: str
    name: str

    @property
    def repo_id(self) -> str:
        """As clients write it: `namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """The path of the repo's page; that of a model has no prefix."""
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"

    def __str__(self) -> str:
        return f"{self.repo_type} {self.repo_id}"


def repo_name(repo_type: str, repo_id: str) -> RepoName:
    """Parses `namespace/name`; raises BadRequest with the rule that it breaks."""
    if repo_type not in REPO_TYPES:
        raise BadRequest(f"repo type {repo_type!r}: this hub keeps models and datasets only")
    namespace, slash, name = repo_id.partition("/")
    if not slash or "/" in name:
        raise BadRequest(f"repo id {repo_id!r} must be namespace/name")
    for part in (namespace, name):
        _check_name(part, repo_id)
    if namespace.lower() in _RESERVED:
        raise BadRequest(f"repo id {repo_id!r}: the namespace {namespace!r} is reserved")
    return RepoName(repo_type, namespace, name)


def check_path(path: object) -> str:
    """A file's path inside a repo, unchanged; raises BadRequest for one that could leave the repo or break git."""
    if not isinstance(path, str) or not path:
        raise BadRequest(f"path {path!r} must be a text that is not empty")
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise BadRequest(f"path {path!r} must be relative, without empty parts, '.' or '..'")
    if any(_is_git_folder(part) for part in parts):
        raise BadRequest(f"path {path!r}: '.git' cannot be part of a path")
    if _CONTROL.search(path) or "\\" in path:
        raise BadRequest(f"path {path!r} must have no control characters and no backslashes")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in parts):
        raise BadRequest(f"path {path[:80]!r}...: a part is longer than 255 bytes")
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise BadRequest(f"path {path!r} must be valid Unicode")
    return path


def check_ref(name: str, kind: str) -> str:
    """The name of a branch or tag, unchanged; raises BadRequest when git or a client would misread it."""
    import pygit2

    if not pygit2.reference_is_valid_name(f"refs/heads/{name}") or name.startswith(("refs/", "-")):
        raise BadRequest(f"{kind} {name!r} is not a valid name for a {kind}")
    if re.fullmatch(r"[0-9a-f]{40}", name):
        raise BadRequest(f"{kind} {name!r} would be taken for a commit")
    return name


def is_commit_prefix(revision: str) -> bool:
    """Whether `revision` can be the start of a commit id: 7 to 40 hex digits."""
    return _COMMIT_PREFIX.fullmatch(revision) is not None


def check_sha256(oid: object) -> str:
    """A sha256 as 64 lower-case hex digits, unchanged; else BadRequest."""
    if not isinstance(oid, str) or not _SHA256.fullmatch(oid):
        raise BadRequest(f"oid {oid!r} must be a sha256 in 64 hex digits")
    return oid


def _check_name(part: str, repo_id: str) -> None:
    if not _NAME.fullmatch(part):
        raise BadRequest(
            f"repo id {repo_id!r}: {part!r} must have 1 to 96 letters, digits, '-', '_' or '.', "
            "and neither start nor end with '-' or '.'"
        )
    if "--" in part or ".." in part or part.endswith(".git"):
        raise BadRequest(f"repo id {repo_id!r}: {part!r} must not contain '--' or '..', nor end with '.git'")


def _is_git_folder(part: str) -> bool:
    # Windows and macOS strip trailing dots and blanks, and git~1 is the short name of .git on Windows.
    return part.rstrip(". ").lower() in (".git", "git~1")
