"""What text is read from which files, and which broken files are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixhub.data.corpus import Corpus, Reading
from mixhub.data.packing.pack import pack
from mixhub.errors import CorpusError, UsageError
from mixhub.formats import TEXT_SUFFIXES
from mixhub.spec import Family
from mixhub.workspace.manifest import index_file, read_manifest
from tests.data.packing.conftest import write_texts
from tests.refusals import refused
from tests.tiny import tiny_family

TEXTS = ["one", "zwei ☂", "line\nbreak", "", "five " * 300]


def documents(corpus: Path, **options: object) -> list[str]:
    return list(Corpus.open(corpus, Reading(**options)).documents("train", "prose"))  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", TEXT_SUFFIXES)
def test_every_format_has_the_same_documents(tmp_path: Path, suffix: str) -> None:
    write_texts(tmp_path / "train" / f"prose-1{suffix}", TEXTS)
    assert documents(tmp_path) == TEXTS
    assert documents(tmp_path, valid_fraction=0.5) != TEXTS


def test_formats_may_be_mixed_and_keep_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, suffix in zip((10, 9, 2, 1), TEXT_SUFFIXES, strict=True):
        write_texts(tmp_path / "train" / f"prose-{number}{suffix}", [str(number)])
    assert documents(tmp_path) == ["1", "2", "9", "10"]


def test_two_files_of_one_number_are_refused(tmp_path: Path) -> None:
    write_texts(tmp_path / "train" / "prose-1.jsonl", TEXTS)
    other = write_texts(tmp_path / "train" / "prose-1.jsonl.gz", TEXTS)
    with refused("corpus-file-twice", CorpusError, path=other):
        Corpus.open(tmp_path)


def test_a_folder_and_a_link_to_nothing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train" / "prose-1.jsonl"
    path.mkdir(parents=True)
    with refused("file-unreadable", CorpusError, path=path):
        Corpus.open(tmp_path)
    path.rmdir()
    path.symlink_to(tmp_path / "nothing")
    with refused("file-unreadable", CorpusError, path=path):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("suffix", TEXT_SUFFIXES)
def test_another_key(tmp_path: Path, suffix: str) -> None:
    path = write_texts(tmp_path / "train" / f"prose-1{suffix}", TEXTS, key="content")
    assert documents(tmp_path, text_key="content") == TEXTS
    with refused("text-column" if suffix == ".parquet" else "row-text-missing", CorpusError, path=path):
        documents(tmp_path)


@pytest.mark.parametrize("suffix", TEXT_SUFFIXES[1:])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, suffix: str) -> None:
    texts = [f"{number} {number**5}" for number in range(3000)]
    path = write_texts(tmp_path / "train" / f"prose-1{suffix}", texts)
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with refused("corpus-file-damaged", CorpusError, path=path) as caught:
            documents(tmp_path, skip_bad=True)
        assert 1 <= int(str(caught.value.fields["line"])) <= len(texts) + 1
    if suffix == ".jsonl.gz":  # its blocks are small
        assert int(str(caught.value.fields["line"])) > len(texts) // 3
    path.write_bytes(b"no such format")
    with refused("corpus-file-damaged", CorpusError, path=path, line=1):
        documents(tmp_path)


@pytest.mark.parametrize("column", [pa.array([1, 2]), pa.array([["a"], ["b"]]), pa.array([b"a", b"b"])])
def test_a_column_of_another_type_is_refused(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "train" / "prose-1.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"text": column}), path)
    with refused("text-column", CorpusError, path=path, column="text"):
        documents(tmp_path)


def test_nulls_and_bad_bytes_of_a_column_are_named_by_their_row(tmp_path: Path) -> None:
    path = tmp_path / "train" / "prose-1.parquet"
    path.parent.mkdir()
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], "<i4")), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"text": pa.chunked_array([pa.array(["a", None]), bad, pa.array(["b"])])}), path)
    with refused("row-text-missing", CorpusError, path=path, line=2):
        documents(tmp_path)
    assert documents(tmp_path, skip_bad=True) == ["a", "b"]


def test_broken_rows_are_skipped_counted_and_listed(corpus: Path, prose: Family, tmp_path: Path) -> None:
    good = b'{"text": "good"}\n'
    bad = [b"{", b'{"text": 5}', b'{"txt": ""}', b'{"text": "\\ud800"}', b'{"text": "\xff"}', *[b"[]"] * 20]
    path = corpus / "train" / "prose-3.jsonl"
    path.write_bytes(good + b"".join(line + b"\n" for line in bad) + b" \n" + good)
    with refused("row-malformed", CorpusError, path=path, line=2):
        pack(prose, corpus, tmp_path / "tokens")
    manifest = pack(prose, corpus, tmp_path / "tokens", reading=Reading(skip_bad=True))
    source = manifest.train["prose"].sources[2]
    assert (source.documents, source.skipped and source.skipped.count) == (2, 25)
    assert [line.split(":")[0] for line in source.skipped.first] == [str(number) for number in range(2, 22)]  # type: ignore[union-attr]
    assert manifest.train["prose"].sources[0].skipped is None
    assert read_manifest(tmp_path / "tokens") == manifest


def test_held_out_documents_are_stable_and_in_no_other_split(corpus: Path, prose: Family, tmp_path: Path) -> None:
    for path in (corpus / "valid").iterdir():
        path.unlink()
    with refused("domains-missing", CorpusError, missing=(("valid", "prose"),)) as caught:
        pack(prose, corpus, tmp_path / "none")
    assert "--valid-fraction" in str(caught.value.hint)
    reading = Reading(valid_fraction=0.25)
    manifest = pack(prose, corpus, tmp_path / "tokens", reading=reading)
    files = Corpus.open(corpus, reading)
    parts = {split: list(files.documents(split, "prose")) for split in ("train", "valid")}  # type: ignore[arg-type]
    everything = list(Corpus.open(corpus).documents("train", "prose"))
    assert sorted([*parts["train"], *parts["valid"]]) == sorted(everything)
    assert 5 <= len(parts["valid"]) <= 35
    for split, domain in (("train", manifest.train["prose"]), ("valid", manifest.valid["prose"])):
        assert domain.documents == len(parts[split])
        assert {source.held_out for source in domain.sources} == {0.25}
        assert [shard.file for shard in domain.shards] == [f"{split}/prose/prose-{number}.ds" for number in (1, 2)]
    assert pack(prose, corpus, tmp_path / "tokens") == manifest
    with refused("tokens-differ", CorpusError, key="valid_fraction", packed=0.25, wanted=0.5):
        pack(prose, corpus, tmp_path / "tokens", reading=Reading(valid_fraction=0.5))


def test_rows_added_at_the_end_do_not_move_others_to_another_split(tmp_path: Path) -> None:
    texts = [str(number) for number in range(50)]
    write_texts(tmp_path / "train" / "prose-1.jsonl", texts)
    before = documents(tmp_path, valid_fraction=0.5)
    (tmp_path / "train" / "prose-1.jsonl").unlink()
    write_texts(tmp_path / "train" / "prose-1.parquet", [*texts, "50", "51"])
    assert [text for text in documents(tmp_path, valid_fraction=0.5) if int(text) < 50] == before


def test_text_of_training_tokens_cannot_be_held_out_later(corpus: Path, prose: Family, tmp_path: Path) -> None:
    (corpus / "valid" / "prose-1.jsonl").unlink()
    other = tiny_family(mixture={"train_prose": 1.0}, validation={"valid_sums": 1.0})
    pack(other, corpus, tmp_path / "tokens")
    with refused("tokens-differ", CorpusError, key="valid_fraction", packed=None, wanted=0.1):
        pack(prose, corpus, tmp_path / "tokens", reading=Reading(valid_fraction=0.1))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 2.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with refused("option-value", UsageError, option="--valid-fraction"):
        Reading(valid_fraction=share)


def test_an_empty_file_has_a_shard_without_tokens(corpus: Path, prose: Family, tmp_path: Path) -> None:
    for suffix in TEXT_SUFFIXES[:3]:
        (corpus / "train" / f"prose-{5 + TEXT_SUFFIXES.index(suffix)}{suffix}").write_bytes(b"")
    manifest = pack(prose, corpus, tmp_path / "tokens")
    for source, shard in list(zip(manifest.train["prose"].sources, manifest.train["prose"].shards, strict=True))[2:]:
        assert (source.documents, source.tokens, shard.tokens) == (0, 0, 0)
        path = tmp_path / "tokens" / shard.file
        assert (path.stat().st_size, index_file(path).stat().st_size) == (0, 0)
