"""`config.json` as Transformers reads it: with its defaults, and with old keys under their new names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CONFIG = "config.json"
_VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Keys of configs that say who saved them, and in what; two seeds may differ in them."""


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
    """The error for a `config.json` that Transformers makes no model of."""
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
    """The `effective_config` of a folder; empty if it has no config, or one that describes no model."""
    try:
        return effective_config(read_config(folder)) if (folder / CONFIG).is_file() else {}
    except MixhubError:  # `shape_findings` reports it
        return {}


def comparable_config(folder: Path, name: str) -> str | None:
    """What is equal for two folders whose configs say the same, as JSON; None if the config is no JSON object.

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


def code_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Configs that ask for custom code, which whoever loads the model would have to run."""
    for name in (CONFIG, "tokenizer_config.json"):
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:  # other rules report it
            continue
        asked = data.get("auto_map") if isinstance(data, Mapping) else None
        if asked:
            message = f"auto_map in {name} names code that would run when it is loaded: {json.dumps(asked)[:120]}"
            hint = f"delete auto_map from {name}: Transformers has the classes itself"
            yield Finding("code-required", where, message, hint, about=name)
