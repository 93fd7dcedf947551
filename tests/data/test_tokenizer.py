"""The text for training a tokenizer."""

from pathlib import Path

from mixhub.data.corpus import Corpus
from mixhub.data.tokenizer import _PIECE_CHARACTERS, training_sample
from tests.tiny import write_rows


def test_a_small_corpus_is_sampled_whole_and_in_order(tmp_path: Path) -> None:
    long = "".join(chr(97 + number % 26) for number in range(_PIECE_CHARACTERS + 3))
    write_rows(tmp_path / "train" / "a-1.jsonl", ["x", "yz", long])
    pieces = list(training_sample(Corpus.open(tmp_path)))
    assert pieces == ["x", "yz", long[:_PIECE_CHARACTERS], long[_PIECE_CHARACTERS:]]
