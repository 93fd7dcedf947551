"""`config.json` as Transformers reads it: with its defaults, and with old keys under their new names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding
from mixhub.spec.family import Architecture

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CONFIG = "config.json"
_VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Keys of configs that say who saved them, and in what; two seeds may differ in them."""
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


def read_config(folder: Path) -> PreTrainedConfig:
    """The config that Transformers makes of a folder's `config.json`.

    Raises:
        ExportError: it describes no model that Transformers can make without code from elsewhere.
    """
    from transformers import AutoConfig

    try:
        made: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each config class raises its own for values that do not go together
        raise no_model(folder, error) from None
    return made


def no_model(folder: Path, error: Exception) -> ExportError:
    """What to say of a `config.json` that Transformers makes no model of."""
    said = (str(error).strip().splitlines() or [""])[0]
    return ExportError(
        f"{CONFIG} describes no model that Transformers can make: {type(error).__name__}: {said}",
        code="config-unusable",
        hint=f"take {CONFIG} from where it was trained",
        path=folder / CONFIG,
    )


def effective_config(config: PreTrainedConfig) -> dict[str, Any]:
    """What a model is made with: the keys of its `config.json`, and Transformers' defaults for the rest.

    It is plain data, as a receipt keeps it. Transformers takes some keys in several places (`rope_scaling` goes before
    `rope_parameters`), so that the file alone does not tell.
    """
    made = json.dumps(config.to_dict(), default=str)
    plain: dict[str, Any] = json.loads(made, parse_constant=str, object_hook=_with_values)
    return plain


def _with_values(data: dict[str, Any]) -> dict[str, Any]:
    """Without keys that have none, which mean the same as keys that are not there."""
    return {key: value for key, value in data.items() if value is not None}


def known_config(folder: Path) -> dict[str, Any]:
    """The `effective_config` of a folder; empty where there is none, or it describes no model."""
    try:
        return effective_config(read_config(folder)) if (folder / CONFIG).is_file() else {}
    except MixhubError:  # `shape_findings` says so
        return {}


def comparable_config(folder: Path, name: str) -> str | None:
    """What two folders share where a config of theirs says the same, as JSON; None where it is no JSON object.

    Args:
        folder: the folder.
        name: `config.json`, which is compared by what Transformers makes of it, or another config.
    """
    data: Any = known_config(folder) if name == CONFIG else {}
    if not data:
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:
            return None
    if not isinstance(data, Mapping):
        return None
    return json.dumps({key: value for key, value in data.items() if key not in _VOLATILE}, sort_keys=True, default=str)


def architecture_findings(where: str, architecture: Architecture, config: Mapping[str, Any]) -> Iterator[Finding]:
    """What of a model, by its `effective_config`, is not as the family says; nothing where that is empty."""
    if not config:
        return
    given = _flat(config)
    asked = architecture.config
    for key in sorted(key for key in asked if given.get(key) is not None and given[key] != asked[key]):
        message = f"{key} = {given[key]} in {CONFIG}, and the family says {asked[key]}"
        yield Finding(
            "architecture-differs", where, message, "this is another model; or mend the family's architecture"
        )
    rope = config.get("rope_parameters")
    rope = {key: value for key, value in rope.items() if key != "rope_theta"} if isinstance(rope, Mapping) else {}
    other = {key: config[key] for key, only in _FIXED.items() if config.get(key) not in (only, None)}
    other |= {key: value for key, value in rope.items() if value not in (_FIXED_ROPE.get(key), None)}
    classes = config.get("architectures")
    if classes and classes != [_ARCHITECTURE]:
        other["architectures"] = classes
    only_values = {**_FIXED, **_FIXED_ROPE, "architectures": [_ARCHITECTURE]}
    for key, value in other.items():
        message = f"{key} = {value!r} in {CONFIG}, and a family's architecture has {only_values.get(key)!r}"
        yield Finding(
            "architecture-unsupported", where, message, "a model of another kind cannot be described by a family yet"
        )


def code_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Configs that ask for code of their own, which whoever loads the model would have to run."""
    for name in (CONFIG, "tokenizer_config.json"):
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:  # said elsewhere
            continue
        asked = data.get("auto_map") if isinstance(data, Mapping) else None
        if asked:
            message = f"auto_map in {name} names code that would run when it is loaded: {json.dumps(asked)[:120]}"
            yield Finding(
                "code-required", where, message, f"delete auto_map from {name}: Transformers has the classes itself"
            )


def unlike_architecture(architecture: Architecture, config: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a model, by key of the family's architecture, where that has another."""
    given, asked = _flat(config), architecture.config
    return {
        key: given[key]
        for key in asked
        if key != "model_type" and given.get(key) is not None and given[key] != asked[key]
    }


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """With the base of the rotary embedding beside the others, as a family has it."""
    rope = config.get("rope_parameters")
    return {**config, "rope_theta": rope.get("rope_theta") if isinstance(rope, Mapping) else config.get("rope_theta")}
