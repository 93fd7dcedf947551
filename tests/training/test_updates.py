"""One update, without a run: its gradient, its rate, and what decays."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy

from mixhub.data.batches import StepBatch
from mixhub.spec import Training
from mixhub.spec.schedule import learning_rate
from mixhub.training.model import build_model
from mixhub.training.options import TrainOptions
from mixhub.training.updates import Updates, build_optimizer
from tests.tiny import tiny_family

DOMAINS = ("train_prose", "train_sums")
PLAIN = {"gradient_clip": None, "weight_decay": 0.0, "warmup_steps": 0}


def updates(changes: Mapping[str, object], **architecture: object) -> Updates:
    family = tiny_family(training=changes, architecture=architecture)
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    options = TrainOptions(device="cpu")
    return Updates(Accelerator(cpu=True), model, family.training, domains=DOMAINS, eos_id=0, options=options)


def batch(micro_steps: int, rows: int, *, high: int = 300, seed: int = 1) -> StepBatch:
    """The same eight rows, in micro-batches; the first three are of the first domain."""
    tokens = np.random.default_rng(seed).integers(0, high, (8, 17)).astype(np.uint16)
    domains = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    return StepBatch(tokens.reshape(micro_steps, rows, 17), domains.reshape(micro_steps, rows))


@pytest.mark.parametrize(("micro_steps", "rows"), [(1, 8), (2, 4), (8, 1)])
def test_the_gradient_is_that_of_the_mean_over_the_global_batch(micro_steps: int, rows: int) -> None:
    """A mean of the means of micro-batches or domains would differ, because a domain has three rows and one five."""
    own = updates(PLAIN)
    figures = own.gradients(batch(micro_steps, rows))
    literal = updates(PLAIN).model
    tokens = torch.from_numpy(batch(1, 8).tokens[0]).long()
    logits = literal(input_ids=tokens[:, :-1]).logits  # (8, 16, V)
    losses = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(8, 16)
    losses.mean().backward()
    for (name, ours), theirs in zip(own.model.named_parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-7, msg=name)
    assert figures.loss == pytest.approx(losses.mean().item(), rel=1e-6)
    assert figures.domains == pytest.approx(
        {"train_prose": losses[:3].mean().item(), "train_sums": losses[3:].mean().item()}, rel=1e-6
    )
    norm = torch.stack([weight.grad.norm() for weight in literal.parameters()]).norm()
    assert figures.grad_norm == pytest.approx(norm.item(), rel=1e-5)


def test_an_update_does_not_depend_on_the_micro_batch() -> None:
    weights = []
    for micro_steps, rows in ((1, 8), (8, 1)):
        own = updates({"steps": 4})
        for step in range(4):
            own.gradients(batch(micro_steps, rows, seed=step))
            own.apply(step)
        weights.append([weight.detach().clone() for weight in own.model.parameters()])
    for ours, theirs in zip(*weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_an_update_has_the_rate_of_its_step() -> None:
    """Without moments, clipping or decay, the first update of AdamW moves each weight by the rate."""
    for step, warmup in ((0, 0), (0, 4), (3, 4), (4, 4), (11, 4)):
        own = updates(PLAIN | {"warmup_steps": warmup, "adam_epsilon": 1e-30})
        before = own.model.lm_head.weight.detach().clone()
        own.gradients(batch(2, 4))
        rate = own.apply(step)
        training = tiny_family(training=PLAIN | {"warmup_steps": warmup}).training
        assert rate == learning_rate(step, training)
        moved = (own.model.lm_head.weight.detach() - before).abs()
        assert moved[moved > 0].median().item() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("scheme", ["as_written", "torch_default"])
def test_rows_of_padding_keep_their_initial_values_but_for_the_decay(scheme: str) -> None:
    change = {"initialisation": scheme, "steps": 6, "weight_decay": 0.1}
    own = updates(change, vocab_size=50432)
    training = tiny_family(training=change).training
    padding = slice(50277, 50432)
    initial = own.model.model.embed_tokens.weight[padding].detach().clone()
    for step in range(6):
        own.gradients(batch(2, 4, high=50277, seed=step))
        own.apply(step)
    factor = np.prod([1 - training.weight_decay * learning_rate(step, training) for step in range(6)])
    weights = own.model.model.embed_tokens.weight.detach()
    torch.testing.assert_close(weights[padding], initial * factor, rtol=1e-6, atol=0)
    expected = 1.0 if scheme == "torch_default" else np.sqrt(0.4 / 16)
    assert initial.std().item() == pytest.approx(expected, rel=0.05)
    assert not torch.allclose(own.model.lm_head.weight[padding].std(), initial.std() * factor, rtol=1e-5)


@pytest.mark.parametrize("decay", [None, "matrices"])
def test_matrices_decay_and_norms_where_the_recipe_says_so(decay: str | None) -> None:
    family = tiny_family(training={"decay": decay, "weight_decay": 0.1, "learning_rate": 0.5})
    model = build_model(family.llama, family.training, init_seed=1, eos_id=0)
    optimizer = build_optimizer(model, family.training)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for name, weight in model.named_parameters():
        factor = 1.0 if decay == "matrices" and weight.dim() == 1 else 1 - 0.5 * 0.1
        torch.testing.assert_close(weight.detach(), before[name] * factor)
    assert sorted(id(weight) for group in optimizer.param_groups for weight in group["params"]) == sorted(
        map(id, model.parameters())
    )


def test_the_optimizer_is_the_recipes() -> None:
    change = {"beta1": 0.8, "beta2": 0.9, "adam_epsilon": 1e-6, "weight_decay": 0.2}
    training: Training = tiny_family(training=change).training
    model = build_model(tiny_family().architecture, training, init_seed=1, eos_id=0)
    (group,) = build_optimizer(model, training).param_groups
    assert (group["betas"], group["eps"], group["weight_decay"], group["fused"]) == ((0.8, 0.9), 1e-6, 0.2, True)
