"""What a push would change on a branch: a pure comparison of two trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mixhub.findings import Finding
from mixhub.hub.remote.files import KEPT_ON_HUB, MAIN, LocalFile, RemoteFile, same_content

Action = Literal["add", "replace", "delete", "keep"]


@dataclass(frozen=True)
class PushOptions:
    """What a push may be asked for beside which runs."""

    samples: bool = False
    """The samples of the results too, as parquet."""
    tag: str | None = None
    """A tag for the commits: `<branch>-<tag>` on the branch of a run, the tag itself on `main`."""
    private: bool = False
    """Make the repo private, where it is new."""
    force: bool = False
    """Replace a card that somebody changed on the hub and a model that somebody else put on `main`, and delete results
    that only the branch has."""

    def tag_of(self, branch: str) -> str | None:
        """The tag of a branch's commit."""
        return self.tag if self.tag is None or branch == MAIN else f"{branch}-{self.tag}"


DEFAULTS = PushOptions()


@dataclass(frozen=True)
class FileChange:
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
    changes: tuple[FileChange, ...]
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
    def changed(self) -> list[FileChange]:
        """What the commit does."""
        return [change for change in self.changes if change.action != "keep"]

    @property
    def bytes_to_send(self) -> int:
        """Bytes of new and replaced files, but for those that the hub copies."""
        sent = (change for change in self.changed if change.action != "delete" and change.path not in self.copied)
        return sum(change.size for change in sent)


def changes(local: Mapping[str, LocalFile], remote: Mapping[str, RemoteFile]) -> list[FileChange]:
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
        planned.append(FileChange(path, action, local[path].size))
    extra = sorted(set(remote) - set(local) - KEPT_ON_HUB)
    return planned + [FileChange(path, "delete", remote[path].size) for path in extra]
