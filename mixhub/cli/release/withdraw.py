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
    from mixhub.cli.common.console import say
    from mixhub.cli.release.push import show_pushed
    from mixhub.errors import MixhubError
    from mixhub.hub.publish.receipts import all_commits
    from mixhub.hub.publish.withdraw import correct_main, is_on_main, withdraw
    from mixhub.workflow.steps import push_card, require_publishable

    place = open_workspace(workspace)
    chosen = place.family(family)
    branch = chosen.revision(seed=seed, index=index, step=step)
    with open_hub(hub, place) as endpoint:
        done = withdraw(place, chosen, endpoint, branch, why)
        say(f"withdrawn: {chosen.repo_id}@{branch} = {done.commit}; what it was is tagged {done.tag}")
        weights = done.withdrawal.weights_sha256
        for other, commit in all_commits(place, chosen.repo_id, branch, weights).items():
            if other != (endpoint.name or endpoint.url):
                say(
                    f"{other} has it too, at {commit[:12]}; unless that is done already: withdraw it with --hub {other}"
                )
        has_exports = any(place.run_folder(run).export_steps() for run in chosen.runs())
        on_main = is_on_main(chosen, endpoint, done.withdrawal)
        if on_main:
            say(
                f"main holds the model of {branch} too: name another in revisions.main, or none; then mixhub push --all"
            )
        try:
            if has_exports and not on_main:
                require_publishable(place, chosen, endpoint)
                show_pushed(push_card(place, chosen, endpoint), endpoint)
                return
        except MixhubError as error:
            say(f"the card of {chosen.name} is not rendered: {error.message.splitlines()[0]}")
        # it cannot be rendered here, somebody changed it, or it holds the same model: it gets that line alone
        say(f"errata on main: {correct_main(chosen, endpoint, done)}")
