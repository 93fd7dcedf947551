"""What a push would change on a branch: a pure comparison of two trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mixhub.findings import Finding
from mixhub.hub.remote.files import KEPT_ON_HUB, LocalFile, RemoteFile, same_content

Action = Literal["add", "replace", "delete", "keep"]


@dataclass(frozen=True)
class Change:
    """What happens to one path."""

    path: str
    action: Action
    size: int
    """Bytes after the push; of a deleted file, those that it had."""


@dataclass(frozen=True)
class Plan:
    """What a push does to one branch."""

    repo_id: str
    branch: str
    files: Mapping[str, LocalFile]
    changes: tuple[Change, ...]
    parent: str | None
    """Commit to build on: the branch's, or the repo's first where the branch is new; None where the repo is new."""
    branch_exists: bool
    weights_sha256: str | None
    """The weights; None for the card on `main`."""
    findings: tuple[Finding, ...] = ()
    """What is wrong: a plan with errors is not carried out."""
    message: str = ""
    """Of the commit."""
    tag: str | None = None
    """A tag that the commit gets."""
    private: bool = False
    """Whether a repo that is made for it is private."""
    copied: Mapping[str, str] = field(default_factory=dict)
    """Files that the hub copies, by path: the revision of the repo that has, or by then will have, the same there."""

    @property
    def changed(self) -> list[Change]:
        """What the commit does."""
        return [change for change in self.changes if change.action != "keep"]

    @property
    def bytes_to_send(self) -> int:
        """Bytes of new and replaced files, but for those that the hub copies."""
        sent = (change for change in self.changed if change.action != "delete" and change.path not in self.copied)
        return sum(change.size for change in sent)


def changes(local: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile]) -> list[Change]:
    """What makes `remote` into `local`, by path; the same content is kept, whatever its date.

    Args:
        local: the files to be on the branch.
        remote: those that are, as far as a push may delete them; those that the hub makes itself are left alone.
    """
    planned = []
    for path in sorted(local):
        if path not in remote:
            action: Action = "add"
        else:
            action = "keep" if same_content(local[path], remote[path]) else "replace"
        planned.append(Change(path, action, local[path].size))
    extra = sorted(set(remote) - set(local) - KEPT_ON_HUB)
    return planned + [Change(path, "delete", remote[path].size) for path in extra]
