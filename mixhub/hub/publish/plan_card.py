"""The plan of `main`: the family's card, and the model of a run where the family says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.endpoint import Endpoint
from mixhub.findings import Finding
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.plan_files import Parent, changed_cards, compare_files, with_options
from mixhub.hub.publish.receipts import hub_key, local_weights, pushed_commits
from mixhub.hub.publish.release import main_files
from mixhub.hub.remote.branches import Branch, read_branches
from mixhub.hub.remote.client import branch_heads, remote_tree
from mixhub.hub.remote.files import (
    MAIN,
    TRAIN_CONFIG,
    LocalFile,
    is_model_file,
    remote_file,
    safetensors_in,
    weights_in,
)
from mixhub.progress import SILENT
from mixhub.spec.family import Family
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256
from mixhub.workspace.paths import Workspace


def plan_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    before: Sequence[Plan] = (),
) -> Plan:
    """The plan of `main`: the family's card, which names the commits of the branches on this hub, and its plots.

    Runs that were trained elsewhere and pushed from there are told of by what their branches hold. Where `main` holds
    the model of a run, by the family, the hub copies it from the run's branch.

    Args:
        workspace: where the others lie.
        family: the family.
        endpoint: the hub.
        options: `tag`, `private` and `force` are looked at.
        before: plans of branches that will be carried out before this one, so that the card will change.

    Raises:
        MixhubError: the card cannot be rendered.
        HubError: the hub cannot be asked.
    """
    parent = Parent.read(family.repo_id, MAIN, endpoint)  # before the receipts are read: a push between is a conflict
    heads: dict[str, str] = {}
    commits: dict[str, str] = {}
    others: list[Branch] = []
    if parent.commit:
        heads = branch_heads(endpoint, family.repo_id)
        commits = _own_commits(workspace, family, endpoint, heads)
        others = _published(workspace, family, endpoint, heads)
        commits |= {branch.name: branch.commit for branch in others}
    tree = remote_tree(endpoint, family.repo_id, parent.commit) if parent.commit else {}
    model, copied = held_by_main(family, endpoint, heads, before)
    on_main = family.main_run.revision if family.main_run and model else None
    if not model and LINEAGE_FILE not in tree and safetensors_in(tree):
        on_main = ""
    files = main_files(workspace, family, commits, {branch.name: branch.folder for branch in others}, on_main)
    plan = compare_files(family.repo_id, MAIN, {**files, **model}, endpoint, parent, weights=None)
    foreign = () if options.force else (*changed_cards(plan, endpoint), *_foreign_model(plan, tree))
    findings = (*foreign, *withdrawn_on_main(model, withdrawals(workspace, family)))
    moved = any(one.changed for one in before)
    plan = with_options(plan, endpoint, options, message="Update the family's card", findings=findings, moved=moved)
    return replace(plan, copied=copied)


def held_by_main(
    family: Family, endpoint: Endpoint, heads: Mapping[str, str], before: Sequence[Plan]
) -> tuple[dict[str, LocalFile], dict[str, str]]:
    """The files of the model that `main` holds by the family, and the revision that has each; none while the run's
    branch is not on the hub.

    Args:
        family: the family.
        endpoint: the hub.
        heads: the commits of the branches that are on it.
        before: plans of branches that will be carried out before.
    """
    run = family.main_run
    if run is None:
        return {}, {}
    planned = next((plan for plan in before if plan.branch == run.revision), None)
    if planned is not None:
        files, revision = dict(planned.files), run.revision
    elif run.revision in heads:
        revision = heads[run.revision]
        tree = remote_tree(endpoint, family.repo_id, revision)
        files = {path: remote_file(file) for path, file in tree.items()}
    else:
        return {}, {}
    model = {path: file for path, file in files.items() if is_model_file(path)}
    return model, dict.fromkeys(model, revision)


def withdrawn_on_main(model: Mapping[str, LocalFile], marks: Sequence[Withdrawal]) -> Iterator[Finding]:
    """That the model which `main` would hold was withdrawn: who names no revision is not to get such weights."""
    weights = [(path, file.sha256 or "") for path, file in model.items() if path.endswith(".safetensors")]
    for mark in marks if weights else ():
        if mark.weights_sha256 == combined_sha256(weights):
            message = f"would hold the model of {mark.revision}, which was withdrawn"
            yield Finding(
                "weights-withdrawn", MAIN, message, "name another in revisions.main of mixhub.yaml, or none; then push"
            )


def _foreign_model(plan: Plan, tree: Mapping[str, object]) -> Iterator[Finding]:
    """Files of a model that somebody put on `main`, and that the model of a run would replace."""
    gone = [one.path for one in plan.changed if one.path in tree and is_model_file(one.path)]
    if gone and LINEAGE_FILE not in tree:
        message = f"holds {', '.join(gone)}, which no push put there, and another model is to take their place"
        hint = "keep them elsewhere, then push with --force; or leave revisions.main out"
        yield Finding("main-model-foreign", MAIN, message, hint)


def _own_commits(workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]) -> dict[str, str]:
    """The heads of branches that hold the weights of the workspace: as it pushed them, or as the hub says."""
    pushed = pushed_commits(workspace, hub_key(endpoint), family)
    local = local_weights(workspace, family)
    return {
        name: heads[name]
        for name in {**pushed, **local}
        if name in heads
        and (
            pushed.get(name) == heads[name]
            or weights_in(remote_tree(endpoint, family.repo_id, heads[name])) == local.get(name, "")
        )
    }


def _published(workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]) -> list[Branch]:
    """Branches of runs that have no export here, and say themselves what they are."""
    last = family.training.steps
    absent = [run.revision for run in family.runs() if last not in workspace.run_folder(run).export_steps()]
    absent_heads = {name: heads[name] for name in absent if name in heads}
    with SILENT.start("branches", len(absent_heads), "branch") as bar:
        branches = list(read_branches(endpoint, family.repo_id, absent_heads, bar))
    return [branch for branch in branches if {LINEAGE_FILE, TRAIN_CONFIG} <= set(branch.tree) and branch.weights_sha256]
