"""Streams of `random.Random` and of numpy's default generator, from raw bits.

CPython promises the seeding and `random()`, and numpy the raw bits of a generator and its `SeedSequence`; neither
promises what shuffles, choices or permutations make of them. This is what they make of them today.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt

_DRAWS_AT_ONCE = 1 << 18
_WORDS_AT_ONCE = 1 << 12


def python_uniform(seed: int, count: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield the first `count` values of `random.Random(seed).random()`, in parts."""
    words = _python_words(seed)
    for start in range(0, count, _DRAWS_AT_ONCE):
        pairs = words.random_raw(2 * min(_DRAWS_AT_ONCE, count - start)).reshape(-1, 2)
        yield ((pairs[:, 0] >> np.uint64(5)) * 2.0**26 + (pairs[:, 1] >> np.uint64(6))) * 2.0**-53


def python_shuffled(seed: int, count: int) -> npt.NDArray[np.int64]:
    """Return what `random.Random(seed).shuffle` makes of the numbers from 0 to `count` - 1."""
    source = _python_words(seed)
    words = chain.from_iterable(iter(lambda: source.random_raw(_WORDS_AT_ONCE).tolist(), None))
    numbers = list(range(count))
    for last in range(count - 1, 0, -1):
        unused = 32 - (last + 1).bit_length()
        while (drawn := next(words) >> unused) > last:
            pass
        numbers[last], numbers[drawn] = numbers[drawn], numbers[last]
    return np.array(numbers, np.int64)


def numpy_permutations(seed: int, count: int, size: int) -> npt.NDArray[np.unsignedinteger]:
    """Return the first permutations that `numpy.random.default_rng(seed).permutation(size)` returns, (count, size)."""
    kind = np.min_scalar_type(size - 1)
    permutations = np.empty((count, size), kind)
    words = chain.from_iterable(_numpy_words(seed, (1 << (size - 1).bit_length()) - 1))
    draws = [(last, (1 << last.bit_length()) - 1) for last in range(size - 1, 0, -1)]
    at_once = max(1, _DRAWS_AT_ONCE // size)
    for start in range(0, count, at_once):
        part = permutations[start : start + at_once]
        drawn = []
        for _ in range(len(part)):
            for last, mask in draws:
                while (number := next(words) & mask) > last:
                    pass
                drawn.append(number)
        _shuffle(part, np.array(drawn, kind).reshape(len(part), size - 1))
    return permutations


def _shuffle(permutations: npt.NDArray[np.unsignedinteger], drawn: npt.NDArray[np.unsignedinteger]) -> None:
    """Fill each row of `permutations` (N, S) with the shuffle of Fisher and Yates by the numbers `drawn` (N, S - 1)."""
    count, size = permutations.shape
    columns = np.arange(count)
    shuffled = np.repeat(np.arange(size, dtype=permutations.dtype)[:, None], count, axis=1)  # (S, N)
    for draw, last in enumerate(range(size - 1, 0, -1)):
        other = drawn[:, draw]
        shuffled[last], shuffled[other, columns] = shuffled[other, columns], shuffled[last].copy()
    permutations[:] = shuffled.T


def _numpy_words(seed: int, mask: int) -> Iterator[list[int]]:
    """Yield the 32-bit words of a PCG64, the low half of each 64 bits first, without the bits outside a mask."""
    bits = np.random.PCG64(seed)
    while True:
        yield (bits.random_raw(_WORDS_AT_ONCE).astype("<u8").view("<u4") & np.uint32(mask)).tolist()


def _python_words(seed: int) -> np.random.MT19937:
    *key, position = random.Random(seed).getstate()[1]
    bits = np.random.MT19937()
    bits.state = {"bit_generator": "MT19937", "state": {"key": np.array(key, np.uint32), "pos": position}}
    return bits
