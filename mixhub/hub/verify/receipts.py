"""Which branches were verified on which hub, at which commit, and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from mixhub.findings import errors
from mixhub.hub.verify.repo import Verification
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from mixhub.workspace.paths import Workspace


class VerifyReceipt(Spec):
    """One branch in which nothing wrong was found."""

    commit: str
    """The commit, 40 hexadecimal digits."""
    at: str
    """When, UTC, as `2026-11-23T07:00Z`."""
    deep: bool
    """Whether its weights were downloaded and read."""


class VerifyReceipts(Spec):
    """The content of `receipts/verify.json`: by hub, repo_id and branch."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    branches: FrozenMap[str, FrozenMap[str, FrozenMap[str, VerifyReceipt]]] = Field({}, validate_default=True)


def read_verified(workspace: Workspace, hub: str, repo_id: str) -> Mapping[str, VerifyReceipt]:
    """What was verified of a repo on a hub, by branch."""
    return _store(workspace).read().branches.get(hub, {}).get(repo_id, {})


def verified_at(workspace: Workspace, repo_id: str, branch: str, commit: str) -> str | None:
    """When a commit of a branch was verified last, on whichever hub: a commit names its content."""
    repos = (repos.get(repo_id, {}) for repos in _store(workspace).read().branches.values())
    found = (known[branch] for known in repos if branch in known)
    return max((receipt.at for receipt in found if receipt.commit == commit), default=None)


def note_verification(workspace: Workspace, hub: str, verification: Verification, *, deep: bool) -> None:
    """Notes the branches in which nothing wrong was found, and forgets those in which something was."""
    wrong = {finding.where for finding in errors(verification.findings)}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    with _store(workspace).update() as data:
        known = data["branches"].setdefault(hub, {}).setdefault(verification.repo_id, {})
        for branch in verification.branches:
            known.pop(branch.name, None)
            if branch.commit is not None and branch.name not in wrong:
                known[branch.name] = {"commit": branch.commit, "at": now, "deep": deep}


def _store(workspace: Workspace) -> Store[VerifyReceipts]:
    return Store(workspace.verify_receipts, VerifyReceipts, workspace.lock("verify-receipts"))
