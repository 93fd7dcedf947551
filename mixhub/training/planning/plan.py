"""What a run takes on machines that it has not started on, by calculation; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixhub.errors import UsageError
from mixhub.spec import Family, Training
from mixhub.spec.flops import flops_per_token
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.devices import peak_flops
from mixhub.training.planning.machines import MACHINES, Machine
from mixhub.training.planning.memory import Layout, Memory, memory, sent_bytes

MFU = 0.4
"""What a plan assumes: OLMo-core reports it for a 1B model on H100s. RegMix's own runs reached 0.52 on A100s."""
USABLE = 0.9
"""Share of a device's memory that a plan fills; the rest is left to the driver and to gaps."""
_STATE_BYTES = 12
"""Of a checkpoint, for each parameter: the weight and AdamW's two moments, in float32."""


@dataclass(frozen=True)
class Placement:
    """A run on a machine, in the layout that is recommended there."""

    machine: Machine
    layout: Layout | None
    """None if the global batch does not divide among the devices."""
    memory: Memory | None
    """Of each device in that layout; None without a layout."""
    sent: int | None
    """Bytes that each device sends in an update."""
    micro_batch_size: int | None
    """The largest one that fits; None if the recipe's fits, 0 if none does."""
    hours: float | None
    """Of all steps, at the assumed MFU; None if the device's peak is unknown, or it does not fit."""

    @property
    def fits(self) -> bool:
        """Whether the run can be trained there as the recipe is."""
        return self.layout is not None and self.micro_batch_size is None

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        data: dict[str, Any] = {
            "name": self.machine.name,
            "device": self.machine.device,
            "devices": self.machine.devices,
            "device_memory": self.machine.memory,
            "fits": self.fits,
            "divides": self.layout is not None,
            "hours": self.hours,
        }
        if self.layout is not None and self.memory is not None:
            data |= {"sharding": self.layout.sharding, "micro_steps": self.layout.micro_steps}
            data |= {"memory": self.memory.to_data(), "sent_per_step": self.sent}
            data |= {} if self.micro_batch_size is None else {"micro_batch_size": self.micro_batch_size}
        return data


@dataclass(frozen=True)
class TrainingPlan:
    """What a run takes."""

    family: Family
    mfu: float
    """The share of the peak that the hours assume."""
    placements: tuple[Placement, ...]

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of a checkpoint on disk."""
        return _STATE_BYTES * self.family.llama.parameters

    @property
    def export_bytes(self) -> int:
        """Bytes of an export of the last step, in float32."""
        return export_bytes(self.family)

    @property
    def disk_bytes(self) -> int:
        """Bytes of the checkpoints that are kept, one that is being written, and the export."""
        return disk_bytes(self.family, self.checkpoint_bytes)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        training = self.family.training
        per_token = flops_per_token(self.family.llama, training.sequence_length)
        return {
            "family": self.family.name,
            "parameters": self.family.llama.parameters,
            "steps": training.steps,
            "tokens": training.tokens,
            "tokens_per_step": tokens_per_step(training.global_batch_size, training.sequence_length),
            "flops": per_token * training.tokens,
            "flops_per_token": per_token,
            "checkpoint_bytes": self.checkpoint_bytes,
            "export_bytes": self.export_bytes,
            "disk_bytes": self.disk_bytes,
            "mfu": self.mfu,
            "machines": [placement.to_data() for placement in self.placements],
        }


def export_bytes(family: Family) -> int:
    """Return the bytes of an export of the last step, in float32."""
    return 4 * family.llama.parameters


def disk_bytes(family: Family, checkpoint: int) -> int:
    """Return the bytes of the checkpoints that a run keeps, one that is being written, and its export."""
    training, every = family.training, family.training.permanent_checkpoint_interval
    permanent = 0 if every is None else training.steps // every
    return (permanent + training.keep_checkpoints + 1) * checkpoint + export_bytes(family)


def plan(
    family: Family, *, mfu: float | None = None, here: Machine | None = None, sharding: str | None = None
) -> TrainingPlan:
    """Return what a run of a family takes, on the usual machines and on this one.

    Args:
        family: the recipe.
        mfu: share of the devices' peak that training is assumed to use; None: `MFU`.
        here: this machine, if it is to be shown too.
        sharding: what several devices divide; None: what is recommended on each machine.

    Raises:
        UsageError: the MFU is not above 0 and at most 1, or the family is not of Llamas.
    """
    mfu = MFU if mfu is None else mfu
    if not 0 < mfu <= 1:
        raise UsageError(f"--mfu {mfu:g}: must be above 0 and at most 1", code="option-value", option="mfu", value=mfu)
    machines = (*([here] if here is not None else []), *MACHINES)
    return TrainingPlan(family, mfu, tuple(_place(family, machine, mfu, sharding) for machine in machines))


def _place(family: Family, machine: Machine, mfu: float, sharding: str | None) -> Placement:
    architecture, training = family.llama, family.training
    if training.global_batch_size % (training.micro_batch_size * machine.devices):
        return Placement(machine, None, None, None, None, None)
    layouts = _layouts(training, machine, sharding)
    needs = [memory(architecture, training, layout) for layout in layouts]
    fitting = [number for number, need in enumerate(needs) if need.total <= USABLE * machine.memory]
    if fitting:
        chosen, smaller = fitting[0], None
    else:
        chosen = min(range(len(needs)), key=lambda number: needs[number].total)
        smaller = _largest_micro_batch(family, machine, sharding)
    peak = peak_flops(machine.device, training.precision)
    hours = None
    if peak is not None and fitting:
        flops = flops_per_token(architecture, training.sequence_length) * training.tokens
        hours = flops / (machine.devices * peak * mfu) / 3600
    sent = sent_bytes(architecture, training, layouts[chosen])
    return Placement(machine, layouts[chosen], needs[chosen], sent, smaller, hours)


def _layouts(training: Training, machine: Machine, sharding: str | None) -> Sequence[Layout]:
    """Return the layouts to choose from, from the one that sends least to the one that needs least memory."""
    world, node = machine.devices, machine.per_node
    micro_steps = training.global_batch_size // (training.micro_batch_size * world)
    shards = {"none": 1, "hybrid": node, "full": world}
    usual = ("none",) if world == 1 else ("none", "full") if node == world else tuple(shards)
    names = usual if world == 1 or sharding is None else (sharding,)
    return [Layout(name, world, shards[name], micro_steps) for name in names]


def _largest_micro_batch(family: Family, machine: Machine, sharding: str | None) -> int:
    """Return the largest micro-batch below the recipe's that divides the global batch and fits; 0 if none does."""
    training = family.training
    for size in range(training.micro_batch_size - 1, 0, -1):
        if training.global_batch_size % (size * machine.devices) == 0:
            smaller = training.model_copy(update={"micro_batch_size": size})
            layouts = _layouts(smaller, machine, sharding)
            needs = (memory(family.llama, smaller, layout).total for layout in layouts)
            if min(needs) <= USABLE * machine.memory:
                return size
    return 0
