"""Reading a checkpoint into a model and an optimizer, whole or sharded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.optim import Optimizer
from transformers import LlamaForCausalLM

from mixhub.training.checkpoints.state import State, unreadable
from mixhub.training.checkpoints.tensors import OptimizerTensors, set_whole_moments, weights
from mixhub.workspace.lineage import file_sha256

_OPTIMIZER_FILE = "optimizer.pt"
"""Of format 1."""


def load_state(
    path: Path, state: State, model: LlamaForCausalLM, optimizer: Optimizer, *, group: dist.ProcessGroup | None
) -> None:
    """Load weights and moments; each process of the group calls this.

    Raises:
        RunError: a file is missing, damaged, or does not fit.
    """
    whole: dict[str, Any] = {}
    with _agreed(path, group):
        _require_files(path, state, group)
        if state.format == 1:
            whole = _whole_moments(path / _OPTIMIZER_FILE)
    with _named(path):
        if state.format == 1:
            _read(path, weights(model), group)
            set_whole_moments(model, optimizer, whole)
        else:
            moments = OptimizerTensors(model, optimizer)
            _read(path, {"model": weights(model), "optimizer": moments.named()}, group)
            moments.loaded()


def load_weights(path: Path, state: State, model: LlamaForCausalLM) -> None:
    """Load the weights of a checkpoint into a whole model; raises RunError if they cannot be read or do not fit."""
    with _named(path):
        _require_files(path, state, None)
        _read(path, {"model": weights(model)} if state.format > 1 else weights(model), None)


def first_failure(error: BaseException) -> BaseException:
    """Return what went wrong in the first of the processes in which something did."""
    return next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error


def _read(path: Path, tensors: dict[str, Any], group: dist.ProcessGroup | None) -> None:
    reader = HuggingFaceStorageReader(str(path))
    if group is not None:
        load(tensors, storage_reader=reader, process_group=group)
        return
    # The steps of `load`, which warns of one process each time.
    planner, metadata = DefaultLoadPlanner(), reader.read_metadata()
    planner.set_up_planner(tensors, metadata, is_coordinator=True)
    reader.set_up_storage_reader(metadata, is_coordinator=True)
    plans = planner.create_global_plan([reader.prepare_local_plan(planner.create_local_plan())])
    (plan,) = reader.prepare_global_plan(plans)
    reader.read_data(planner.finish_plan(plan), planner).wait()


def _whole_moments(file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and the zip reader raise different errors
        raise ValueError(f"{file.name}: {type(error).__name__}: {error}") from None
    return state


def _require_files(path: Path, state: State, group: dist.ProcessGroup | None) -> None:
    """Compare files with their hashes, each process its share of them; raises ValueError if one differs."""
    if state.files is None:
        return
    files = sorted(state.files.items())
    for name in sorted(file.name for file in path.glob("*.safetensors")):  # all of which torch reads
        if name not in state.files:
            raise ValueError(f"{name}: not a file of this checkpoint")
    for name, stored in files if group is None else files[group.rank() :: group.size()]:
        if not (path / name).is_file():
            raise ValueError(f"{name}: no such file")
        if (size := (path / name).stat().st_size) != stored.size:
            raise ValueError(f"{name}: has {size} bytes instead of {stored.size}")
        if (digest := file_sha256(path / name)) != stored.content_sha256:
            raise ValueError(f"{name}: sha256 is {digest[:12]} instead of {stored.content_sha256[:12]}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name the checkpoint in any error of the block."""
    try:
        yield
    except (Exception, CheckpointException) as error:  # torch and safetensors raise different errors
        cause = first_failure(error)
        if isinstance(cause, torch.OutOfMemoryError):  # the checkpoint is good
            raise cause from None
        reason = str(cause) if type(cause) is ValueError else f"{type(cause).__name__}: {cause}"
        raise unreadable(path, reason) from None


@contextmanager
def _agreed(path: Path, group: dist.ProcessGroup | None) -> Iterator[None]:
    """As `_named`; if the block fails in one process, raise its error in all, as they would wait for that one."""
    problem: Exception | None = None
    try:
        with _named(path):
            yield
    except Exception as error:
        problem = error
    problems = [problem]
    if group is not None:
        problems = [None] * group.size()
        dist.all_gather_object(problems, problem, group=group)
    for problem in problems:
        if problem is not None:
            raise problem
