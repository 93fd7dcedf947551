"""What to push to a branch: a run, an earlier step or an optimizer state; and what to push to `main`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mixhub.analysis.published.eval_results import own_cell
from mixhub.analysis.scores import of_suite
from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.endpoint import Endpoint
from mixhub.errors import ResultsError
from mixhub.findings import Finding, errors
from mixhub.hub.check.run import check_run
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions, Target, plan_files
from mixhub.hub.publish.receipts import hub_key, local_weights, read_receipts
from mixhub.hub.publish.release import main_files, run_files, state_files, unpublished_cells
from mixhub.hub.remote.branches import Branch, read_branches
from mixhub.hub.remote.client import branch_heads, remote_tree
from mixhub.hub.remote.files import (
    MAIN,
    METRICS,
    RESULTS,
    LocalFile,
    is_model_file,
    is_result_file,
    local_file,
    remote_file,
    same_content,
    weights_in,
)
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.export import TRAIN_CONFIG_FILE
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256, file_sha256
from mixhub.workspace.paths import Workspace

_STATED = {LINEAGE_FILE, TRAIN_CONFIG_FILE}
"""Files of a branch that state what it holds."""


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
    files = {} if errors(checked.findings) else run_files(workspace, family, checked, endpoint, samples=options.samples)
    weights = checked.content.weights_sha256 or ""
    message = f"Publish {checked.branch}, weights {weights[:12]}"
    target = Target.read(endpoint, run.repo_id, checked.branch, workspace, place=checked.where)
    left_out = unpublished_cells(workspace, family, run) if files and checked.step == family.training.steps else []
    kept = [f"{RESULTS}/{cell.path.name}" for cell in left_out if cell.limit is None]
    plan = plan_files(target, files, options, message=message, weights=weights, kept=kept)
    limited = {f"{RESULTS}/{cell.path.name}" for cell in left_out} - {*kept}
    lost = () if options.force else _lost_results(plan, run, limited)
    findings = (*checked.findings, *plan.findings, *_left_out(plan.where, family, left_out), *lost)
    return replace(plan, findings=findings)


def plan_state(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, *, private: bool = False) -> Plan:
    """Return the plan of the branch with a run's optimizer state; raises RunError if there is none."""
    files = state_files(workspace, family, run)
    branch = f"{run.branch}-optimizer"
    target = Target.read(endpoint, run.repo_id, branch, workspace, place=family.place(run.repo_id, branch))
    options = PushOptions(private=private, force=True)
    return plan_files(target, files, options, message=f"Publish the optimizer state of {run.revision}")


def _left_out(where: str, family: Family, cells: Sequence[Cell]) -> Iterator[Finding]:
    """Cells that are not published, since they do not count for the scores."""
    names = [cell.path.stem for cell in cells]
    limited = [name for name, cell in zip(names, cells, strict=True) if cell.limit is not None]
    others = [name for name in names if name not in limited]
    hint = f"evaluate without --limit, or add the task to the evaluation of {family.name}"
    reasons = [("evaluated with --limit", limited), ("not in the evaluation suite", others)]
    for reason, some in reasons:
        if some:
            message = f"{plural(len(some), 'cell')} not published, {reason}: {listed(some, most=3)}"
            yield Finding("results-unpublished", where, message, hint, "warning")


def _lost_results(plan: Plan, run: Run, limited: Collection[str]) -> Iterator[Finding]:
    """Results of the same weights that only the branch has: a push would delete them and their scores."""
    is_same = not any(one.path.endswith(".safetensors") for one in plan.changed)
    deleted = [one.path for one in plan.changed if one.action == "delete" and is_result_file(one.path)]
    lost = [path for path in deleted if path.endswith(".json") and path not in limited]
    if lost and is_same and plan.files:
        names = listed(lost, most=3)
        message = f"only the branch has {names} for the same weights, and a push would delete them"
        hint = f"evaluate again: mixhub evaluate --{run.kind} {run.label}; or push with --force to delete them"
        yield Finding("results-lost", plan.where, message, hint)


