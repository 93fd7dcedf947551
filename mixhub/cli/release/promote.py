"""`mixhub promote`."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub.cli.common import options
from mixhub.cli.release import plans

SourceOption = Annotated[
    str, typer.Option("--from", help="Hub that has the branches: `local` or an address.", metavar="HUB")
]
AllOption = Annotated[bool, typer.Option("--all", help="All runs that the --from hub has.")]
CheckpointsOption = Annotated[bool, typer.Option("--checkpoints", help="Also copy the branches of earlier steps.")]


def promote(
    source: SourceOption,
    seed: options.SeedsOption = None,
    index: options.IndicesOption = None,
    everything: AllOption = False,
    checkpoints: CheckpointsOption = False,
    tag: plans.TagOption = None,
    private: plans.PrivateOption = False,
    force: plans.ForceOption = False,
    dry_run: plans.DryRunOption = False,
    as_json: options.JsonOption = False,
    hub: options.HubOption = None,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Copy published branches from one hub to another, unchanged.

    Verifies the branches on the first hub, then sends exactly those files, except the ones that the other hub already
    has. Once all branches are there, the card on main follows and names their commits.
    """
    from mixhub import workflow
    from mixhub.cli.common import console

    options.require_dry_run(as_json, dry_run)
    console.hide_client_bars()
    workspace = options.find_workspace(workspace_dir)
    progress = console.progress(as_json=as_json)
    with workflow.plan_promotion(
        workspace,
        options.choose_hub(source, workspace, asked_by="--from"),
        hub=options.choose_hub(hub, workspace),
        checkpoints=checkpoints,
        options=workflow.PushOptions(tag=tag, private=private, force=force),
        progress=progress,
        **workflow.RunNames(
            seed=options.seeds(seed),
            index=options.indices(index),
            all=everything,
            family=family_name,
        ),
    ) as plan:
        plans.show_plans(plan, as_json=as_json)
        if as_json:
            return
        if dry_run:
            console.say(
                f"main: {'its card follows, with the commits of this hub' if plan.main_follows else 'unchanged'}"
            )
            return
        plan.send(show=plans.show_pushed, progress=progress)
        if plan.waiting:
            runs = ", ".join(plan.waiting)
            console.say(f"main stays unchanged until these match {plan.source}: {runs}")
