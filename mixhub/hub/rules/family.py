"""Whether a model and its tokenizer fit the description in the family, and the description that would fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mixhub.findings import Finding
from mixhub.hub.rules.config import CONFIG
from mixhub.hub.rules.export import ExportCheck
from mixhub.spec import Architecture, Family
from mixhub.spec.base import to_yaml

_FIXED: dict[str, Any] = {
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
    "architectures": ["LlamaForCausalLM"],
}
"""Keys of `config.json` that a family's architecture does not set; Transformers reads some off any config."""
_FIXED_ROPE = {"rope_type": "default"}
"""The same for `rope_parameters`, which hold only the base besides."""


def other_architecture(where: str, config: Mapping[str, Any]) -> Finding | None:
    """Return the finding of a model that no family can describe, because it is not a Llama; None if it is."""
    kind = config.get("model_type", "llama")
    if kind == "llama":
        return None
    message = f"Llama only: {CONFIG} has model_type = {kind!r}, which a family cannot describe yet"
    hint = "publish it without mixhub; `mixhub evaluate` takes it as it is, and `mixhub verify` once it is on a hub"
    return Finding("architecture-unsupported", where, message, hint, about="model_type")


def model_findings(
    where: str, family: Family, config: Mapping[str, Any], vocab_size: int | None, eos_token: str | None
) -> Iterator[Finding]:
    """Differences between a model with its tokenizer and the family.

    Args:
        where: the revision.
        family: the family.
        config: the model's `known_config`; not compared if empty.
        vocab_size: number of ids of the tokenizer; None if unknown.
        eos_token: the token that ends text; None if unknown.
    """
    stated, tokenizer = family.architecture.config, family.tokenizer
    if (other := other_architecture(where, config)) is not None:  # whose other keys have other meanings
        yield other
        return
    for key, value in sorted(_differences(family.architecture, config).items()):
        message = f"{key} = {value} in {CONFIG}, but the family says {stated[key]}"
        hint = "use the model of this family, or correct the family's architecture"
        yield Finding("architecture-differs", where, message, hint, about=key)
    rope = config.get("rope_parameters")
    rope = {key: value for key, value in rope.items() if key != "rope_theta"} if isinstance(rope, Mapping) else {}
    fixed = {**_FIXED, **dict.fromkeys(rope), **_FIXED_ROPE}
    for key, value in {**{key: config.get(key) for key in _FIXED}, **rope}.items():
        if value not in (fixed[key], None, []):
            message = f"{key} = {value!r} in {CONFIG}, but a family's architecture has {fixed[key]!r}"
            hint = "publish it without mixhub: a family cannot describe such a model"
            yield Finding("architecture-unsupported", where, message, hint, about=key)
    for key, actual in (("vocab_size", vocab_size), ("eos_token", eos_token)):
        expected = getattr(tokenizer, key)
        if actual not in (None, expected):
            message = f"its tokenizer has {key} = {actual!r}, but the family says tokenizer.{key} = {expected!r}"
            hint = f"use the model's own tokenizer, or correct the family: tokenizer: {{{key}: {json.dumps(actual)}}}"
            yield Finding("vocabulary-differs", where, message, hint, about=key)


def description(family: Family, content: ExportCheck) -> str:
    """Return the lines of `mixhub.yaml` that would describe the model and tokenizer of an export; empty if they fit."""
    architecture = _differences(family.architecture, content.config)
    tokenizer = {"vocab_size": content.vocab_size, "eos_token": content.eos_token}
    tokens = {key: value for key, value in tokenizer.items() if value not in (None, getattr(family.tokenizer, key))}
    length = content.config.get("max_position_embeddings")
    is_short = isinstance(length, int) and length < family.training.sequence_length
    parts = {
        "architecture": architecture,
        "tokenizer": tokens,
        "training": {"sequence_length": length} if is_short else {},
    }
    return "\n".join(f"    {part}: {_flow(values)}" for part, values in parts.items() if values)


def _differences(architecture: Architecture, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a model that differ from the architecture, in its order."""
    rope = config.get("rope_parameters")
    base = rope.get("rope_theta") if isinstance(rope, Mapping) else config.get("rope_theta")
    actual, stated = {**config, "rope_theta": base}, architecture.config
    return {key: actual[key] for key in stated if actual.get(key) is not None and actual[key] != stated[key]}


def _flow(values: Mapping[str, Any]) -> str:
    """Return one line of YAML."""
    return "{" + ", ".join(to_yaml({key: value}).strip() for key, value in values.items()) + "}"
