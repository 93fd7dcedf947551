"""Validation: the loss of each domain over the same sequences each time."""

from __future__ import annotations

from accelerate import Accelerator

from mixhub.data.batches import validation_batches
from mixhub.data.shards import TokenShards
from mixhub.spec import Family
from mixhub.training.updates import Updates


def validation_losses(
    updates: Updates, family: Family, shards: TokenShards, accelerator: Accelerator
) -> dict[str, float]:
    """Return the mean loss of each validation domain in nats per token, by its key; the same in all processes."""
    training, prefix = family.training, family.data.valid_prefix
    rank, world = accelerator.process_index, accelerator.num_processes
    most, size = training.validation_sequences, training.micro_batch_size
    means = {}
    for key in family.validation.shares:
        total, targets = 0.0, 0.0
        for rows in validation_batches(shards, key.removeprefix(prefix), most, size, rank=rank, world=world):
            losses = updates.losses(rows)  # (B, T)
            total += losses.double().sum().item()
            targets += losses.numel()
        total, targets = updates.sum(total, targets)
        means[key] = total / targets
    return means
