"""Tokenizers that Transformers opens as others, and ids of special tokens in configs."""

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from mixhub.hub.rules.tokenizer import opened_findings, token_findings
from tests.hub.seen import seen


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's config, and a tokenizer that splits digits by threes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    split = pre_tokenizers.Split(Regex(r"\d{1,3}|[^\d\s]+|\s+"), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(str(number * 7919 % 100_000) for number in range(3000))], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    wrapped.save_pretrained(tmp_path)
    LlamaConfig(vocab_size=448, bos_token_id=0, eos_token_id=1).save_pretrained(tmp_path)
    return tmp_path


def edit(folder: Path, name: str, **changes: object) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "GPTNeoXTokenizerFast", "Qwen2Tokenizer"])
def test_a_class_that_splits_otherwise(folder: Path, name: str) -> None:
    """As in transformers#45701: the class rebuilds the tokenizer, and drops the split of `tokenizer.json`."""
    edit(folder, "tokenizer_config.json", tokenizer_class=name)
    assert seen(token_findings("x", folder), "x") == ["tokenizer-rebuilt ids"]
    [found] = opened_findings("x", folder, AutoTokenizer.from_pretrained(folder))
    assert (found.code, found.level, found.about) == ("tokenizer-rebuilt", "error", "ids")


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend", "LlamaTokenizerFast"])
def test_a_class_that_opens_the_file_as_it_is(folder: Path, name: str) -> None:
    edit(folder, "tokenizer_config.json", tokenizer_class=name)
    assert seen(token_findings("x", folder), "x") == []
    assert list(opened_findings("x", folder, AutoTokenizer.from_pretrained(folder))) == []


def test_a_tokenizer_that_truncates_is_compared_whole(folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert seen(token_findings("x", folder), "x") == []


def test_other_special_tokens_and_another_decoding_are_warnings(folder: Path) -> None:
    opened = AutoTokenizer.from_pretrained(folder)
    template = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    opened.backend_tokenizer.post_processor = template
    assert seen(opened_findings("x", folder, opened), "x") == ["warning: tokenizer-rebuilt special tokens"]
    opened = AutoTokenizer.from_pretrained(folder)
    opened.backend_tokenizer.decoder = decoders.Fuse()
    assert seen(opened_findings("x", folder, opened), "x") == ["warning: tokenizer-rebuilt decoding"]


def test_a_folder_without_a_tokenizer_file(folder: Path) -> None:
    opened = AutoTokenizer.from_pretrained(folder)
    (folder / "tokenizer.json").unlink()
    assert list(opened_findings("x", folder, opened)) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"pad_token_id": 1}, []),
        ({"pad_token_id": 0}, ["warning: token-id-differs config.json:pad_token_id"]),
        ({"eos_token_id": [1, 447]}, []),
        ({"eos_token_id": [1, 448]}, ["warning: token-id-differs config.json:eos_token_id"]),
        ({"eos_token_id": 0}, ["token-id-differs config.json:eos_token_id"]),
    ],
)
def test_ids_of_special_tokens(folder: Path, changes: dict[str, object], found: list[str]) -> None:
    edit(folder, "config.json", **changes)
    assert seen(token_findings("x", folder), "x") == found


def test_a_tokenizer_without_settings(folder: Path) -> None:
    (folder / "tokenizer_config.json").unlink()
    assert seen(token_findings("x", folder), "x") == []
