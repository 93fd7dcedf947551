"""`mixhub withdraw`."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    choose_hub,
    find_workspace,
)

WhyOption = Annotated[str, typer.Option("--why", help="What is wrong with it, one line.", metavar="TEXT")]


def withdraw(
    why: WhyOption,
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
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say
    from mixhub.cli.release.plans import show_pushed

    place = find_workspace(workspace)
    made = workflow.withdraw(
        place,
        why,
        step=step,
        hub=choose_hub(hub, place),
        progress=progress(),
        seed=seed,
        index=index,
        family=family,
    )
    say(f"withdrawn: {made.repo_id}@{made.branch} = {made.done.commit}; what it was is tagged {made.done.tag}")
    for other, commit in made.elsewhere.items():
        say(f"{other} has it too, at {commit[:12]}; unless that is done already: withdraw it with --hub {other}")
    if made.is_on_main:
        say(
            f"main holds the model of {made.branch} too: name another in revisions.main, or none; "
            "then mixhub push --all"
        )
    if made.problem is not None:
        say(f"the card of {made.family} is not rendered: {made.problem.lines()[0]}")
    if made.card is not None:
        show_pushed(made.card)
    else:
        say(f"errata on main: {made.errata}")
