"""Publishing runs, each as one commit on its branch, and then the family's card on main."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Unpack

from mixhub.card.facts.gather import gather_family
from mixhub.card.page.write import require_unedited
from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError, PushConflictError, UsageError
from mixhub.files import locked
from mixhub.findings import errors
from mixhub.hub.check.run import require_sound
from mixhub.hub.publish.branch_plans import plan_card, plan_run, plan_state
from mixhub.hub.publish.compare import compare_with_hub
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.push import Pushed, push_all, push_plan, require_all_pushed
from mixhub.hub.publish.withdraw import fetch_withdrawals
from mixhub.hub.remote.custom_code import allowed_code
from mixhub.hub.remote.files import MAIN
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.workflow.inputs import (
    HubLike,
    RunNames,
    WorkspaceLike,
    find_exports,
    find_family,
    named_runs,
    open_hub,
    open_workspace,
)
from mixhub.workflow.release.cards import render_card
from mixhub.workspace.paths import Workspace


def silent(pushed: Pushed) -> None:
    """Show nothing about a branch that was pushed."""


@dataclass(frozen=True)
class PushPlan:
    """What a push of runs does; its hub is open for the block of `plan_push`."""

    workspace: Workspace
    family: Family
    endpoint: Endpoint
    branches: tuple[Plan, ...]
    """The plan of each branch of a run or step."""
    mains: tuple[Plan, ...]
    """The plan of the card on `main` as it is now, of each repo; after the push it names the new commits. Empty if a
    branch has errors, or if `main` is the branch of a run."""
    main_options: PushOptions
    """For the card: with a tag only if all runs of its repo are pushed."""

    @property
    def main(self) -> Plan | None:
        """The plan of `main`, of a family in one repo."""
        return self.mains[0] if self.mains and not self.family.has_repo_per_run else None

    @property
    def main_follows(self) -> bool:
        """Whether the card changes again after the branches are pushed."""
        return not self.family.main_is_run and any(plan.changed for plan in self.branches)

    @property
    def tags(self) -> list[str]:
        """The tags that the push makes, each once."""
        of_main = [] if self.family.main_is_run else [self.main_options.tag]
        return list(dict.fromkeys(tag for tag in (*(plan.tag for plan in self.branches), *of_main) if tag))

    def require_sound(self) -> None:
        """Raise ExportError for errors in the plans."""
        require_sound_plans([*self.branches, *self.mains])

    def send(self, *, show: Callable[[Pushed], None] = silent, progress: Progress = SILENT) -> list[Pushed]:
        """Push branch by branch, `main` last. If a branch fails, the others are pushed, and a card of these.

        Args:
            show: called with each branch after it was pushed.
            progress: shows the files.

        Raises:
            ExportError, PushConflictError, HubError: as `push`.
        """
        self.require_sound()
        results, failed = push_all(self.branches, self.workspace, self.endpoint, show, progress)
        sent = {one.plan.repo_id for one in results}
        options = replace(self.main_options, tag=None) if failed else self.main_options
        for part in self.family.parts():
            if part.repo_id not in sent or part.main_is_run:
                continue
            try:
                results.append(push_card(self.workspace, self.family, self.endpoint, options, part=part))
                show(results[-1])
            except MixhubError as error:
                failed[self.family.place(part.repo_id, MAIN)] = error
        if results and self.family.main_is_run:  # otherwise done with the card on main
            render_card(self.workspace, family=self.family)
        require_all_pushed(results, failed)
        return results

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "hub": str(self.endpoint),
            "branches": [plan_data(plan) for plan in self.branches],
            "main": plan_data(self.main) if self.main is not None else None,
            **({"mains": [plan_data(plan) for plan in self.mains]} if self.family.has_repo_per_run else {}),
            "main_follows": self.main_follows,
        }


def push(
    workspace: WorkspaceLike,
    *,
    step: int | None = None,
    checkpoints: bool = False,
    with_optimizer: bool = False,
    hub: HubLike | None = None,
    options: PushOptions = DEFAULTS,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> list[Pushed]:
    """Publish runs, each as one commit on its branch, and then the family's card on main.

    Everything is checked and planned before anything is sent, and only changes are sent. After an interruption, call it
    again; without changes it sends nothing.

        mixhub.push("my-work", seed=2)
        mixhub.push("my-work", all=True, options=workflow.PushOptions(tag="v1"))

    Args:
        workspace: holds the runs.
        step: an earlier step; None: the last. It is exported from its checkpoint if necessary.
        checkpoints: also push earlier steps that have an export or a checkpoint.
        with_optimizer: also push the newest checkpoint, to `<branch>-optimizer`.
        hub: `local`, an address or an endpoint; None: the workspace's.
        options: samples, tag, private and force.
        progress: shows the files, and reports each step.
        **run_names: seed or index, or all; and family.

    Returns:
        The result for each branch, `main` last.

    Raises:
        UsageError, UnknownNameError: no such run, an invalid tag, or a card that was edited by hand.
        RunError: there is no export of that step.
        ExportError: a check found errors; nothing was sent.
        PushConflictError: somebody else pushed meanwhile.
        HubError: the hub refuses, or does not answer. Of several branches, those that could be pushed are on the hub.
    """
    with plan_push(
        workspace,
        step=step,
        checkpoints=checkpoints,
        with_optimizer=with_optimizer,
        hub=hub,
        options=options,
        progress=progress,
        **run_names,
    ) as plan:
        return plan.send(progress=progress)


@contextmanager
def plan_push(
    workspace: WorkspaceLike,
    *,
    step: int | None = None,
    checkpoints: bool = False,
    with_optimizer: bool = False,
    hub: HubLike | None = None,
    options: PushOptions = DEFAULTS,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> Iterator[PushPlan]:
    """Yield the plan of `push` with the same arguments, for a block; sends nothing by itself.

        with workflow.plan_push("my-work", seed=2) as plan:
            print(plan.to_data())
            plan.send()

    Missing exports of earlier steps are made. The plan holds what is wrong, and `send` refuses it.

    Raises:
        MixhubError: as `push`.
    """
    workspace = open_workspace(workspace)
    require_tag(options.tag)
    seed, index = run_names.get("seed"), run_names.get("index")
    if step is not None and not run_names.get("all"):
        spec = find_family(workspace, run_names.get("family"))
        for run in named_runs(spec, seed, index):
            _export_step(workspace, spec, run, step, progress)
    family, runs = find_exports(workspace, progress, step=step, **run_names)  # before a hub is opened
    with allowed_code(workspace, family), open_hub(workspace, hub, progress=progress) as endpoint:
        parts = list({run.repo_id: family.part(run) for run in runs}.values())
        for one in (one for part in parts for one in fetch_withdrawals(workspace, part, endpoint)):
            progress.notice(f"on {endpoint}: {one.sentence()}")  # what others withdrew on the hub stays so
        plans = []
        for run in runs:
            for one_step in _steps(workspace, family, run, step, progress) if checkpoints else [step]:
                plans.append(plan_run(workspace, family, run, endpoint, options, step=one_step, progress=progress))
            if with_optimizer:
                plans.append(plan_state(workspace, family, run, endpoint, private=options.private))
        plans = compare_with_hub(plans, workspace, family, endpoint)
        mains, is_whole = [], run_names.get("all") or family.has_repo_per_run
        main_options = options if is_whole else replace(options, tag=None)
        if not any(errors(plan.findings) for plan in plans):
            require_unedited(workspace, family)
            gather_family(workspace, family)  # or the card here could not be rendered after the push
            for part in parts if not family.main_is_run else ():
                before = [plan for plan in plans if plan.repo_id == part.repo_id]
                mains.append(plan_card(workspace, part, endpoint, main_options, before=before))
        yield PushPlan(workspace, family, endpoint, tuple(plans), tuple(mains), main_options)


def push_card(
    workspace: Workspace,
    family: Family,
    endpoint: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    part: Family | None = None,
) -> Pushed:
    """Render the family's card and publish it on `main`; renders it again if another push came in between.

    `part` is the family as one repo holds it, if each run has a repo of its own.
    """
    part = part or family
    for last_try in (False, False, True):
        try:
            with locked(workspace.lock("card"), f"the card of {family.name} is being pushed", timeout=120):
                pushed = push_plan(plan_card(workspace, part, endpoint, options), workspace, endpoint)
            break
        except PushConflictError:
            if last_try:
                raise
    render_card(workspace, family=family)
    return pushed


def require_sound_plans(plans: Sequence[Plan]) -> None:
    """Raise ExportError for errors in any of the plans."""
    wrong = [finding for plan in plans for finding in errors(plan.findings)]
    require_sound(wrong, ", ".join(plan.where for plan in plans if errors(plan.findings)))


def require_tag(tag: str | None) -> None:
    """Raise UsageError for a tag that git would not accept as part of a name."""
    if tag is not None and not re.fullmatch(r"(?!.*\.\.)(?!.*\.lock$)[A-Za-z0-9][A-Za-z0-9._-]*", tag):
        message = f"--tag {tag!r}: must be a name that git accepts for a tag, without /"
        raise UsageError(message, code="option-value", hint="for example --tag v1", option="--tag", value=tag)


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return plain data of the plan of one branch."""
    return {
        "repo_id": plan.repo_id,
        "branch": plan.branch,
        "is_new": not plan.branch_exists,
        "changes": [
            asdict(change) | ({"copied_from": plan.copied[change.path]} if change.path in plan.copied else {})
            for change in plan.changed
        ],
        "files": len(plan.files),
        "bytes_to_send": plan.bytes_to_send,
        "tag": plan.tag,
        "findings": [finding.to_data() for finding in plan.findings],
    }


def _steps(workspace: Workspace, family: Family, run: Run, step: int | None, progress: Progress) -> list[int | None]:
    """Return all steps of a run to push; missing exports are made from checkpoints."""
    folder = workspace.run_folder(run)
    earlier = sorted({*folder.export_steps(), *folder.checkpoint_steps()} - {family.training.steps, 0})
    if not earlier:
        progress.notice(f"{run.revision}: no earlier step has an export or a checkpoint")
    for one in earlier:
        _export_step(workspace, family, run, one, progress)
    return [*earlier, step] if step not in earlier else [*earlier]


def _export_step(workspace: Workspace, family: Family, run: Run, step: int, progress: Progress) -> None:
    """Export an earlier step from its checkpoint, if it has no export."""
    folder = workspace.run_folder(run)
    if step in folder.export_steps() or step not in folder.checkpoint_steps():
        return
    from mixhub.training.export import export_checkpoint

    path = folder.export(step)
    export_checkpoint(family, run, step, tokens=workspace.tokens(family), folder=folder, path=path)
    progress.notice(f"{run.revision}: exported step {step} from its checkpoint")
