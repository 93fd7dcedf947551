"""Tokens and steps, and the learning rate at a step: pure functions of the recipe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixhub.spec.parts import Training


def tokens_per_step(global_batch_size: int, sequence_length: int) -> int:
    """Return the tokens per optimizer update."""
    return global_batch_size * sequence_length


def learning_rate(step: int, training: Training) -> float:
    """Return the learning rate of the update after `step` updates.

    Linear warmup from 0 to the peak, then `constant`, or `cosine` down to the minimum at the end (SGDR without
    restarts: Loshchilov and Hutter 2017, equation 5). With `lr_micro_steps`, the rate was set for each micro-step, so
    an update took the rate of its last micro-step, counted from 0; without, it is the rate at the end of the update.
    """
    micro_steps, warmup = training.lr_micro_steps, training.warmup_steps
    peak, minimum = training.learning_rate, training.min_learning_rate
    position = step + 1 if micro_steps is None else step + (micro_steps - 1) / micro_steps
    if position < warmup:
        return peak * position / warmup
    if training.schedule == "constant":
        return peak
    progress = min(1.0, (position - warmup) / max(1, training.steps - warmup))
    return minimum + 0.5 * (1 + math.cos(math.pi * progress)) * (peak - minimum)
