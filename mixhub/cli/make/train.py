"""`mixhub train`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import log_lines, progress, say, say_next
from mixhub.cli.common.options import (
    FamilyOption,
    IndexOption,
    JsonOption,
    SeedOption,
    WorkspaceOption,
    find_workspace,
)
from mixhub.cli.make.train_plans import require_figures, show_outcome, show_plan

if TYPE_CHECKING:
    from mixhub.workflow import RunName

_PLAN_HELP = "Print steps, memory, traffic and time on several machines, and train nothing."
_PREFLIGHT_HELP = (
    "Try the run on this machine for a few updates: whether it repeats and resumes, how fast it is, and whether memory "
    "and disk suffice. Exits with 1 if something is wrong."
)
_MFU_HELP = "With --plan: share of the devices' peak that training is assumed to use. [default: 0.4]"
_DEVICE_HELP = "`cpu` or `cuda`. [default: cuda if available, otherwise cpu]"


def train(
    seed: SeedOption = None,
    index: IndexOption = None,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP, metavar="NAME")] = None,
    plan: Annotated[bool, typer.Option("--plan", help=_PLAN_HELP)] = False,
    preflight: Annotated[bool, typer.Option("--preflight", help=_PREFLIGHT_HELP)] = False,
    mfu: Annotated[float | None, typer.Option(help=_MFU_HELP, metavar="SHARE")] = None,
    as_json: JsonOption = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Train one run, or resume it from its last checkpoint, and export its weights.

    Needs the token shards that `mixhub data pack` writes, but no network. To train with several processes, run
    `torchrun --nproc-per-node 8 -m mixhub train --seed 1`.

    SIGTERM, SIGUSR2 and Ctrl-C stop after the current step, with a checkpoint; the exit status is then 75, or 130 after
    Ctrl-C. A second signal ends the process at once.
    """
    from mixhub import workflow
    from mixhub.cli.common.signals import STATUS, stop_signals
    from mixhub.findings import exit_status

    workspace = find_workspace(workspace_dir)
    run_name: RunName = {"seed": seed, "index": index, "family": family_name}
    require_figures(plan=plan, preflight=preflight, mfu=mfu, as_json=as_json)
    if plan:
        show_plan(workflow.plan_training(workspace, mfu=mfu, device=device, **run_name), as_json=as_json)
        return
    options = workflow.TrainOptions(device=device)
    if preflight:
        outcome = workflow.preflight(workspace, options=options, progress=progress(as_json=as_json), **run_name)
        if _is_first_process():
            show_outcome(outcome, as_json=as_json)
        raise typer.Exit(exit_status(outcome.findings))
    log_lines()
    try:
        with stop_signals() as request:
            trained = workflow.train(
                workspace,
                options=options,
                progress=progress(),
                should_stop=lambda: bool(request),
                **run_name,
            )
    except KeyboardInterrupt:
        if _is_first_process():
            step = workflow.last_checkpoint(workspace, **run_name)
            state = "before the first checkpoint" if step is None else f"the last saved step is {step}"
            again = "start again" if step is None else "continue from there"
            say(f"stopped: {state}; run the same command to {again}")
        raise
    if trained.export is None and request.signal is not None:
        if _is_first_process():
            say(f"stopped by {request.signal.name}, saved at step {trained.step}; run the same command to continue")
        raise typer.Exit(STATUS[request.signal])
    if _is_first_process():
        say(f"{trained.run.revision}: export in {trained.export}")
        run = trained.run
        say_next(f"mixhub evaluate --{run.kind} {run.number}")


def _is_first_process() -> bool:
    """Whether this is the one of several processes that prints."""
    return os.environ.get("RANK", "0") == "0"
