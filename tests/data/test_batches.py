from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.batches import TrainingBatches, validation_batches, validation_notices, validation_starts
from mixhub.data.orders.choice import order_of
from mixhub.data.packing.pack import pack
from mixhub.data.shards import Tokens, TokenShards
from mixhub.errors import CorpusError, RunError
from mixhub.spec import Family
from tests.refusals import refused
from tests.tiny import tiny_family, write_tiny_corpus

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batches")
    pack(FAMILY, write_tiny_corpus(root / "words"), root / "tokens")
    return root / "tokens"


def batches(tokens: Path, rank: int, world: int, micro: int = 1, size: int = 8) -> TrainingBatches:
    shards = TokenShards(tokens, FAMILY.training.sequence_length)
    training = FAMILY.training.model_copy(update={"micro_batch_size": micro, "global_batch_size": size})
    order = order_of(FAMILY.model_copy(update={"training": training}), RUN, shards.manifest)
    return TrainingBatches(shards, order, "train_", training, rank=rank, world=world)


def by_index(parts: list[TrainingBatches], step: int) -> Tokens:
    """The rows of a step by the index of the sample: micro-steps deal out a micro-batch to each process in turn."""
    return np.stack([part.step(step).tokens for part in parts], axis=1).reshape(-1, 17)


@given(st.sampled_from([1, 2, 3, 4]), st.sampled_from([1, 2, 4]), st.integers(1, 3), st.integers(0, 11))
def test_a_step_has_the_same_samples_for_any_number_of_processes(
    tokens: Path, world: int, micro: int, micro_steps: int, step: int
) -> None:
    size = world * micro * micro_steps
    (whole,) = batches(tokens, 0, 1, size, size).step(step).tokens
    parts = [batches(tokens, rank, world, micro, size) for rank in range(world)]
    assert {part.step(step).tokens.shape for part in parts} == {(micro_steps, micro, 17)}
    assert np.array_equal(by_index(parts, step), whole)


def test_rows_are_those_that_the_order_names(tokens: Path) -> None:
    shards = TokenShards(tokens, 16)
    order = order_of(FAMILY, RUN, shards.manifest)
    (rows,), (domains,) = batches(tokens, 0, 1, 8).step(3)
    for row, own, domain, start in zip(rows, domains, *order.samples(24, 32), strict=True):
        assert own == domain
        name = order.domains[domain].removeprefix("train_")
        stream = np.concatenate(
            [np.fromfile(tokens / shard.file, "<u2") for shard in shards.manifest.train[name].shards]
        )
        assert row.tolist() == stream[start : start + 17].tolist()


@given(st.integers(0, 12), st.integers(0, 12))
def test_going_on_at_any_step_equals_never_having_stopped(tokens: Path, stop: int, last: int) -> None:
    whole = list(batches(tokens, 0, 1, 4).steps(0, max(stop, last)))
    with closing(batches(tokens, 0, 1, 4).steps(0, max(stop, last))) as before:
        seen = [next(before) for _ in range(stop)]
    seen += batches(tokens, 0, 1, 4).steps(stop, last)
    assert len(seen) == len(whole)
    assert all(np.array_equal(one.tokens, other.tokens) for one, other in zip(seen, whole, strict=True))


def test_a_batch_that_cannot_be_dealt_out_is_refused(tokens: Path) -> None:
    with refused("batch-indivisible", RunError, global_batch_size=8, micro_batch_size=4, processes=3):
        batches(tokens, 0, 3, 4)


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_validation_takes_each_of_the_first_sequences_once(tokens: Path, world: int) -> None:
    shards = TokenShards(tokens, 16)
    family = tiny_family(training={"validation_sequences": 7})
    starts = validation_starts(family, RUN, shards.manifest)["valid_sums"]
    parts = [list(validation_batches(shards, "sums", starts, 2, rank=rank, world=world)) for rank in range(world)]
    assert len({len(part) for part in parts}) == 1, "sharded models need equally many batches in all processes"
    seen = sorted(row.tolist() for part in parts for rows in part for row in rows)
    assert seen == sorted(shards.read("valid", ["sums"] * 7, 16 * np.arange(7)).tolist())


def test_validation_uses_all_sequences_of_a_small_domain(tokens: Path) -> None:
    shards = TokenShards(tokens, 16)
    family = tiny_family(training={"validation_sequences": 10**6})
    for key, starts in validation_starts(family, RUN, shards.manifest).items():
        assert starts.tolist() == [16 * n for n in range(shards.sequences("valid", key.removeprefix("valid_")))]


def regmix_family(**loader: int) -> Family:
    return tiny_family(training={"order": "regmix", "validation_order": "regmix", "loader": loader})


def test_of_the_loaders_validation_it_is_said_what_is_skipped(tokens: Path) -> None:
    manifest = TokenShards(tokens, 16).manifest
    chunks = {key: (domain.tokens - 1) // 17 for key, domain in manifest.valid.items()}
    few, many = sorted(("prose", "sums"), key=chunks.__getitem__)
    size = chunks[few] // 4 + 1
    assert chunks[few] < 4 * size <= chunks[many]
    family = regmix_family(ranks=4, micro_batch_size=1, validation_chunk_sequences=size)
    starts = validation_starts(family, RUN, manifest)
    assert [*starts] == [f"valid_{many}"]
    (notice,) = validation_notices(family, starts)
    assert f"valid_{few}" in notice
    family = regmix_family(ranks=8, micro_batch_size=1)
    with refused("domains-skipped", CorpusError, domains=("valid_prose", "valid_sums")):
        validation_starts(family, RUN, manifest)
