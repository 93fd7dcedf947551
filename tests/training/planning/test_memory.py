"""The calculated memory, against what PyTorch holds."""

import itertools
from typing import Any

import pytest
import torch

from mixhub.spec import Training
from mixhub.spec.architecture import Architecture
from mixhub.training import loss
from mixhub.training.model import NextTokenLosses, build_model
from mixhub.training.planning import memory as calculated
from mixhub.training.planning.memory import Layout, Memory, memory, sent_bytes
from mixhub.training.updates import build_optimizer
from tests.tiny import tiny_family

FAMILY = tiny_family()
ALONE = Layout("none", processes=1, shards=1, micro_steps=2)
SHAPES = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "deep": {"num_hidden_layers": 5},
    "wide": {"intermediate_size": 400},
}


def shapes(**changes: Any) -> Architecture:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
    return FAMILY.architecture.model_copy(update={**sizes, **changes})


def recipe(**changes: Any) -> Training:
    sizes = {"sequence_length": 40, "micro_batch_size": 4, "global_batch_size": 8}
    return FAMILY.training.model_copy(update={**sizes, **changes})


def saved_bytes(architecture: Architecture, training: Training) -> int:
    """What autograd saves in the forward pass of a micro-batch, each storage once, without the weights themselves."""
    model = build_model(architecture, training, init_seed=0, eos_id=0)
    losses = NextTokenLosses(model, 0 if training.document_boundaries else None)
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    tokens = torch.ones(training.micro_batch_size, training.sequence_length + 1, dtype=torch.long)
    tokens[:, 5] = 0  # ends a document
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bfloat16"),
    ):
        total = losses(tokens).sum()
    found = sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in weights)
    total.backward()  # only now may storages be freed, and their addresses be used again
    return found


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("boundaries", [None, "reset"])
def test_activations_are_those_that_autograd_saves(shape: str, precision: str, boundaries: str | None) -> None:
    architecture = shapes(**SHAPES[shape])
    training = recipe(precision=precision, document_boundaries=boundaries)
    needed = memory(architecture, training, ALONE)
    head = 4 * architecture.vocab_size * architecture.hidden_size
    assert needed.activations + needed.copies + head == pytest.approx(saved_bytes(architecture, training), rel=0.005)


def test_weights_gradients_and_moments_are_exactly_those_of_pytorch() -> None:
    architecture, training = shapes(num_key_value_heads=2), recipe()
    model = build_model(architecture, training, init_seed=0, eos_id=0)
    optimizer = build_optimizer(model, training)
    NextTokenLosses(model)(torch.zeros(1, 9, dtype=torch.long)).sum().backward()
    optimizer.step()
    needed = memory(architecture, training, ALONE)
    weights = list(model.parameters())
    moments = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    for calculated_bytes, tensors in (
        (needed.weights, weights),
        (needed.gradients, gradients),
        (needed.moments, moments),
    ):
        assert calculated_bytes == sum(tensor.nbytes for tensor in tensors)


def test_the_head_needs_its_gradient_and_a_chunk_of_logits() -> None:
    assert calculated.CHUNK == loss.CHUNK
    architecture, training = shapes(), recipe(micro_batch_size=8)  # 320 rows: more than a chunk
    matrix = architecture.vocab_size * architecture.hidden_size
    assert memory(architecture, training, ALONE).head == 4 * matrix + 4 * loss.CHUNK * architecture.vocab_size
    assert memory(architecture, recipe(), ALONE).head == 4 * matrix + 4 * 160 * architecture.vocab_size


def peak_bytes(architecture: Architecture, training: Training) -> int:
    """The most memory of an update of two micro-steps, by PyTorch's profiler, with the state that was there before."""
    model = build_model(architecture, training, init_seed=0, eos_id=0)
    losses, optimizer = NextTokenLosses(model), build_optimizer(model, training)

    def update() -> None:
        for _ in range(2):
            tokens = torch.ones(training.micro_batch_size, training.sequence_length + 1, dtype=torch.long)
            with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bfloat16"):
                found = losses(tokens)
            found.sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    update()
    moments = (state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq"))
    before = sum(tensor.nbytes for tensor in (*model.parameters(), *moments))
    cpu = torch.profiler.ProfilerActivity.CPU
    with torch.profiler.profile(activities=[cpu], profile_memory=True) as profile:
        update()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = (event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return before + max(itertools.accumulate(changes))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("sizes", [{"num_hidden_layers": 6}, {"num_hidden_layers": 2, "vocab_size": 9000}])
def test_the_total_is_the_peak_of_an_update(sizes: dict[str, int], precision: str) -> None:
    architecture = shapes(hidden_size=128, intermediate_size=352, **sizes)
    training = recipe(precision=precision, sequence_length=128)
    assert memory(architecture, training, ALONE).total == pytest.approx(peak_bytes(architecture, training), rel=0.05)


def of(sharding: str, shards: int, micro_steps: int = 2) -> Memory:
    return memory(shapes(), recipe(), Layout(sharding, processes=8, shards=shards, micro_steps=micro_steps))


def test_shards_divide_the_state_and_nothing_else() -> None:
    whole, node, full = of("none", 1), of("hybrid", 4), of("full", 8)
    for layout, shards in ((node, 4), (full, 8)):
        assert layout.weights == pytest.approx(whole.weights / shards, abs=4)
        assert layout.moments == pytest.approx(whole.moments / shards, abs=8)
        assert layout.gradients == layout.weights + whole.gradients, "micro-steps add up whole gradients"
        assert (layout.activations, layout.copies, layout.head) == (whole.activations, whole.copies, whole.head)
    assert of("full", 8, micro_steps=1).gradients == full.weights
    assert whole.buffers == 0 < full.buffers


@pytest.mark.parametrize(("reduction", "share"), [(None, 1.0), ("bfloat16", 0.5)])
def test_sent_bytes_are_those_of_rings(reduction: str | None, share: float) -> None:
    architecture, training = shapes(), recipe(gradient_reduction=reduction)
    size = 4 * architecture.parameters
    sent = {
        (name, processes, shards): sent_bytes(architecture, training, Layout(name, processes, shards, micro_steps=3))
        / size
        for name, processes, shards in [("none", 1, 1), ("none", 8, 1), ("full", 8, 8), ("hybrid", 8, 4)]
    }
    assert sent["none", 1, 1] == 0
    assert sent["none", 8, 1] == pytest.approx(2 * 7 / 8 * share)
    assert sent["full", 8, 8] == pytest.approx(7 / 8 * (2 * 3 + share))
    assert sent["hybrid", 8, 4] == pytest.approx(3 / 4 * (2 * 3 + share) + 2 * 1 / 2 / 4)


def test_more_of_anything_needs_more() -> None:
    base = memory(shapes(), recipe(), ALONE).total
    grown = [({"hidden_size": 128}, {}), ({"vocab_size": 640}, {}), ({}, {"micro_batch_size": 8})]
    assert all(memory(shapes(**a), recipe(**t), ALONE).total > base for a, t in grown)
    totals = [memory(shapes(), recipe(micro_batch_size=size), ALONE).activations for size in (1, 2, 4, 8)]
    assert all(later - earlier > 0 for earlier, later in itertools.pairwise(totals))
