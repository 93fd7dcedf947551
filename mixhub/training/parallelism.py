"""One model over several processes: copies of it (DDP), shards of it (FSDP2), or shards within each node (HSDP)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel

from mixhub.errors import RunError
from mixhub.spec import Training
from mixhub.training.model import NextTokenLosses
from mixhub.training.processes import launcher_number

_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor  # the name before 2.13


class Parallel:
    """The losses of a model that all processes train together.

    The weights of the first process are sent to the others, whose models may be on the meta device. Gradients are
    averaged over the processes. With a sharding other than `none`, weights and gradients become DTensors.

    Args:
        losses: with the initial weights.
        accelerator: connects the processes.
        training: the recipe.
        sharding: what the processes divide between them: `none`, `full` or `hybrid`.

    Raises:
        RunError: nodes have different numbers of processes, with `hybrid`.
    """

    def __init__(self, losses: NextTokenLosses, accelerator: Accelerator, training: Training, sharding: str) -> None:
        self._accelerator, self._module = accelerator, losses
        self._copies: DistributedDataParallel | None = None
        self._shards: FSDPModule | None = None
        if sharding != "none":
            self._shards = _sharded(losses, accelerator, training, _mesh(accelerator, sharding))
        elif accelerator.num_processes > 1:
            self._copies = _copied(losses, accelerator, training)
        else:
            losses.to(accelerator.device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the loss of each next token, (B, T); `tokens` is (B, T + 1)."""
        has_grad = torch.is_grad_enabled()
        module = self._copies if has_grad and self._copies is not None else self._module
        with self._accelerator.autocast():
            losses: Tensor = module(tokens)
        if self._shards is not None and not has_grad:
            self._shards.reshard()  # the root keeps its whole weights for a backward pass, which does not come
        return losses

    def exchanging(self, is_last: bool) -> AbstractContextManager[object]:
        """Return the context of a micro-step: gradients are averaged over the processes in the last one alone."""
        if self._shards is not None:
            self._shards.set_requires_gradient_sync(is_last)
        return nullcontext() if is_last or self._copies is None else self._copies.no_sync()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums of values over all processes."""
        total: Tensor = self._accelerator.reduce(values, reduction="sum")
        return total

    @staticmethod
    def grad_norm(parameters: Sequence[Tensor]) -> Tensor:
        """Return the norm of the whole gradient, the same in all processes."""
        norm = torch.nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    @staticmethod
    def clip(parameters: Sequence[Tensor], limit: float, norm: Tensor) -> None:
        """Scale gradients whose norm exceeds a limit; `norm` is that of `grad_norm`."""
        if isinstance(weight := parameters[0], DTensor):
            everywhere = [Replicate()] * weight.device_mesh.ndim
            norm = DTensor.from_local(norm, weight.device_mesh, everywhere, run_check=False)
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)


def _copied(losses: NextTokenLosses, accelerator: Accelerator, training: Training) -> DistributedDataParallel:
    """Return the losses in DDP, which sends weights and buffers of the first process to the others."""
    _materialise(losses, accelerator.device)
    losses.to(accelerator.device)
    copies = DistributedDataParallel(losses, gradient_as_bucket_view=True)
    if training.gradient_reduction == "bfloat16":
        # torch refuses this hook by its name without CUDA, though gloo reduces bfloat16.
        copies.register_comm_hook(None, lambda group, bucket: bf16_compress_hook(group, bucket))
    return copies


def _sharded(losses: NextTokenLosses, accelerator: Accelerator, training: Training, mesh: DeviceMesh) -> FSDPModule:
    """Divide the losses in place over a mesh: each layer, and the rest with the root.

    Weights are gathered in float32, so that autocast computes the same as in one process.
    """
    whole = losses.state_dict() if accelerator.is_main_process else {}
    for layer in losses.model.model.layers:
        fully_shard(layer, mesh=mesh)
    root = fully_shard(losses, mesh=mesh)
    if training.gradient_reduction == "bfloat16":
        for module in losses.modules():
            if isinstance(module, FSDPModule):
                module.set_custom_reduce_scatter(_Bfloat16ReduceScatter())  # type: ignore[arg-type]
    _materialise(losses, accelerator.device)
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    set_model_state_dict(losses, whole, options=options)
    for buffer in losses.buffers():
        dist.broadcast(buffer, src=0)
    return root


class _Bfloat16ReduceScatter:
    """FSDP's reduce-scatter of float32 gradients in bfloat16.

    FSDP's own option, `MixedPrecisionPolicy(reduce_dtype=bfloat16)`, also adds up micro-steps in bfloat16.
    """

    def allocate(self, size: Sequence[int], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(*size, dtype=dtype, device=device)

    def __call__(
        self, output_tensor: Tensor, input_tensor: Tensor, group: dist.ProcessGroup, op: Any, async_op: bool = False
    ) -> None:
        output = torch.empty_like(output_tensor, dtype=torch.bfloat16)
        _reduce_scatter(output, input_tensor.bfloat16(), op=op, group=group)
        output_tensor.copy_(output)


def _materialise(losses: NextTokenLosses, device: torch.device) -> None:
    """Replace weights on the meta device by weights without a value."""
    if any(weight.is_meta for weight in losses.parameters()):
        losses.to_empty(device=device)
        losses.model.tie_weights()


def _mesh(accelerator: Accelerator, sharding: str) -> DeviceMesh:
    """Return the processes as (shards,), or as (nodes, shards)."""
    world, device = accelerator.num_processes, accelerator.device.type
    if sharding == "full":
        return init_device_mesh(device, (world,), mesh_dim_names=("shard",))
    ours = torch.tensor([launcher_number("LOCAL_WORLD_SIZE", 1)], device=accelerator.device)
    sizes = tuple(accelerator.gather(ours).tolist())
    if len(set(sizes)) > 1 or world % sizes[0]:
        counts = ", ".join(map(str, sorted(set(sizes))))
        message = f"sharding = hybrid: nodes with {counts} of {world} processes; each node must have as many"
        raise RunError(message, code="nodes-differ", processes=sizes)
    return init_device_mesh(device, (world // sizes[0], sizes[0]), mesh_dim_names=("replicate", "shard"))
