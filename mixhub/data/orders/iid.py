"""Independent draws: a pure function of (order_seed, sample index)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Samples
from mixhub.data.orders.philox import generator, permutation

_DRAWS_AT_ONCE = 1 << 20


class IidOrder:
    """Which sequence of which domain each sample is.

    Each sample draws its domain from the shares, independently of all others, and takes the next sequence of that
    domain in a random permutation. Each pass over a domain (an epoch) has its own permutation. Both come from Philox,
    keyed by the seed and, for permutations, by the domain's name and the
    epoch. So sample i only depends on the seed, the shares and the sizes of the domains, not on the number of samples
    or processes, on where a run was resumed, on the order of the domains, or on domains with a weight of 0.

    Args:
        shares: share of each domain; positive, sum 1.
        sequences: number of sequences of each domain, at least 1.
        sequence_length: tokens of a sequence; adjacent sequences share one token, the target of the first.
        seed: the order seed.
        samples: number of samples.
    """

    notices: tuple[str, ...] = ()

    def __init__(
        self, shares: Mapping[str, float], sequences: Mapping[str, int], sequence_length: int, seed: int, samples: int
    ) -> None:
        self.domains = tuple(sorted(shares))
        self._stride = sequence_length
        self._domain = _draws(seed, [shares[name] for name in self.domains], samples)  # (N,)
        self._sequence = np.zeros(samples, dtype=np.uint32)  # (N,)
        for d, name in enumerate(self.domains):
            drawn = np.flatnonzero(self._domain == d)
            size = sequences[name]
            for epoch, start in enumerate(range(0, len(drawn), size)):
                samples_of_epoch = drawn[start : start + size]
                self._sequence[samples_of_epoch] = permutation(seed, name, epoch, size)[: len(samples_of_epoch)]

    def __len__(self) -> int:
        return len(self._domain)

    def samples(self, start: int, stop: int) -> Samples:
        """Return domain and first token of the samples from `start` to before `stop`."""
        return self._domain[start:stop].astype(np.int64), self._sequence[start:stop].astype(np.int64) * self._stride


def _draws(seed: int, shares: list[float], samples: int) -> npt.NDArray[np.uint16]:
    bounds = np.cumsum(np.asarray(shares, dtype=np.float64))
    bounds /= bounds[-1]
    bits = generator("domains", seed)
    drawn = np.empty(samples, dtype=np.uint16)
    for start in range(0, samples, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, samples - start)
        uniform = (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53  # in [0, 1)
        drawn[start : start + count] = np.searchsorted(bounds, uniform, side="right")
    return drawn
