"""What is said of usual Llamas and tokenizers without Transformers is what Transformers says."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from mixhub.errors import MixhubError
from mixhub.hub.rules import plain, tensors, tokenizer
from mixhub.hub.rules.config import read_config
from mixhub.hub.rules.plain import are_plain_tensors, plain_config, plain_special_tokens
from mixhub.hub.rules.weights import Tensor
from tests.hub.others import WIDE

USUAL = {**WIDE, "intermediate_size": 64, "bos_token_id": 0, "eos_token_id": 0}
VALUES: dict[str, list[Any]] = {
    "vocab_size": [320, 0, 320.0, True, "320"],
    "hidden_size": [32, 48, 33, -32, None],
    "num_hidden_layers": [2, 1, 0],
    "num_attention_heads": [2, 4, 3, 0, None],
    "num_key_value_heads": [None, 1, 2, 3, 0],
    "head_dim": [None, 8, 7, 0],
    "hidden_act": ["silu", "gelu", 5],
    "max_position_embeddings": [2048, 0, 2048.0],
    "initializer_range": [0.02, 1, 2.0, -0.1],
    "rms_norm_eps": [1e-6, 1, 0.0, "1e-6"],
    "use_cache": [True, False, 1],
    "pad_token_id": [None, 1, 320, -1],
    "bos_token_id": [0, None, 319, 320, [0]],
    "eos_token_id": [0, None, [0, 1], [], [0, None], [0, 320], 320, -1],
    "pretraining_tp": [1, 2, None, True],
    "tie_word_embeddings": [False, True, None, 1],
    "attention_bias": [False, True, None],
    "attention_dropout": [0.0, 0.1, None, 0, 2.0],
    "mlp_bias": [False, True, 0],
    "rope_theta": [10000.0, 5, None, -1.0],
    "rope_scaling": [None, {"rope_type": "linear", "factor": 2.0}],
    "rope_parameters": [
        {"rope_theta": 5.0, "rope_type": "default"},
        {"rope_theta": 5.0},
        {"rope_theta": 5.0, "rope_type": "linear", "factor": 2.0},
        None,
    ],
    "dtype": ["float32", "bfloat16", None, "int8", "none", 5],
    "torch_dtype": ["float32", "float16", None],
    "architectures": [["LlamaForCausalLM"], None, ["LlamaModel"], "LlamaForCausalLM"],
    "model_type": ["llama", "mistral", None],
    "transformers_version": ["4.40.0", None],
    "_name_or_path": ["/data/run-3", 3],
    "quantization_config": [{"quant_method": "gptq", "bits": 4}],
    "return_dict": [True, False],
    "is_decoder": [True],
    "unknown": [1],
}
"""By key, values that a config may have, the usual ones first."""
WHOLE = {"transformers_version", "_name_or_path"}


@pytest.fixture(autouse=True)
def _any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed version is compared, whichever it is."""
    monkeypatch.setattr(plain, "_is_tested_version", lambda: True)


def written(folder: Path, values: dict[str, Any]) -> bytes:
    (folder / "config.json").write_text(json.dumps(values))
    return (folder / "config.json").read_bytes()


def configs() -> list[dict[str, Any]]:
    """One key changed or absent, and some at random."""
    base = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **USUAL}
    single = [{**base, key: value} for key, values in VALUES.items() for value in values]
    absent = [{key: value for key, value in base.items() if key != gone} for gone in base]
    rng = random.Random(0)
    several = [
        {**base, **{key: rng.choice(VALUES[key][:3]) for key in rng.sample(sorted(VALUES), 4)}} for _ in range(150)
    ]
    return [base, *single, *absent, *several]


def test_a_config_is_read_as_transformers_reads_it(tmp_path: Path) -> None:
    common = {key: value for key, value in LlamaConfig().to_dict().items() if value is not None}
    answered = 0
    for values in configs():
        if (answer := plain_config(written(tmp_path, values))) is None:
            continue
        answered += 1
        config = AutoConfig.from_pretrained(tmp_path).to_dict()
        known = {key: value for key, value in config.items() if value is not None and key not in WHOLE}
        assert answer == {key: known[key] for key in answer}, values
        assert {key: known[key] for key in {*known} - {*answer}} == {
            key: common[key] for key in {*known} - {*answer}
        }, values
    assert answered > 60


