"""The figures of a step."""

from __future__ import annotations

from typing import NamedTuple


class Figures(NamedTuple):
    """What is known of a step before its update, the same in all processes."""

    loss: float
    """Mean loss of the global batch, in nats per token."""
    domains: dict[str, float]
    """The same for the tokens of each domain in it."""
    grad_norm: float
    """Norm of the gradient, before clipping."""
    is_stopped: bool
    """Whether a process was asked to stop."""
    is_failed: bool
    """Whether a process could not write its part of a checkpoint."""
