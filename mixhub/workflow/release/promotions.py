"""Branches go from one hub to another, as they were verified there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.promote import PromotionPlan, plan_promotions, require_promotable
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import (
    HubLike,
    RunNames,
    WorkspaceLike,
    find_family,
    open_hub,
    open_workspace,
    require_one_way,
)
from mixhub.workflow.release.pushes import plan_data, require_tag, silent

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.publish.push import Pushed
    from mixhub.spec import Family, Run
    from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class PlannedPromotion:
    """What a promotion does; its hubs are open for the block of `plan_promotion`."""

    workspace: Workspace
    plan: PromotionPlan

    @property
    def branches(self) -> tuple[Plan, ...]:
        """The plan of each branch but `main`."""
        return self.plan.branches

    @property
    def source(self) -> Endpoint:
        """The hub that has the branches."""
        return self.plan.promotion.source

    @property
    def waiting(self) -> tuple[str, ...]:
        """Runs that will not be on the target as they are at the source: the card on main waits for them."""
        return self.plan.waiting

    def require_sound(self) -> None:
        """Raises ExportError for what is wrong with what would be published."""
        require_promotable(self.plan)

    def send(self, *, show: Callable[[Pushed], None] = silent, progress: Progress = SILENT) -> list[Pushed]:
        """Carries it out, branch by branch and `main` last.

        Args:
            show: is called with each branch as soon as it is pushed.
            progress: shows the files.

        Raises:
            ExportError, PushConflictError, HubError: as `promote`.
        """
        from mixhub.hub.publish.promote import promote

        return promote(self.plan, self.workspace, show=show, progress=progress)

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "from": str(self.source),
            "hub": str(self.plan.promotion.target),
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
    """Publishes on one hub what lies on another, as it lies there.

    What is promoted are the commits that `verify` passed at the source; what they hold was decided when they were
    pushed there. The card on main follows once all branches are there, with their commits.

        mixhub.promote("my-work", "http://staging:8000", hub="https://huggingface.co", all=True)

    Args:
        workspace: its family is promoted, and it notes what was.
        source: the hub that has the branches: `local`, an address or an endpoint.
        checkpoints: also the branches of earlier steps.
        hub: the hub that gets them; None: the workspace's.
        options: tag, private and force.
        progress: shows the branches and files, and reports which hubs they are.
        **run_names: seed or index, or all that the source has; and family.

    Returns:
        What came of each branch.

    Raises:
        UsageError, UnknownNameError: the names mean no run, the tag is not a name, or both hubs are the same.
        ExportError: something is wrong with what would be published; nothing was sent.
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
    """What `promote` with the same arguments does, for a block; sends nothing by itself.

    What is wrong stands in the plan, and `send` refuses it.

    Raises:
        MixhubError: as `promote`.
    """
    workspace = open_workspace(workspace)
    require_tag(options.tag)
    family, chosen = _chosen(workspace, **run_names)
    with open_hub(workspace, source) as origin, open_hub(workspace, hub, progress=progress) as target:
        progress.notice(f"from: {origin}")
        plan = plan_promotions(
            workspace, family, origin, target, options, runs=chosen, checkpoints=checkpoints, progress=progress
        )
        yield PlannedPromotion(workspace, plan)


def _chosen(
    workspace: Workspace,
    *,
    seed: int | None = None,
    index: int | None = None,
    all: bool = False,
    family: str | Family | None = None,
) -> tuple[Family, list[Run] | None]:
    """The family and the runs that are meant; None for all."""
    require_one_way(seed, index, all)
    family = find_family(workspace, family)
    return family, None if all else [family.run(seed=seed, index=index)]
