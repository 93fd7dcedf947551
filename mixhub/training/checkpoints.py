"""Resumable training state, a folder a step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from transformers import LlamaForCausalLM

from mixhub.errors import RunError, SpecError
from mixhub.files import new_folder, read_json, write_json
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.values import Count
from mixhub.workspace.lineage import Sha256, versions
from mixhub.workspace.paths import RunFolder

WEIGHTS_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
STATE_FILE = "state.json"

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
"""Whose versions are written into checkpoints and exports."""


class State(Spec):
    """What a checkpoint says of itself."""

    format: Literal[1] = 1
    """Version of the folder's layout."""
    step: Count
    """Updates made."""
    train_config_sha256: Sha256
    """Hash of the content of `train_config.yaml`."""
    corpus_sha256: Sha256
    """Hash of the part of the tokens' manifest that the family reads."""
    initial_weights_sha256: Sha256
    """Hash of the weights at step 0."""
    versions: FrozenMap[str, str]
    """Packages that made it."""


def save_checkpoint(
    folder: RunFolder, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, state: State, *, keep: int
) -> Path:
    """Writes a checkpoint whole or not at all, then deletes all but the newest `keep`."""
    path = folder.checkpoint(state.step)
    with new_folder(path) as building:
        weights = {name: weight.detach().cpu().contiguous() for name, weight in model.named_parameters()}
        safetensors.torch.save_file(weights, building / WEIGHTS_FILE)
        torch.save(optimizer.state_dict(), building / OPTIMIZER_FILE)
        write_json(building / STATE_FILE, state.to_data())
    for step in folder.checkpoint_steps()[:-keep]:
        shutil.rmtree(folder.checkpoint(step))
    return path


def read_state(path: Path) -> State:
    """What a checkpoint says of itself; raises RunError when it cannot be read."""
    try:
        return State.from_data(read_json(path / STATE_FILE, RunError), str(path / STATE_FILE))
    except (RunError, SpecError) as error:
        raise _unreadable(path, error.message) from None


def load_checkpoint(path: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> None:
    """Puts weights and optimizer state in place; raises RunError when they cannot be read or do not fit."""
    load_weights(path, model)
    try:
        optimizer_state = torch.load(path / OPTIMIZER_FILE, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, pickle and zip readers each raise their own
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None
    try:
        optimizer.load_state_dict(optimizer_state)
    except (ValueError, KeyError) as error:
        raise _unreadable(path, f"{OPTIMIZER_FILE}: {error}") from None


def load_weights(path: Path, model: LlamaForCausalLM) -> None:
    """Puts the weights of a checkpoint in place; raises RunError when they cannot be read or do not fit."""
    try:
        weights = safetensors.torch.load_file(path / WEIGHTS_FILE)
    except Exception as error:  # safetensors has its own
        raise _unreadable(path, f"{type(error).__name__}: {error}") from None
    parameters = dict(model.named_parameters())
    if {name: weight.shape for name, weight in weights.items()} != {n: p.shape for n, p in parameters.items()}:
        raise _unreadable(path, f"{WEIGHTS_FILE} holds other tensors than the model has")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def state_of(step: int, *, train_config_sha256: str, corpus_sha256: str, initial_weights_sha256: str) -> State:
    """The state after `step` updates, made by the packages that are installed."""
    return State(
        step=step,
        train_config_sha256=train_config_sha256,
        corpus_sha256=corpus_sha256,
        initial_weights_sha256=initial_weights_sha256,
        versions=versions(*PACKAGES),
    )


def _unreadable(path: Path, why: str) -> RunError:
    return RunError(
        f"{path}: the checkpoint cannot be read: {why}",
        code="checkpoint-unreadable",
        hint=f"delete {path}; training then goes on from the checkpoint before it, or from the start",
        path=path,
    )
