"""The order of samples: a pure function of (order_seed, sample index)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from mixhub.errors import RunError
from mixhub.spec import Run, Training

_DRAWS_AT_ONCE = 1 << 20

Array = npt.NDArray[np.int64]


class Order:
    """Which sequence of which domain each sample is.

    Each sample draws its domain from the shares, independently of all others; it then takes the next sequence of that
    domain in a random permutation, so that none comes again before all have come, and each pass over the domain (an
    epoch) has a permutation of its own. Both come from Philox, a counter-based generator (Salmon et al. 2011), keyed by
    the seed and, for permutations, by the domain's name and the epoch. So sample i depends on nothing but the seed, the
    shares and the domains' sizes: not on how many samples there are, on processes, or on where a run was resumed; and
    the place of a domain in the family's file, or domains with a weight of 0, change nothing.

    Args:
        shares: domain to share of all samples; positive, sum 1.
        sequences: domain to its number of sequences, each at least 1.
        seed: the order seed.
        samples: how many samples there are.
    """

    def __init__(self, shares: Mapping[str, float], sequences: Mapping[str, int], seed: int, samples: int) -> None:
        self.domains = tuple(sorted(shares))
        self.seed = seed
        self._domain = _draws(seed, [shares[name] for name in self.domains], samples)  # (N,)
        self._sequence = np.zeros(samples, dtype=np.uint32)  # (N,)
        for d, name in enumerate(self.domains):
            places = np.flatnonzero(self._domain == d)
            size = sequences[name]
            for epoch, start in enumerate(range(0, len(places), size)):
                here = places[start : start + size]
                self._sequence[here] = _permutation(seed, name, epoch, size)[: len(here)]

    def __len__(self) -> int:
        return len(self._domain)

    def sample(self, index: int) -> tuple[str, int]:
        """Domain and sequence of one sample."""
        return self.domains[self._domain[index]], int(self._sequence[index])

    def samples(self, start: int, stop: int) -> Iterator[tuple[str, int]]:
        """Domain and sequence of the samples from `start` to before `stop`."""
        return (self.sample(index) for index in range(start, stop))

    def counts(self) -> dict[str, int]:
        """Samples of each domain."""
        counts = np.bincount(self._domain, minlength=len(self.domains))
        return {name: int(count) for name, count in zip(self.domains, counts, strict=True)}


def order_of(run: Run, training: Training, sequences: Mapping[str, int]) -> Order:
    """The order of a run's samples.

    `training.order: original`, the order of RegMix's loader, is not built yet and is refused; `iid` is what there is.

    Args:
        run: gives the mixture and the order seed.
        training: gives the order's kind and the number of samples.
        sequences: domain key to its number of sequences.

    Raises:
        RunError: the order is `original`, or the run has no order seed.
    """
    if training.order == "original":
        raise RunError(
            f"{run.family}: training.order = original: the order of RegMix's loader is not built yet",
            code="order-unsupported",
            hint="set training.order: iid in a family that extends this one",
            family=run.family,
        )
    if run.order_seed is None:
        raise seedless(run, "order_seed")
    shares = run.mixture.shares
    return Order(
        shares, {key: sequences[key] for key in shares}, run.order_seed, training.steps * training.global_batch_size
    )


def seedless(run: Run, field: str) -> RunError:
    """What is raised for a run whose seed was not published."""
    return RunError(
        f"{run.family}, {run.revision}: its {field} is not known, so it cannot be trained",
        code="seed-unpublished",
        hint=f"set training.seed in a family that extends {run.family}",
        family=run.family,
        revision=run.revision,
        field=field,
    )


def _draws(seed: int, shares: list[float], samples: int) -> npt.NDArray[np.uint16]:
    bounds = np.cumsum(np.asarray(shares, dtype=np.float64))
    bounds /= bounds[-1]
    generator = _generator("domains", seed)
    drawn = np.empty(samples, dtype=np.uint16)
    for start in range(0, samples, _DRAWS_AT_ONCE):
        count = min(_DRAWS_AT_ONCE, samples - start)
        uniform = (generator.random_raw(count) >> np.uint64(11)) * 2.0**-53  # in [0, 1)
        drawn[start : start + count] = np.searchsorted(bounds, uniform, side="right")
    return drawn


def _permutation(seed: int, domain: str, epoch: int, size: int) -> Array:
    """Sorts raw draws, since numpy promises the bits of a generator for ever, but not its permutations."""
    return np.argsort(_generator("sequences", seed, domain, epoch).random_raw(size), kind="stable")


def _generator(purpose: str, *parts: object) -> np.random.Philox:
    text = "\0".join(["mixhub order 1", purpose, *map(str, parts)])
    return np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]))
