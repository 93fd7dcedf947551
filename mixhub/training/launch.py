"""The processes that train together: what was asked for must be what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from mixhub.errors import MixhubError, RunError
from mixhub.spec import Training
from mixhub.training.options import TrainOptions
from mixhub.training.processes import LAUNCH_HINT, launcher_number, world_size

_FSDP_SHARDINGS = {"1": "full", "FULL_SHARD": "full", "4": "hybrid", "HYBRID_SHARD": "hybrid"}
"""Values of Accelerate's FSDP_SHARDING_STRATEGY that exist here."""
_ACCEPTED = {
    "ACCELERATE_USE_DEEPSPEED": ("false",),
    "ACCELERATE_USE_MEGATRON_LM": ("false",),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("false",),
    "ACCELERATE_DYNAMO_BACKEND": ("no",),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("1",),
}
"""Variables of Accelerate that ask for what mixhub does not do or does otherwise, and the values without effect."""
_ACCEPTED_WITH_FSDP = {
    "FSDP_SHARDING_STRATEGY": tuple(key.lower() for key in _FSDP_SHARDINGS),
    "FSDP_RESHARD_AFTER_FORWARD": ("true", "full_shard"),
    "FSDP_OFFLOAD_PARAMS": ("false",),
    "FSDP_ACTIVATION_CHECKPOINTING": ("false",),
}
_PRECISIONS = {"no": None, "bf16": "bfloat16", "fp16": "float16", "fp8": "float8"}
"""Values of ACCELERATE_MIXED_PRECISION; `accelerate launch` sets `no` by default."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "ncclRemoteError")
"""How gloo and NCCL word that another process has ended."""


@contextmanager
def accelerated(training: Training, options: TrainOptions) -> Iterator[Accelerator]:
    """Connect this process with those that it was launched with.

    Raises:
        RunError: the launcher's variables are incomplete, it or Accelerate was asked for what does not run, or another
            process ended during the block.
    """
    world = world_size()
    _require_supported(training)
    _require_divisible(sharding_of(options), world)
    device = options.device or ("cuda" if torch.cuda.is_available() and not _is_set("ACCELERATE_USE_CPU") else "cpu")
    if device == "cuda" and world > 1 and launcher_number("LOCAL_RANK", 0) >= torch.cuda.device_count():
        message = f"device = cuda: this machine has {torch.cuda.device_count()} devices, fewer than processes"
        raise RunError(message, code="device-unavailable", device=device)
    alone = not torch.distributed.is_initialized()
    if alone:
        # Accelerate keeps the precision and device of the first Accelerator of a process, whoever made it.
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if training.precision == "bfloat16" else "no")
    try:
        _require_requested(accelerator, device, world)
        yield accelerator
    except Exception as error:
        if world > 1 and _is_connection_lost(error):
            message = f"another process ended: {' '.join(str(error).split())}"
            raise RunError(message, code="connection-lost") from error
        raise
    finally:
        if alone and torch.distributed.is_initialized():
            accelerator.end_training()
            AcceleratorState._reset_state(reset_partial_state=True)


def sharding_of(options: TrainOptions) -> str:
    """Return what the processes divide: what the options say, or what Accelerate is configured for, or `none`.

    Raises:
        RunError: options and Accelerate say different things.
    """
    if not _is_set("ACCELERATE_USE_FSDP"):
        return options.sharding or "none"
    configured = _FSDP_SHARDINGS[os.environ.get("FSDP_SHARDING_STRATEGY", "FULL_SHARD").upper()]
    if options.sharding not in (None, configured):
        message = (
            f"sharding = {options.sharding}, but Accelerate is configured for FSDP, which is sharding = {configured}"
        )
        raise RunError(message, code="sharding-differs", sharding=options.sharding, configured=configured)
    return configured


def _require_supported(training: Training) -> None:
    """Raise RunError if Accelerate was configured for what will not run."""
    accepted = _ACCEPTED | (_ACCEPTED_WITH_FSDP if _is_set("ACCELERATE_USE_FSDP") else {})
    for name, values in accepted.items():
        value = os.environ.get(name, values[0])
        if value.lower() not in values:
            message = f"{name} = {value}: Accelerate is configured for what mixhub does not do; must be {values[0]}"
            raise RunError(message, code="parallelism-unsupported", variable=name, value=value)
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    precision = _PRECISIONS.get(asked, asked)
    if precision not in (None, training.precision):
        message = f"Accelerate is configured for {precision}, but training.precision is {training.precision}"
        raise RunError(message, code="precision-differs", precision=training.precision, configured=precision)


def _require_divisible(sharding: str, world: int) -> None:
    if sharding != "none" and world == 1:
        message = f"sharding = {sharding}: there is one process, and no other to divide the model with"
        raise RunError(message, code="sharding-alone", sharding=sharding)


def _require_requested(accelerator: Accelerator, device: str, world: int) -> None:
    """Raise RunError if Accelerate fell back to another device or number of processes, which it does silently."""
    if accelerator.device.type != device:
        message = f"device = {device}: not available on this machine, which has {accelerator.device.type}"
        raise RunError(message, code="device-unavailable", device=device)
    if accelerator.num_processes != world:
        message = f"WORLD_SIZE = {world}, but Accelerate has {accelerator.num_processes} process"
        raise RunError(message, code="launch-incomplete", hint=LAUNCH_HINT)
    kind = accelerator.distributed_type
    if kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU, DistributedType.FSDP):
        message = f"Accelerate is configured for {kind.value}, which mixhub does not do"
        raise RunError(message, code="parallelism-unsupported", kind=kind.value)


def _is_connection_lost(error: Exception) -> bool:
    """Whether an error comes from another process, which ended before this one."""
    is_candidate = (
        error.code == "checkpoint-failed" if isinstance(error, MixhubError) else isinstance(error, RuntimeError)
    )
    return is_candidate and any(text in str(error) for text in _LOST)


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1", "yes", "y", "on", "t")
