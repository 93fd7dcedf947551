"""The architecture in a family compared with `config.json`, by what Transformers makes of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mixhub.errors import ABSENT, ExportError, MixhubError, SpecError
from mixhub.files import read_json
from mixhub.findings import Finding
from mixhub.hub.rules.config import (
    CODE,
    CONFIG,
    RUNNING,
    VOLATILE,
    known_config,
    names_code,
    plain_data,
    read_config,
)
from mixhub.spec.architecture import CLASSES, LLAMA, Architecture, OtherArchitecture, from_config, is_other

_NO_SHAPE = (*VOLATILE, "use_cache")
"""Keys of configs that say nothing of the model; nor do those that end with the following."""
_TOKEN = "_token_id"
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
"""Keys of `config.json` that the sizes of a Llama do not set; Transformers reads some off any config."""
_FIXED_ROPE = {"rope_type": "default"}
"""The same for `rope_parameters`, which hold only the base besides."""
_HINT = "use the model of this family, or correct the family's architecture"


def architecture_findings(
    where: str, name: str, architecture: Architecture | OtherArchitecture, config: Mapping[str, Any]
) -> Iterator[Finding]:
    """Differences between the architecture of a family and a model.

    Args:
        where: the revision.
        name: the family.
        architecture: of the family.
        config: the model's `known_config`; not compared if empty.
    """
    try:
        stated = _stated(architecture)
        differences = dict(sorted(_differences(architecture, stated, config).items()))
    except MixhubError as error:
        message = f"the architecture of {name} does not describe a model: {error.message}"
        hint = "correct it in mixhub.yaml; mixhub init --from-model DIR writes that of a model"
        yield Finding("architecture-unusable", where, message, hint, about=architecture.model_type)
        return
    for key, value in differences.items():
        message = f"{key} = {value} in {CONFIG}, but the family says {stated.get(key, ABSENT)}"
        yield Finding("architecture-differs", where, message, _HINT, about=key)
    if isinstance(architecture, Architecture) and "model_type" not in differences:
        for key, value, expected in _undescribed(config):
            message = f"{key} = {value!r} in {CONFIG}, but a Llama described by its sizes has {expected!r}"
            hint = f"describe it by its {CONFIG}: mixhub init --from-model DIR writes all of it"
            yield Finding("architecture-unsupported", where, message, hint, about=key)


def architecture_of(folder: Path) -> dict[str, Any]:
    """Return the data of an `architecture` that describes a model: a Llama's sizes, or else the keys of its config.

    Raises:
        ExportError: `config.json` cannot be read.
    """
    config = known_config(folder)
    if config.get("model_type") == LLAMA and not list(_undescribed(config)):
        sizes = {key: value for key, value in _with_base(config).items() if key in Architecture.model_fields}
        try:
            return from_config(sizes, CONFIG).config
        except SpecError:  # sizes that Transformers takes, and a family does not
            pass
    stated = read_json(folder / CONFIG, ExportError)
    if not isinstance(stated, Mapping):
        raise ExportError(f"{folder / CONFIG}: must be a JSON object", code="file-malformed", path=folder / CONFIG)
    plain = {**_plain(stated), CLASSES: config.get(CLASSES)} if config.get(CLASSES) else _plain(stated)
    needs_code = names_code(folder) or stated.get("model_type") in RUNNING
    return plain if needs_code else {key: value for key, value in plain.items() if key != CODE}


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that say something of the model; infinite numbers as Transformers writes them."""
    return {
        key: json.loads(json.dumps(value), parse_constant=lambda text: {"__float__": text})
        for key, value in config.items()
        if _is_of_model(key)
    }


def fitting(architecture: Architecture | OtherArchitecture, folder: Path) -> dict[str, Any]:
    """Return what would have to be set in the architecture of a family to describe a model; empty if nothing.

    Some sizes for a Llama; all keys if `is_other` holds for them. Empty without a usable config, too.
    """
    if not (config := known_config(folder)):
        return {}
    whole, stated = architecture_of(folder), _stated(architecture)
    if isinstance(architecture, Architecture) and not is_other(whole):
        return {key: value for key, value in whole.items() if value != stated[key]}
    return whole if _differences(architecture, stated, config) else {}


def _stated(architecture: Architecture | OtherArchitecture) -> dict[str, Any]:
    """Return the config that a family states: of other models than Llamas with the defaults of Transformers."""
    if isinstance(architecture, Architecture):
        return architecture.config
    return _made(json.dumps(architecture.config, sort_keys=True))


@lru_cache
def _made(config: str) -> dict[str, Any]:
    """Return what Transformers makes of the text of a `config.json`; raises ExportError if it makes nothing of it."""
    with TemporaryDirectory() as folder:
        (Path(folder) / CONFIG).write_text(config, encoding="utf-8")
        return plain_data(read_config(Path(folder)))


def _differences(
    architecture: Architecture | OtherArchitecture, stated: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the values of a model that differ from those of the family; only the type if that differs."""
    if (kind := config.get("model_type", architecture.model_type)) != architecture.model_type:
        return {"model_type": kind}
    if isinstance(architecture, Architecture):
        actual = _with_base(config)
        return {key: actual[key] for key in stated if actual.get(key) is not None and actual[key] != stated[key]}
    own = {*architecture.config}
    unstated = {CLASSES, CODE} - own
    keys = {key for key in (*config, *own) if _is_of_model(key) and key not in unstated} if config else ()
    return {key: config.get(key) for key in keys if config.get(key) != stated.get(key)}


def _is_of_model(key: str) -> bool:
    return key not in _NO_SHAPE and not key.endswith(_TOKEN)


def _undescribed(config: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, value, and the expected value, of what the sizes of a Llama do not describe in its config."""
    rope = config.get("rope_parameters")
    rope = {key: value for key, value in rope.items() if key != "rope_theta"} if isinstance(rope, Mapping) else {}
    fixed = {**_FIXED, **dict.fromkeys(rope), **_FIXED_ROPE}
    for key, value in {**{key: config.get(key) for key in _FIXED}, **rope}.items():
        if value not in (fixed[key], None, []):
            yield key, value, fixed[key]
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    width = hidden // heads if isinstance(heads, int) and isinstance(hidden, int) and heads else None
    if width is not None and config.get("head_dim", width) != width:
        yield "head_dim", config["head_dim"], width


def _with_base(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a Llama with the base of its rotary embedding among the other keys."""
    rope = config.get("rope_parameters")
    base = rope.get("rope_theta") if isinstance(rope, Mapping) else config.get("rope_theta")
    return {**config, "rope_theta": base}
