"""Plans beside what else a hub has: seeds may be trained on several machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """The plans, with what is wrong beside what else the hub has: seeds may be trained on several machines.

    No two branches of runs and steps may hold the same weights; those that are in the plans themselves are compared by
    what they will hold. Initial weights are compared with those of runs that were pushed from elsewhere. A branch that
    is as this workspace pushed it is known without a request.

    Raises:
        HubError: the hub cannot be asked.
    """
    if all(plan.parent is None for plan in plans):
        return list(plans)
    heads = branch_heads(endpoint, family.repo_id)
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    runs = {run.revision for run in family.runs()}
    planned = {plan.branch for plan in plans}
    others = [name for name in heads if name not in planned and training_of(family, name) is not None]

    def look(name: str) -> tuple[str | None, Lineage | None]:
        """The weights of a branch; and the lineage of a run that was pushed from elsewhere."""
        receipt = receipts.get(name)
        if receipt is not None and receipt.commit == heads[name]:
            return receipt.weights_sha256, None
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        has_lineage = name in runs and LINEAGE_FILE in tree
        return weights_in(tree), _lineage(endpoint, family.repo_id, heads[name]) if has_lineage else None

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        found = dict(zip(others, pool.map(look, others), strict=True))
    held = {name: weights for name, (weights, _) in found.items()}
    lineages = {name: lineage for name, (_, lineage) in found.items() if lineage is not None}
    return [
        replace(
            plan,
            findings=(
                *plan.findings,
                *_repeated(plan, family, held, endpoint),
                *(_initial(plan, lineages) if plan.branch in runs else ()),
            ),
        )
        for plan in plans
    ]


def _lineage(endpoint: Endpoint, repo_id: str, commit: str) -> Lineage | None:
    """The lineage of a commit; None where it is malformed, as `verify` says."""
    content = file_content(endpoint, repo_id, commit, LINEAGE_FILE)
    try:
        return Lineage.from_data(json.loads(content), LINEAGE_FILE)
    except (MixhubError, ValueError):
        return None


def _initial(plan: Plan, lineages: Mapping[str, Lineage]) -> Iterator[Finding]:
    """Initial weights and seeds beside runs that were pushed from elsewhere; not known of what lies on another hub."""
    file = plan.files.get(LINEAGE_FILE)
    if file is not None and isinstance(file.source, Path):
        lineage = Lineage.from_data(read_json(file.source), str(file.source))
        yield from initial_findings(plan.branch, lineage, lineages)


def _repeated(plan: Plan, family: Family, held: Mapping[str, str | None], endpoint: Endpoint) -> Iterator[Finding]:
    for name, weights in held.items():
        is_other = training_of(family, name) != training_of(family, plan.branch)
        if weights is not None and weights == plan.weights_sha256 and is_other:
            message = f"has the same weights as {name} has on {endpoint}"
            hint = f"find out which of the two is right; if {name} is wrong there, push that first, or both with --all"
            yield Finding("weights-repeated", plan.branch, message, hint)
