"""The tensors of a checkpoint by name: weights, and the moments of the optimizer; whole or sharded."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer
from transformers import LlamaForCausalLM

_FLAT = StateDictOptions(flatten_optimizer_state_dict=True)
_FILE_BYTES = 512 * 2**20
"""Bytes of a file of one process, roughly: while it is written, they are in memory once more."""


def weights(model: LlamaForCausalLM) -> dict[str, Tensor]:
    """Return the weights, by name; what is loaded into these tensors is loaded into the model."""
    named: dict[str, Any] = get_model_state_dict(model)
    if model.config.tie_word_embeddings:
        del named["lm_head.weight"]  # is the embedding
    return named


class OptimizerTensors:
    """The moments and counters of an optimizer, by name.

    Its other fields, such as the learning rate, come from the recipe and are not part of a checkpoint.

    Args:
        model: has the weights.
        optimizer: of these weights; what it has no tensors of yet is made.
    """

    def __init__(self, model: LlamaForCausalLM, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        self._state: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=_FLAT)

    def named(self) -> dict[str, Tensor]:
        """Return the tensors."""
        return {key: value for key, value in self._state.items() if key.startswith("state.")}

    def loaded(self) -> None:
        """Put the tensors into the optimizer, after they were loaded in place."""
        set_optimizer_state_dict(self._model, self._optimizer, self._state, options=_FLAT)


def set_whole_moments(model: LlamaForCausalLM, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state dict, which counts the weights, into an optimizer of whole or sharded weights."""
    names = [name for name, _ in model.named_parameters()]
    groups = [{**group, "params": [names[number] for number in group["params"]]} for group in state["param_groups"]]
    named: dict[str, Any] = {
        "state": {names[number]: moments for number, moments in state["state"].items()},
        "param_groups": groups,
    }
    set_optimizer_state_dict(model, optimizer, named, options=StateDictOptions(full_state_dict=True))


def file_numbers(tensors: dict[str, dict[str, Tensor]], processes: int) -> dict[str, int]:
    """Spread tensors, by part and name, over files, in order; return the number of the file of each, from 1."""
    numbers: dict[str, int] = {}
    number, size = 1, 0.0
    for part, named in tensors.items():
        for name, tensor in named.items():
            share = math.prod(tensor.shape) * tensor.element_size() / processes
            if size and size + share > _FILE_BYTES:
                number, size = number + 1, 0.0
            numbers[f"{part}.{name}"] = number
            size += share
    return numbers
