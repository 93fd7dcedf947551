"""Even shares: at any point of a run, each domain is within 1.5 samples of its share."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from itertools import count
from math import isqrt

import numpy as np
import numpy.typing as npt

from mixhub.data.orders.base import Samples
from mixhub.data.orders.philox import generator, permutation

MOST = 1.5
"""Samples by which a domain may be above or below its share."""

_BITS = 31
_LOW = np.uint64((1 << _BITS) - 1)
_SHIFT = np.uint64(_BITS)
_ONE = 1 << 2 * _BITS
"""1 in the fixed point of ratios and phases."""
_SORTED_SIZE = 1 << 16
"""A domain with more sequences is permuted by a cipher, which keeps nothing; below, a cipher is not uniform enough."""
_ROUNDS = 8

_Integers = npt.NDArray[np.uint64]


class QuotaOrder:
    """Which sequence of which domain each sample is.

    A binary tree has the domains as leaves. At each node, sample m of the node goes left if floor(r · m + p) grows from
    m to m + 1, where r is the share of the left side: Beatty sequences, which never miss the share by more than
    max(p, 1 - p). What a node misses reaches its leaves in proportion to their share of it, so the tree of Huffman
    (1952), which has light domains deep, bounds the sum; `_tree` looks for one that keeps it to 1.5. Sample i is found
    by descent from the root, in integers, so nothing is kept per sample and a run of any length has the same beginning.

    The sequences of a domain are in a random order, another one in each pass (epoch). The seed sets these orders and
    the phases p, as far from 1/2 as the bound allows.

    Args:
        shares: share of each domain; positive, sum 1.
        sequences: number of sequences of each domain, at least 1.
        sequence_length: tokens of a sequence; adjacent sequences share one token, the target of the first.
        seed: the order seed.
        samples: number of samples, below 2^32.
    """

    notices: tuple[str, ...] = ()

    def __init__(
        self, shares: Mapping[str, float], sequences: Mapping[str, int], sequence_length: int, seed: int, samples: int
    ) -> None:
        self.domains = tuple(sorted(shares))
        self._stride, self._samples = sequence_length, samples
        self._sizes = np.array([sequences[name] for name in self.domains])  # (D,)
        self._splits = _splits(_tree([Fraction(shares[name]) for name in self.domains]), seed)

        @lru_cache(maxsize=2 * len(self.domains))
        def sorted_epoch(domain: int, epoch: int) -> npt.NDArray[np.uint16]:
            return permutation(seed, self.domains[domain], epoch, int(self._sizes[domain])).astype(np.uint16)

        @lru_cache(maxsize=2 * len(self.domains))
        def keys(domain: int, epoch: int) -> _Integers:
            return generator("quota keys", seed, self.domains[domain], epoch).random_raw(_ROUNDS)

        self._sorted_epoch, self._keys = sorted_epoch, keys

    def __len__(self) -> int:
        return self._samples

    def samples(self, start: int, stop: int) -> Samples:
        """Return domain and first token of the samples from `start` to before `stop`."""
        domain, number = self._splits.descend(np.arange(start, min(stop, self._samples), dtype=np.uint64))
        epoch, place = np.divmod(number, self._sizes[domain])
        sequence = np.empty_like(place)
        is_large = self._sizes[domain] > _SORTED_SIZE
        keys = np.empty((len(place), _ROUNDS), np.uint64)
        pairs, counts = np.unique(epoch * len(self.domains) + domain, return_counts=True)
        by_pair = np.argsort(epoch * len(self.domains) + domain, kind="stable")
        for pair, own in zip(pairs.tolist(), np.split(by_pair, np.cumsum(counts)), strict=False):
            e, d = divmod(pair, len(self.domains))
            if is_large[own[0]]:
                keys[own] = self._keys(d, e)
            else:
                sequence[own] = self._sorted_epoch(d, e)[place[own]]
        sequence[is_large] = _enciphered(place[is_large], self._sizes[domain[is_large]], keys[is_large])
        return domain, sequence * self._stride


@dataclass(frozen=True)
class _Node:
    """A domain, or what several domains have together."""

    share: Fraction
    domain: int = -1
    parts: tuple[_Node, ...] = ()

    def misses(self, above: float = 0.0) -> float:
        """Return the largest sum, over a leaf and its ancestors below the root, of its share of each."""
        if not self.parts:
            return float(self.share) * above
        return max(part.misses(above + 1 / float(part.share)) for part in self.parts)


def _join(*parts: _Node) -> _Node:
    return _Node(sum((part.share for part in parts), Fraction()), parts=parts)


def _tree(shares: Sequence[Fraction]) -> _Node:
    """Return a tree whose leaves miss their share by at most MOST with phases of 1/2.

    That is Huffman's tree, unless a domain that is light beside its sibling adds a whole rounding to what that misses.
    Then the lighter domains get their own tree. No shares are known for which the search finds no such tree, but there
    is no proof that there are none.
    """
    leaves = sorted((_Node(share, domain) for domain, share in enumerate(shares)), key=lambda leaf: leaf.share)

    @cache
    def best(first: int, last: int) -> _Node:
        whole = _huffman(leaves[first:last])
        if whole.misses() / 2 <= MOST:
            return whole
        split = (_join(best(first, middle), best(middle, last)) for middle in range(first + 1, last))
        return min((whole, *split), key=_Node.misses)

    return best(0, len(leaves))


def _huffman(leaves: Sequence[_Node]) -> _Node:
    numbers = count()
    heap = [(leaf.share, next(numbers), leaf) for leaf in leaves]
    heapq.heapify(heap)
    while len(heap) > 1:
        joined = _join(*(heapq.heappop(heap)[-1] for _ in range(2)))
        heapq.heappush(heap, (joined.share, next(numbers), joined))
    return heap[0][-1]


@dataclass(frozen=True)
class _Splits:
    """The inner nodes of a tree, the root first; ratios and phases are high and low halves of a fixed point."""

    ratio: _Integers
    """(2, S) share of the left side in that of the node."""
    phase: _Integers
    """(2, S)"""
    sides: npt.NDArray[np.int64]
    """(2, S) left and right node; -1 - d is domain d."""

    def descend(self, place: _Integers) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the domain of each sample, and how many samples before it have the same domain."""
        node = np.zeros(len(place), np.int64) if self.sides.size else np.full(len(place), -1)
        while len(inner := np.flatnonzero(node >= 0)):
            at, m = node[inner], place[inner]
            before = self._left(at, m)
            is_left = self._left(at, m + np.uint64(1)) > before
            place[inner] = np.where(is_left, before, m - before)
            node[inner] = self.sides[np.where(is_left, 0, 1), at]
        return -1 - node, place.astype(np.int64)

    def _left(self, node: npt.NDArray[np.int64], m: _Integers) -> _Integers:
        """floor(ratio × m + phase) in 64 bits."""
        (high, low), (phase_high, phase_low) = self.ratio[:, node], self.phase[:, node]
        left: _Integers = (m * high + phase_high + ((m * low + phase_low) >> _SHIFT)) >> _SHIFT
        return left


