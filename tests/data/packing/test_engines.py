"""fastokens gives the ids of tokenizers, or is not used."""

from __future__ import annotations

import json
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers

from mixhub.data.packing import engines, shards
from mixhub.data.packing import pieces as cuts
from mixhub.data.packing.engines import Encoder, FastFailedError, Fastokens, Sample, Tokenizers
from mixhub.data.packing.pack import pack
from mixhub.spec import Family
from mixhub.workspace.manifest import index_file, read_manifest
from tests.data.packing.conftest import write_texts
from tests.notices import Notices
from tests.tiny import tiny_family, write_tiny_corpus

EOS = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small tokenizer with the traits of GPT-NeoX's: NFC, and runs of spaces as tokens that are not special."""
    root = tmp_path_factory.mktemp("tokenizer")
    pack(tiny_family(), write_tiny_corpus(root / "words"), root / "tokens")
    tokenizer = Tokenizer.from_file(str(root / "tokens" / "tokenizer" / "tokenizer.json"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens([AddedToken(" " * length, normalized=True, special=False) for length in range(8, 1, -1)])
    tokenizer.save(str(root / "tokenizer.json"))
    return root / "tokenizer.json"


@pytest.fixture(autouse=True)
def no_encoders() -> None:
    shards._encoder.cache_clear()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.text("ab'sé́ \t\n\u00a01,中🙂<|endoftext|>", max_size=40), max_size=5), special=st.booleans())
def test_both_engines_give_the_same_ids(tokenizer_file: Path, texts: list[str], special: bool) -> None:
    pytest.importorskip("fastokens")
    for one, other in zip(
        Tokenizers(tokenizer_file, special).encode(texts), Fastokens(tokenizer_file, special).encode(texts), strict=True
    ):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("engine", [Tokenizers, Fastokens])
def test_the_name_of_a_special_token_becomes_its_id_or_text(tokenizer_file: Path, engine: type) -> None:
    if engine is Fastokens:
        pytest.importorskip("fastokens")
    text = f"a{EOS}b    c"
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    spaces = tokenizer.token_to_id("    ")
    as_id, as_text = (engine(tokenizer_file, special).encode([text])[0].tolist() for special in (False, True))
    assert (0 in as_id, 0 in as_text) == (True, False)
    assert spaces in as_id
    assert spaces in as_text
    assert tokenizer.decode(as_text, skip_special_tokens=False) == text


@pytest.mark.parametrize("engine", [Tokenizers, Fastokens])
def test_truncation_and_padding_of_the_tokenizer_are_not_used(
    tokenizer_file: Path, tmp_path: Path, engine: type
) -> None:
    if engine is Fastokens:
        pytest.importorskip("fastokens")
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    whole = tokenizer.encode("the cat sat on the mat").ids
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert engine(tmp_path / "tokenizer.json", False).encode(["the cat sat on the mat"])[0].tolist() == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(texts=st.lists(st.text("ab c\n1é中", max_size=60), max_size=12))
def test_documents_in_pieces_batches_and_windows_have_their_tokens_and_ends(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]
) -> None:
    monkeypatch.setattr(cuts, "PIECE", 8)
    monkeypatch.setattr(cuts, "_AROUND", 1)
    monkeypatch.setattr(engines, "_BATCH_TEXTS", 3)
    monkeypatch.setattr(engines, "_BATCH_CHARACTERS", 20)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    wanted = [[*tokenizer.encode(text, add_special_tokens=False).ids, 0] for text in texts]
    encoder = Encoder(tokenizer_file, 0, False)
    parts, ends, total = [], [], 0
    for ids, ends_in in encoder.documents(texts, Sample(100)):
        parts += ids.tolist()
        ends += (ends_in + total).tolist()
        total += len(ids)
    assert parts == list(chain.from_iterable(wanted))
    assert ends == np.cumsum([len(one) for one in wanted], dtype=int).tolist()


