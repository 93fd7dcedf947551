"""`mixhub withdraw`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common import options

if TYPE_CHECKING:
    from mixhub.workflow import Withdrawal

WhyOption = Annotated[str, typer.Option("--why", help="What is wrong with the revision, in one line.", metavar="TEXT")]


def withdraw(
    why: WhyOption,
    seed: options.SeedsOption = None,
    index: options.IndicesOption = None,
    step: options.StepOption = None,
    hub: options.HubOption = None,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Mark published revisions as bad, without deleting what others have pinned.

    The revision's card says so at the top and in its tags, `mixhub.load` warns, a git tag marks the old commit, and the
    card on main lists it under Errata. What a push wrote to .eval_results/ for leaderboards is deleted. New weights
    that are pushed to the branch later are not withdrawn.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import progress

    workspace = options.find_workspace(workspace_dir)
    family = workspace.family(family_name)
    runs = [family.run(seed=one, index=other) for one, other in options.each_run(seed, index)]
    with workflow.open_hub(workspace, options.choose_hub(hub, workspace), progress=progress()) as endpoint:
        for run in runs:
            run_name: workflow.RunName = {"family": family, run.kind: run.label}  # type: ignore[misc]
            _show(workflow.withdraw(workspace, why, step=step, hub=endpoint, progress=progress(), **run_name))


def _show(withdrawal: Withdrawal) -> None:
    """Print what was withdrawn, and what happened to the card."""
    from mixhub.cli.common.console import say
    from mixhub.cli.release.plans import show_pushed

    done = withdrawal.done
    say(f"withdrawn: {withdrawal.repo_id}@{withdrawal.branch} = {done.commit}; the old commit is tagged {done.tag}")
    for other, commit in withdrawal.elsewhere.items():
        say(f"{other} also has it, at {commit[:12]}: withdraw it there too, with --hub {other}")
    if withdrawal.is_on_main:
        say(options.as_asked("main also holds this model: change or remove revisions.main, then run mixhub push --all"))
    if withdrawal.problem is not None:
        say(f"the card of {withdrawal.family} could not be rendered: {withdrawal.problem.lines()[0]}")
    if withdrawal.card is not None:
        show_pushed(withdrawal.card)
    elif withdrawal.errata is not None:
        say(f"errata on main: {withdrawal.errata}")