def _splits(tree: _Node, seed: int) -> _Splits:
    inner = [tree] if tree.parts else []
    sides = []
    for node in inner:  # grows
        pair = []
        for part in node.parts:
            pair.append(len(inner) if part.parts else -1 - part.domain)
            inner += [part] if part.parts else []
        sides.append(pair)
    leeway = min(0.5, max(0.0, (MOST - 1e-6) / tree.misses() - 0.5)) if inner else 0.0
    drawn = generator("quota phases", seed).random_raw(len(inner)).tolist()
    phases = [int((0.5 + leeway * (draw / 2**63 - 1)) * (_ONE - 1)) for draw in drawn]
    ratios = [round(node.parts[0].share / node.share * _ONE) for node in inner]
    ratio, phase = (
        np.array([[value >> _BITS for value in values], [value & int(_LOW) for value in values]], np.uint64)
        for values in (ratios, phases)
    )
    return _Splits(ratio, phase, np.array(sides, np.int64).reshape(-1, 2).T)


def _enciphered(place: npt.NDArray[np.int64], size: npt.NDArray[np.int64], keys: _Integers) -> npt.NDArray[np.int64]:
    """Permute the places of each domain: a Feistel cipher (Luby and Rackoff 1988) over pairs (a, b) with a · √size + b.

    The pairs are slightly more than the places; what falls outside is enciphered again (Black and Rogaway 2002).

    Args:
        place: (N,) below `size`.
        size: (N,) places of the domain.
        keys: (N, rounds).
    """
    rows = np.array([isqrt(one - 1) + 1 for one in size.tolist()])
    columns = -(-size // rows)
    result = place.copy()
    todo = np.arange(len(place))
    while len(todo):
        pair = list(np.divmod(result[todo].astype(np.uint64), columns[todo].astype(np.uint64)))
        modulus = rows[todo].astype(np.uint64), columns[todo].astype(np.uint64)
        for turn in range(_ROUNDS):
            side, other = turn % 2, 1 - turn % 2
            pair[side] = (pair[side] + _mixed(pair[other] + keys[todo, turn])) % modulus[side]
        result[todo] = (pair[0] * modulus[1] + pair[1]).astype(np.int64)
        todo = todo[result[todo] >= size[todo]]
    return result


def _mixed(bits: _Integers) -> _Integers:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014), of which the upper half is returned."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits ^ (bits >> np.uint64(31))) >> np.uint64(32)
