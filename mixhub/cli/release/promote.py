"""`mixhub promote`."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    IndexOption,
    JsonOption,
    SeedOption,
    WorkspaceOption,
    choose_hub,
    find_workspace,
    require_dry_run,
)

SourceOption = Annotated[
    str, typer.Option("--from", help="The hub that has the branches: an address, or local.", metavar="HUB")
]
CheckpointsOption = Annotated[bool, typer.Option("--checkpoints", help="Also the branches of earlier steps.")]
TagOption = Annotated[
    str | None,
    typer.Option(help="Tag what is promoted: <branch>-NAME; with --all, also NAME on main.", metavar="NAME"),
]
PrivateOption = Annotated[bool, typer.Option("--private", help="Make the repo private, where it is new.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace a card or a model on main that others put there.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop; nothing is sent.")]


def promote(
    source: SourceOption,
    seed: SeedOption = None,
    index: IndexOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs that the hub has.")] = False,
    checkpoints: CheckpointsOption = False,
    tag: TagOption = None,
    private: PrivateOption = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Publish on one hub what lies on another, as it lies there.

    Verifies the branches on the hub that has them, and sends those commits byte by byte; what the other hub has already
    is not sent again. The card on main follows once all branches are there, with their commits.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars, progress, say, say_json
    from mixhub.cli.release.plans import show_plan, show_pushed

    require_dry_run(as_json, dry_run)
    hide_client_bars()
    workspace = find_workspace(workspace_dir)
    bars = progress(as_json=as_json)
    with workflow.plan_promotion(
        workspace,
        choose_hub(source, workspace, asked_by="--from"),
        hub=choose_hub(hub, workspace),
        checkpoints=checkpoints,
        options=workflow.PushOptions(tag=tag, private=private, force=force),
        progress=bars,
        seed=seed,
        index=index,
        all=everything,
        family=family_name,
    ) as plan:
        if as_json:
            plan.require_sound()
            say_json(plan.to_data())
            return
        for branch in plan.branches:
            show_plan(branch)
        plan.require_sound()
        if dry_run:
            say(
                "main: stays as it is"
                if plan.waiting
                else "main: its card follows, with the commits of the branches here"
            )
            return
        plan.send(show=show_pushed, progress=bars)
        if plan.waiting:
            say(f"the card on main stays as it is, until these are as on {plan.source}: {', '.join(plan.waiting)}")
