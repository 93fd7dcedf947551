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
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Mark a published revision as bad, without deleting what others have pinned.

    Its card says so at its head and in its tags, `mixhub.load` warns of it, a git tag names the commit, and the card on
    main lists it among the errata. Other weights that are pushed to the branch later are not withdrawn.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say
    from mixhub.cli.release.plans import show_pushed

    workspace = find_workspace(workspace_dir)
    withdrawal = workflow.withdraw(
        workspace,
        why,
        step=step,
        hub=choose_hub(hub, workspace),
        progress=progress(),
        seed=seed,
        index=index,
        family=family_name,
    )
    done = withdrawal.done
    say(f"withdrawn: {withdrawal.repo_id}@{withdrawal.branch} = {done.commit}; what it was is tagged {done.tag}")
    for other, commit in withdrawal.elsewhere.items():
        say(f"{other} has it too, at {commit[:12]}; unless that is done already: withdraw it with --hub {other}")
    if withdrawal.is_on_main:
        say(
            f"main holds the model of {withdrawal.branch} too: name another in revisions.main, or none; "
            "then mixhub push --all"
        )
    if withdrawal.problem is not None:
        say(f"the card of {withdrawal.family} is not rendered: {withdrawal.problem.lines()[0]}")
    if withdrawal.card is not None:
        show_pushed(withdrawal.card)
    else:
        say(f"errata on main: {withdrawal.errata}")
