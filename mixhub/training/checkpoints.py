"""Resumable training state, a folder for each step."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from transformers import LlamaForCausalLM

from mixhub.errors import RunError, SpecError
from mixhub.files import new_folder, read_json, write_json
from mixhub.spec.base import FrozenMap, Spec, data_sha256
from mixhub.spec.family import Family, Run
from mixhub.spec.values import Count
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.manifest import Manifest
from mixhub.workspace.paths import RunFolder

WEIGHTS_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"
STATE_FILE = "state.json"

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
"""Packages whose versions are written into checkpoints and exports."""


class State(Spec):
    """The content of `state.json`."""

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
    """Write a checkpoint atomically, then delete all but the newest `keep`."""
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
    """Read the state of a checkpoint; raises RunError if it cannot be read."""
    try:
        return State.from_data(read_json(path / STATE_FILE, RunError), str(path / STATE_FILE))
    except (RunError, SpecError) as error:
        raise _unreadable(path, error.message) from None


def load_checkpoint(path: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer) -> None:
    """Load weights and optimizer state; raises RunError if they cannot be read or do not fit."""
    load_weights(path, model)
    try:
        optimizer.load_state_dict(torch.load(path / OPTIMIZER_FILE, map_location="cpu", weights_only=True))
    except torch.OutOfMemoryError:  # the checkpoint is good
        raise
    except Exception as error:  # pickle, the zip reader and the optimizer raise different errors
        raise _unreadable(path, f"{OPTIMIZER_FILE}: {type(error).__name__}: {error}") from None


def load_weights(path: Path, model: LlamaForCausalLM) -> None:
    """Load the weights of a checkpoint; raises RunError if they cannot be read or do not fit."""
    try:
        safetensors.torch.load_model(model, path / WEIGHTS_FILE)
    except torch.OutOfMemoryError:  # the checkpoint is good
        raise
    except Exception as error:  # safetensors and torch raise different errors
        raise _unreadable(path, f"{WEIGHTS_FILE}: {type(error).__name__}: {error}") from None


def require_unchanged(path: Path, state: State, family: Family, run: Run, manifest: Manifest) -> None:
    """Raise RunError if a checkpoint was made with another recipe or other tokens than the family has now."""
    for code, what, then, now in (
        ("recipe-differs", "the recipe", state.train_config_sha256, data_sha256(family.train_config(run))),
        ("tokens-changed", "the token shards", state.corpus_sha256, manifest.sha256()),
    ):
        if then != now:
            hint = f"restore them, or delete or rename {path.parents[1]} to train {run.revision} again"
            message = f"{path}: {what} changed since this checkpoint (sha256 {then[:12]}, now {now[:12]})"
            raise RunError(message, code=code, hint=hint, path=path)


def _unreadable(path: Path, reason: str) -> RunError:
    hint = f"delete {path}; training then resumes from the checkpoint before it, or starts again"
    message = f"{path}: unreadable checkpoint: {' '.join(reason.split())}"
    return RunError(message, code="checkpoint-unreadable", hint=hint, path=path)