def plan_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    before: Sequence[Plan] = (),
) -> Plan:
    """Return the plan of `main`: the family's card, which names the commits of the branches, and its plots.

    It covers only runs that the hub has, or gets before; they are described by the workspace if it pushed them as they
    are now, and otherwise by what their branches hold. If `main` should hold the model of a run, the hub copies it from
    the run's branch. Merged weights on `main` stay.

    Args:
        workspace: holds runs and results.
        family: the family, as one repo holds it.
        endpoint: the hub.
        options: `tag`, `private` and `force` are used.
        before: plans of branches of this repo that will be pushed before, so that the card will change.

    Raises:
        MixhubError: the card cannot be rendered.
        HubError: the hub cannot be reached.
    """
    # before the receipts: a push in between is a conflict
    place = family.place(family.repo_id, MAIN)
    target = Target.read(endpoint, family.repo_id, MAIN, workspace, place=place, is_card=True)
    tree = target.tree()
    heads = branch_heads(endpoint, family.repo_id) if target.parent else {}
    planned = {one.branch for one in before}
    runs = {run.branch: run for run in family.runs()}
    known = {one.branch for one in before if not one.changed}
    known |= {*_unchanged_branches(workspace, family, endpoint, heads)}
    names = [name for name in runs if name not in known | planned]
    others = read_branches(endpoint, family.repo_id, {name: heads[name] for name in names if name in heads})
    known |= {name for name, run in runs.items() if _is_here(workspace, family, run, others.get(name))}
    stated = {name: one for name, one in others.items() if set(one.tree) >= _STATED and one.weights_sha256}
    published = {runs[name].revision: one.folder for name, one in stated.items() if name not in known}
    there = [name for name in runs if name in heads and (name in known or name in stated)]
    commits = {runs[name].revision: heads[name] for name in there}
    model, copied = main_model(family, endpoint, heads, before)
    on_main = family.main_run.revision if family.main_run and model else None
    if not model and LINEAGE_FILE not in tree and weights_in(tree):
        on_main = ""
    only = {runs[name].revision for name in runs if name in there or name in planned}
    files = main_files(workspace, family, commits, published, on_main, only)
    moves_first = any(one.changed for one in before)
    message = "Update the family's card"
    merged = [path for path in tree if is_model_file(path)] if family.revisions.main_is_merged else []
    plan = plan_files(target, {**files, **model}, options, message=message, moves_first=moves_first, kept=merged)
    findings = [*plan.findings, *withdrawn_on_main(model, withdrawals(workspace, family))]
    foreign = [one.path for one in plan.changed if one.path in tree and is_model_file(one.path)]
    if foreign and LINEAGE_FILE not in tree and not options.force:
        text = f"holds {', '.join(foreign)}, which no push put there, and this push would replace them"
        hint = "copy them elsewhere, then push with --force; or omit revisions.main"
        findings.append(Finding("main-model-foreign", place, text, hint))
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
    planned = next((plan for plan in before if run and plan.branch == run.branch), None)
    files: Mapping[str, LocalFile] = {}
    revision = ""
    if planned is not None:
        files, revision = planned.files, planned.branch
    elif run is not None and run.branch in heads:
        revision = heads[run.branch]
        files = {path: remote_file(file) for path, file in remote_tree(endpoint, family.repo_id, revision).items()}
    model = {path: file for path, file in files.items() if is_model_file(path) or own_cell(path)}
    return model, dict.fromkeys(model, revision)


def withdrawn_on_main(model: Mapping[str, LocalFile], marks: Sequence[Withdrawal]) -> Iterator[Finding]:
    """A withdrawn model for `main`, which all who name no revision would load."""
    weights = [(path, file.sha256 or "") for path, file in model.items() if path.endswith(".safetensors")]
    for mark in marks if weights else ():
        if mark.weights_sha256 == combined_sha256(weights):
            message = f"would hold the model of {mark.revision}, which was withdrawn"
            hint = "change or remove revisions.main in mixhub.yaml, then push"
            yield Finding("weights-withdrawn", MAIN, message, hint)


def _unchanged_branches(
    workspace: Workspace, family: Family, endpoint: Endpoint, heads: Mapping[str, str]
) -> Iterator[str]:
    """Yield the branches that hold what the workspace holds, by its receipts."""
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    weights = local_weights(workspace, family)
    for run in family.runs():
        receipt, head = receipts.get(run.branch), heads.get(run.branch)
        if receipt and (receipt.commit, receipt.weights_sha256) == (head, weights.get(run.revision)):
            local, pushed = _stated_files(workspace, family, run), receipt.content
            hashes = {name: file_sha256(path) for name, path in local.items()}
            if hashes == {name: digest for name, digest in pushed.items() if _is_stated(name)}:
                yield run.branch


def _is_here(workspace: Workspace, family: Family, run: Run, branch: Branch | None) -> bool:
    """Whether a branch holds what the workspace holds, by the hub's hashes; without its lineage, the weights decide."""
    weights = local_weights(workspace, family).get(run.revision)
    if branch is None or weights is None or branch.weights_sha256 != weights:
        return False
    local = _stated_files(workspace, family, run)
    return not set(branch.tree) >= _STATED or (
        {*filter(_is_stated, branch.tree)} == {*local}
        and all(same_content(local_file(path), branch.tree[name]) for name, path in local.items())
    )


def _stated_files(workspace: Workspace, family: Family, run: Run) -> dict[str, Path]:
    """Return the metrics and the results of a run, by their paths on its branch."""
    metrics = workspace.run_folder(run).metrics
    try:
        cells = of_suite(family, read_cells(workspace.results(run)))
    except ResultsError:  # what the branch holds counts
        cells = []
    return {f"{RESULTS}/{cell.path.name}": cell.path for cell in cells} | (
        {METRICS: metrics} if metrics.is_file() else {}
    )


def _is_stated(path: str) -> bool:
    return path == METRICS or (is_result_file(path) and path.endswith(".json"))
