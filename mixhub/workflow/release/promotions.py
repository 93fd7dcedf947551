"""Copying branches from one hub to another, as they were verified there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Unpack

from mixhub.hub.publish import promote as promoting
from mixhub.hub.publish.compare import compare_with_hub
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.push import Pushed, push_all, require_all_pushed
from mixhub.progress import SILENT, Progress
from mixhub.workflow import inputs
from mixhub.workflow.inputs import HubLike, RunNames, WorkspaceLike
from mixhub.workflow.release.pushes import plan_data, require_sound_plans, require_tag, silent
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class PlannedPromotion:
    """What a promotion does; its hubs are open for the block of `plan_promotion`."""

    workspace: Workspace
    promotion: promoting.Promotion
    branches: tuple[Plan, ...]
    """The plan of each branch except `main`."""
    main: Plan | None
    """The plan of `main` as it is now; None if it waits."""
    waiting: tuple[str, ...]
    """Runs that will still differ between the hubs: the card on main waits for them."""
    main_options: PushOptions
    """For `main`: with a tag only if all runs are promoted."""

    def require_sound(self) -> None:
        """Raise ExportError for errors in the plans."""
        require_sound_plans([*self.branches, *([self.main] if self.main else ())])

    def send(self, *, show: Callable[[Pushed], None] = silent, progress: Progress = SILENT) -> list[Pushed]:
        """Push branch by branch, `main` last.

        Args:
            show: called with each branch after it was pushed.
            progress: shows the files.

        Raises:
            ExportError, PushConflictError, HubError: as `promote`.
        """
        self.require_sound()
        target = self.promotion.target
        # all are downloaded before the first is sent
        plans = [promoting.download_plan_files(plan, self.promotion) for plan in self.branches]
        results, failed = push_all(plans, self.workspace, target, show, progress)
        require_all_pushed(results, failed)
        if self.waiting:
            main = promoting.plan_model_on_main(self.promotion)
        else:
            main = promoting.plan_main(self.promotion, self.main_options)
        last, failed = push_all([main] if main else [], self.workspace, target, show, progress)
        require_all_pushed(last, failed)
        return results + last

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "from": str(self.promotion.source),
            "hub": str(self.promotion.target),
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
    seed, index, everything = run_names.get("seed"), run_names.get("index"), run_names.get("all", False)
    family = inputs.find_family(workspace, run_names.get("family"))
    inputs.require_one_way(family, seed, index, everything)
    runs = family.runs() if everything else inputs.named_runs(family, seed, index)
    with inputs.open_hub(workspace, source) as origin, inputs.open_hub(workspace, hub, progress=progress) as target:
        progress.notice(f"from: {origin}")
        promotion = promoting.Promotion.read(family, origin, target, progress)
        branches = promotion.branches_of([run.revision for run in runs], checkpoints=checkpoints)
        plans = compare_with_hub(promoting.plan_branches(promotion, branches, options), workspace, family, target)
        waiting = tuple(promoting.not_yet_promoted(promotion, branches))
        main_options = options if everything else replace(options, tag=None)
        main = None if waiting else promoting.plan_main(promotion, main_options, before=plans)
        yield PlannedPromotion(workspace, promotion, tuple(plans), main, waiting, main_options)
