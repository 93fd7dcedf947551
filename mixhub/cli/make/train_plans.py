"""What `mixhub train --plan` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mixhub.cli.common import console
from mixhub.errors import UsageError
from mixhub.phrases import duration, magnitude, size

if TYPE_CHECKING:
    from mixhub.training.planning.plan import Placement, Plan

_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def require_plan(options: Mapping[str, bool]) -> None:
    """Raise UsageError if an option that only a plan has was given without one."""
    for option, is_given in options.items():
        if is_given:
            message = f"{option} needs --plan: training itself has no such figures"
            raise UsageError(message, code="option-missing", hint="add --plan", option=option)


def show_plan(plan: Plan, *, as_json: bool) -> None:
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


def _facts(plan: Plan) -> Iterator[tuple[str, str]]:
    data, training = plan.to_data(), plan.family.training
    yield "model", plan.family.architecture.model_name
    yield "parameters", f"{data['parameters']:,}"
    yield "steps", f"{data['steps']:,} of {data['tokens_per_step']:,} tokens"
    yield "tokens", magnitude(data["tokens"])
    yield "FLOPs", f"{data['flops']:.3g}, {data['flops_per_token']:.3g} a token"
    yield "a checkpoint", size(plan.checkpoint_bytes)
    kept = f"{training.keep_checkpoints} kept, 1 being written, and the export"
    yield "on disk", f"{size(plan.disk_bytes)}: {kept} of {size(plan.export_bytes)}"


def _row(placement: Placement) -> tuple[str, ...]:
    if placement.layout is None or placement.memory is None:
        return placement.machine.name, "-", "-", "-", "-", "-"
    layout, need = placement.layout, placement.memory.total
    fit = f"{need / 1e9:.1f} of {size(placement.machine.memory)}"
    time = "-" if placement.hours is None else duration(placement.hours * 3600)
    sent = size(placement.sent or 0) if layout.processes > 1 else "-"
    return placement.machine.name, layout.sharding, fit, f"{layout.micro_steps:,}", sent, time


def _notes(plan: Plan) -> Iterator[str]:
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
