"""The rule that no two branches of a family on a hub share weights, for what a push is about to send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding, Level
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.receipts import Receipt, hub_key, read_receipts
from mixhub.hub.remote.client import PARALLEL_REQUESTS, branch_heads, file_content, remote_tree
from mixhub.hub.remote.files import safetensors_in, weights_in
from mixhub.hub.rules.lineage import initial_findings
from mixhub.hub.rules.revisions import BranchNames
from mixhub.phrases import listed
from mixhub.spec.family import Family
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class _Remote:
    """What is compared of a branch on the hub."""

    weights: str | None
    files: frozenset[str] = frozenset()
    """sha256 of its safetensors files; none if the workspace has the export."""
    lineage: Lineage | None = None


@dataclass(frozen=True)
class _Repo:
    """A repo of the family on the hub, and what the workspace knows of it."""

    family: Family
    """The family as the repo holds it."""
    names: BranchNames
    heads: Mapping[str, str]
    """Commits by branch."""
    receipts: Mapping[str, Receipt]
    """What the workspace pushed there, by branch."""


def compare_with_hub(plans: Sequence[Plan], workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Plan]:
    """Return the plans with findings about weights and initial weights that other branches of the family have, too.

    If each run has a repo of its own, all of them are compared. A branch as this workspace pushed it from an export
    that it still has needs no request.

    Raises:
        HubError: the hub cannot be reached.
    """
    if not family.has_repo_per_run and all(plan.parent is None for plan in plans):
        return list(plans)
    repos = {part.repo_id: _read_repo(workspace, part, endpoint) for part in family.parts()}
    planned = {(plan.repo_id, plan.branch) for plan in plans}
    others = {
        (repo_id, name): repo
        for repo_id, repo in repos.items()
        for name in repo.heads
        if (repo_id, name) not in planned and repo.names.training(name) is not None
    }
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        read = pool.map(lambda one: _read(workspace, endpoint, one[1], one[0][1]), others.items())
        remote = dict(zip(others, read, strict=True))
    keys = {place: repo.names.training(place[1]) for place, repo in others.items()}
    lineages = {family.place(*place): one.lineage for place, one in remote.items() if one.lineage is not None}
    level: Level = "error" if family.card.base_model is None else "warning"

    def findings(plan: Plan) -> Iterator[Finding]:
        names = repos[plan.repo_id].names
        for place, one in remote.items():
            if keys[place] == names.training(plan.branch):
                continue
            name = family.place(*place)
            hint = f"find out which is right; if {name} is wrong, push it first, or both with --all"
            shared = [path for path, file in plan.files.items() if file.sha256 in one.files]
            if one.weights is not None and one.weights == plan.weights_sha256:
                message = f"has the same weights as {name} on {endpoint}"
                yield Finding("weights-repeated", plan.where, message, hint, about=name)
            elif shared:
                message = (
                    f"{len(shared)} of its weight files are also on {name} on {endpoint}: {listed(shared, most=3)}"
                )
                yield Finding("tensors-shared", plan.where, message, hint, level, about=name)
        file = plan.files.get(LINEAGE_FILE)
        if plan.branch in names.runs and file is not None and isinstance(file.source, Path):  # not on another hub
            lineage = Lineage.from_data(read_json(file.source), str(file.source))
            yield from initial_findings(plan.where, lineage, lineages)

    return [replace(plan, findings=(*plan.findings, *findings(plan))) for plan in plans]


def _read_repo(workspace: Workspace, family: Family, endpoint: Endpoint) -> _Repo:
    heads = branch_heads(endpoint, family.repo_id, missing_ok=True)
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    return _Repo(family, BranchNames(family), heads, receipts)


def _read(workspace: Workspace, endpoint: Endpoint, repo: _Repo, name: str) -> _Remote:
    """Read a branch; and the lineage of a run that was pushed from elsewhere."""
    receipt, repo_id, head = repo.receipts.get(name), repo.family.repo_id, repo.heads[name]
    is_known = receipt is not None and receipt.commit == head
    if receipt is not None and is_known and _has_export(workspace, repo.names, name):  # `check` compares its files
        return _Remote(receipt.weights_sha256)
    tree = remote_tree(endpoint, repo_id, head)
    lineage = None
    if name in repo.names.runs and LINEAGE_FILE in tree and not is_known:
        content = file_content(endpoint, repo_id, head, LINEAGE_FILE)
        with suppress(MixhubError, ValueError):  # `verify` reports it
            lineage = Lineage.from_data(json.loads(content), LINEAGE_FILE)
    files = {path: digest for path in safetensors_in(tree) if (digest := tree[path].sha256) is not None}
    return _Remote(weights_in(tree), frozenset(files.values()), lineage)


def _has_export(workspace: Workspace, names: BranchNames, branch: str) -> bool:
    """Whether the export that a branch was pushed from is in the workspace."""
    meaning = names.meaning(branch)
    run = meaning.run if meaning else None
    return meaning is not None and run is not None and meaning.step in workspace.run_folder(run).export_steps()
