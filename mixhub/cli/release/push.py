"""`mixhub push`."""

from __future__ import annotations

from typing import Annotated

import typer

from mixhub.cli.common import options
from mixhub.cli.release import plans

CheckpointsOption = Annotated[
    bool, typer.Option("--checkpoints", help="Also publish earlier steps that have an export or a checkpoint.")
]
OptimizerOption = Annotated[
    bool, typer.Option("--with-optimizer", help="Also publish the newest checkpoint, on <branch>-optimizer.")
]
SamplesOption = Annotated[bool, typer.Option("--samples", help="Also publish the samples of the results, as Parquet.")]


def push(
    seed: options.SeedsOption = None,
    index: options.IndicesOption = None,
    everything: options.AllOption = False,
    step: options.StepOption = None,
    checkpoints: CheckpointsOption = False,
    with_optimizer: OptimizerOption = False,
    samples: SamplesOption = False,
    tag: plans.TagOption = None,
    private: plans.PrivateOption = False,
    force: plans.ForceOption = False,
    dry_run: plans.DryRunOption = False,
    as_json: options.JsonOption = False,
    hub: options.HubOption = None,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Publish runs, each as one commit on its branch, and then the family's card on main.

    Checks every run and shows the whole plan before it sends anything. Sends only what changed, large files first, then
    verifies by hash that the hub holds every file. If a push is interrupted, run it again. With --checkpoints, missing
    exports are made even in a dry run.
    """
    from mixhub import workflow
    from mixhub.cli.common import console

    options.require_dry_run(as_json, dry_run)
    console.hide_client_bars()
    workspace = options.find_workspace(workspace_dir)
    progress = console.progress(as_json=as_json)
    with workflow.plan_push(
        workspace,
        step=step,
        checkpoints=checkpoints,
        with_optimizer=with_optimizer,
        hub=options.choose_hub(hub, workspace),
        options=workflow.PushOptions(samples, tag, private, force),
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
        for main in plan.mains:
            if main.changed or not plan.main_follows:
                plans.show_plan(main)
        if plan.main_follows:
            console.say("main: its card follows, with the commits of the branches")
        if dry_run:
            return
        plan.send(show=plans.show_pushed, progress=progress)
        if plan.tags:
            console.say(f"tagged: {', '.join(plan.tags)}")
