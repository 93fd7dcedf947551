"""What is exported and imported again is the same, for any documents."""

from itertools import accumulate
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixhub.data.formats import FORMATS, base, litgpt, llmc, parquet
from mixhub.workspace.manifest import TokenFormat, read_manifest
from tests.data.formats.folders import EOS, bring_in, export, shards_of, write_folder

SIZES = [300, 65_499, 65_500, 65_536, 65_537, 100_000]
"""Sizes of vocabularies at which the types of ids change."""


@st.composite
def corpora(draw):
    """A vocabulary's size, and files of documents, of which one has a token."""
    size = draw(st.sampled_from(SIZES))
    ids = st.one_of(st.integers(1, size - 1), st.just(size - 1), st.just(1))
    files = draw(st.lists(st.lists(st.lists(ids, max_size=12), max_size=6), min_size=1, max_size=3))
    files[draw(st.integers(0, len(files) - 1))].append([draw(ids)])
    return size, {f"prose-{number}": documents for number, documents in enumerate(files, start=1)}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a few tokens are read in many blocks."""
    for module in (base, litgpt, parquet):
        monkeypatch.setattr(module, "BLOCK", 5)
    monkeypatch.setattr(parquet, "_ROWS", 2)
    monkeypatch.setattr(llmc, "MOST", 1000)


def stream(documents: list[list[int]]) -> list[int]:
    return [number for document in documents for number in (*document, EOS)]


def ends(documents: list[list[int]]) -> list[int]:
    return list(accumulate(len(document) + 1 for document in documents))


def there_and_back(root: Path, files: dict[str, list[list[int]]], size: int, format: str) -> list:
    folder = write_folder(root / "tokens", files, size)
    exported = export(folder, root / "out", format, size)
    written = [root / "out" / path for domain in exported.domains for path in domain.files]
    assert sum(path.stat().st_size for path in written) == sum(domain.size for domain in exported.domains)
    assert sorted(written) == sorted(path for path in (root / "out").rglob("*") if path.is_file())
    again = write_folder(root / "again", {}, size)
    part = bring_in(again, written, size, format=None if format != "regmix" else format).domain
    assert read_manifest(again).train["prose"] == part
    assert {source.format for source in part.sources} == {format}
    return shards_of(again, part, size)


def test_every_format_has_a_name():
    assert set(FORMATS) == set(get_args(TokenFormat))


@pytest.mark.parametrize("format", ["datatrove", "parquet", "olmo"])
@settings(max_examples=20)
@given(corpus=corpora())
def test_formats_with_a_file_per_shard_keep_shards_and_documents(tmp_path_factory, format, corpus):
    size, files = corpus
    read = there_and_back(tmp_path_factory.mktemp("trip"), files, size, format)
    assert read == [(stream(documents), ends(documents)) for documents in files.values()]


@settings(max_examples=20)
@given(corpus=corpora())
def test_llmc_keeps_what_has_tokens(tmp_path_factory, corpus):
    size, files = corpus
    read = there_and_back(tmp_path_factory.mktemp("trip"), files, size, "llm.c")
    assert read == [(stream(documents), ends(documents)) for documents in files.values() if documents]


@settings(max_examples=20)
@given(corpus=corpora())
def test_megatron_keeps_the_documents_of_a_domain(tmp_path_factory, corpus):
    size, files = corpus
    documents = [document for each in files.values() for document in each]
    assert there_and_back(tmp_path_factory.mktemp("trip"), files, size, "megatron") == [
        (stream(documents), ends(documents))
    ]


@settings(max_examples=20)
@given(corpus=corpora())
def test_chunks_of_litgpt_keep_the_tokens_but_for_eos_at_the_end(tmp_path_factory, corpus):
    size, files = corpus
    read = there_and_back(tmp_path_factory.mktemp("trip"), files, size, "litgpt")
    for (ids, _), documents in zip(read, [documents for documents in files.values() if documents], strict=True):
        while documents and not documents[-1]:
            documents.pop()
        assert ids == (stream(documents) or [EOS])


def test_a_long_stream_is_cut_into_files_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(llmc, "MOST", 7000)
    files = {"prose-1": [[number % 299 + 1 for number in range(20)]] * 1000}
    for format in ("llm.c", "litgpt"):
        read = there_and_back(tmp_path / format, files, 300, format)
        assert len(read) > 2
        assert [number for ids, _ in read for number in ids] == stream(files["prose-1"])


def test_a_file_of_parquet_is_not_read_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS", 64)
    ids = np.random.default_rng(1).integers(0, 60_000, 2**21).astype(np.int32)
    rows = pa.ListArray.from_arrays(np.arange(0, len(ids) + 1, 512, dtype=np.int32), ids)
    for row_group in (64, 4096):
        pq.write_table(pa.table({"input_ids": rows}), tmp_path / "a.parquet", row_group)
        before, most = pa.total_allocated_bytes(), 0
        for _ in parquet.read(tmp_path / "a.parquet", base.Vocabulary(60_000, 0, np.dtype("<u2"), "bpe"), print):
            most = max(most, pa.total_allocated_bytes() - before)
        assert 0 < most < 3 * 2**20 < (tmp_path / "a.parquet").stat().st_size


@pytest.mark.parametrize("format", FORMATS)
def test_no_more_than_a_block_is_read_at_once(tmp_path, monkeypatch, format):
    """Documents longer than a block are read in parts, except for rows of parquet."""
    monkeypatch.setattr(base, "BLOCK", 100)
    folder = write_folder(tmp_path / "tokens", {"prose-1": [[1] * 9000, [2], [3] * 5000]})
    read = []
    original = base.Stream.read

    def reading(self, start, stop):
        ids = original(self, start, stop)
        read.append(len(ids))
        return ids

    monkeypatch.setattr(base.Stream, "read", reading)
    exported = export(folder, tmp_path / "out", format)
    files = [tmp_path / "out" / path for path in exported.domains[0].files]
    written = 4352 * 3 if format == "regmix" else 14_004
    assert sum(read) == written
    assert max(read) <= (9001 if format == "parquet" else 100)
    found = base.Vocabulary(300, EOS, np.dtype("<u2"), "bpe300")
    blocks = [
        len(block.ids)
        for path in files
        if path.suffix in (".bin", ".ds", ".npy", ".parquet")
        for block in FORMATS[format].read(path, found, print)
    ]
    assert sum(blocks) == written
    assert max(blocks) <= (14_004 if format == "parquet" else 100)
