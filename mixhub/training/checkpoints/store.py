"""Checkpoints on disk, a folder for each step."""

from __future__ import annotations

import shutil
from pathlib import Path

import safetensors.torch
import torch
from accelerate import Accelerator
from transformers import LlamaForCausalLM

from mixhub.files import new_folder, write_json
from mixhub.training.checkpoints.state import STATE_FILE, State, unreadable
from mixhub.workspace.paths import RunFolder

WEIGHTS_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.pt"


class Checkpoints:
    """The checkpoints of a run, written by its first process.

    Args:
        folder: the run's folder.
        model: has the weights.
        optimizer: has their moments.
        keep: how many to keep; older ones are deleted.
        accelerator: connects the processes.
    """

    def __init__(
        self,
        folder: RunFolder,
        model: LlamaForCausalLM,
        optimizer: torch.optim.Optimizer,
        *,
        keep: int,
        accelerator: Accelerator,
    ) -> None:
        self._folder, self._model, self._optimizer, self._keep = folder, model, optimizer, keep
        self._accelerator = accelerator

    def save(self, state: State) -> None:
        """Write a checkpoint atomically, then delete all but the newest; every process calls this."""
        if self._accelerator.is_main_process:
            with new_folder(self._folder.checkpoint(state.step)) as building:
                weights = {name: weight.detach().cpu().contiguous() for name, weight in self._model.named_parameters()}
                safetensors.torch.save_file(weights, building / WEIGHTS_FILE)
                torch.save(self._optimizer.state_dict(), building / OPTIMIZER_FILE)
                write_json(building / STATE_FILE, state.to_data())
            for step in self._folder.checkpoint_steps()[: -self._keep]:
                shutil.rmtree(self._folder.checkpoint(step))
        self._accelerator.wait_for_everyone()

    def load(self, path: Path) -> None:
        """Load weights and optimizer state; raises RunError if they cannot be read or do not fit."""
        load_weights(path, self._model)
        try:
            state = torch.load(path / OPTIMIZER_FILE, map_location="cpu", weights_only=True)
            self._optimizer.load_state_dict(state)
        except torch.OutOfMemoryError:  # the checkpoint is good
            raise
        except Exception as error:  # pickle, the zip reader and the optimizer raise different errors
            raise unreadable(path, f"{OPTIMIZER_FILE}: {type(error).__name__}: {error}") from None


def load_weights(path: Path, model: LlamaForCausalLM) -> None:
    """Load the weights of a checkpoint; raises RunError if they cannot be read or do not fit."""
    try:
        safetensors.torch.load_model(model, path / WEIGHTS_FILE)
    except torch.OutOfMemoryError:  # the checkpoint is good
        raise
    except Exception as error:  # safetensors and torch raise different errors
        raise unreadable(path, f"{WEIGHTS_FILE}: {type(error).__name__}: {error}") from None
