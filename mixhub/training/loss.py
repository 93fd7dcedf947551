"""The loss of the next tokens, without the logits of a whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK = 256
"""Rows whose logits are held at once: 52 MB in float32 for 50,432 ids."""


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each target in nats, in float32, as `cross_entropy(hidden @ weight.T)` would.

    Only the logits of `CHUNK` rows exist at a time. The gradients of the sum of the losses are computed with them: a
    backward pass from a sum or a mean only scales them; one that weights the losses computes them again. Under
    autocast, products are made in its dtype; logits, losses and the gradient of the weight are float32.

    Args:
        hidden: (N, H), outputs of the last layer.
        weight: (V, H), the matrix of the head.
        targets: (N,), ids.

    Returns:
        (N,), losses.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    losses: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, dtype, torch.is_grad_enabled())  # type: ignore[no-untyped-call]
    return losses


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, has_grad: bool
    ) -> Tensor:
        ctx.dtype = dtype
        losses = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        gradients = (torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float32)) if has_grad else ()
        cast = weight.to(dtype)
        for rows, scores in _log_probabilities(hidden, cast):
            losses[rows] = -scores.gather(1, targets[rows, None])[:, 0]
            if gradients:
                _add_gradients(*gradients, rows, _slopes(scores, targets[rows]), hidden, cast)
        ctx.save_for_backward(hidden, weight, targets, *gradients)
        return losses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden, weight, targets, d_hidden, d_weight = ctx.saved_tensors
        if upstream.stride() == (0,) or (upstream == upstream[0]).all():  # from a sum, which needs no look; or a mean
            d_hidden.mul_(upstream[0])
            d_weight.mul_(upstream[0])
        else:
            d_weight.zero_()
            cast = weight.to(ctx.dtype)
            for rows, scores in _log_probabilities(hidden, cast):
                slopes = _slopes(scores, targets[rows]).mul_(upstream[rows, None])
                _add_gradients(d_hidden, d_weight, rows, slopes, hidden, cast)
        return d_hidden, d_weight.to(weight.dtype), None, None, None


def _log_probabilities(hidden: Tensor, weight: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of each chunk and their scores (C, V), which the next chunk overwrites."""
    buffer = torch.empty(min(CHUNK, len(hidden)), len(weight), dtype=torch.float32, device=hidden.device)
    for start in range(0, len(hidden), CHUNK):
        rows = slice(start, min(start + CHUNK, len(hidden)))
        scores = buffer[: rows.stop - start]
        if weight.dtype == torch.float32:
            torch.mm(hidden[rows].float(), weight.T, out=scores)
        else:
            scores.copy_(hidden[rows].to(weight.dtype) @ weight.T)
        yield rows, torch.log_softmax(scores, -1, out=scores)


def _slopes(scores: Tensor, targets: Tensor) -> Tensor:
    """Turn log-probabilities in place into the derivatives of the losses by the logits, (C, V)."""
    slopes = scores.exp_()
    return slopes.scatter_add_(1, targets[:, None], slopes.new_full((len(slopes), 1), -1.0))


def _add_gradients(
    d_hidden: Tensor, d_weight: Tensor, rows: slice, slopes: Tensor, hidden: Tensor, weight: Tensor
) -> None:
    slopes = slopes.to(weight.dtype)
    d_hidden[rows] = slopes @ weight
    if weight.dtype == torch.float32:
        d_weight.addmm_(slopes.T, hidden[rows].float())
    else:
        d_weight.add_(slopes.T @ hidden[rows].to(weight.dtype))
