"""`mixhub withdraw`."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub.cli.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    open_hub,
    open_workspace,
)


def withdraw(
    why: Annotated[str, typer.Option("--why", help="What is wrong with it, one line.", metavar="TEXT")],
    seed: SeedOption = None,
    index: IndexOption = None,
    step: StepOption = None,
    hub: HubOption = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Mark a published revision as bad, without deleting what others have pinned.

    Its card says so at its head and in its tags, `mixhub.load` warns of it, a git tag names the commit, and the card on
    main lists it among the errata. Other weights that are pushed to the branch later are not withdrawn.
    """
    from mixhub.cli.console import say
    from mixhub.cli.push import show_pushed
    from mixhub.cli.steps import push_card, render_cards
    from mixhub.hub.push import plan_card
    from mixhub.hub.withdraw import correct_main, withdraw
    from mixhub.progress import SILENT

    place = open_workspace(workspace)
    chosen = place.family(family)
    branch = chosen.revision(seed=seed, index=index, step=step)
    with open_hub(hub, place) as endpoint:
        done = withdraw(place, chosen, endpoint, branch, why)
        say(f"withdrawn: {chosen.repo_id}@{branch} = {done.commit}; what it was is tagged {done.tag}")
        has_exports = any(place.run_folder(run).export_steps() for run in chosen.runs())
        if has_exports and not plan_card(place, chosen, endpoint).findings:
            render_cards(place, chosen, SILENT)
            show_pushed(push_card(place, chosen, endpoint), endpoint)
        else:  # the card cannot be rendered here, or somebody changed it on the hub: it gets that line alone
            say(f"errata on main: {correct_main(chosen, endpoint, done.withdrawal)}")
