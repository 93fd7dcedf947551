"""What `mixhub train --plan` and `--preflight` print."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mixhub.cli.common import console
from mixhub.errors import UsageError
from mixhub.phrases import duration, magnitude, plural, size

if TYPE_CHECKING:
    from mixhub.training.planning.outcome import Preflight
    from mixhub.training.planning.plan import Placement, TrainingPlan
    from mixhub.workflow import RunName, TrainOptions
    from mixhub.workspace.paths import Workspace

_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def require_consistent(
    *, plan: bool, preflight: bool, mfu: float | None, as_json: bool, unused: Mapping[str, object]
) -> None:
    """Raise UsageError if options ask for figures that training itself does not have, or would have no effect.

    Args:
        plan: whether to calculate instead of training.
        preflight: whether to try instead of training.
        mfu: value of `--mfu`.
        as_json: whether to print JSON.
        unused: options that neither plan nor preflight uses, with their values; false if absent.
    """
    if plan and preflight:
        hint = "run one after the other"
        raise UsageError("pass either --plan or --preflight", code="option-conflict", hint=hint, option="--preflight")
    if mfu is not None and not plan:
        raise UsageError("--mfu needs --plan", code="option-missing", hint="add --plan", option="--mfu")
    if as_json and not plan and not preflight:
        message, hint = "--json needs --plan or --preflight", "add one of them, or read metrics.jsonl after training"
        raise UsageError(message, code="option-missing", hint=hint, option="--json")
    for option, value in unused.items() if plan or preflight else ():
        if value:
            message = f"{option} has no effect with {'--plan' if plan else '--preflight'}"
            raise UsageError(message, code="option-conflict", hint=f"omit {option}", option=option)


def show_plan(plan: TrainingPlan, *, as_json: bool) -> None:
    """Print what a run takes, where it fits and how long it takes there."""
    if as_json:
        console.say_json(plan.to_data())
        return
    console.show_table(["", ""], list(_facts(plan)), title=f"{plan.family.name}: what a run takes")
    columns = ["devices", "sharding", "memory", "micro-steps", "sent a step", "time"]
    console.show_table(columns, [_row(one) for one in plan.placements], title="where it can be trained")
    needs = [(one.machine.name, one.memory.to_data()) for one in plan.placements if one.memory is not None]
    if needs:
        largest = max(parts["total"] for _, parts in needs)
        unit, bytes_of_unit = next((unit for unit in _UNITS if largest >= unit[1]), ("B", 1))
        rows = [
            (name, *(f"{part / bytes_of_unit:,.1f}" for part in list(parts.values())[:-1])) for name, parts in needs
        ]
        console.show_table(["devices", *list(needs[0][1])[:-1]], rows, title=f"memory of each device in {unit}")
    for note in _notes(plan):
        console.say_wrapped(note)


def run_preflight(workspace: Workspace, options: TrainOptions, run_name: RunName, *, as_json: bool) -> int:
    """Try a run, print in the first process what is found, and return the exit status."""
    from mixhub import workflow
    from mixhub.findings import exit_status

    progress = console.progress(as_json=as_json)
    with _signals_end():
        outcome = workflow.preflight(workspace, options=options, progress=progress, **run_name)
    if os.environ.get("RANK", "0") == "0":
        console.say_json(outcome.to_data()) if as_json else _show_outcome(outcome)
    return exit_status(outcome.findings)


@contextmanager
def _signals_end() -> Iterator[None]:
    """Let signals end the block by an exception: it has nothing to save, but a folder to delete."""
    from mixhub.cli.common.signals import STATUS, launcher_watched

    status = 0

    def end(number: int, _frame: object) -> None:
        nonlocal status
        status = 128 + number
        sys.exit(status)

    before = {asked: signal.signal(asked, end) for asked in STATUS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STATUS)  # mixhub's own launcher blocks them
    try:
        with launcher_watched(lambda: os.kill(os.getpid(), signal.SIGTERM)):
            yield
    finally:
        for asked, handler in before.items():
            signal.signal(asked, handler)
    if status:  # an import of a library caught the exception
        sys.exit(status)


def _show_outcome(outcome: Preflight) -> None:
    where = f"{plural(outcome.processes, 'process', 'processes')} on {outcome.device}, sharding {outcome.sharding}"
    console.show_table(["", ""], list(_outcome_rows(outcome)), title=f"{outcome.run.revision}: {where}")
    console.show_findings(outcome.findings)


def _outcome_rows(outcome: Preflight) -> Iterator[tuple[str, str]]:
    repeated, resumed, peak = outcome.repeated, outcome.resumed, outcome.peak
    yield "the same seed twice", "the same weights" if repeated.is_same else f"differ by {repeated.weights:.1e}"
    yield "resumed", "the same loss and gradient" if resumed.is_same else f"differ by {resumed.figures:.1e}"
    yield "an update", f"about {duration(outcome.seconds_per_step)}, {magnitude(outcome.tokens_per_second)} tokens/s"
    yield "MFU", "unknown: the peak of the device is not known" if outcome.mfu is None else f"about {outcome.mfu:.0%}"
    time = duration(outcome.steps_left * outcome.seconds_per_step)
    yield "to do", f"{outcome.steps_left:,} steps in about {time}, without validations and checkpoints"
    yield "memory", f"used {size(peak.used)} of {size(peak.of)} for each process"
    disk = outcome.disk
    yield "disk", f"needs {size(outcome.disk_needed)} of {size(disk.free)}; a checkpoint has {size(disk.checkpoint)}"


def _facts(plan: TrainingPlan) -> Iterator[tuple[str, str]]:
    data = plan.to_data()
    yield "model", plan.family.architecture.model_name
    yield "parameters", f"{data['parameters']:,}"
    yield "steps", f"{data['steps']:,} of {data['tokens_per_step']:,} tokens"
    yield "tokens", magnitude(data["tokens"])
    yield "FLOPs", f"{data['flops']:.3g}, {data['flops_per_token']:.3g} a token"
    yield "a checkpoint", size(plan.checkpoint_bytes)
    count = (plan.disk_bytes - plan.export_bytes) // plan.checkpoint_bytes
    yield "on disk", f"{size(plan.disk_bytes)}: {count:,} checkpoints and the export of {size(plan.export_bytes)}"


def _row(placement: Placement) -> tuple[str, ...]:
    if placement.layout is None or placement.memory is None:
        return placement.machine.name, "-", "-", "-", "-", "-"
    layout, need = placement.layout, placement.memory.total
    fit = f"{need / 1e9:.1f} of {size(placement.machine.memory)}"
    time = "-" if placement.hours is None else duration(placement.hours * 3600)
    sent = size(placement.sent or 0) if layout.processes > 1 else "-"
    return placement.machine.name, layout.sharding, fit, f"{layout.micro_steps:,}", sent, time


def _notes(plan: TrainingPlan) -> Iterator[str]:
    training = plan.family.training
    for one in plan.placements:
        if one.layout is None:
            rule = f"a multiple of micro_batch_size × devices, {training.micro_batch_size} × {one.machine.devices}"
            yield f"{one.machine.name}: training.global_batch_size = {training.global_batch_size} is not {rule}"
        elif one.micro_batch_size == 0:
            yield f"{one.machine.name}: does not fit, with any micro_batch_size"
        elif one.micro_batch_size is not None:
            size_now, fitting = training.micro_batch_size, one.micro_batch_size
            yield f"{one.machine.name}: does not fit with micro_batch_size = {size_now}, but with {fitting}"
    yield (
        f"time: an estimate at {plan.mfu:.0%} of the devices' peak (--mfu); mixhub train --preflight measures it on "
        "the machine itself"
    )
    yield "memory: with PyTorch's own kernels; the CUDA context, about 0.5 GB, comes on top"
