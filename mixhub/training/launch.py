"""The processes that train together: what was asked for must be what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from mixhub.errors import RunError
from mixhub.spec import Training
from mixhub.training.options import TrainOptions

_LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets beside WORLD_SIZE."""
_LAUNCH_HINT = "launch with torchrun --nproc-per-node N, or unset WORLD_SIZE"


@contextmanager
def accelerated(training: Training, options: TrainOptions) -> Iterator[Accelerator]:
    """Connect this process with those that it was launched with.

    Raises:
        RunError: Accelerate fell back to another device, number of processes or kind of parallelism.
    """
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    world = os.environ.get("WORLD_SIZE", "1")
    missing = tuple(name for name in _LAUNCHER_VARIABLES if name not in os.environ)
    if world != "1" and missing:
        message = f"WORLD_SIZE = {world}, but {', '.join(missing)} is not set, which the processes need to connect"
        raise RunError(message, code="launch-incomplete", hint=_LAUNCH_HINT, missing=missing)
    alone = not torch.distributed.is_initialized()
    if alone:
        # Accelerate keeps the precision and device of the first Accelerator of a process, whoever made it.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if training.precision == "bfloat16" else "no")
    try:
        _require_requested(accelerator, device, int(world))
        yield accelerator
    finally:
        if alone and torch.distributed.is_initialized():
            accelerator.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)


def _require_requested(accelerator: Accelerator, device: str, world: int) -> None:
    """Raise RunError if Accelerate fell back to another device or number of processes, which it does silently."""
    if accelerator.device.type != device:
        message = f"device = {device}: not available on this machine, which has {accelerator.device.type}"
        raise RunError(message, code="device-unavailable", device=device)
    if accelerator.num_processes != world:
        message = f"WORLD_SIZE = {world}, but Accelerate has {accelerator.num_processes} process"
        raise RunError(message, code="launch-incomplete", hint=_LAUNCH_HINT)
    kind = accelerator.distributed_type
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise RunError(f"Accelerate is configured for {kind.value}, but only DDP works", code="parallelism-unsupported")
