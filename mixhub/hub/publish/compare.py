"""The rule that no two branches of a hub share weights, for what a push is about to send."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.receipts import hub_key, read_receipts
from mixhub.hub.remote.client import PARALLEL_REQUESTS, branch_heads, file_content, remote_tree
from mixhub.hub.remote.files import weights_in
from mixhub.hub.rules.lineage import initial_findings
from mixhub.hub.rules.revisions import training_of
from mixhub.spec.family import Family
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage
from mixhub.workspace.paths import Workspace


def compare_with_hub(plans: Sequence[Plan], workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Plan]:
    """Return the plans with findings about weights and initial weights that other branches of the hub have, too.

    A branch as this workspace pushed it needs no request.

    Raises:
        HubError: the hub cannot be reached.
    """
    if all(plan.parent is None for plan in plans):
        return list(plans)
    heads = branch_heads(endpoint, family.repo_id)
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    runs = {run.revision for run in family.runs()}
    planned = {plan.branch for plan in plans}
    others = [name for name in heads if name not in planned and training_of(family, name) is not None]

    def read(name: str) -> tuple[str | None, Lineage | None]:
        """Return the weights of a branch; and the lineage of a run that was pushed from elsewhere."""
        receipt = receipts.get(name)
        if receipt is not None and receipt.commit == heads[name]:
            return receipt.weights_sha256, None
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        lineage = None
        if name in runs and LINEAGE_FILE in tree:
            content = file_content(endpoint, family.repo_id, heads[name], LINEAGE_FILE)
            with suppress(MixhubError, ValueError):  # `verify` reports it
                lineage = Lineage.from_data(json.loads(content), LINEAGE_FILE)
        return weights_in(tree), lineage

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        remote = dict(zip(others, pool.map(read, others), strict=True))
    lineages = {name: lineage for name, (_, lineage) in remote.items() if lineage is not None}

    def findings(plan: Plan) -> Iterator[Finding]:
        for name, (weights, _) in remote.items():
            is_other = training_of(family, name) != training_of(family, plan.branch)
            if weights is not None and weights == plan.weights_sha256 and is_other:
                message = f"has the same weights as {name} on {endpoint}"
                hint = f"find out which is right; if {name} is wrong, push it first, or both with --all"
                yield Finding("weights-repeated", plan.branch, message, hint)
        file = plan.files.get(LINEAGE_FILE)
        if plan.branch in runs and file is not None and isinstance(file.source, Path):  # not on another hub
            lineage = Lineage.from_data(read_json(file.source), str(file.source))
            yield from initial_findings(plan.branch, lineage, lineages)

    return [replace(plan, findings=(*plan.findings, *findings(plan))) for plan in plans]
