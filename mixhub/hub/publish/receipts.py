"""What was pushed where: the only place on disk that knows commits."""

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
    """One push that the hub was seen to hold."""

    hub: str
    """What the hub is called: `local`, or its address."""
    commit: str
    """The commit, 40 hexadecimal digits."""
    weights_sha256: Sha256 | None = None
    """The weights that it holds; None for the card on `main`."""
    files: int
    """Files of the branch."""
    size: int
    """Bytes of the branch."""


class Receipts(Spec):
    """The content of `receipts/push.json`: by hub (its store id, else its address), repo_id and branch."""

    format: Literal[1] = 1
    pushes: FrozenMap[str, FrozenMap[str, FrozenMap[str, Receipt]]] = Field(default_factory=dict, validate_default=True)


def hub_key(endpoint: Endpoint) -> str:
    """How receipts name a hub: an embedded one by the identity of its storage, which its address may outlive."""
    return endpoint.store_id or endpoint.url


def workspace_hub_key(workspace: Workspace) -> str:
    """The key of the hub that `mixhub.yaml` names, without a request; of `local`, what its storage on disk says."""
    if workspace.config.hub != LOCAL:
        return workspace.config.hub
    return _local_store(workspace) or LOCAL


def read_receipts(workspace: Workspace, hub: str, repo_id: str) -> dict[str, Receipt]:
    """The receipts of a repo on a hub, by branch; empty when nothing was pushed there."""
    return dict(_store(workspace).read().pushes.get(hub, {}).get(repo_id, {}))


def pushed_commits(workspace: Workspace, hub: str, family: Family) -> dict[str, str]:
    """The commit of each run's branch on a hub, but for runs whose export has other weights than were pushed."""
    receipts = read_receipts(workspace, hub, family.repo_id)
    local = local_weights(workspace, family)
    return {
        run.revision: receipt.commit
        for run in family.runs()
        if (receipt := receipts.get(run.revision)) is not None
        and local.get(run.revision) in (None, receipt.weights_sha256)
    }


def local_weights(workspace: Workspace, family: Family) -> dict[str, str]:
    """`weights_sha256` of each run's last export, by revision, as its lineage says; runs without one are left out."""
    last = family.training.steps
    folders = {run.revision: workspace.run_folder(run) for run in family.runs()}
    return {
        revision: read_lineage(folder.export(last)).weights_sha256
        for revision, folder in folders.items()
        if last in folder.export_steps()
    }


def all_commits(workspace: Workspace, repo_id: str, branch: str, weights_sha256: str | None) -> dict[str, str]:
    """The commit of a branch by hub, where it was pushed with these weights; a local hub that is gone is left out."""
    local = _local_store(workspace)
    commits = {}
    for key, repos in _store(workspace).read().pushes.items():
        receipt = repos.get(repo_id, {}).get(branch)
        gone = receipt is not None and receipt.hub == LOCAL and key != local
        if receipt is not None and receipt.weights_sha256 == weights_sha256 and not gone:
            commits[receipt.hub] = receipt.commit
    return commits


def write_receipt(workspace: Workspace, hub: str, repo_id: str, branch: str, receipt: Receipt) -> None:
    """Adds or replaces the receipt of a branch; several processes may do so at once."""
    with _store(workspace).update() as data:
        data["pushes"].setdefault(hub, {}).setdefault(repo_id, {})[branch] = receipt.to_data()


def _local_store(workspace: Workspace) -> str | None:
    path = workspace.hub / "store.json"
    data = read_json(path) if path.exists() else None
    return str(data["store_id"]) if isinstance(data, Mapping) and "store_id" in data else None


def _store(workspace: Workspace) -> Store[Receipts]:
    return Store(workspace.push_receipts, Receipts, workspace.lock("receipts"))
