"""Validation: the loss of each domain over the same sequences each time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from accelerate import Accelerator

from mixhub.data.batches import validation_batches
from mixhub.data.shards import TokenShards
from mixhub.spec import Family
from mixhub.training.updates import Updates


def validation_losses(
    updates: Updates,
    family: Family,
    shards: TokenShards,
    starts: Mapping[str, npt.NDArray[np.int64]],
    accelerator: Accelerator,
) -> dict[str, float]:
    """Return the mean loss of each validation domain in nats per token, by its key; the same in all processes.

    Args:
        updates: has the model.
        family: has the size of a micro-batch, and the names of the domains.
        shards: the tokens.
        starts: (N,) first tokens of the samples of each domain, by key; see `validation_starts`.
        accelerator: knows the other processes.
    """
    prefix, size = family.data.valid_prefix, family.training.micro_batch_size
    rank, world = accelerator.process_index, accelerator.num_processes
    totals = []
    for key, own in starts.items():
        batches = validation_batches(shards, key.removeprefix(prefix), own, size, rank=rank, world=world)
        totals.append(sum(updates.losses(rows).double().sum() for rows in batches))
    sums = updates.sum(*totals)  # the only wait for the device
    length = family.training.sequence_length
    return {key: total / (len(own) * length) for (key, own), total in zip(starts.items(), sums, strict=True)}
