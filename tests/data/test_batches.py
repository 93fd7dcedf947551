import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mixhub.data.batches import TokenShards, TrainingBatches, validation_batches
from mixhub.data.orders.choice import order_of
from mixhub.data.pack import pack
from mixhub.errors import CorpusError, RunError
from mixhub.workspace.manifest import MANIFEST_FILE
from tests.refusals import refused
from tests.tiny import tiny_family, write_rows, write_tiny_corpus

FAMILY = tiny_family()
RUN = FAMILY.run(seed=1)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("batches")
    pack(FAMILY, write_tiny_corpus(root / "words"), root / "tokens")
    return root / "tokens"


def batches(tokens: Path, rank: int, world: int, micro: int = 1) -> TrainingBatches:
    shards = TokenShards(tokens, FAMILY.training.sequence_length)
    sampled = {key: shards.sequences("train", key.removeprefix("train_")) for key in RUN.mixture.shares}
    training = FAMILY.training.model_copy(update={"micro_batch_size": micro})
    return TrainingBatches(shards, order_of(RUN, training, sampled), "train_", training, rank=rank, world=world)


@pytest.mark.parametrize(("world", "micro"), [(1, 1), (1, 8), (2, 1), (2, 4), (4, 2)])
def test_a_step_has_the_same_samples_for_any_number_of_processes(tokens: Path, world: int, micro: int) -> None:
    whole = batches(tokens, 0, 1, 8)
    parts = [batches(tokens, rank, world, micro) for rank in range(world)]
    for step in (0, 5):
        dealt = [part.batch(step, m) for m in range(parts[0].micro_steps) for part in parts]
        assert {batch.shape for batch in dealt} == {(micro, 17)}
        assert np.array_equal(np.concatenate(dealt), whole.batch(step, 0))


def test_a_batch_that_cannot_be_dealt_out_is_refused(tokens: Path) -> None:
    with refused("batch-indivisible", RunError, global_batch_size=8, micro_batch_size=4, processes=3):
        batches(tokens, 0, 3, 4)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_validation_takes_each_of_the_first_sequences_once(tokens: Path, world: int) -> None:
    shards = TokenShards(tokens, 16)
    parts = [
        batch for rank in range(world) for batch in validation_batches(shards, "sums", 7, 2, rank=rank, world=world)
    ]
    seen = sorted(row.tolist() for batch in parts for row in batch)
    assert seen == sorted(shards.sequence("valid", "sums", 16 * index).tolist() for index in range(7))


def test_validation_uses_all_sequences_of_a_small_domain(tokens: Path) -> None:
    shards = TokenShards(tokens, 16)
    rows = sum(len(batch) for batch in validation_batches(shards, "sums", 10**6, 4, rank=0, world=1))
    assert rows == shards.sequences("valid", "sums")


def test_a_domain_smaller_than_a_sequence_is_refused(tmp_path: Path) -> None:
    corpus = write_tiny_corpus(tmp_path / "words")
    write_rows(corpus / "valid" / "sums-1.jsonl", ["1"])
    pack(FAMILY, corpus, tmp_path / "tokens")
    with refused("domain-too-small", CorpusError, split="valid", domain="sums", tokens=2):
        TokenShards(tmp_path / "tokens", 16).sequences("valid", "sums")


def stream(folder: Path, tokens: int) -> TokenShards:
    """Shards whose validation domain `sums` has this number of tokens, 0, 1, 2 and so on, in two files."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    domain = manifest["valid"]["sums"]
    ids = np.arange(tokens, dtype="<u2")
    files = [ids[: tokens // 2], ids[tokens // 2 :]]
    for number, part in enumerate(files):
        part.tofile(folder / f"valid/sums/{number}.ds")
    shard = domain["shards"][0]
    shard.pop("ends_sha256", None)
    domain["shards"] = [
        {**shard, "file": f"valid/sums/{number}.ds", "tokens": len(part)} for number, part in enumerate(files)
    ]
    domain["tokens"] = tokens
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return TokenShards(folder, 16)


@pytest.mark.parametrize("whole", [1, 2, 5])
def test_a_sequence_needs_its_tokens_and_one_target_more(tokens: Path, tmp_path: Path, whole: int) -> None:
    folder = tmp_path / "tokens"
    shutil.copytree(tokens, folder)
    enough = stream(folder, whole * 16 + 1)
    assert enough.sequences("valid", "sums") == whole
    last = enough.sequence("valid", "sums", 16 * (whole - 1))
    assert last.tolist() == list(range((whole - 1) * 16, whole * 16 + 1))
    if whole > 1:
        assert stream(folder, whole * 16).sequences("valid", "sums") == whole - 1
    else:
        with refused("domain-too-small", CorpusError, tokens=16):
            stream(folder, 16).sequences("valid", "sums")
