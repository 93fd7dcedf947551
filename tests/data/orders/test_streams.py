"""The streams that are made from raw bits are those of the installed Python and numpy."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.orders.streams import numpy_permutations, python_shuffled, python_uniform

seeds = st.one_of(st.integers(0, 9), st.integers(2**32 - 2, 2**32 + 2), st.integers(0, 2**100))


@given(seeds, st.integers(0, 400))
def test_shuffle(seed: int, count: int) -> None:
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    assert python_shuffled(seed, count).tolist() == numbers


@given(seeds, st.integers(0, 300))
def test_uniform(seed: int, count: int) -> None:
    generator = random.Random(seed)
    assert [value for part in python_uniform(seed, count) for value in part] == [
        generator.random() for _ in range(count)
    ]


@given(seeds, st.integers(0, 9), st.one_of(st.integers(1, 20), st.sampled_from([255, 256, 257, 1000])))
def test_permutations(seed: int, count: int, size: int) -> None:
    generator = np.random.default_rng(seed)
    assert numpy_permutations(seed, count, size).tolist() == [
        generator.permutation(size).tolist() for _ in range(count)
    ]


def test_streams_longer_than_what_is_drawn_at_once() -> None:
    generator, permutations = np.random.default_rng(3), numpy_permutations(3, 700, 500)
    assert all((generator.permutation(500) == permutation).all() for permutation in permutations)
    uniform = random.Random(3)
    assert all(value == uniform.random() for part in python_uniform(3, 300_000) for value in part)
    numbers = list(range(20_000))
    random.Random(3).shuffle(numbers)
    assert python_shuffled(3, 20_000).tolist() == numbers
