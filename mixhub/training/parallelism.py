"""One model over several processes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor

from mixhub.spec import Training
from mixhub.training.model import NextTokenLosses


class Parallel:
    """The losses of a model that all processes train together.

    Gradients are averaged over the processes. Until `parallel` is called with another sharding, weights are whole.

    Args:
        losses: with the same initial weights in every process.
        accelerator: connects the processes.
        training: the recipe.
        sharding: what the processes divide between them.
    """

    def __init__(self, losses: NextTokenLosses, accelerator: Accelerator, training: Training, sharding: str) -> None:
        self._accelerator = accelerator
        self._module = accelerator.prepare_model(losses)
        self._losses = losses

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the loss of each next token, (B, T); `tokens` is (B, T + 1)."""
        with self._accelerator.autocast():
            losses: Tensor = self._module(tokens) if torch.is_grad_enabled() else self._losses(tokens)
        return losses

    def exchanging(self, is_last: bool) -> AbstractContextManager[object]:
        """Return the context of a micro-step: gradients are averaged over the processes in the last one alone."""
        return nullcontext() if is_last else self._accelerator.no_sync(self._module)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sums of values over all processes."""
        total: Tensor = self._accelerator.reduce(values, reduction="sum")
        return total

    @staticmethod
    def grad_norm(parameters: Iterable[Tensor]) -> Tensor:
        """Return the norm of the whole gradient, the same in all processes."""
        return torch.nn.utils.get_total_norm([weight.grad for weight in parameters if weight.grad is not None])
