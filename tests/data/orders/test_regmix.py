"""The order of RegMix's data loader, against what that loader produced and against a slow loader that works like it."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.orders.regmix import LoaderDomain, RegmixOrder, loader_domains, loader_validation
from mixhub.errors import CorpusError
from mixhub.spec import Training, catalog
from mixhub.workspace.manifest import PackedDomain
from tests.data.orders.packed import packed
from tests.refusals import refused
from tests.tiny import tiny_family

HERE = Path(__file__).parent
ORIGINAL = catalog.get("human-1b").training
Block = tuple[str, int, int]
"""Domain, number of the source file, and first token in that file."""


@dataclass
class Case:
    """What an order depends on."""

    weights: dict[str, float]
    files: dict[str, dict[int, int]]
    """Tokens of each file, by domain and number."""
    training: Training
    seed: int

    @property
    def domains(self) -> dict[str, PackedDomain]:
        return {key: packed(key.removeprefix("train_the_pile_"), files) for key, files in self.files.items()}

    def order(self, samples: int) -> RegmixOrder:
        return RegmixOrder(self.weights, self.domains, self.training, self.seed, samples)

    def blocks(self, order: RegmixOrder, start: int, stop: int) -> list[Block]:
        samples = zip(*(part.tolist() for part in order.samples(start, stop)), strict=True)
        return [block for domain, first in samples for block in self.located(order.domains[domain], [first])]

    def located(self, key: str, starts: list[int]) -> list[Block]:
        """The blocks of a domain that begin at tokens of its stream."""
        found = []
        for first in starts:
            for number, tokens in sorted(self.files[key].items()):
                if first < tokens:
                    found.append((key, number, first))
                    break
                first -= tokens
        return found


def loaders(case: Case) -> list[Iterator[Block]]:
    """A slow loader per rank: chunk files with names, Python's own shuffle and choices, and numpy's own permutation."""
    loader = case.training.loader
    assert loader is not None
    block, per_chunk = case.training.sequence_length + 1, loader.chunk_sequences
    kept, listings = [], []
    for key, weight in case.weights.items():
        names = {}
        for process, (number, tokens) in enumerate(case.files[key].items()):
            written = held = 0
            for _ in range(tokens):
                if held == per_chunk * block:
                    name = f"train_the_pile_{key}-{number}_{process}_{written:010d}.bin"
                    names[name] = (key, number, written * per_chunk * block)
                    written, held = written + 1, 0
                held += 1
        listing = sorted(names)
        if len(listing) < loader.ranks:
            continue
        random.seed(case.seed)
        random.shuffle(listing)
        kept.append(weight)
        listings.append([names[name] for name in listing])

    def read(chunks: list[Block], rank: int) -> Iterator[Block]:
        generator = np.random.default_rng(case.seed + rank)
        own = chunks[rank : len(chunks) // loader.ranks * loader.ranks : loader.ranks]
        while True:
            for key, number, first in own:
                for place in generator.permutation(per_chunk).tolist():
                    yield key, number, first + place * block

    def draw(rank: int) -> Iterator[Block]:
        draws = random.Random(case.seed)
        readers = [read(chunks, rank) for chunks in listings]
        weights = [weight / sum(kept) for weight in kept]
        while True:
            (drawn,) = draws.choices(range(len(readers)), weights=weights, k=1)
            yield next(readers[drawn])

    return [draw(rank) for rank in range(loader.ranks)] if any(kept) else []


def dealt(case: Case, samples: int) -> list[Block]:
    """The samples of the slow loader: all ranks take a micro-batch, again and again."""
    loader, ranks = case.training.loader, loaders(case)
    assert loader is not None
    rounds = samples // (loader.ranks * loader.micro_batch_size)
    return [next(rank) for _ in range(rounds) for rank in ranks for _ in range(loader.micro_batch_size)]


def validated(case: Case, key: str) -> Iterator[Block]:
    """What the first rank of the loader reads of a validation domain, over and over; a slow loader."""
    loader = case.training.loader
    assert loader is not None
    block, per_chunk = case.training.sequence_length + 1, loader.validation_chunk
    names = {}
    for process, (number, tokens) in enumerate(case.files[key].items()):
        written = held = 0
        for _ in range(tokens):
            if held == per_chunk * block:
                name = f"valid_the_pile_{key}-{number}_{process}_{written:010d}.bin"
                names[name] = (key, number, written * per_chunk * block)
                written, held = written + 1, 0
            held += 1
    listing = sorted(names)
    if len(listing) < loader.ranks:
        return
    random.seed(case.seed)
    random.shuffle(listing)
    while True:
        for name in listing[: len(listing) // loader.ranks * loader.ranks : loader.ranks]:
            key, number, first = names[name]
            for place in range(per_chunk):
                yield key, number, first + place * block


@st.composite
def cases(draw: st.DrawFn) -> Case:
    length, per_chunk = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    ranks, micro = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    chunk = per_chunk * (length + 1)
    sizes = st.builds(
        lambda chunks, more: max(0, chunks * chunk + more), st.integers(0, 4), st.sampled_from([-1, 0, 1, 2, chunk - 1])
    )
    files = st.dictionaries(st.integers(1, 120), sizes, max_size=13)
    names = draw(st.lists(st.sampled_from("cadbfe"), unique=True, min_size=1))
    weights = st.one_of(st.floats(1e-9, 1.0), st.integers(0, 3).map(float))
    loader = {"ranks": ranks, "micro_batch_size": micro, "chunk_sequences": per_chunk}
    size = {"sequence_length": length, "global_batch_size": ranks * micro, "micro_batch_size": 1}
    return Case(
        weights={name: draw(weights) for name in names},
        files={name: draw(files) for name in names},
        training=tiny_family(training={"order": "regmix", "loader": loader, **size}).training,
        seed=draw(st.one_of(st.integers(0, 9), st.integers(0, 2**80))),
    )


@given(cases(), st.integers(1, 5), st.integers(1, 40))
def test_validation_reads_what_the_first_rank_of_a_slow_loader_does(case: Case, per_chunk: int, most: int) -> None:
    assert case.training.loader is not None
    loader = case.training.loader.model_copy(update={"validation_chunk_sequences": per_chunk})
    case.training = case.training.model_copy(update={"loader": loader, "validation_sequences": most})
    for key, domain in case.domains.items():
        starts = loader_validation(key, domain, case.training, case.seed).tolist()
        assert case.located(key, starts) == list(islice(validated(case, key), most))


def test_validation_of_human_1b_is_50_batches_of_4_from_chunks_of_64() -> None:
    case = Case({}, {"pile_cc": {1: 2049 * 64 * 11 + 1, 2: 2049 * 64 * 6}}, ORIGINAL, 3406)
    starts = loader_validation("pile_cc", case.domains["pile_cc"], ORIGINAL, 3406).tolist()
    assert case.located("pile_cc", starts) == list(islice(validated(case, "pile_cc"), 200))
    assert len(set(starts)) == 128, "16 chunks are two for each of eight ranks"


def test_it_is_what_the_original_loader_produced() -> None:
    made = json.loads((HERE / "regmix_order.json").read_text())
    arrays = np.load(HERE / "regmix_order_seed3406.npz")
    files: dict[str, dict[int, int]] = {key: {} for key in made["weights"]}
    for file in made["files"]:
        files[f"train_the_pile_{file['domain']}"][file["number"]] = file["tokens"]
    case = Case(made["weights"], files, ORIGINAL, 3406)
    source, start = (arrays[name].reshape(8, -1, 4).swapaxes(0, 1).ravel().tolist() for name in ("source", "start"))
    named = [(f"train_the_pile_{file['domain']}", file["number"]) for file in made["files"]]
    order = case.order(len(source))
    assert case.blocks(order, 0, len(source)) == [
        (*named[number], first) for number, first in zip(source, start, strict=True)
    ]


@given(cases(), st.integers(0, 60))
def test_it_is_what_a_slow_loader_produces(case: Case, rounds: int) -> None:
    loader = case.training.loader
    assert loader is not None
    samples = rounds * loader.ranks * loader.micro_batch_size
    report = loader_domains(case.weights, case.domains, case.training) if any(case.weights.values()) else []
    if all(one.is_skipped for one in report):
        with refused("domains-skipped", CorpusError):
            case.order(samples)
        return
    assert case.blocks(case.order(samples), 0, samples) == dealt(case, samples)


@given(cases(), st.integers(0, 200), st.integers(0, 200), st.data())
def test_any_part_of_any_longer_run_is_the_same(case: Case, few: int, more: int, data: st.DataObject) -> None:
    try:
        short, long = case.order(few), case.order(few + more)
    except CorpusError:
        return
    whole = np.stack(long.samples(0, len(long)))
    assert (np.stack(short.samples(0, few)) == whole[:, :few]).all()
    start = data.draw(st.integers(0, few + more))
    stop = data.draw(st.integers(start, few + more))
    assert (np.stack(long.samples(start, stop)) == whole[:, start:stop]).all()


@given(cases())
def test_the_report_says_what_is_read_and_what_is_not(case: Case) -> None:
    loader, chunk = case.training.loader, (case.training.sequence_length + 1) * case.training.loader.chunk_sequences
    for one in loader_domains(case.weights, case.domains, case.training):
        tokens = case.files[one.domain].values()
        assert (one.files, one.tokens) == (len(tokens), sum(tokens))
        assert one.chunks == sum(max(0, size - 1) // chunk for size in tokens)
        assert one.chunks * chunk + one.tokens_lost == one.tokens
        assert 0 <= one.chunks - one.chunks_read < loader.ranks
        assert one.is_skipped == (one.chunks < loader.ranks) == (one.share == 0)


def test_sizes_that_are_whole_chunks_or_one_more() -> None:
    """The loader writes a chunk only when the token after it arrives."""
    training = tiny_family(
        training={"order": "regmix", "loader": {"ranks": 2, "chunk_sequences": 4, "micro_batch_size": 4}}
    ).training
    chunk = 4 * 17
    files = {"a": {1: 2 * chunk, 2: 2 * chunk + 1}, "b": {1: chunk, 2: 2 * chunk}, "c": {1: 9 * chunk + 5}}
    case = Case({"a": 1.0, "b": 1.0, "c": 2.0, "unsampled": 0.0}, files, training, 5)
    assert loader_domains(case.weights, case.domains, training) == [
        LoaderDomain("a", 2, 4 * chunk + 1, 3, 2, chunk + 1, 0.25, 1 / 3),
        LoaderDomain("b", 2, 3 * chunk, 1, 0, 2 * chunk, 0.25, 0.0),
        LoaderDomain("c", 1, 9 * chunk + 5, 9, 8, 5, 0.5, 2 / 3),
    ]
    skipped, lost, left = case.order(0).notices
    assert "b (1 chunk, 0.25 of the mixture)" in skipped
    assert "74 of 890 tokens (a 69, c 5)" in lost
    assert "a 1 of 3, c 1 of 9" in left


def test_nothing_to_report_if_everything_is_read() -> None:
    training = tiny_family(training={"order": "regmix", "loader": {"ranks": 2, "chunk_sequences": 1}}).training
    case = Case({"a": 1.0}, {"a": {1: 0}}, training, 5)
    with refused("domains-skipped", CorpusError, ranks=2, chunks={"a": 0}):
        case.order(8)
    case.files["a"] = {1: 2 * 17 + 1, 2: 0}
    assert [line.partition(":")[0] for line in case.order(8).notices] == [
        "never read, after the last whole chunk of a file"
    ]


def test_a_domain_packed_before_files_were_counted_is_refused() -> None:
    old = packed("a", {1: 9999})
    old = old.model_copy(update={"shards": tuple(one.model_copy(update={"ends_sha256": None}) for one in old.shards)})
    with refused("document-ends-missing", CorpusError, domain="train_a"):
        loader_domains({"train_a": 1.0}, {"train_a": old}, ORIGINAL)
