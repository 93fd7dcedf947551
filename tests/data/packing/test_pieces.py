"""Long texts in parts have the tokens of the whole."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors

from mixhub.data.packing import pieces as cuts
from mixhub.data.packing.pack import pack
from tests.structure import ROOT
from tests.tiny import tiny_family, write_tiny_corpus

NEOX = ROOT.parent / "shared" / "reference" / "gptneox" / "tokenizer.json"

TEXTS = st.text("aab'sé́ \t\n\u00a0\u20031,中각<|endoftext|>", max_size=80)


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokenizer")
    pack(tiny_family(), write_tiny_corpus(root / "words"), root / "tokens")
    return root / "tokens" / "tokenizer" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizers(tokenizer_file: Path) -> list[Tokenizer]:
    """The small one; one that normalizes and has runs of spaces as tokens, as GPT-NeoX; and GPT-NeoX itself."""
    plain, spaces = (Tokenizer.from_file(str(tokenizer_file)) for _ in range(2))
    spaces.normalizer = normalizers.NFC()
    spaces.add_tokens([AddedToken(" " * length, normalized=True, special=False) for length in range(8, 1, -1)])
    all_of_them = [plain, spaces, *([Tokenizer.from_file(str(NEOX))] if NEOX.is_file() else [])]
    for tokenizer in all_of_them:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return all_of_them


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=TEXTS)
@example(text="a b<|endoftext|> c d's e  f\n\ng h \u0301i")
def test_the_pieces_of_a_text_have_its_tokens(
    tokenizers: list[Tokenizer], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(cuts, "PIECE", 3)
    for tokenizer in tokenizers:
        assert cuts.can_split(tokenizer)
        parts = list(cuts.pieces(text))
        assert "".join(parts) == text
        assert list(chain.from_iterable(ids(tokenizer, part) for part in parts)) == ids(tokenizer, text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(text=TEXTS, times=st.integers(1, 6))
@example(text="a" * 100, times=2)
@example(text=" " * 50 + "x", times=2)
@example(text="\n" * 60 + " x", times=2)
@example(text="'s" * 30, times=2)
@example(text="가" + "ᆨ" * 30, times=2)
def test_the_windows_of_a_long_text_have_its_tokens(
    tokenizers: list[Tokenizer], monkeypatch: pytest.MonkeyPatch, text: str, times: int
) -> None:
    monkeypatch.setattr(cuts, "PIECE", 40)
    monkeypatch.setattr(cuts, "_AROUND", 3)
    for tokenizer in tokenizers:
        parts = list(cuts.encode_long(tokenizer, text * times))
        assert list(chain.from_iterable(parts)) == ids(tokenizer, text * times)


@pytest.mark.parametrize("word", ["a", "ab", "the", "-", "\n", "中文", "é", "1"])
def test_a_long_word_is_encoded_in_many_windows(
    tokenizers: list[Tokenizer], monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.setattr(cuts, "PIECE", 200)
    for tokenizer in tokenizers:
        text = word * (4000 // len(word))
        parts = list(cuts.encode_long(tokenizer, text))
        assert len(parts) > 5
        assert list(chain.from_iterable(parts)) == ids(tokenizer, text)


@pytest.mark.parametrize(
    "before",
    [
        pre_tokenizers.ByteLevel(add_prefix_space=True),
        pre_tokenizers.Metaspace(),
        pre_tokenizers.ByteLevel(use_regex=False),
    ],
)
def test_texts_for_other_tokenizers_stay_whole(tokenizer_file: Path, before: object) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    assert cuts.can_split(tokenizer)
    tokenizer.pre_tokenizer = before
    assert not cuts.can_split(tokenizer)


def test_texts_for_a_tokenizer_with_a_token_over_a_blank_stay_whole(tokenizer_file: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.add_tokens(["a b"])
    assert not cuts.can_split(tokenizer)
