"""Llamas and tokenizers of which it is certain what Transformers makes of them, so that it need not be imported.

The import, with torch, takes seconds, and most releases consist of nothing else. Whatever is not certain gives None
here, and Transformers is asked. tests/hub/rules/test_plain.py compares the answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mixhub.hub.rules.weights import FLOATS, Tensor

_TESTED = ("5.24",)
"""Versions of Transformers that were compared with what is said here; others are asked."""
_MANY_TOKENS = 100_000
"""From this size on, Transformers looks for a known fault of some tokenizers."""


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_number(value: object) -> bool:
    return type(value) is float and value > 0


def _is_id(value: object) -> bool:
    return value is None or (type(value) is int and value >= 0)


def _is_id_or_list(value: object) -> bool:
    return _is_id(value) or (isinstance(value, list) and bool(value) and all(type(one) is int for one in value))


_FIELDS: Mapping[str, tuple[Any, Callable[[Any], bool]]] = {
    "vocab_size": (32000, _is_count),
    "hidden_size": (4096, _is_count),
    "intermediate_size": (11008, _is_count),
    "num_hidden_layers": (32, _is_count),
    "num_attention_heads": (32, _is_count),
    "num_key_value_heads": (None, lambda value: value is None or _is_count(value)),
    "head_dim": (None, lambda value: value is None or _is_count(value)),
    "hidden_act": ("silu", lambda value: value == "silu"),
    "max_position_embeddings": (2048, _is_count),
    "initializer_range": (0.02, lambda value: _is_number(value) and value <= 1),
    "rms_norm_eps": (1e-6, _is_number),
    "use_cache": (True, _is_flag),
    "pad_token_id": (None, _is_id),
    "bos_token_id": (1, _is_id),
    "eos_token_id": (2, _is_id_or_list),
    "pretraining_tp": (1, lambda value: type(value) is int and value == 1),
    "tie_word_embeddings": (False, _is_flag),
    "attention_bias": (False, lambda value: value is False),
    "attention_dropout": (0.0, lambda value: type(value) is float and 0 <= value < 1),
    "mlp_bias": (False, lambda value: value is False),
}
"""Keys of a Llama's config, with the default of Transformers, and whether a value is usual."""
_BASE = 10000.0
"""Default of `rope_theta`."""
_OF_WRITER = ("transformers_version", "_name_or_path")
"""Keys that say who wrote a config."""


def plain_config(content: bytes) -> dict[str, Any] | None:
    """Return what Transformers makes of the `config.json` of a usual Llama, without keys that are None.

    The keys that every config has are absent: they have their defaults.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(data, dict) and data.pop("model_type", None) == "llama" and _is_tested_version()):
        return None
    architectures = data.pop("architectures", None)
    dtype = data.pop("dtype" if "dtype" in data else "torch_dtype", None)
    rope = _rope(data)
    config: dict[str, Any] = {key: data.pop(key, default) for key, (default, _) in _FIELDS.items()}
    is_usual = all(check(config[key]) for key, (_, check) in _FIELDS.items())
    is_known = not {*data} - {*_OF_WRITER} and all(isinstance(value, str) for value in data.values())
    if rope is None or not is_usual or not is_known or not _fits(config):
        return None
    if architectures not in (None, ["LlamaForCausalLM"]) or dtype not in (None, *FLOATS.values()):
        return None
    config["num_key_value_heads"] = config["num_key_value_heads"] or config["num_attention_heads"]
    config["head_dim"] = config["head_dim"] or config["hidden_size"] // config["num_attention_heads"]
    config |= {"model_type": "llama", "architectures": architectures, "dtype": dtype, "rope_parameters": rope}
    return {key: value for key, value in config.items() if value is not None}


@cache
def _is_tested_version() -> bool:
    return version("transformers").rpartition(".")[0] in _TESTED


def _rope(data: dict[str, Any]) -> dict[str, Any] | None:
    """Take the parameters of usual rotary embeddings out of a config; None if they are others."""
    if "rope_parameters" in data:
        rope = data.pop("rope_parameters")
        is_usual = isinstance(rope, dict) and {*rope} == {"rope_theta", "rope_type"} and rope["rope_type"] == "default"
    else:  # as versions before 5 wrote them
        rope = {"rope_theta": data.pop("rope_theta", _BASE), "rope_type": "default"}
        is_usual = data.pop("rope_scaling", None) is None
    return rope if is_usual and _is_number(rope["rope_theta"]) else None


def _fits(config: Mapping[str, Any]) -> bool:
    """Whether the sizes of a config fit each other."""
    heads = config["num_attention_heads"]
    width = config["head_dim"] or config["hidden_size"] // heads
    ids = [config["pad_token_id"], config["bos_token_id"]]
    ids += config["eos_token_id"] if isinstance(config["eos_token_id"], list) else [config["eos_token_id"]]
    is_divided = config["hidden_size"] % heads == 0 and heads % (config["num_key_value_heads"] or heads) == 0
    return is_divided and width % 2 == 0 and all(id is None or 0 <= id < config["vocab_size"] for id in ids)


def are_plain_tensors(content: bytes, tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors are, without one missing or foreign, those of the usual Llama that `config.json` describes."""
    config = plain_config(content)
    if config is None or config["num_hidden_layers"] > len(tensors):
        return False
    shapes = {name: tensor.shape for name, tensor in tensors.items() if tensor.dtype in FLOATS}
    return shapes == _shapes(config) and len(shapes) == len(tensors)


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    queries, keys = (config["head_dim"] * config[f"num_{kind}_heads"] for kind in ("attention", "key_value"))
    of_layer = {
        "input_layernorm": (hidden,),
        "mlp.down_proj": (hidden, inner),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "post_attention_layernorm": (hidden,),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, queries),
        "self_attn.q_proj": (queries, hidden),
        "self_attn.v_proj": (keys, hidden),
    }
    head = {} if config["tie_word_embeddings"] else {"lm_head.weight": (rows, hidden)}
    layers = range(config["num_hidden_layers"])
    shapes = {f"model.layers.{one}.{name}.weight": shape for one in layers for name, shape in of_layer.items()}
    return {"model.embed_tokens.weight": (rows, hidden), "model.norm.weight": (hidden,), **shapes, **head}


