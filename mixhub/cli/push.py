"""`mixhub push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    WorkspaceOption,
    open_hub,
    open_workspace,
)

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.plan import Plan
    from mixhub.hub.push import Pushed


def push(
    seed: SeedOption = None,
    index: IndexOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    hub: HubOption = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Publish a run as one commit on its branch, and the family's card on main.

    Shows the plan, sends only what changed, and then sees that the hub holds every file by its hash. Run again, it
    sends nothing.
    """
    from mixhub.cli.steps import push_card, push_run
    from mixhub.hub.push import plan_card, plan_run

    place = open_workspace(workspace)
    chosen = place.family(family)
    run = chosen.run(seed=seed, index=index)
    place.export(run, chosen.training.steps)  # before a hub is opened: a missing export is said at once
    with open_hub(hub, place) as endpoint:
        if dry_run:
            show_plan(plan_run(place, chosen, run, endpoint))
            show_plan(plan_card(place, chosen, endpoint))
            return
        show_pushed(push_run(place, chosen, run, endpoint, show_plan), endpoint)
        show_pushed(push_card(place, chosen, endpoint), endpoint)


def show_plan(plan: Plan) -> None:
    """Prints what a push would do."""
    from mixhub.cli.console import bytes_shown, say

    state = "" if plan.branch_exists else " (new)"
    say(f"{plan.repo_id}, branch {plan.branch}{state}: {len(plan.changed)} of {len(plan.files)} files change")
    for change in plan.changed:
        say(f"  {change.action:8}{change.path}  {bytes_shown(change.size)}")
    say(f"  {bytes_shown(plan.bytes_to_send)} to send at most")


def show_pushed(pushed: Pushed, endpoint: Endpoint) -> None:
    """Prints what a push came to."""
    from mixhub.cli.console import counted, say

    plan = pushed.plan
    what = f"{plan.repo_id}@{plan.branch} = {pushed.commit}"
    if pushed.sent:
        say(f"pushed and verified: {what} ({counted(len(plan.changed), 'file')})")
    else:
        say(f"nothing to send: {what} holds it all")
