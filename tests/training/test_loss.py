import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from mixhub.training import loss as loss_module
from mixhub.training.loss import linear_cross_entropy


def drawn(rows: int, seed: int, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states of 8 dimensions, a head of 13 ids, and targets."""
    draw = torch.Generator().manual_seed(seed)
    hidden, weight = torch.randn(rows, 8, generator=draw) * scale, torch.randn(13, 8, generator=draw)
    return hidden.requires_grad_(), weight.requires_grad_(), torch.randint(13, (rows,), generator=draw)


def double(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 9), st.sampled_from(["sum", "mean", "weighted"]))
def test_losses_and_gradients_are_those_of_full_logits(rows: int, chunk: int, seed: int, use: str) -> None:
    hidden, weight, targets = drawn(rows, seed, scale=3.0)
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(seed)) if use == "weighted" else torch.ones(rows)
    wide, wide_weight = double(hidden, weight)
    expected = cross_entropy(wide @ wide_weight.T, targets, reduction="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_module, "CHUNK", chunk)
        losses = linear_cross_entropy(hidden, weight, targets)
        for result in (losses * weights, expected * weights) if use == "weighted" else (losses, expected):
            (result.mean() if use == "mean" else result.sum()).backward()
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hidden.grad.double(), wide.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight.grad.double(), wide_weight.grad, rtol=1e-5, atol=1e-5)


def test_under_autocast_losses_and_the_weights_gradient_stay_in_float32() -> None:
    hidden, weight, targets = drawn(600, 1)
    wide, wide_weight = double(hidden, weight)
    expected = cross_entropy(wide @ wide_weight.T, targets, reduction="none")
    expected.sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        losses = linear_cross_entropy(hidden, weight, targets)
    losses.sum().backward()
    assert (losses.dtype, weight.grad.dtype) == (torch.float32, torch.float32)
    assert losses.mean().item() == pytest.approx(expected.mean().item(), rel=1e-3)
    torch.testing.assert_close(weight.grad.double(), wide_weight.grad, rtol=0.02, atol=0.3)
    assert len(set(losses.tolist())) > 590, "losses are not rounded to bfloat16, which has 256 values in each octave"


def test_without_gradients_none_are_made() -> None:
    hidden, weight, targets = drawn(5, 1)
    with torch.no_grad():
        losses = linear_cross_entropy(hidden, weight, targets)
    torch.testing.assert_close(losses, cross_entropy(hidden @ weight.T, targets, reduction="none"))
    assert not losses.requires_grad


def test_a_second_backward_pass_is_refused() -> None:
    """The first one scales the gradients in place."""
    total = linear_cross_entropy(*drawn(5, 1)).sum()
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()
