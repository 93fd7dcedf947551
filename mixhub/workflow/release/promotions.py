"""Copying branches from one hub to another, as they were verified there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Unpack

from mixhub.endpoint import Endpoint
from mixhub.errors import RepoNotFoundError
from mixhub.hub.publish import promote as promoting
from mixhub.hub.publish.compare import compare_with_hub
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.push import Pushed, push_all, require_all_pushed
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.workflow import inputs
from mixhub.workflow.inputs import HubLike, RunNames, WorkspaceLike
from mixhub.workflow.release.pushes import plan_data, require_sound_plans, require_tag, silent
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class RepoPromotion:
    """What a promotion does with one repo."""

    promotion: promoting.Promotion
    branches: tuple[Plan, ...]
    """The plan of each branch of a run or step."""
    main: Plan | None
    """The plan of the card on `main` as it is now; None if it waits, or if `main` is the branch of a run."""
    waiting: tuple[str, ...]
    """Branches of runs that will still differ between the hubs: the card on main waits for them."""
    main_options: PushOptions
    """For `main`: with a tag only if all runs are promoted."""

    def main_now(self) -> Plan | None:
        """Return the plan of `main` after the branches were pushed; None if it stays."""
        if self.promotion.family.main_is_run:
            return None
        if self.waiting:
            return promoting.plan_model_on_main(self.promotion)
        return promoting.plan_main(self.promotion, self.main_options)


@dataclass(frozen=True)
class PlannedPromotion:
    """What a promotion does; its hubs are open for the block of `plan_promotion`."""

    workspace: Workspace
    source: Endpoint
    target: Endpoint
    repos: tuple[RepoPromotion, ...]
    """The family's repo; several if each run has one of its own."""

    @property
    def branches(self) -> tuple[Plan, ...]:
        """The plan of each branch except the cards on `main`."""
        return tuple(plan for repo in self.repos for plan in repo.branches)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Runs that will still differ between the hubs: the card on main waits for them."""
        return tuple(repo.promotion.place(branch) for repo in self.repos for branch in repo.waiting)

    @property
    def main_follows(self) -> bool:
        """Whether a card on `main` follows the branches."""
        return any(not repo.waiting and not repo.promotion.family.main_is_run for repo in self.repos)

    def require_sound(self) -> None:
        """Raise ExportError for errors in the plans."""
        require_sound_plans([*self.branches, *(repo.main for repo in self.repos if repo.main)])

    def send(self, *, show: Callable[[Pushed], None] = silent, progress: Progress = SILENT) -> list[Pushed]:
        """Push branch by branch, `main` last.

        Args:
            show: called with each branch after it was pushed.
            progress: shows the files.

        Raises:
            ExportError, PushConflictError, HubError: as `promote`.
        """
        self.require_sound()
        # all are downloaded before the first is sent
        plans = [promoting.download_plan_files(plan, repo.promotion) for repo in self.repos for plan in repo.branches]
        results, failed = push_all(plans, self.workspace, self.target, show, progress)
        require_all_pushed(results, failed)
        mains = (main for repo in self.repos if (main := repo.main_now()))
        last, failed = push_all(mains, self.workspace, self.target, show, progress)
        require_all_pushed(last, failed)
        return results + last

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "from": str(self.source),
            "hub": str(self.target),
            "branches": [plan_data(plan) for plan in self.branches],
            "waiting": list(self.waiting),
        }


def promote(
    workspace: WorkspaceLike,
    source: HubLike,
    *,
    checkpoints: bool = False,
    hub: HubLike | None = None,
    options: PushOptions = DEFAULTS,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> list[Pushed]:
    """Copy published branches from one hub to another, unchanged.

    The commits that `verify` passed at the source are promoted. The card on main follows when all branches are there,
    with their commits.

        mixhub.promote("my-work", "http://staging:8000", hub="https://huggingface.co", all=True)

    Args:
        workspace: its family is promoted, and it notes the pushes.
        source: the hub that has the branches: `local`, an address or an endpoint.
        checkpoints: also promote the branches of earlier steps.
        hub: the hub that gets them; None: the workspace's.
        options: tag, private and force.
        progress: shows the branches and files, and reports the hubs.
        **run_names: seed or index, or all that the source has; and family.

    Returns:
        The result for each branch.

    Raises:
        UsageError, UnknownNameError: no such run, an invalid tag, or both hubs are the same.
        ExportError: the verification found errors; nothing was sent.
        PushConflictError: somebody pushed to the target meanwhile.
        HubError: a hub refuses, does not answer, or has none of the branches.
    """
    with plan_promotion(
        workspace, source, checkpoints=checkpoints, hub=hub, options=options, progress=progress, **run_names
    ) as plan:
        return plan.send(progress=progress)


@contextmanager
def plan_promotion(
    workspace: WorkspaceLike,
    source: HubLike,
    *,
    checkpoints: bool = False,
    hub: HubLike | None = None,
    options: PushOptions = DEFAULTS,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> Iterator[PlannedPromotion]:
    """Yield the plan of `promote` with the same arguments, for a block; sends nothing by itself.

    The plan holds what is wrong, and `send` refuses it.

    Raises:
        MixhubError: as `promote`.
    """
    workspace = inputs.open_workspace(workspace)
    require_tag(options.tag)
    family, runs = inputs.find_runs(workspace, **run_names)
    with inputs.open_hub(workspace, source) as origin, inputs.open_hub(workspace, hub, progress=progress) as target:
        progress.notice(f"from: {origin}")
        everything = run_names.get("all", False)
        promotions = _promotions(family, runs, origin, target, progress, skip_missing=everything)
        plans = []
        for promotion in promotions:
            own = [run.branch for run in runs if run.repo_id == promotion.family.repo_id]
            branches = promotion.branches_of(own, checkpoints=checkpoints)
            plans += promoting.plan_branches(promotion, branches, options)
        plans = compare_with_hub(plans, workspace, family, target)
        main_options = options if everything or family.has_repo_per_run else replace(options, tag=None)
        repos = [_plan_repo(promotion, plans, main_options) for promotion in promotions]
        yield PlannedPromotion(workspace, origin, target, tuple(repos))


def _promotions(
    family: Family,
    runs: Sequence[Run],
    source: Endpoint,
    target: Endpoint,
    progress: Progress,
    *,
    skip_missing: bool,
) -> list[promoting.Promotion]:
    """Return the promotion of each repo of some runs; with `skip_missing`, of those that the source has, if any."""
    found, missing = [], []
    for part in {run.repo_id: family.part(run) for run in runs}.values():
        try:
            promotion = promoting.Promotion.read(part, source, target, progress)
        except RepoNotFoundError as error:
            missing.append(error)
        else:
            found.append(promotion)
    if missing and not (skip_missing and found):
        raise missing[0]
    return found


def _plan_repo(promotion: promoting.Promotion, plans: Sequence[Plan], options: PushOptions) -> RepoPromotion:
    """Return what is done with one repo; `plans` are those of the branches of all repos."""
    own = [plan for plan in plans if plan.repo_id == promotion.family.repo_id]
    waiting = tuple(promoting.not_yet_promoted(promotion, [plan.branch for plan in own]))
    has_card = not promotion.family.main_is_run
    main = promoting.plan_main(promotion, options, before=own) if has_card and not waiting else None
    return RepoPromotion(promotion, tuple(own), main, waiting, options)
