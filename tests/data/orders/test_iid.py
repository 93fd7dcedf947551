import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.orders.choice import order_of
from mixhub.data.orders.iid import IidOrder
from mixhub.errors import RunError
from tests.data.orders.packed import manifest
from tests.refusals import refused
from tests.tiny import tiny_family

names = st.text("abcdefgh-", min_size=1, max_size=6)
seeds = st.integers(0, 2**32)


@st.composite
def domains(draw: st.DrawFn) -> tuple[dict[str, float], dict[str, int]]:
    """Shares and sequences of one to five domains."""
    weights = draw(st.dictionaries(names, st.integers(1, 9), min_size=1, max_size=5))
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()}, {
        name: draw(st.integers(1, 30)) for name in weights
    }


def make(shares: dict[str, float], sequences: dict[str, int], seed: int, samples: int) -> IidOrder:
    return IidOrder(shares, sequences, 7, seed, samples)


def listed(order: IidOrder) -> list[tuple[str, int]]:
    """Domain and number of the sequence of each sample; a sequence starts every 7 tokens."""
    domain, start = order.samples(0, len(order))
    assert not (start % 7).any()
    return [(order.domains[d], number) for d, number in zip(domain.tolist(), (start // 7).tolist(), strict=True)]


@given(domains(), seeds, st.integers(0, 200), st.integers(0, 200))
def test_the_first_samples_do_not_depend_on_how_many_there_are(
    given: tuple[dict[str, float], dict[str, int]], seed: int, few: int, more: int
) -> None:
    shares, sequences = given
    short, long = make(shares, sequences, seed, few), make(shares, sequences, seed, few + more)
    assert listed(long)[:few] == listed(short)


@given(domains(), seeds, st.integers(1, 300))
def test_each_epoch_of_a_domain_is_a_permutation(
    given: tuple[dict[str, float], dict[str, int]], seed: int, samples: int
) -> None:
    shares, sequences = given
    order = make(shares, sequences, seed, samples)
    for name, size in sequences.items():
        drawn = [index for domain, index in listed(order) if domain == name]
        for start in range(0, len(drawn), size):
            epoch = drawn[start : start + size]
            assert len(set(epoch)) == len(epoch)
            assert set(epoch) <= set(range(size))


@given(domains(), seeds, st.integers(1, 100), st.randoms())
def test_the_order_in_the_yaml_and_other_domains_change_nothing(
    given: tuple[dict[str, float], dict[str, int]], seed: int, samples: int, draws: object
) -> None:
    shares, sequences = given
    items = list(shares.items())
    draws.shuffle(items)  # type: ignore[attr-defined]
    other = make(dict(items), {**sequences, "unsampled": 5}, seed, samples)
    assert listed(other) == listed(make(shares, sequences, seed, samples))


def test_shares_are_met_within_sampling_error() -> None:
    shares = {"large": 0.7, "small": 0.2997, "rare": 0.0003}
    order = make(shares, {"large": 1000, "small": 300, "rare": 7}, 3, 200_000)
    counts = Counter(name for name, _ in listed(order))
    for name, share in shares.items():
        assert abs(counts[name] - 200_000 * share) < 5 * math.sqrt(200_000 * share)


def test_epochs_and_seeds_have_permutations_of_their_own() -> None:
    one = [index for _, index in listed(make({"a": 1.0}, {"a": 50}, 1, 100))]
    two = [index for _, index in listed(make({"a": 1.0}, {"a": 50}, 2, 100))]
    other = [index for _, index in listed(make({"b": 1.0}, {"b": 50}, 1, 100))]
    assert one[:50] != one[50:]
    assert one[:50] != two[:50]
    assert one[:50] != other[:50]
    assert one[:50] != sorted(one[:50])


def test_draws_are_independent_of_the_draw_before() -> None:
    order = listed(make({"a": 0.5, "b": 0.5}, {"a": 9, "b": 9}, 5, 20_000))
    pairs = Counter((order[i][0], order[i + 1][0]) for i in range(len(order) - 1))
    for count in pairs.values():
        assert abs(count - 5000) < 5 * math.sqrt(5000)


def test_the_order_is_the_same_on_every_machine_and_version() -> None:
    order = make({"arxiv": 0.3, "github": 0.2, "pile_cc": 0.5}, {"arxiv": 10, "github": 20, "pile_cc": 30}, 1, 12)
    assert listed(order) == [
        ("pile_cc", 27),
        ("pile_cc", 7),
        ("github", 6),
        ("pile_cc", 6),
        ("pile_cc", 25),
        ("arxiv", 0),
        ("arxiv", 1),
        ("github", 9),
        ("github", 3),
        ("pile_cc", 19),
        ("pile_cc", 24),
        ("pile_cc", 3),
    ]


def test_a_run_whose_seed_is_not_published_is_refused() -> None:
    family = tiny_family(
        mixture=None,
        mixtures={1: {"train_prose": 1.0}},
        revisions={"pattern": "index-{index}", "indices": [1], "seeds": []},
    )
    with refused("seed-unpublished", RunError, field="order_seed", revision="index-1") as caught:
        order_of(family, family.run(index=1), manifest(train_prose={1: 99}))
    assert caught.value.hint is not None
    assert "revisions.chosen_seeds" in caught.value.hint
