"""What to push to a branch: a run, an earlier step or an optimizer state; and what to push to `main`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.endpoint import Endpoint
from mixhub.findings import Finding, errors
from mixhub.hub.check.run import check_run
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions, Target, plan_files
from mixhub.hub.publish.receipts import hub_key, local_weights, pushed_commits
from mixhub.hub.publish.release import main_files, run_files, state_files
from mixhub.hub.remote.branches import Branch, read_branches
from mixhub.hub.remote.client import branch_heads, remote_tree
from mixhub.hub.remote.files import MAIN, LocalFile, is_model_file, is_result_file, remote_file, weights_in
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256
from mixhub.workspace.paths import Workspace


def plan_run(
    workspace: Workspace,
    family: Family,
    run: Run,
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    step: int | None = None,
    progress: Progress = SILENT,
) -> Plan:
    """Check a run, and return the plan of its branch, or that of an earlier step: export, card, metrics, results.

    Args:
        workspace: holds the run.
        family: the family.
        run: the run.
        endpoint: the hub.
        options: of the push.
        step: an earlier step; None: the last.
        progress: advances with each file that is read.

    Raises:
        RunError: there is no export of that step.
        MixhubError: its card cannot be rendered, although the check found nothing.
        HubError: the hub cannot be reached.
    """
    checked = check_run(workspace, family, run, step=step, progress=progress)
    files = {} if errors(checked.findings) else run_files(workspace, family, checked, samples=options.samples)
    weights = checked.content.weights_sha256 or ""
    message = f"Publish {checked.branch}, weights {weights[:12]}"
    target = Target.read(endpoint, family.repo_id, checked.branch)
    plan = plan_files(target, files, options, message=message, weights=weights)
    lost = () if options.force else _lost_results(plan, run)
    return replace(plan, findings=(*checked.findings, *plan.findings, *lost))


def plan_state(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, *, private: bool = False) -> Plan:
    """Return the plan of the branch with a run's optimizer state; raises RunError if there is none."""
    files = state_files(workspace, family, run)
    target = Target.read(endpoint, family.repo_id, f"{run.revision}-optimizer")
    options = PushOptions(private=private, force=True)
    return plan_files(target, files, options, message=f"Publish the optimizer state of {run.revision}")


def _lost_results(plan: Plan, run: Run) -> Iterator[Finding]:
    """Results of the same weights that only the branch has: a push would delete them and their scores."""
    is_same = not any(one.path.endswith(".safetensors") for one in plan.changed)
    deleted = [one.path for one in plan.changed if one.action == "delete" and is_result_file(one.path)]
    lost = [path for path in deleted if path.endswith(".json")]  # samples are pushed only on request
    if lost and is_same and plan.files:
        names = listed(lost, most=3)
        message = f"only the branch has {names} for the same weights, and a push would delete them"
        hint = f"evaluate again: mixhub evaluate --{run.kind} {run.number}; or push with --force to delete them"
        yield Finding("results-lost", plan.branch, message, hint)


def plan_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    before: Sequence[Plan] = (),
) -> Plan:
    """Return the plan of `main`: the family's card, which names the commits of the branches, and its plots.

    Runs that others trained and pushed are described by what their branches hold. If `main` should hold the model of a
    run, the hub copies it from the run's branch.

    Args:
        workspace: holds runs and results.
        family: the family.
        endpoint: the hub.
        options: `tag`, `private` and `force` are used.
        before: plans of branches that will be pushed before, so that the card will change.

    Raises:
        MixhubError: the card cannot be rendered.
        HubError: the hub cannot be reached.
    """
    target = Target.read(endpoint, family.repo_id, MAIN)  # before the receipts: a push in between is a conflict
    tree = target.tree()
    heads = branch_heads(endpoint, family.repo_id) if target.parent else {}
    others = _other_branches(workspace, family, endpoint, heads)
    commits = _local_commits(workspace, family, endpoint, heads) | {branch.name: branch.commit for branch in others}
    model, copied = main_model(family, endpoint, heads, before)
    on_main = family.main_run.revision if family.main_run and model else None
    if not model and LINEAGE_FILE not in tree and weights_in(tree):
        on_main = ""
    files = main_files(workspace, family, commits, {branch.name: branch.folder for branch in others}, on_main)
    moves_first = any(one.changed for one in before)
    message = "Update the family's card"
    plan = plan_files(target, {**files, **model}, options, message=message, moves_first=moves_first)
    findings = [*plan.findings, *withdrawn_on_main(model, withdrawals(workspace, family))]
    foreign = [one.path for one in plan.changed if one.path in tree and is_model_file(one.path)]
    if foreign and LINEAGE_FILE not in tree and not options.force:
        text = f"holds {', '.join(foreign)}, which no push put there, and this push would replace them"
        hint = "copy them elsewhere, then push with --force; or omit revisions.main"
        findings.append(Finding("main-model-foreign", MAIN, text, hint))
    return replace(plan, copied=copied, findings=tuple(findings))


def main_model(
    family: Family, endpoint: Endpoint, heads: Mapping[str, str], before: Sequence[Plan]
) -> tuple[dict[str, LocalFile], dict[str, str]]:
    """Return the files of the model that `main` should hold, and the revision that holds each.

    Empty if the family names none, or its run is not on the hub.

    Args:
        family: the family.
        endpoint: the hub.
        heads: the commits of its branches.
        before: plans of branches that will be pushed before.
    """
    run = family.main_run
    planned = next((plan for plan in before if run and plan.branch == run.revision), None)
    files: Mapping[str, LocalFile] = {}
    revision = ""
    if planned is not None:
        files, revision = planned.files, planned.branch
    elif run is not None and run.revision in heads:
        revision = heads[run.revision]
        files = {path: remote_file(file) for path, file in remote_tree(endpoint, family.repo_id, revision).items()}
    model = {path: file for path, file in files.items() if is_model_file(path)}
    return model, dict.fromkeys(model, revision)


def withdrawn_on_main(model: Mapping[str, LocalFile], marks: Sequence[Withdrawal]) -> Iterator[Finding]:
    """A withdrawn model for `main`, which all who name no revision would load."""
    weights = [(path, file.sha256 or "") for path, file in model.items() if path.endswith(".safetensors")]
    for mark in marks if weights else ():
        if mark.weights_sha256 == combined_sha256(weights):
            message = f"would hold the model of {mark.revision}, which was withdrawn"
            hint = "change or remove revisions.main in mixhub.yaml, then push"
            yield Finding("weights-withdrawn", MAIN, message, hint)


def _local_commits(
    workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]
) -> dict[str, str]:
    """Return the heads of branches that hold the weights of the workspace, by its receipts or by the hub's hashes."""
    pushed = pushed_commits(workspace, hub_key(endpoint), family)
    commits = {name: commit for name, commit in pushed.items() if heads.get(name) == commit}
    for name, weights in local_weights(workspace, family).items():
        if name in heads and name not in commits:
            tree = remote_tree(endpoint, family.repo_id, heads[name])
            commits |= {name: heads[name]} if weights_in(tree) == weights else {}
    return commits


def _other_branches(workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]) -> list[Branch]:
    """Return the branches of runs without an export here that state their own lineage."""
    last = family.training.steps
    absent = [run.revision for run in family.runs() if last not in workspace.run_folder(run).export_steps()]
    absent_heads = {name: heads[name] for name in absent if name in heads}
    branches = read_branches(endpoint, family.repo_id, absent_heads).values()
    own_files = {LINEAGE_FILE, "train_config.yaml"}
    return [branch for branch in branches if own_files <= set(branch.tree) and branch.weights_sha256]