def test_every_config_that_a_release_of_mixhub_has_is_usual(tmp_path: Path) -> None:
    for values in ({}, {"tie_word_embeddings": True}, {"num_key_value_heads": 1}, {"dtype": "bfloat16"}):
        LlamaConfig(**USUAL, **values, architectures=["LlamaForCausalLM"]).save_pretrained(tmp_path)
        assert plain_config((tmp_path / "config.json").read_bytes()) is not None


@pytest.mark.parametrize(
    "values", [{}, {"tie_word_embeddings": True}, {"num_key_value_heads": 1}, {"head_dim": 8}, {"num_hidden_layers": 3}]
)
def test_tensors_without_a_fault_are_known(tmp_path: Path, values: dict[str, Any]) -> None:
    content = written(tmp_path, {"model_type": "llama", **USUAL, **values})
    config = read_config(tmp_path)
    weights = {
        name: Tensor("F32", tuple(one.shape), 4 * one.numel())
        for name, one in LlamaForCausalLM(config).state_dict().items()
        if not (config.tie_word_embeddings and name == "lm_head.weight")
    }
    assert are_plain_tensors(content, weights)
    report = tensors._load_shapes(tmp_path, config, weights)
    assert (report.missing, report.unexpected, report.shapes) == (set(), set(), {})
    name, *_ = weights
    for change in (
        {"another.weight": weights[name]},
        {name: Tensor("F32", (3, 3), 36)},
        {name: Tensor("I8", weights[name].shape, 1)},
    ):
        assert not are_plain_tensors(content, {**weights, **change})
    for gone in weights:
        assert not are_plain_tensors(content, {key: one for key, one in weights.items() if key != gone})
    assert not are_plain_tensors(written(tmp_path, {"model_type": "llama", **USUAL, "vocab_size": 321}), weights)


def trained() -> dict[str, Any]:
    """The `tokenizer.json` of a byte-level BPE such as GPT-NeoX's, with a run of blanks among its added tokens."""
    made = Tokenizer(models.BPE())
    made.normalizer, made.decoder = normalizers.NFC(), decoders.ByteLevel()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>", "<|padding|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["the cat sat on the mat", "3.14 caf\u00e9 don't", "    return 1"] * 9, trainer)
    made.add_tokens(["    ", "  "])
    return dict(json.loads(made.to_str()))


