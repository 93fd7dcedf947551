import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.data.packing.pack import pack
from mixhub.data.shards import TokenShards
from mixhub.errors import CorpusError
from tests.data.streams import write_tokens
from tests.refusals import refused
from tests.tiny import tiny_family, write_rows, write_tiny_corpus

FILES = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=8)
"""Lengths of the documents of each file; some files are empty."""


@given(data=st.data(), files=FILES, length=st.integers(1, 12), dtype=st.sampled_from(["uint16", "uint32"]))
def test_rows_are_slices_of_the_concatenated_files(
    data: st.DataObject, files: list[list[int]], length: int, dtype: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    draws = np.random.default_rng(1)
    top = int(np.iinfo(dtype).max)
    documents = [[draws.integers(0, top, size, endpoint=True).tolist() for size in file] for file in files]
    folder = tmp_path_factory.mktemp("rows")
    stream = write_tokens(folder, {"train": {"a": documents, "b": [[[1] * 40]]}, "valid": {}}, dtype=dtype)
    ours = stream["train"]["a"]
    shards = TokenShards(folder, length)
    if len(ours) <= length:
        with refused("domain-too-small", CorpusError, tokens=len(ours)):
            shards.sequences("train", "a")
        return
    assert shards.sequences("train", "a") == (len(ours) - 1) // length
    starts = data.draw(st.lists(st.integers(0, len(ours) - length - 1), max_size=20))
    domains = [data.draw(st.sampled_from("ab")) for _ in starts]
    starts = [start if domain == "a" else 0 for start, domain in zip(starts, domains, strict=True)]
    rows = shards.read("train", domains, np.array(starts, dtype=np.int64))
    assert rows.dtype == dtype
    assert rows.shape == (len(starts), length + 1)
    for row, domain, start in zip(rows, domains, starts, strict=True):
        assert row.tolist() == stream["train"][domain][start : start + length + 1].tolist()


@contextmanager
def few_files(most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_shards_than_a_process_may_open(tmp_path: Path) -> None:
    files = [[[number, number, number]] for number in range(1200)]
    stream = write_tokens(tmp_path / "tokens", {"train": {"a": files}, "valid": {}})["train"]["a"]
    shards = TokenShards(tmp_path / "tokens", 4)
    starts = np.arange(shards.sequences("train", "a")) * 4
    with few_files(512):
        for _ in range(2):
            rows = shards.read("train", ["a"] * len(starts), starts)
    assert rows[:, :-1].ravel().tolist() == stream[: 4 * len(starts)].tolist()


@pytest.mark.parametrize("change", ["gone", "cut"])
def test_a_shard_that_changes_while_it_is_read_is_named(tmp_path: Path, change: str) -> None:
    write_tokens(tmp_path / "tokens", {"train": {"a": [[[1, 2, 3]], [[4, 5, 6]]]}, "valid": {}})
    shards = TokenShards(tmp_path / "tokens", 4)
    path = tmp_path / "tokens" / "train" / "a" / "a-1.ds"
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2])
    with refused("tokens-damaged", CorpusError, path=path):
        shards.read("train", ["a"], np.array([0]))


def test_a_domain_smaller_than_a_sequence_is_refused(tmp_path: Path) -> None:
    corpus = write_tiny_corpus(tmp_path / "words")
    write_rows(corpus / "valid" / "sums-1.jsonl", ["1"])
    pack(tiny_family(), corpus, tmp_path / "tokens")
    with refused("domain-too-small", CorpusError, split="valid", domain="sums", tokens=2):
        TokenShards(tmp_path / "tokens", 16).sequences("valid", "sums")
