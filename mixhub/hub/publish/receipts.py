"""Which commits were pushed to which hub. Only these files hold commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from mixhub.endpoint import LOCAL, Endpoint
from mixhub.files import read_json
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.family import Family
from mixhub.workspace.lineage import Sha256, read_lineage
from mixhub.workspace.paths import Workspace


class Receipt(Spec):
    """One push that the hub confirmed."""

    hub: str
    """`local`, or the address of the hub."""
    commit: str
    """The commit, 40 hexadecimal digits."""
    weights_sha256: Sha256 | None = None
    """The weights; None for the card on `main`."""
    files: int
    """Files of the branch."""
    size: int
    """Bytes of the branch."""
    content: FrozenMap[str, str] = Field({}, validate_default=True)
    """sha256 of each file that was pushed, by path (sha1 of git's blob where only that is known)."""


class Receipts(Spec):
    """The content of `receipts/push.json`: by hub (its store id, else its address), repo_id and branch."""

    format: Literal[1] = 1
    pushes: FrozenMap[str, FrozenMap[str, FrozenMap[str, Receipt]]] = Field({}, validate_default=True)


def hub_key(endpoint: Endpoint) -> str:
    """Return the key of a hub in receipts: for an embedded hub the id of its storage, since its address changes."""
    return endpoint.store_id or endpoint.url


def workspace_hub_key(workspace: Workspace) -> str:
    """Return the key of the hub in `mixhub.yaml` without a request; for `local` from its storage on disk."""
    if workspace.config.hub != LOCAL:
        return workspace.config.hub
    return _local_store(workspace) or LOCAL


def read_receipts(workspace: Workspace, hub: str, repo_id: str) -> dict[str, Receipt]:
    """Return the receipts of a repo on a hub, by branch."""
    return dict(_store(workspace).read().pushes.get(hub, {}).get(repo_id, {}))


def pushed_commits(workspace: Workspace, hub: str, family: Family) -> dict[str, str]:
    """Return the commit of each run on a hub, by revision, unless its export has other weights than were pushed."""
    repos = _store(workspace).read().pushes.get(hub, {})
    local = local_weights(workspace, family)
    return {
        run.revision: receipt.commit
        for run in family.runs()
        if (receipt := repos.get(run.repo_id, {}).get(run.branch)) is not None
        and local.get(run.revision) in (None, receipt.weights_sha256)
    }


def local_weights(workspace: Workspace, family: Family) -> dict[str, str]:
    """Return `weights_sha256` of each run's last export by its lineage, by revision; omits runs without one."""
    last = family.training.steps
    return {
        run.revision: read_lineage(workspace.run_folder(run).export(last)).weights_sha256
        for run in family.runs()
        if last in workspace.run_folder(run).export_steps()
    }


def all_commits(workspace: Workspace, repo_id: str, branch: str, weights_sha256: str | None) -> dict[str, str]:
    """Return the commit of a branch with these weights, by hub; omits a local hub that no longer exists."""
    local = _local_store(workspace)
    commits = {}
    for key, repos in _store(workspace).read().pushes.items():
        receipt = repos.get(repo_id, {}).get(branch)
        gone = receipt is not None and receipt.hub == LOCAL and key != local
        if receipt is not None and receipt.weights_sha256 == weights_sha256 and not gone:
            commits[receipt.hub] = receipt.commit
    return commits


def write_receipt(workspace: Workspace, hub: str, repo_id: str, branch: str, receipt: Receipt) -> None:
    """Add or replace the receipt of a branch; several processes may do so at once."""
    with _store(workspace).update() as data:
        data["pushes"].setdefault(hub, {}).setdefault(repo_id, {})[branch] = receipt.to_data()


def _local_store(workspace: Workspace) -> str | None:
    path = workspace.hub / "store.json"
    data = read_json(path) if path.exists() else None
    return str(data["store_id"]) if isinstance(data, Mapping) and "store_id" in data else None


def _store(workspace: Workspace) -> Store[Receipts]:
    return Store(workspace.push_receipts, Receipts, workspace.lock("receipts"))
