"""The plans of the branches of a run: its export, an earlier step of it, its resumable state."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.endpoint import Endpoint
from mixhub.findings import Finding, errors
from mixhub.hub.check.run import check_run
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.plan_files import Parent, changed_cards, compare_files, with_options
from mixhub.hub.publish.release import run_files, state_files
from mixhub.hub.remote.files import is_result_file
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
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
    """The plan of the branch of a run, or of an earlier step of it: export, card, metrics, results.

    The run is checked first (see `check_run`); what is wrong stands in the plan.

    Args:
        workspace: where it lies.
        family: the family.
        run: the run.
        endpoint: the hub.
        options: what else is asked for.
        step: an earlier step; absent: the last.
        progress: is told of each file of weights that is read.

    Raises:
        RunError: there is no export of that step.
        MixhubError: its card cannot be rendered, though nothing wrong was found.
        HubError: the hub cannot be asked.
    """
    checked = check_run(workspace, family, run, step=step, progress=progress)
    files = {} if errors(checked.findings) else run_files(workspace, family, checked, samples=options.samples)
    parent = Parent.read(family.repo_id, checked.branch, endpoint)
    weights = checked.content.weights_sha256 or ""
    plan = compare_files(family.repo_id, checked.branch, files, endpoint, parent, weights=weights)
    lost = () if options.force else (*changed_cards(plan, endpoint), *_lost_results(plan, run))
    message = f"Publish {checked.branch}, weights {weights[:12]}"
    return with_options(plan, endpoint, options, message=message, findings=(*checked.findings, *lost))


def plan_state(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint, *, private: bool = False) -> Plan:
    """The plan of the branch that holds a run's resumable state; raises RunError where there is none."""
    branch = f"{run.revision}-optimizer"
    files = state_files(workspace, family, run)
    parent = Parent.read(family.repo_id, branch, endpoint)
    plan = compare_files(family.repo_id, branch, files, endpoint, parent, weights=None)
    message = f"Publish the optimizer state of {run.revision}"
    return with_options(plan, endpoint, PushOptions(private=private), message=message, findings=())


def _lost_results(plan: Plan, run: Run) -> Iterator[Finding]:
    """Results of the same weights that the branch has and the workspace lacks: they would go, and their figures too."""
    is_same = not any(one.path.endswith(".safetensors") for one in plan.changed)
    gone = [one.path for one in plan.changed if one.action == "delete" and is_result_file(one.path)]
    lost = [path for path in gone if path.endswith(".json")]  # samples are sent only where that is asked for
    if lost and is_same and plan.files:
        names = listed(lost, most=3)
        message = f"has {names}, of the same weights, and the workspace has not: a push would delete them"
        hint = f"evaluate it again: mixhub evaluate --{run.kind} {run.number}; or let them go: push with --force"
        yield Finding("results-lost", plan.branch, message, hint)
