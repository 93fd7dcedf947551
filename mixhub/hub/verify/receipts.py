"""Which branches were verified on which hub, at which commit, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from mixhub.hub.verify.repo import Verification
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from mixhub.workspace.paths import Workspace


class VerifyReceipt(Spec):
    """One branch without errors."""

    commit: str
    """The commit, 40 hexadecimal digits."""
    at: str
    """Time in UTC, such as `2026-11-23T07:00Z`."""
    deep: bool
    """Whether its weights were read as well."""


class VerifyReceipts(Spec):
    """The content of `receipts/verify.json`: by hub, repo_id and branch."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    branches: FrozenMap[str, FrozenMap[str, FrozenMap[str, VerifyReceipt]]] = Field({}, validate_default=True)


def verified_at(workspace: Workspace, repo_id: str, branch: str, commit: str) -> str | None:
    """Return when a commit of a branch was last verified, on any hub: a commit identifies its content."""
    repos = (repos.get(repo_id, {}) for repos in _store(workspace).read().branches.values())
    receipts = (known[branch] for known in repos if branch in known)
    return max((receipt.at for receipt in receipts if receipt.commit == commit), default=None)


def note_verification(workspace: Workspace, hub: str, verification: Verification, *, deep: bool) -> None:
    """Note the branches that were checked and have no errors, and remove the others."""
    wrong = {finding.where for finding in verification.findings if finding.level != "warning"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
    with _store(workspace).update() as data:
        repos = data["branches"].setdefault(hub, {})
        for branch in verification.branches:
            known = repos.setdefault(branch.repo_id, {})
            known.pop(branch.name, None)
            if branch.commit is not None and verification.where(branch) not in wrong:
                known[branch.name] = {"commit": branch.commit, "at": now, "deep": deep}


def _store(workspace: Workspace) -> Store[VerifyReceipts]:
    return Store(workspace.verify_receipts, VerifyReceipts, workspace.lock("verify-receipts"))
