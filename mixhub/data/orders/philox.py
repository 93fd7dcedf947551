"""Keyed random bits. numpy promises those of Philox, a counter-based generator (Salmon et al. 2011)."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt


def generator(purpose: str, *parts: object) -> np.random.Philox:
    """Return a different generator for each purpose and parts, such as a seed and a domain."""
    text = "\0".join(["mixhub order 1", purpose, *map(str, parts)])
    return np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]))


def permutation(seed: int, domain: str, epoch: int, size: int) -> npt.NDArray[np.int64]:
    """Return the order of the sequences of a domain in an epoch, by sorting random bits."""
    return np.argsort(generator("sequences", seed, domain, epoch).random_raw(size), kind="stable")
