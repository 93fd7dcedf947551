"""Tokens, steps and the learning rate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.spec import catalog
from mixhub.spec.mixture import sequences_per_domain
from mixhub.spec.schedule import learning_rate, tokens_per_step

ORIGINAL = catalog.get("human-1b").training
"""25000 steps, 4e-4 to 1e-5, 1000 of them warmup, 16 micro-steps."""
HUMAN = ORIGINAL.model_copy(update={"lr_micro_steps": None})


def test_tokens_per_step():
    assert tokens_per_step(512, 2048) == 1_048_576
    assert tokens_per_step(8, 16) == 128


@pytest.mark.parametrize("step", [0, 1, 999, 1000, 1001, 13000, 24999])
def test_the_original_rate_is_that_of_the_last_micro_step(step):
    micro = 16 * step + 15
    if micro < 16 * 1000:
        expected = 4e-4 * micro / 16000
    else:
        ratio = (micro - 16000) / (16 * 25000 - 16000)
        expected = 1e-5 + 0.5 * (1 + math.cos(math.pi * ratio)) * (4e-4 - 1e-5)
    assert math.isclose(learning_rate(step, ORIGINAL), expected, rel_tol=1e-12)


def test_the_rate_reaches_peak_and_minimum():
    assert learning_rate(999, HUMAN) == 4e-4
    assert math.isclose(learning_rate(24999, HUMAN), 1e-5)
    assert math.isclose(learning_rate(0, HUMAN), 4e-7)


def test_the_proxies_stay_at_the_peak_from_the_last_steps_of_warmup():
    proxies = catalog.get("proxies-1m").training
    rates = [learning_rate(step, proxies) for step in (0, 99, 100, 1000)]
    assert rates == pytest.approx([4e-4 * 31 / 3200, 4e-4 * 3199 / 3200, 4e-4, 4e-4], rel=1e-12)


def test_weights_without_a_gradient_shrink_to_0_6_of_their_initial_values():
    """So the rows of padding of a published model tell its initialisation: sd 0.0084 or 0.60."""
    factor = math.prod(1 - ORIGINAL.weight_decay * learning_rate(step, ORIGINAL) for step in range(ORIGINAL.steps))
    assert factor == pytest.approx(0.60, abs=0.005)
    assert factor * math.sqrt(0.4 / 2048) == pytest.approx(0.0084, abs=5e-5)


def test_constant_stays_at_the_peak():
    constant = HUMAN.model_copy(update={"schedule": "constant", "warmup_steps": 100})
    assert {learning_rate(step, constant) for step in range(99, 25000, 1000)} == {4e-4}


def test_no_warmup_starts_at_the_cosine():
    assert learning_rate(0, HUMAN.model_copy(update={"warmup_steps": 0, "steps": 1})) == 1e-5


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=20).filter(lambda weights: sum(weights) > 1e-6),
    st.integers(0, 10**9),
    st.integers(1, 4096),
)
def test_sequences_sum_to_the_budget_each_within_one_of_its_share(weights, tokens, length):
    counts = sequences_per_domain(weights, tokens, length)
    total = tokens // length
    assert sum(counts) == total
    norm = math.fsum(weights)
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - weight / norm * total) < 1 + 1e-6
