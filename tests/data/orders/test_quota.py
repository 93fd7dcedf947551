"""The order `quota`: even shares at any point, and each epoch once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.orders.quota import QuotaOrder, _tree
from mixhub.spec import catalog

MIXTURES = {
    f"{name}, {run.revision}": run.mixture.shares
    for name in catalog.published()
    for run in catalog.get(name).runs()[::16]
}


def shares_of(weights: Sequence[float]) -> dict[str, float]:
    return {f"d{number}": weight / sum(weights) for number, weight in enumerate(weights)}


weights = st.one_of(st.floats(1e-9, 1.0), st.sampled_from([1e-12, 1e-9, 0.5, 1.0]), st.integers(1, 9).map(float))
shares = st.lists(weights, min_size=1, max_size=17).map(shares_of)
seeds = st.integers(0, 2**70)


def make(given: Mapping[str, float], seed: int, samples: int, size: int = 7) -> QuotaOrder:
    return QuotaOrder(given, dict.fromkeys(given, size), 5, seed, samples)


def largest_miss(order: QuotaOrder, given: Mapping[str, float]) -> float:
    """The most that any prefix has above or below the share of a domain, in samples."""
    drawn, _ = order.samples(0, len(order))
    length = np.arange(1, len(order) + 1)
    misses = [np.cumsum(drawn == d) - given[name] * length for d, name in enumerate(order.domains)]
    return max(float(np.abs(miss).max()) for miss in misses)


@given(shares, seeds, st.integers(1, 1000))
def test_every_prefix_is_within_one_and_a_half_samples_of_each_share(
    shares: dict[str, float], seed: int, samples: int
) -> None:
    assert largest_miss(make(shares, seed, samples), shares) <= 1.5


@pytest.mark.parametrize("shares", MIXTURES.values(), ids=MIXTURES)
def test_every_prefix_of_a_shipped_mixture(shares: dict[str, float]) -> None:
    assert largest_miss(make(shares, 3, 20_000), shares) <= 1.5


@pytest.mark.parametrize("lightest", [1e-9, 1e-3, 0.2, 0.9])
@pytest.mark.parametrize("largest", [6, 14])
def test_the_bound_holds_where_huffmans_tree_alone_misses_it(lightest: float, largest: int) -> None:
    """A light domain beside a chain of Fibonacci numbers, each level of which adds to what its lightest misses."""
    fibonacci = [1.0, 1.0]
    while len(fibonacci) < largest:
        fibonacci.append(sum(fibonacci[-2:]))
    for chain in ([1.0, *fibonacci], fibonacci, [weight * 1e-6 for weight in fibonacci] + fibonacci):
        shares = shares_of([lightest * chain[0], *chain])
        assert _tree([Fraction(share) for share in shares.values()]).misses() / 2 <= 1.5
        assert largest_miss(make(shares, 1, 20_000), shares) <= 1.5


def test_far_from_the_start() -> None:
    """At sample 4 billion, shares still hold: counts before a sample are its number in its domain."""
    shares = shares_of([0.7, 0.2, 0.1 - 1e-9, 1e-9])
    start = 4_000_000_000
    order = QuotaOrder(shares, dict.fromkeys(shares, 2**40), 1, 2, start + 1000)
    drawn, numbers = order._splits.descend(np.arange(start, start + 1000, dtype=np.uint64))
    for index, domain, number in zip(range(start, start + 1000), drawn.tolist(), numbers.tolist(), strict=True):
        assert abs(number - shares[order.domains[domain]] * index) <= 1.5


@given(shares, seeds, st.integers(1, 40), st.integers(1, 400))
def test_each_epoch_of_a_domain_has_each_sequence_once(
    shares: dict[str, float], seed: int, size: int, samples: int
) -> None:
    order = make(shares, seed, samples, size)
    domain, start = order.samples(0, samples)
    assert not (start % 5).any()
    for d in range(len(shares)):
        read = (start[domain == d] // 5).tolist()
        for first in range(0, len(read), size):
            epoch = read[first : first + size]
            assert len(set(epoch)) == len(epoch)
            assert set(epoch) <= set(range(size))


@pytest.mark.parametrize("size", [65_537, 65_792])
def test_an_epoch_of_a_large_domain_has_each_sequence_once(size: int) -> None:
    orders = []
    for seed in (1, 2):
        order = QuotaOrder({"a": 0.75, "b": 0.25}, {"a": size, "b": 300}, 1, seed, 2 * (size * 4 // 3))
        domain, start = order.samples(0, len(order))
        first, second = np.split(start[domain == 0][: 2 * size - 2], [size])
        assert (np.sort(first) == np.arange(size)).all()
        assert (first[: len(second)] != second).mean() > 0.99
        orders.append(first)
    assert (orders[0] != orders[1]).mean() > 0.99
    steps = np.abs(np.diff(orders[0]))
    assert abs(steps.mean() / size - 1 / 3) < 0.01, "neighbours are as far apart as random numbers are"


@given(shares, seeds, st.integers(0, 300), st.integers(0, 300), st.data())
def test_a_sample_does_not_depend_on_where_reading_starts_or_how_long_the_run_is(
    shares: dict[str, float], seed: int, few: int, more: int, data: st.DataObject
) -> None:
    short, long = make(shares, seed, few), make(shares, seed, few + more)
    whole = np.stack(long.samples(0, few + more))
    assert (np.stack(short.samples(0, few + more)) == whole[:, :few]).all()
    start = data.draw(st.integers(0, few + more))
    stop = data.draw(st.integers(start, few + more))
    assert (np.stack(long.samples(start, stop)) == whole[:, start:stop]).all()


@given(shares, seeds, st.randoms())
def test_the_order_in_the_yaml_changes_nothing(shares: dict[str, float], seed: int, draws: object) -> None:
    items = list(shares.items())
    draws.shuffle(items)  # type: ignore[attr-defined]
    one, two = make(shares, seed, 100), make(dict(items), seed, 100)
    assert one.domains == two.domains
    assert (np.stack(one.samples(0, 100)) == np.stack(two.samples(0, 100))).all()


def test_seeds_differ_in_domains_and_sequences() -> None:
    shares = catalog.get("human-1b").runs()[0].mixture.shares
    read = [np.stack(make(shares, seed, 5000, 500).samples(0, 5000)) for seed in (1, 2)]
    assert (read[0][0] != read[1][0]).mean() > 0.1
    assert (read[0][1] != read[1][1]).mean() > 0.9


def test_the_order_is_the_same_on_every_machine_and_version() -> None:
    order = QuotaOrder(
        {"arxiv": 0.3, "github": 0.2, "pile_cc": 0.5}, {"arxiv": 10, "github": 20, "pile_cc": 2**20}, 1, 1, 10
    )
    domain, start = order.samples(0, 10)
    assert Counter(domain.tolist()) == {0: 3, 1: 2, 2: 5}
    assert (domain.tolist(), start.tolist()) == (
        [1, 2, 0, 2, 1, 2, 0, 2, 0, 2],
        [6, 970042, 0, 607537, 9, 425975, 1, 465024, 2, 554281],
    )
