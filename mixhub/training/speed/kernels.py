"""Other implementations of the layers, which change only rounding: compiled ones, and Liger's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from accelerate import Accelerator
from transformers import LlamaForCausalLM
from transformers.models.llama import modeling_llama

from mixhub.errors import RunError
from mixhub.spec import Training

_CACHE = "TORCHINDUCTOR_CACHE_DIR"


@contextmanager
def kernels(
    name: str, training: Training, accelerator: Accelerator, cache: Path, one_layer: Callable[[], torch.nn.Module]
) -> Iterator[Callable[[LlamaForCausalLM], None]]:
    """Prepare kernels, and yield the function that gives them to a model before it is divided over processes.

    Args:
        name: `eager`, `compile` or `liger`.
        training: the recipe.
        accelerator: has the device.
        cache: folder for compiled code. A run has its own, because a kill can leave a file in it that cannot be read.
        one_layer: makes a model of one layer with its loss, see `mixhub.training.model`, on which compiling is tried.

    Raises:
        RunError: the device is not one for these kernels, their package is missing, or nothing can be compiled here.
    """
    if name == "compile":
        with _variable(_CACHE, str(cache / str(accelerator.process_index))):
            _require_compiled(training, accelerator, one_layer)
            yield compile_layers
    elif name == "liger":
        _require_liger(accelerator.device.type)
        from liger_kernel.transformers import liger_rotary_pos_emb

        plain, modeling_llama.apply_rotary_pos_emb = modeling_llama.apply_rotary_pos_emb, liger_rotary_pos_emb
        try:
            yield _use_liger
        finally:
            modeling_llama.apply_rotary_pos_emb = plain
    else:
        yield lambda model: None


def compile_layers(model: Any) -> None:
    """Compile the forward and backward pass of each layer, when it is first called; equal layers share their code."""
    for layer in model.model.layers:
        layer.forward = torch.compile(layer.forward)


def _require_compiled(training: Training, accelerator: Accelerator, one_layer: Callable[[], torch.nn.Module]) -> None:
    """Compile a layer, if necessary again without what is in the cache; raises RunError if that fails."""
    try:
        _try_layer(training, accelerator, one_layer())
    except Exception:  # any: what the compiler, the linker and the files of the cache raise
        torch._dynamo.reset()
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)
        try:
            _try_layer(training, accelerator, one_layer())
        except Exception as error:
            reason = str(error).strip().partition("\n")[0]
            message = f"kernels = compile: torch cannot compile a layer on this machine: {reason}"
            hint = "install a C++ compiler such as g++, and on CUDA triton; or train with --kernels eager"
            raise RunError(message, code="kernels-unavailable", hint=hint, kernels="compile") from error


def _try_layer(training: Training, accelerator: Accelerator, losses: torch.nn.Module) -> None:
    """Train and validate a model of one compiled layer with batches of the size of the run's."""
    losses.to(accelerator.device)
    compile_layers(losses.model)
    shape = (training.micro_batch_size, training.sequence_length + 1)
    tokens = torch.ones(shape, dtype=torch.long, device=accelerator.device)
    with accelerator.autocast():
        losses(tokens).sum().backward()
    with accelerator.autocast(), torch.no_grad():
        losses(tokens)


def _require_liger(device: str) -> None:
    if device != "cuda":
        message = f"kernels = liger: Liger's kernels need CUDA, but the device is {device}"
        raise RunError(message, code="kernels-unavailable", hint="train with --kernels eager", kernels="liger")
    if find_spec("liger_kernel") is None:
        message = "kernels = liger: the package liger-kernel is not installed"
        hint = "run pip install 'mixhub[liger]'"
        raise RunError(message, code="package-missing", hint=hint, packages=("liger-kernel",))


def _use_liger(model: LlamaForCausalLM) -> None:
    """Replace norms and MLPs by Liger's, with the same weights under the same names; the loss stays ours."""
    from liger_kernel.transformers import LigerRMSNorm, LigerSwiGLUMLP

    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.RMSNorm):
                norm = LigerRMSNorm(child.normalized_shape[0], eps=child.eps)
                norm.weight = child.weight
                setattr(parent, name, norm)
    for layer in model.model.layers:
        layer.mlp.forward = MethodType(LigerSwiGLUMLP.forward, layer.mlp)


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
