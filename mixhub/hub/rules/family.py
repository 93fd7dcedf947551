"""Whether a model and its tokenizer are as the family describes them, and what would make the description fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mixhub.findings import Finding
from mixhub.hub.rules.config import CONFIG
from mixhub.hub.rules.export import ExportCheck
from mixhub.spec import Architecture, Family, Tokenizer
from mixhub.spec.base import to_yaml

_FIXED: dict[str, Any] = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "pretraining_tp": 1,
    "quantization_config": None,
    "is_causal": True,
    "is_encoder_decoder": False,
    "return_dict": True,
    "use_bidirectional_attention": False,
    "sliding_window": None,
    "attention_chunk_size": None,
    "layer_types": None,
    "transformers_weights": None,
    "chunk_size_feed_forward": 0,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
}
"""What a family's architecture does not leave open, by key of `config.json`; some Transformers reads off any config."""
_FIXED_ROPE = {"rope_type": "default"}
"""The same of its `rope_parameters`, which hold nothing else but the base."""
_ARCHITECTURE = "LlamaForCausalLM"


def architecture_findings(where: str, architecture: Architecture, config: Mapping[str, Any]) -> Iterator[Finding]:
    """Where a model is not as the family describes it.

    Args:
        where: the revision.
        architecture: the family's.
        config: the model's `effective_config`; nothing is found if it is empty.
    """
    asked = architecture.config
    for key, value in sorted(_unlike(architecture, config).items()):
        message = f"{key} = {value} in {CONFIG}, and the family says {asked[key]}"
        hint = "this is another model; or mend the family's architecture"
        yield Finding("architecture-differs", where, message, hint, about=key)
    only = {**_FIXED, **_FIXED_ROPE, "architectures": [_ARCHITECTURE]}
    for key, value in _not_fixed(config).items():
        message = f"{key} = {value!r} in {CONFIG}, and a family's architecture has {only.get(key)!r}"
        hint = "a model of another kind cannot be described by a family yet"
        yield Finding("architecture-unsupported", where, message, hint, about=key)


def tokenizer_findings(where: str, tokenizer: Tokenizer, size: int | None, eos_token: str | None) -> Iterator[Finding]:
    """Whether a tokenizer has as many ids, and ends text with the token, that the family says.

    Args:
        where: the revision.
        tokenizer: the family's.
        size: ids that there are; None if they are not known.
        eos_token: the token that there is; None if it is not known.
    """
    hint = "take the tokenizer that it was trained with, or describe it in the family: tokenizer: "
    if size is not None and size != tokenizer.vocab_size:
        message = f"tokenizer.json has {size} ids, and the family says tokenizer.vocab_size = {tokenizer.vocab_size}"
        yield Finding("vocabulary-differs", where, message, f"{hint}{{vocab_size: {size}}}", about="vocab_size")
    if eos_token is not None and eos_token != tokenizer.eos_token:
        message = f"its tokenizer's eos_token is {eos_token!r}, and the family says {tokenizer.eos_token!r}"
        wanted = f"{hint}{{eos_token: {json.dumps(eos_token)}}}"
        yield Finding("vocabulary-differs", where, message, wanted, about="eos_token")


def description(family: Family, content: ExportCheck) -> str:
    """Lines of `mixhub.yaml` that would make the family's model and tokenizer those of an export; empty if they are."""
    changed = _unlike(family.architecture, content.config)
    changed.pop("model_type", None)
    given = {"vocab_size": content.vocab_size, "eos_token": content.eos_token}
    tokens = {key: value for key, value in given.items() if value not in (None, getattr(family.tokenizer, key))}
    length = content.config.get("max_position_embeddings")
    is_short = isinstance(length, int) and length < family.training.sequence_length
    training = {"sequence_length": length} if is_short else {}
    parts = {"architecture": changed, "tokenizer": tokens, "training": training}
    return "\n".join(f"    {part}: {_flow(values)}" for part, values in parts.items() if values)


def _unlike(architecture: Architecture, config: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a model that are not the architecture's, by key of that, in its order."""
    rope = config.get("rope_parameters")
    base = rope.get("rope_theta") if isinstance(rope, Mapping) else config.get("rope_theta")
    given = {**config, "rope_theta": base}
    asked = architecture.config
    return {key: given[key] for key in asked if given.get(key) is not None and given[key] != asked[key]}


def _not_fixed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Values that no architecture of a family has, by key."""
    rope = config.get("rope_parameters")
    other = {key: config[key] for key, only in _FIXED.items() if config.get(key) not in (only, None)}
    for key, value in rope.items() if isinstance(rope, Mapping) else ():
        if key != "rope_theta" and value not in (_FIXED_ROPE.get(key), None):
            other[key] = value
    classes = config.get("architectures")
    return other | ({"architectures": classes} if classes and classes != [_ARCHITECTURE] else {})


def _flow(values: Mapping[str, Any]) -> str:
    """One line of YAML."""
    return "{" + ", ".join(to_yaml({key: value}).strip() for key, value in values.items()) + "}"
