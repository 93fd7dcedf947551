import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from mixhub.data.corpus import Corpus, Reading
from mixhub.data.packing.pack import pack
from mixhub.data.shards import TokenShards
from mixhub.errors import CorpusError
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import Manifest, index_file, read_manifest
from tests.data.packing.test_engines import Notices
from tests.refusals import refused
from tests.tiny import tiny_family, write_rows, write_tiny_corpus

FAMILY = tiny_family()


@pytest.fixture
def tokens(corpus: Path) -> Path:
    destination = corpus.parent / "words.bpe300"
    pack(FAMILY, corpus, destination)
    return destination


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a downloaded tokenizer."""
    root = tmp_path_factory.mktemp("tokenizer")
    pack(FAMILY, write_tiny_corpus(root / "words"), root / "tokens")
    return root / "tokens" / "tokenizer"


def stream(tokens: Path, manifest: Manifest, split: str, domain: str) -> np.ndarray:
    shards = manifest.domains(split)[domain].shards  # type: ignore[arg-type]
    return np.concatenate([np.fromfile(tokens / shard.file, dtype="<u2") for shard in shards])


def test_shards_decode_to_the_documents(corpus: Path, tokens: Path) -> None:
    manifest = read_manifest(tokens)
    tokenizer = Tokenizer.from_file(str(tokens / "tokenizer" / "tokenizer.json"))
    assert manifest.eos_id == 0
    assert manifest.dtype == "uint16"
    for split, domains in (("train", ["prose", "sums", "two-part"]), ("valid", ["prose", "sums"])):
        assert sorted(manifest.domains(split)) == domains  # type: ignore[arg-type]
        for domain in domains:
            ids = stream(tokens, manifest, split, domain)
            ends = np.flatnonzero(ids == 0)
            assert ids[-1] == 0
            documents = [tokenizer.decode(part[part != 0].tolist()) for part in np.split(ids, ends + 1)[:-1]]
            assert documents == list(Corpus.open(corpus).documents(split, domain))  # type: ignore[arg-type]
            packed = manifest.domains(split)[domain]  # type: ignore[arg-type]
            assert (packed.documents, packed.tokens) == (len(documents), len(ids))
            for shard in packed.shards:
                assert shard.content_sha256 == file_sha256(tokens / shard.file)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4), min_size=1, max_size=4))
def test_any_text_comes_back_from_a_shard_per_file(
    files: list[list[str]], tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path
) -> None:
    root = tmp_path_factory.mktemp("any")
    files[-1].append("a tail")
    for split in ("train", "valid"):
        for number, texts in enumerate(files, start=1):
            write_rows(root / "words" / split / f"prose-{number}.jsonl", texts)
    family = tiny_family(
        mixture={"train_prose": 1.0}, validation={"valid_prose": 1.0}, tokenizer={"repo_id": "tester/tokenizer"}
    )
    manifest = pack(family, root / "words", root / "tokens", tokenizer_folder=tokenizer_folder)
    packed = manifest.train["prose"]
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    ids = stream(root / "tokens", manifest, "train", "prose")
    for source, shard, texts in zip(packed.sources, packed.shards, files, strict=True):
        assert (source.documents, source.tokens) == (len(texts), shard.tokens)
        path = root / "tokens" / shard.file
        ends = np.fromfile(index_file(path), "<u8")
        assert shard.ends_sha256 == file_sha256(index_file(path))
        parts = np.split(np.fromfile(path, "<u2"), ends)
        assert [tokenizer.decode(part, skip_special_tokens=False) for part in parts] == [
            *(text + "<|endoftext|>" for text in texts),
            "",
        ]
    shards = TokenShards(root / "tokens", 2)
    starts = 2 * np.arange(shards.sequences("train", "prose"))
    for start, row in zip(starts, shards.read("train", ["prose"] * len(starts), starts), strict=True):
        assert row.tolist() == ids[start : start + 3].tolist()


def test_the_tokenizer_opens_in_transformers_with_one_special_token(tokens: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokens / "tokenizer")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 0)
    assert len(tokenizer) == 300
    assert tokenizer.model_max_length == 32
    text = "  Ünïcode and\ttabs 🙂\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_tokens_are_the_same_each_time(corpus: Path, tokens: Path, tmp_path: Path) -> None:
    assert pack(FAMILY, corpus, tmp_path / "again") == read_manifest(tokens)


def test_the_text_of_the_eos_token_becomes_its_id_as_in_the_original_runs(corpus: Path, tmp_path: Path) -> None:
    write_rows(corpus / "train" / "prose-3.jsonl", ["one<|endoftext|>two"])
    manifest = pack(FAMILY, corpus, tmp_path / "tokens")
    ids = stream(tmp_path / "tokens", manifest, "train", "prose")
    assert np.count_nonzero(ids == 0) == manifest.train["prose"].documents + 1


def test_packing_again_does_nothing(corpus: Path, tokens: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tokens.rglob("*")}
    manifest = pack(FAMILY, corpus, tokens)
    assert manifest == read_manifest(tokens)
    assert {path: path.stat().st_mtime_ns for path in tokens.rglob("*")} == before


def test_a_changed_file_of_the_same_size_is_named(corpus: Path, tokens: Path) -> None:
    path = corpus / "train" / "sums-2.jsonl"
    path.write_text(path.read_text().replace("+", "-"))
    with refused("corpus-changed", CorpusError, path=path, change="changed") as caught:
        pack(FAMILY, corpus, tokens)
    assert caught.value.hint is not None
    assert "delete or rename" in caught.value.hint


def test_added_and_removed_files_are_named(corpus: Path, tokens: Path) -> None:
    write_rows(corpus / "valid" / "prose-2.jsonl", ["more"])
    with refused("corpus-changed", CorpusError, path=corpus / "valid" / "prose-2.jsonl", change="added"):
        pack(FAMILY, corpus, tokens)
    (corpus / "valid" / "prose-2.jsonl").unlink()
    (corpus / "train" / "prose-2.jsonl").unlink()
    with refused("corpus-changed", CorpusError, path=corpus / "train" / "prose-2.jsonl", change="removed"):
        pack(FAMILY, corpus, tokens)


def test_options_that_the_tokens_were_not_packed_with_are_refused(
    corpus: Path, tokens: Path, tmp_path: Path, tokenizer_folder: Path
) -> None:
    own = tokens / "tokenizer"
    pack(FAMILY, corpus, tokens, tokenizer_folder=own)
    other = shutil.copytree(own, tmp_path / "other") / "tokenizer.json"
    other.write_text(other.read_text() + "\n")
    with refused("tokens-differ", CorpusError, key="tokenizer_sha256"):
        pack(FAMILY, corpus, tokens, tokenizer_folder=other.parent)
    with refused("file-missing", CorpusError, path=tmp_path / "none" / "tokenizer.json"):
        pack(FAMILY, corpus, tokens, tokenizer_folder=tmp_path / "none")
    with refused("tokens-differ", CorpusError, key="text_key", packed=["text"], wanted="body"):
        pack(FAMILY, corpus, tokens, reading=Reading(text_key="body"))


def test_files_beside_the_text_are_named(corpus: Path, tmp_path: Path) -> None:
    for name in ("prose.jsonl", "prose-3.json", "prose-4.jsonl.bz2", "deep/prose-5.jsonl", ".hidden"):
        path = corpus / "train" / name
        path.parent.mkdir(exist_ok=True)
        write_rows(path, ["unread"])
    notices = Notices()
    pack(FAMILY, corpus, tmp_path / "tokens", progress=notices)
    (notice,) = notices.lines
    assert "train/deep, train/prose-3.json, train/prose-4.jsonl.bz2, train/prose.jsonl;" in notice


def test_another_vocabulary_is_refused(corpus: Path, tokens: Path) -> None:
    family = tiny_family(tokenizer={"vocab_size": 301})
    with refused("tokens-differ", CorpusError, key="tokenizer.vocab_size", packed=300, wanted=301):
        pack(family, corpus, tokens)


def test_a_missing_or_cut_shard_is_named(corpus: Path, tokens: Path) -> None:
    shard = tokens / "train" / "sums" / "sums-1.ds"
    whole = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[:-2])
    with refused("tokens-damaged", CorpusError, path=shard, size=whole - 2):
        pack(FAMILY, corpus, tokens)
    shard.unlink()
    with refused("tokens-damaged", CorpusError, path=shard, size=None):
        TokenShards(tokens, 16)


def test_another_familys_domains_are_packed_beside(corpus: Path, tokens: Path) -> None:
    before = read_manifest(tokens)
    other = tiny_family(mixture={"train_prose": 1.0}, validation={"valid_two-part": 1.0})
    manifest = pack(other, corpus, tokens)
    assert sorted(manifest.valid) == ["prose", "sums", "two-part"]
    assert manifest.train == before.train
    assert manifest.for_family(FAMILY).sha256() == before.sha256()
    TokenShards(tokens, 16)


def test_tokens_of_another_family_are_refused_when_domains_lack(tokens: Path) -> None:
    other = tiny_family(validation={"valid_two-part": 1.0})
    with refused("domains-not-packed", CorpusError, missing=("valid/two-part",)):
        read_manifest(tokens).for_family(other)


def test_a_domain_without_text_is_refused_and_nothing_is_written(corpus: Path, tmp_path: Path) -> None:
    for number, texts in ((1, ["", ""]), (2, [])):
        write_rows(corpus / "train" / f"sums-{number}.jsonl", texts)
    with refused("domain-empty", CorpusError, split="train", domain="sums"):
        pack(FAMILY, corpus, tmp_path / "out" / "tokens")
    assert not (tmp_path / "out" / "tokens").exists()


def test_a_corpus_too_small_for_the_vocabulary_says_what_to_set(corpus: Path, tmp_path: Path) -> None:
    family = tiny_family(tokenizer={"vocab_size": 5000}, architecture={"vocab_size": 5000})
    with refused("vocabulary-size", CorpusError, wanted=5000) as caught:
        pack(family, corpus, tmp_path / "tokens")
    size = caught.value.fields["size"]
    assert caught.value.hint == f"set tokenizer.vocab_size: {size} in the family"
    fitting = tiny_family(tokenizer={"vocab_size": size}, architecture={"vocab_size": 5000})
    pack(fitting, corpus, tmp_path / "tokens")


def test_a_fetched_tokenizer_is_kept_byte_for_byte(corpus: Path, tmp_path: Path, tokenizer_folder: Path) -> None:
    family = tiny_family(tokenizer={"repo_id": "tester/tokenizer"})
    with refused("tokenizer-missing", CorpusError, repo_id="tester/tokenizer"):
        pack(family, corpus, tmp_path / "tokens")
    manifest = pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tokenizer_folder)
    assert manifest.tokenizer_sha256 == file_sha256(tokenizer_folder / "tokenizer.json")
    with refused("file-missing", CorpusError, path=tmp_path / "tokenizer.json"):
        pack(family, corpus, tmp_path / "other", tokenizer_folder=tmp_path)


def test_a_tokenizer_that_is_not_the_familys_is_refused(corpus: Path, tmp_path: Path, tokenizer_folder: Path) -> None:
    family = tiny_family(tokenizer={"repo_id": "tester/tokenizer", "eos_token": "</s>"})
    with refused("eos-token-missing", CorpusError, eos_token="</s>"):
        pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tokenizer_folder)
    family = tiny_family(tokenizer={"repo_id": "tester/tokenizer", "vocab_size": 299})
    with refused("vocabulary-size", CorpusError, size=300, wanted=299):
        pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tokenizer_folder)


def test_a_tokenizer_that_loses_text_is_refused(corpus: Path, tmp_path: Path, tokenizer_folder: Path) -> None:
    data = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    data["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    family = tiny_family(tokenizer={"repo_id": "tester/tokenizer"})
    with refused("tokenizer-lossy", CorpusError) as caught:
        pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tmp_path)
    assert str(caught.value.fields["text"]).islower()


def test_tokens_that_a_tokenizer_adds_to_each_text_are_not_packed(
    corpus: Path, tokens: Path, tmp_path: Path, tokenizer_folder: Path
) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    eos = FAMILY.tokenizer.eos_token
    tokenizer.post_processor = TemplateProcessing(
        single=f"{eos} $A", special_tokens=[(eos, tokenizer.token_to_id(eos))]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    family = tiny_family(tokenizer={"repo_id": "tester/tokenizer"})
    manifest = pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tmp_path)
    packed = stream(tmp_path / "tokens", manifest, "train", "prose")
    assert packed.tolist() == stream(tokens, read_manifest(tokens), "train", "prose").tolist()


def test_large_vocabularies_take_four_bytes(corpus: Path, tmp_path: Path, tokenizer_folder: Path) -> None:
    data = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    words = len(data["model"]["vocab"])
    data["model"]["vocab"] |= {f"word{number}": number for number in range(words, 70_000)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    family = tiny_family(
        tokenizer={"repo_id": "tester/large", "vocab_size": 70_000}, architecture={"vocab_size": 70_000}
    )
    manifest = pack(family, corpus, tmp_path / "tokens", tokenizer_folder=tmp_path)
    assert manifest.dtype == "uint32"
    (tokens,) = TokenShards(tmp_path / "tokens", 4).read("train", ["prose"], np.array([0]))
    shard = np.fromfile(tmp_path / "tokens" / "train" / "prose" / "prose-1.ds", dtype="<u4")
    assert tokens.tolist() == shard[:5].tolist()


def test_missing_tokens_name_the_command_that_makes_them(tmp_path: Path) -> None:
    with refused("tokens-missing", CorpusError, path=tmp_path / "nothing") as caught:
        read_manifest(tmp_path / "nothing")
    assert caught.value.hint is not None
    assert "mixhub data pack" in caught.value.hint
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name in ("empty", "file"):
        with refused("tokens-missing", CorpusError, path=tmp_path / name) as caught:
            pack(FAMILY, write_tiny_corpus(tmp_path / "words"), tmp_path / name)
        assert caught.value.hint is not None
        assert "delete or rename it" in caught.value.hint
