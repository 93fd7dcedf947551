"""`mixhub train`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import log_lines, progress, say, say_next
from mixhub.cli.common.deadlines import StopBeforeOption, TimeLimitOption, deadline
from mixhub.cli.common.options import (
    FamilyOption,
    IndexOption,
    JsonOption,
    SeedOption,
    WorkspaceOption,
    find_workspace,
)
from mixhub.cli.make.train_plans import require_consistent, run_preflight, show_plan

if TYPE_CHECKING:
    from mixhub.progress import Progress
    from mixhub.workflow import RunName
    from mixhub.workspace.paths import Workspace

_PLAN_HELP = "Print steps, memory, traffic and time on several machines, and train nothing."
_PREFLIGHT_HELP = (
    "Try the run on this machine for a few updates: whether it repeats and resumes, how fast it is, and whether memory "
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
    seed: SeedOption = None,
    index: IndexOption = None,
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
    """Train one run, or resume it from its last checkpoint, and export its weights.

    Needs the token shards that `mixhub data pack` writes, but no network. `--num-processes 8` trains with several
    processes on this machine; torchrun, `accelerate launch` and srun can start them on one or several.

    SIGTERM, SIGUSR2 and Ctrl-C stop after the current step, with a checkpoint; the exit status is then 75, or 130 after
    Ctrl-C. A second signal, at least three seconds later, ends the process at once. `--stop-before 10m` stops a run in
    the same way ten minutes before a Slurm job ends.
    """
    from mixhub import workflow
    from mixhub.cli.common.signals import STATUS, stop_signals
    from mixhub.training.processes import PARENT

    workspace = find_workspace(workspace_dir)
    run_name: RunName = {"seed": seed, "index": index, "family": family_name}
    unused: dict[str, object] = {"--tracker": trackers, "--time-limit": time_limit, "--stop-before": stop_before}
    unused["--kernels"] = plan and kernels != "eager"
    require_consistent(plan=plan, preflight=preflight, mfu=mfu, as_json=as_json, unused=unused)
    options = workflow.TrainOptions(device=device, sharding=sharding, kernels=kernels, trackers=tuple(trackers or ()))
    if plan:
        planned = workflow.plan_training(workspace, mfu=mfu, processes=num_processes, options=options, **run_name)
        show_plan(planned, as_json=as_json)
        return
    is_late = deadline(time_limit, stop_before) if _is_first_process() else lambda: False
    if num_processes > 1 and PARENT not in os.environ:
        with _interrupt_explained(workspace, run_name):
            raise typer.Exit(_run_processes(workspace, num_processes, run_name, progress(as_json=as_json)))
    if preflight:
        raise typer.Exit(run_preflight(workspace, options, run_name, as_json=as_json))
    log_lines()
    with _interrupt_explained(workspace, run_name), stop_signals() as request:
        trained = workflow.train(
            workspace, options=options, progress=progress(), should_stop=lambda: bool(request) or is_late(), **run_name
        )
    if trained.export is None:
        by = f" by {request.signal.name}" if request.signal else " before the time limit" if is_late() else ""
        _say_first(f"stopped{by}, saved at step {trained.step}; run the same command to continue")
        raise typer.Exit(STATUS[request.signal or signal.SIGTERM])
    run = trained.run
    _say_first(f"{run.revision}: export in {trained.export}", f"mixhub evaluate --{run.kind} {run.label}")


def _say_first(line: str, next_command: str | None = None) -> None:
    """Print a line, and the next command, in the first process; what is saved is so also if nobody reads it."""
    if not _is_first_process():
        return
    try:
        say(line)
        if next_command:
            say_next(next_command)
    except BrokenPipeError:  # of a `tee`, which got the signal too; the exit status still counts
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextmanager
def _interrupt_explained(workspace: Workspace, run_name: RunName) -> Iterator[None]:
    """If Ctrl-C ends the run at once, print what is saved."""
    from mixhub import workflow

    try:
        yield
    except KeyboardInterrupt:
        step = workflow.last_checkpoint(workspace, **run_name)
        state = "before the first checkpoint" if step is None else f"the last saved step is {step}"
        again = "start again" if step is None else "continue from there"
        _say_first(f"stopped: {state}; run the same command to {again}")
        raise


def _run_processes(workspace: Workspace, count: int, run_name: RunName, progress: Progress) -> int:
    """Run this command in several processes, print the errors that they did not, and return the exit status."""
    from mixhub import workflow
    from mixhub.cli.common.deadlines import STARTED, started
    from mixhub.cli.common.signals import STATUS

    ended = workflow.train_in_processes(
        workspace,
        count,
        command=[sys.executable, "-m", "mixhub", *sys.argv[1:]],
        environment={STARTED: str(started())},
        signals=tuple(STATUS),
        progress=progress,
        **run_name,
    )
    for text, rank in ended.errors:
        if rank is not None:
            say(f"process {rank} of {count}:", sys.stderr)
        for line in text.splitlines():
            say(line, sys.stderr)
    return STATUS[ended.asked] if ended.asked else ended.status


def _is_first_process() -> bool:
    """Whether this is the one of several processes that prints."""
    return os.environ.get("RANK", "0") == "0"