_SETTINGS = frozenset({
    "add_prefix_space", "backend", "bos_token", "chat_template", "clean_up_tokenization_spaces", "eos_token", "errors",
    "is_local", "local_files_only", "model_max_length", "pad_token", "padding_side", "tokenizer_class", "trim_offsets",
    "unk_token",
})  # fmt: skip
"""Keys of `tokenizer_config.json` that do not change which ids a text gets, once `_is_plain` has looked at them."""
_OTHER_FILES = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model")
"""Files beside `tokenizer.json` that Transformers may read."""
SPECIAL = ("bos_token", "eos_token", "pad_token")
"""Special tokens that are compared with other files."""
AS_IS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes that open `tokenizer.json` as it is."""
_NEOX = ("GPTNeoXTokenizer", "GPTNeoXTokenizerFast")
"""Classes that rebuild a tokenizer from its vocabulary, merges and added tokens, and the special tokens they assume."""
_NEOX_TOKENS = {**dict.fromkeys((*SPECIAL, "unk_token"), "<|endoftext|>"), "pad_token": "<|padding|>"}
_NEOX_SPLIT = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_NEOX_MODEL = (
    "byte_fallback", "continuing_subword_prefix", "dropout", "end_of_word_suffix", "fuse_unk", "ignore_merges",
    "unk_token",
)  # fmt: skip
"""Settings of its BPE, all unset."""
_NO_TEMPLATE = [{"Sequence": {"id": "A", "type_id": 0}}]
"""Of a post-processor that adds no tokens."""


def plain_special_tokens(folder: Path, settings: Mapping[str, Any]) -> dict[str, str | None] | None:
    """Return the special tokens of a tokenizer that Transformers opens as `tokenizer.json` has it; None if unsure.

    Args:
        folder: holds `tokenizer.json`, which can be opened, and `config.json`.
        settings: the content of `tokenizer_config.json`.
    """
    name, config = settings.get("tokenizer_class"), folder / "config.json"
    if name not in (*AS_IS, *_NEOX) or not {*settings} <= _SETTINGS:
        return None
    if any((folder / other).exists() for other in _OTHER_FILES):
        return None
    if not config.is_file() or plain_config(config.read_bytes()) is None:
        return None
    tokenizer = json.loads((folder / "tokenizer.json").read_bytes())
    defaults: Mapping[str, str | None] = _NEOX_TOKENS if name in _NEOX else dict.fromkeys(_NEOX_TOKENS)
    named = {key: settings.get(key, default) for key, default in defaults.items()}
    is_same = name in AS_IS or _is_plain_neox(tokenizer, settings)
    return {key: named[key] for key in SPECIAL} if is_same and _are_plain_tokens(tokenizer, named) else None


def _are_plain_tokens(tokenizer: Mapping[str, Any], named: Mapping[str, Any]) -> bool:
    """Whether no special token is added when it is opened, and a text always gets the same ids, and all of them."""
    added, vocab = tokenizer.get("added_tokens"), _vocabulary(tokenizer)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    usual = [one["content"] for one in added or () if all(one.get(key) is value for key, value in flags.items())]
    return (
        not tokenizer["model"].get("dropout")
        and tokenizer.get("truncation") is None
        and tokenizer.get("padding") is None
        and vocab is not None
        and len(vocab) + len(added or ()) < _MANY_TOKENS
        and all(token is None or token in usual for token in named.values())
    )


def _vocabulary(tokenizer: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Return the tokens of a model that has them by name; None for other kinds of models."""
    vocab = tokenizer["model"].get("vocab")
    return vocab if isinstance(vocab, Mapping) else None


def _is_plain_neox(tokenizer: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether GPT-NeoX's class makes of a tokenizer the same again."""
    model, vocab = tokenizer["model"], _vocabulary(tokenizer)
    split, decoder, processor = (tokenizer.get(key) or {} for key in ("pre_tokenizer", "decoder", "post_processor"))
    split = {"use_regex": True, **{key: value for key, value in split.items() if key != "trim_offsets"}}
    return (
        model.get("type") == "BPE"
        and vocab is not None
        and {*model} <= {"type", "vocab", "merges", *_NEOX_MODEL}
        and not any(model.get(key) for key in _NEOX_MODEL)
        and tokenizer.get("normalizer") == {"type": "NFC"}
        and split == _NEOX_SPLIT
        and decoder.get("type") == "ByteLevel"
        and (processor.get("type") in (None, "ByteLevel") or processor.get("single") == _NO_TEMPLATE)
        and settings.get("add_prefix_space", False) is False
        and _are_numbered(vocab, tokenizer.get("added_tokens") or ())
    )


def _are_numbered(vocab: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> bool:
    """Whether added tokens have the ids that they get when they are added again, in their order."""
    following = len(vocab)
    for one in added:
        expected = vocab.get(one["content"])
        if expected is None:
            expected, following = following, following + 1
        if one["id"] != expected:
            return False
    return [one["id"] for one in added] == sorted(one["id"] for one in added)
