"""Updates: a step of the optimizer over a global batch, the same for any number of processes beyond rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import LlamaForCausalLM

from mixhub.data.batches import StepBatch
from mixhub.data.shards import Tokens
from mixhub.spec import Training
from mixhub.spec.schedule import learning_rate, tokens_per_step
from mixhub.training.launch import sharding_of
from mixhub.training.model import NextTokenLosses
from mixhub.training.options import TrainOptions
from mixhub.training.parallelism import Parallel
from mixhub.training.reports.figures import Figures


class Updates:
    """The model of a run in this process, and the optimizer that changes it.

    Args:
        accelerator: connects the processes that train together.
        model: with its initial weights.
        training: the recipe.
        domains: (D,) keys of the domains, by the numbers in the batches.
        eos_id: id that ends a document.
        options: how to train on this machine.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: LlamaForCausalLM,
        training: Training,
        *,
        domains: Sequence[str],
        eos_id: int,
        options: TrainOptions,
    ) -> None:
        self._device, self._processes = accelerator.device, accelerator.num_processes
        self.model, self._training, self._domains = model, training, domains
        losses = NextTokenLosses(model, eos_id if training.document_boundaries == "reset" else None)
        self._parallel = Parallel(losses, accelerator, training, sharding_of(options))
        self._parameters = list(model.parameters())
        self.optimizer = build_optimizer(model, training)
        self._by_row: list[Tensor] = []

    def gradients(self, batch: StepBatch, *, stop: bool = False, failed: bool = False) -> Figures:
        """Compute the gradients of the mean loss over the global batch.

        Args:
            batch: the part of this process.
            stop: whether this process was asked to stop.
            failed: whether this process could not write its part of a checkpoint.
        """
        self.optimizer.zero_grad()
        # The gradients are averaged over the processes, and so is the loss that they belong to.
        share = self._processes / tokens_per_step(self._training.global_batch_size, self._training.sequence_length)
        sums = torch.zeros(2, len(self._domains), dtype=torch.float64, device=self._device)  # losses, tokens
        tokens, domains = self._on_device(batch.tokens), self._on_device(batch.domains)  # (M, B, T + 1), (M, B)
        self._by_row = []
        for micro_step, rows in enumerate(tokens):
            with self._parallel.exchanging(is_last=micro_step == len(tokens) - 1):
                losses = self._parallel(rows.long())  # (B, T)
                (losses.sum() * share).backward()
            by_row = losses.detach().double().sum(1)  # (B,)
            self._by_row.append(by_row)
            sums[0].index_add_(0, domains[micro_step], by_row)
            sums[1].index_add_(0, domains[micro_step], torch.full_like(by_row, losses.shape[1]))
        self._norm = self._parallel.grad_norm(self._parameters)
        return self._figures(sums, stop, failed)

    def _figures(self, sums: Tensor, stop: bool, failed: bool) -> Figures:
        """Return the figures of a step, with one exchange between the processes and one wait for the device."""
        flags = self._on_device(np.array([stop, failed], np.float64))
        ours = self._parallel.sum(torch.cat([sums.flatten(), flags]))
        *flat, stops, failures, grad_norm = torch.cat([ours, self._norm.double()[None]]).tolist()
        totals, counts = flat[: len(self._domains)], flat[len(self._domains) :]
        pairs = zip(self._domains, totals, counts, strict=True)
        by_domain = {domain: total / count for domain, total, count in pairs if count}
        return Figures(math.fsum(totals) / math.fsum(counts), by_domain, grad_norm, stops > 0, failures > 0)

    def sample_losses(self, rows: npt.NDArray[np.int64]) -> list[float]:
        """Return the mean loss of each sample of the last batch, (global batch,), after an exchange of the processes.

        Args:
            rows: (M, B), where the samples of this process are in the global batch.
        """
        losses = torch.zeros(self._training.global_batch_size, dtype=torch.float64, device=self._device)
        losses[torch.from_numpy(rows).to(self._device)] = torch.stack(self._by_row) / self._training.sequence_length
        shared: list[float] = self._parallel.sum(losses).tolist()
        return shared

    def apply(self, step: int) -> float:
        """Update the weights with the gradients; `step` is the number of updates so far. Returns the learning rate."""
        rate = learning_rate(step, self._training)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self._training.gradient_clip is not None:
            self._parallel.clip(self._parameters, self._training.gradient_clip, self._norm)
        self.optimizer.step()
        return rate

    @torch.no_grad()
    def losses(self, rows: Tokens) -> Tensor:
        """Return the loss of each next token without gradients, (B, T); `rows` is (B, T + 1).

        All processes call this equally often, also with no rows.
        """
        tokens = self._on_device(rows).long()
        if not len(rows):  # processes that divide a model call it together: a row that is not counted
            tokens = tokens.new_zeros(1, tokens.shape[1])
        return self._parallel(tokens)[: len(rows)]

    def sum(self, *values: Tensor | float) -> list[float]:
        """Return the sum over all processes of each value, with one wait for the device."""
        ours = [torch.as_tensor(value, dtype=torch.float64, device=self._device) for value in values]
        totals: list[float] = self._parallel.sum(torch.stack(ours)).tolist()
        return totals

    def _on_device(self, values: npt.NDArray[Any]) -> Tensor:
        """Move values in their own type, such as the narrow one of the shards, without a wait for the device."""
        tensor = torch.from_numpy(values)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()  # a copy from other memory waits for all work before it
        return tensor.to(self._device, non_blocking=True)


def build_optimizer(model: torch.nn.Module, training: Training) -> torch.optim.AdamW:
    """Return AdamW as the recipe has it, fused: one kernel for many parameters."""
    parameters: Any = model.parameters()
    if training.decay == "matrices":
        groups: tuple[list[Tensor], list[Tensor]] = ([], [])
        for weight in parameters:
            groups[weight.dim() == 1].append(weight)
        parameters = [{"params": groups[False]}, {"params": groups[True], "weight_decay": 0.0}]
    return torch.optim.AdamW(
        parameters,
        lr=training.learning_rate,
        betas=(training.beta1, training.beta2),
        eps=training.adam_epsilon,
        weight_decay=training.weight_decay,
        fused=True,
    )
