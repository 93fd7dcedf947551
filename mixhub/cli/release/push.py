"""`mixhub push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import (
    AllOption,
    FamilyOption,
    HubOption,
    IndexOption,
    JsonOption,
    SeedOption,
    StepOption,
    WorkspaceOption,
    choose_hub,
    find_workspace,
    require_dry_run,
)

if TYPE_CHECKING:
    from mixhub.workflow import PushPlan

CheckpointsOption = Annotated[
    bool, typer.Option("--checkpoints", help="Also earlier steps that have an export or a checkpoint.")
]
OptimizerOption = Annotated[
    bool, typer.Option("--with-optimizer", help="Also the newest checkpoint, to <branch>-optimizer.")
]
SamplesOption = Annotated[bool, typer.Option("--samples", help="Also the samples of the results, as parquet.")]
TagOption = Annotated[
    str | None,
    typer.Option(help="Tag what is pushed: <branch>-NAME; with --all, also NAME on main.", metavar="NAME"),
]
SourceOption = Annotated[str | None, typer.Option("--from", help="As `mixhub promote --from HUB`.", hidden=True)]
PrivateOption = Annotated[bool, typer.Option("--private", help="Make the repo private, where it is new.")]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace a card or a model on main that others put there; delete results that only the branch has.",
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show the plan and stop; nothing is sent. Exports that --checkpoints lacks are made."
    ),
]


def push(
    seed: SeedOption = None,
    index: IndexOption = None,
    everything: AllOption = False,
    step: StepOption = None,
    checkpoints: CheckpointsOption = False,
    with_optimizer: OptimizerOption = False,
    samples: SamplesOption = False,
    tag: TagOption = None,
    source: SourceOption = None,
    private: PrivateOption = False,
    force: ForceOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Publish runs, each as one commit on its branch, and then the family's card on main.

    Checks every run and shows the whole plan before anything is sent; sends only what changed, large files first; and
    then sees that the hub holds every file by its hash. Broken off at any time, it is run again; run again without
    need, it sends nothing.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars, progress, say, say_json
    from mixhub.cli.release.plans import show_pushed
    from mixhub.cli.release.promote import promote

    if source is not None:
        _refuse_with_from({"--step": step is not None, "--with-optimizer": with_optimizer, "--samples": samples})
        given = (seed, index, everything, checkpoints, tag, private, force, dry_run, as_json, hub)
        promote(source, *given, family_name, workspace_dir)
        return
    require_dry_run(as_json, dry_run)
    hide_client_bars()
    workspace = find_workspace(workspace_dir)
    bars = progress(as_json=as_json)
    names = workflow.RunNames(seed=seed, index=index, all=everything, family=family_name)
    with workflow.plan_push(
        workspace,
        step=step,
        checkpoints=checkpoints,
        with_optimizer=with_optimizer,
        hub=choose_hub(hub, workspace),
        options=workflow.PushOptions(samples, tag, private, force),
        progress=bars,
        **names,
    ) as plan:
        if as_json:
            plan.require_sound()
            say_json(plan.to_data())
            return
        _show(plan)
        if dry_run:
            return
        plan.send(show=show_pushed, progress=bars)
        if plan.tags:
            say(f"tagged: {', '.join(plan.tags)}")


def _show(plan: PushPlan) -> None:
    """Prints the plan; raises ExportError where it is not fit to be published."""
    from mixhub.cli.common.console import say
    from mixhub.cli.release.plans import show_plan

    for branch in plan.branches:
        show_plan(branch)
    plan.require_sound()
    if plan.main is not None and (plan.main.changed or not plan.main_follows):
        show_plan(plan.main)
    if plan.main_follows:
        say("main: its card follows, with the commits of the branches")


def _refuse_with_from(given: dict[str, bool]) -> None:
    from mixhub.errors import UsageError

    for option, is_given in given.items():
        if is_given:
            raise UsageError(
                f"{option} does not go with --from: branches are promoted as they are",
                code="option-conflict",
                options=(option, "--from"),
            )