def test_the_shards_are_the_same_with_and_without_the_extra(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fastokens")
    used: list[int] = []
    encode = Fastokens.encode

    def counted(self: Fastokens, texts: list[str]) -> object:
        used.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(Fastokens, "encode", counted)
    notices = Notices()
    fast = pack(tiny_family(), corpus, tmp_path / "fast", progress=notices)
    assert used
    shards._encoder.cache_clear()
    monkeypatch.setitem(sys.modules, "fastokens", None)
    slow = pack(tiny_family(), corpus, tmp_path / "slow", progress=notices)
    assert fast == slow
    assert notices.lines == []


@pytest.mark.parametrize("fault", ["wrong ids", "an error", "no such tokenizer"])
def test_an_engine_that_fails_the_check_is_not_used_and_said_so(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    class Wrong(Tokenizers):
        def __init__(self, file: Path, special_text: bool) -> None:
            if fault == "no such tokenizer":
                raise ValueError(fault)
            super().__init__(file, special_text)

        def encode(self, texts: list[str]) -> tuple[engines.Ids, engines.Ends]:
            if fault == "an error":
                raise ValueError(fault)
            ids, ends = super().encode(texts)
            return ids[::-1], ends

    monkeypatch.setattr(engines, "Fastokens", Wrong)
    notices = Notices()
    manifest = pack(tiny_family(), corpus, tmp_path / "wrong", progress=notices)
    assert len(notices.lines) == 1
    assert "fastokens" in notices.lines[0]
    shards._encoder.cache_clear()
    monkeypatch.setitem(sys.modules, "fastokens", None)
    monkeypatch.undo()
    assert manifest == pack(tiny_family(), corpus, tmp_path / "right")


def test_a_sample_has_texts_of_every_kind_and_a_limit() -> None:
    sample = Sample(10**9)
    for number in range(20_000):
        sample.add(f"plain {number} " + "x" * 2000)
    assert 20 < len(sample.texts) < 100
    for text in ("é", "a  b", "<|x|>"):
        sample.add("y" * 10_000 + text)
        assert text in sample.texts[-1]
        assert len(sample.texts[-1]) <= 4096
    for _ in range(20_000):
        sample.add("é  <|" * 1000)
    assert sum(map(len, sample.texts)) < 2**20


def test_wrong_ids_of_any_kind_of_text_are_found(tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("é", "  ", "<|"):

        class Wrong(Tokenizers):
            def encode(self, texts: list[str]) -> tuple[engines.Ids, engines.Ends]:
                ids, ends = super().encode(texts)
                return (ids + 1 if any(kind in text for text in texts) else ids), ends  # noqa: B023

        monkeypatch.setattr(engines, "Fastokens", Wrong)
        encoder, sample = Encoder(tokenizer_file, 0, False), Sample(1000)
        sample.add("plain")
        encoder.check(sample)
        sample.add(f"a{kind}b")
        with pytest.raises(FastFailedError):
            encoder.check(sample)


def test_text_that_is_normalized_is_counted_and_said_so(tmp_path: Path, tokenizer_file: Path, prose: Family) -> None:
    write_texts(tmp_path / "words" / "train" / "prose-1.jsonl", ["caf\u00e9", "cafe\u0301", "plain"])
    write_texts(tmp_path / "words" / "valid" / "prose-1.jsonl", ["plain"])
    family = tiny_family(
        mixture={"train_prose": 1.0},
        validation={"valid_prose": 1.0},
        tokenizer={"repo_id": "tester/nfc", "vocab_size": 307},
    )
    notices = Notices()
    manifest = pack(
        family, tmp_path / "words", tmp_path / "tokens", tokenizer_folder=tokenizer_file.parent, progress=notices
    )
    assert manifest.train["prose"].sources[0].normalized == 1
    assert manifest.valid["prose"].sources[0].normalized is None
    assert [line for line in notices.lines if "NFC" in line and "1 of 4" in line]


def test_special_text_is_part_of_the_recipe(corpus: Path, tmp_path: Path, tokenizer_file: Path) -> None:
    write_texts(corpus / "train" / "prose-3.jsonl", [f"one{EOS}two"])
    family = tiny_family(tokenizer={"text_of_special_tokens": "text"})
    manifest = pack(family, corpus, tmp_path / "tokens")
    shard = tmp_path / "tokens" / "train" / "prose" / "prose-3.ds"
    assert np.flatnonzero(np.fromfile(shard, "<u2") == 0).tolist() == [np.fromfile(index_file(shard), "<u8")[0] - 1]
    assert (
        json.loads((tmp_path / "tokens" / "manifest.json").read_text())["tokenizer"]["text_of_special_tokens"] == "text"
    )
    assert read_manifest(tmp_path / "tokens") == manifest
    same = tiny_family(tokenizer={"text_of_special_tokens": "id"})
    assert same == tiny_family()
    assert same.to_data() == tiny_family().to_data()