def put(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    change.__name__ = f"{'.'.join(path)}={json.dumps(value)[:40]}"
    return change


def renumber(data: dict[str, Any]) -> None:
    data["added_tokens"][-1]["id"] += 5


def reverse(data: dict[str, Any]) -> None:
    data["added_tokens"].reverse()


def unflag(data: dict[str, Any]) -> None:
    data["added_tokens"][0]["special"] = False


def strip(data: dict[str, Any]) -> None:
    data["added_tokens"][0]["lstrip"] = True


def forget(data: dict[str, Any]) -> None:
    del data["added_tokens"][1]


def template(single: str) -> dict[str, Any]:
    made = processors.TemplateProcessing(single=single, special_tokens=[("<|endoftext|>", 0)])
    return dict(json.loads(Tokenizer(models.BPE()).to_str()), post=json.loads(made.__getstate__()))["post"]


TOKENIZERS = [
    put("version", value="1.0"),
    put("normalizer", value=None),
    put("normalizer", value={"type": "Lowercase"}),
    put("pre_tokenizer", "add_prefix_space", value=True),
    put("pre_tokenizer", "use_regex", value=False),
    put("pre_tokenizer", "trim_offsets", value=False),
    put("pre_tokenizer", value={"type": "Whitespace"}),
    put("pre_tokenizer", value=None),
    put("post_processor", value=None),
    put("post_processor", value=template("$A")),
    put("post_processor", value=template("<|endoftext|> $A")),
    put("decoder", value=None),
    put("decoder", value={"type": "Fuse"}),
    put("decoder", "add_prefix_space", value=True),
    put("model", "dropout", value=0.5),
    put("model", "unk_token", value="<|padding|>"),
    put("model", "continuing_subword_prefix", value=""),
    put("model", "continuing_subword_prefix", value="##"),
    put("model", "end_of_word_suffix", value="</w>"),
    put("model", "fuse_unk", value=True),
    put("model", "byte_fallback", value=True),
    put("model", "ignore_merges", value=True),
    put("truncation", value={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}),
    put("padding", value={
        "strategy": {"Fixed": 6}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0,
        "pad_token": "<|padding|>",
    }),
    renumber, reverse, unflag, strip, forget,
]  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {},
    {"pad_token": None},
    {"pad_token": "the"},
    {"pad_token": "absent"},
    {"eos_token": None},
    {"eos_token": "<|padding|>", "bos_token": "<|padding|>"},
    {"add_prefix_space": True},
    {"add_bos_token": True},
    {"add_eos_token": True},
    {"split_special_tokens": True},
    {"sep_token": "<|endoftext|>"},
    {"extra_special_tokens": ["the"]},
    {"clean_up_tokenization_spaces": True, "model_max_length": 3, "padding_side": "left"},
    {"added_tokens_decoder": {"0": {"content": "<|endoftext|>", "special": True, "lstrip": True}}},
]
CLASSES = ["TokenizersBackend", "PreTrainedTokenizerFast", "GPTNeoXTokenizer", "GPTNeoXTokenizerFast"]


def facts(folder: Path) -> object:
    """What is known of a tokenizer, without what its class is called."""
    tokenizer._CACHE.clear()
    try:
        return replace(tokenizer.TokenizerFacts.read(folder), opened_as="")
    except MixhubError as error:
        return error.code


def compare(folder: Path, data: dict[str, Any], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the answer needs no Transformers; fails if it is not that of Transformers."""
    (folder / "tokenizer.json").write_text(json.dumps(data))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    asked: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(tokenizer, "plain_special_tokens", lambda *args: asked.append(plain_special_tokens(*args)))
        answer = facts(folder)  # by Transformers, as nothing is returned
    if not asked or asked[0] is None:
        return False
    assert facts(folder) == answer, (settings, data["added_tokens"][:2])
    return True


@pytest.mark.parametrize("name", CLASSES)
def test_a_tokenizer_is_opened_as_transformers_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    written(tmp_path, {"model_type": "llama", **USUAL, "vocab_size": 448})
    usual = {"tokenizer_class": name, "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    known = set()
    for change in TOKENIZERS:
        change(data := trained())
        if compare(tmp_path, data, usual, monkeypatch):
            known.add(getattr(change, "__name__", ""))
    for values in SETTINGS:
        if compare(tmp_path, trained(), {**usual, **values}, monkeypatch):
            known.add(json.dumps(values))
    assert {'version="1.0"', "post_processor=null", "{}"} <= known
    is_neox = name in CLASSES[2:]
    assert ("normalizer=null" not in known) is is_neox
    assert not {"strip", "unflag", '{"pad_token": "the"}', '{"add_bos_token": true}'} & known


@pytest.mark.parametrize("name", ["special_tokens_map.json", "vocab.json", "tokenizer.model"])
def test_files_beside_a_tokenizer_are_left_to_transformers(tmp_path: Path, name: str) -> None:
    written(tmp_path, {"model_type": "llama", **USUAL})
    (tmp_path / "tokenizer.json").write_text(json.dumps(trained()))
    settings = {"tokenizer_class": "TokenizersBackend", "eos_token": "<|endoftext|>"}
    assert plain_special_tokens(tmp_path, settings) is not None
    (tmp_path / name).write_text("{}")
    assert plain_special_tokens(tmp_path, settings) is None


def test_a_version_that_was_not_compared_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(tmp_path, {"model_type": "llama", **USUAL})
    assert plain_config(content) is not None
    monkeypatch.setattr(plain, "_is_tested_version", lambda: False)
    assert plain_config(content) is None
