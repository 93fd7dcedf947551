"""Tokens and steps, and the learning rate at a step: pure functions of the recipe."""

from __future__ import annotations

import math


def tokens_per_step(global_batch_size: int, sequence_length: int) -> int:
    """Return the tokens per optimizer update."""
    return global_batch_size * sequence_length


def learning_rate(
    step: int,
    *,
    steps: int,
    peak: float,
    minimum: float,
    warmup_steps: int,
    schedule: str,
    micro_steps: int | None = None,
) -> float:
    """Return the learning rate of the update that makes step `step` (counted from 0) into step `step + 1`.

    Linear warmup from 0 to `peak` over `warmup_steps`, then `constant`, or `cosine` down to `minimum` at the end
    (SGDR without restarts: Loshchilov and Hutter 2017, equation 5).

    Args:
        step: updates made so far, 0 to `steps` - 1.
        steps: updates of the whole run.
        peak: rate after warmup.
        minimum: rate at the end of a cosine.
        warmup_steps: updates of linear warmup.
        schedule: "cosine" or "constant".
        micro_steps: micro-steps per update, if the rate was set per micro-step: an update then has the rate of its last
            micro-step, counted from 0. None: the rate at the end of the update.
    """
    position = step + 1 if micro_steps is None else step + (micro_steps - 1) / micro_steps
    if position < warmup_steps:
        return peak * position / warmup_steps
    if schedule == "constant":
        return peak
    progress = min(1.0, (position - warmup_steps) / max(1, steps - warmup_steps))
    return minimum + 0.5 * (1 + math.cos(math.pi * progress)) * (peak - minimum)
