"""The rule that no two branches of a hub share weights, for what a push is about to send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding, Level
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.receipts import hub_key, read_receipts
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


def _has_export(workspace: Workspace, names: BranchNames, branch: str) -> bool:
    """Whether the export that a branch was pushed from is in the workspace."""
    meaning = names.meaning(branch)
    run = meaning.run if meaning else None
    return meaning is not None and run is not None and meaning.step in workspace.run_folder(run).export_steps()


def compare_with_hub(plans: Sequence[Plan], workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Plan]:
    """Return the plans with findings about weights and initial weights that other branches of the hub have, too.

    A branch as this workspace pushed it from an export that it still has needs no request.

    Raises:
        HubError: the hub cannot be reached.
    """
    if all(plan.parent is None for plan in plans):
        return list(plans)
    heads = branch_heads(endpoint, family.repo_id)
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    names = BranchNames(family)
    planned = {plan.branch for plan in plans}
    others = [name for name in heads if name not in planned and names.training(name) is not None]

    def read(name: str) -> _Remote:
        """Read a branch; and the lineage of a run that was pushed from elsewhere."""
        receipt = receipts.get(name)
        is_known = receipt is not None and receipt.commit == heads[name]
        if receipt is not None and is_known and _has_export(workspace, names, name):  # `check` compares its files
            return _Remote(receipt.weights_sha256)
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        lineage = None
        if name in names.runs and LINEAGE_FILE in tree and not is_known:
            content = file_content(endpoint, family.repo_id, heads[name], LINEAGE_FILE)
            with suppress(MixhubError, ValueError):  # `verify` reports it
                lineage = Lineage.from_data(json.loads(content), LINEAGE_FILE)
        files = {path: digest for path in safetensors_in(tree) if (digest := tree[path].sha256) is not None}
        return _Remote(weights_in(tree), frozenset(files.values()), lineage)

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        remote = dict(zip(others, pool.map(read, others), strict=True))
    lineages = {name: one.lineage for name, one in remote.items() if one.lineage is not None}

    def findings(plan: Plan) -> Iterator[Finding]:
        for name, one in remote.items():
            if names.training(name) == names.training(plan.branch):
                continue
            hint = f"find out which is right; if {name} is wrong, push it first, or both with --all"
            shared = [path for path, file in plan.files.items() if file.sha256 in one.files]
            if one.weights is not None and one.weights == plan.weights_sha256:
                message = f"has the same weights as {name} on {endpoint}"
                yield Finding("weights-repeated", plan.branch, message, hint, about=name)
            elif shared:
                message = (
                    f"{len(shared)} of its weight files are also on {name} on {endpoint}: {listed(shared, most=3)}"
                )
                level: Level = "error" if family.card.base_model is None else "warning"
                yield Finding("tensors-shared", plan.branch, message, hint, level, about=name)
        file = plan.files.get(LINEAGE_FILE)
        if plan.branch in names.runs and file is not None and isinstance(file.source, Path):  # not on another hub
            lineage = Lineage.from_data(read_json(file.source), str(file.source))
            yield from initial_findings(plan.branch, lineage, lineages)

    return [replace(plan, findings=(*plan.findings, *findings(plan))) for plan in plans]
