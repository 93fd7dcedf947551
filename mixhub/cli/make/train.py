"""`mixhub train`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mixhub.cli.common.deadlines import StopBeforeOption, TimeLimitOption, deadline
from mixhub.cli.common.options import (
    FamilyOption,
    IndicesOption,
    JsonOption,
    SeedsOption,
    WorkspaceOption,
    find_workspace,
    indices,
    named,
    seeds,
)
from mixhub.cli.make.train_plans import require_consistent, show_plan

AllOption = Annotated[bool, typer.Option("--all", help="All runs of the family.")]
_PLAN_HELP = "Print steps, memory, traffic and time of each run on several machines, and train nothing."
_PREFLIGHT_HELP = (
    "Try one run on this machine for a few updates: whether it repeats and resumes, how fast it is, and whether memory "
    "and disk suffice. Exits with 1 if something is wrong."
)
_MFU_HELP = "With --plan: share of the devices' peak that training is assumed to use. [default: 0.4]"
_SHARDING_HELP = (
    "What processes divide: `none` (each has a copy), `full` (weights, gradients and optimizer state) or `hybrid` "
    "(these within each node). [default: none]"
)
_KERNELS_HELP = "Implementation of the layers: `eager` (PyTorch), `compile` or `liger`. [default: eager]"
_DEVICE_HELP = "`cpu` or `cuda`; with --plan, to show this machine too. [default: cuda if available, otherwise cpu]"
_TRACKER_HELP = (
    "Also send the metrics to this tracker of Accelerate, such as `tensorboard` or `wandb`; repeat it for several. "
    "Offline, unless the tracker's own environment variables say otherwise."
)
_PROCESSES_HELP = "Processes to start on this machine, on CUDA one per GPU; with --plan, to show it too."


def train(
    seed: SeedsOption = None,
    index: IndicesOption = None,
    everything: AllOption = False,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP, metavar="NAME")] = None,
    kernels: Annotated[str, typer.Option(help=_KERNELS_HELP, metavar="NAME", show_default=False)] = "eager",
    num_processes: Annotated[int, typer.Option(help=_PROCESSES_HELP, metavar="N", min=1)] = 1,
    trackers: Annotated[list[str] | None, typer.Option("--tracker", help=_TRACKER_HELP, metavar="NAME")] = None,
    time_limit: TimeLimitOption = None,
    stop_before: StopBeforeOption = None,
    sharding: Annotated[str | None, typer.Option(help=_SHARDING_HELP, metavar="NAME")] = None,
    plan: Annotated[bool, typer.Option("--plan", help=_PLAN_HELP)] = False,
    preflight: Annotated[bool, typer.Option("--preflight", help=_PREFLIGHT_HELP)] = False,
    mfu: Annotated[float | None, typer.Option(help=_MFU_HELP, metavar="SHARE")] = None,
    as_json: JsonOption = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Train runs, or resume them from their last checkpoints, and export their weights.

    Needs the token shards that `mixhub data pack` writes, but no network. `--num-processes 8` trains with several
    processes on this machine; torchrun, `accelerate launch` and srun can start them on one or several.

    Several runs are trained one after the other, and finished ones are skipped. If one fails, the others are trained
    nevertheless, unless the disk is full or two fail for the same reason; the exit status is then 2. A launcher such as
    torchrun trains one run.

    SIGTERM, SIGUSR2 and Ctrl-C stop after the current step, with a checkpoint; the exit status is then 75, or 130 after
    Ctrl-C. A second signal, at least three seconds later, ends the process at once. `--stop-before 10m` stops a run in
    the same way ten minutes before a Slurm job ends. What is left is trained by the same command.
    """
    from mixhub import workflow
    from mixhub.cli.make.train_runs import Series, is_first_process
    from mixhub.training.processes import PARENT

    is_child = PARENT in os.environ
    workspace = find_workspace(workspace_dir)
    names = workflow.RunNames(
        seed=seeds(seed),
        index=indices(index),
        all=everything and not is_child,
        family=family_name,
    )
    unused: dict[str, object] = {"--tracker": trackers, "--time-limit": time_limit, "--stop-before": stop_before}
    unused["--kernels"] = plan and kernels != "eager"
    require_consistent(plan=plan, preflight=preflight, mfu=mfu, as_json=as_json, unused=unused)
    options = workflow.TrainOptions(device=device, sharding=sharding, kernels=kernels, trackers=tuple(trackers or ()))
    if plan:
        planned = workflow.plan_training(workspace, mfu=mfu, processes=num_processes, options=options, **names)
        show_plan(planned, as_json=as_json)
        return
    is_late = deadline(time_limit, stop_before) if is_first_process() else lambda: False
    series = Series(
        workspace, names, named(seed, index, everything), workflow.find_runs(workspace, **names)[1], is_late
    )
    if status := series.start(options, num_processes, is_preflight=preflight, as_json=as_json):
        raise typer.Exit(status)
