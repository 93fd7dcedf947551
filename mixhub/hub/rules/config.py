"""`config.json` as Transformers reads it: defaults filled in, old keys renamed."""

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
"""Keys of configs about who saved them and in which dtype; two seeds may differ in them."""


def read_config(folder: Path) -> PreTrainedConfig:
    """Return the config that Transformers makes of `config.json`.

    Raises:
        ExportError: Transformers cannot make a model of it without custom code.
    """
    from transformers import AutoConfig

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each config class raises its own for values that contradict each other
        raise config_unusable(folder, error) from None
    return config


def config_unusable(folder: Path, error: Exception) -> ExportError:
    """Return the error for a `config.json` that Transformers cannot use."""
    message = f"{CONFIG} does not describe a model for Transformers: {reason(error)}"
    hint = f"take {CONFIG} from where the model was trained"
    return ExportError(message, code="config-unusable", hint=hint, path=folder / CONFIG)


def reason(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def known_config(folder: Path) -> dict[str, Any]:
    """Return the config of a model: the keys of `config.json`, and the defaults of Transformers for the rest.

    Plain data without keys that are None. Transformers reads some keys from several places (`rope_scaling` goes before
    `rope_parameters`), so the file alone is not enough. Empty without a usable config, which `shape_findings` reports.
    """

    try:
        text = json.dumps(read_config(folder).to_dict(), default=str) if (folder / CONFIG).is_file() else "{}"
    except MixhubError:
        return {}

    def with_values(data: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in data.items() if value is not None}

    config: dict[str, Any] = json.loads(text, parse_constant=str, object_hook=with_values)
    return config


def comparable_config(folder: Path, name: str) -> str | None:
    """Return JSON that is equal for two configs that mean the same; None unless the file holds a JSON object.

    `config.json` is compared by what Transformers makes of it, other configs by their content.
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
    """Configs that name custom code, which would run when the model is loaded."""
    for name in (CONFIG, "tokenizer_config.json"):
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:  # other rules report it
            continue
        if isinstance(data, Mapping) and (code := data.get("auto_map")):
            message = f"auto_map in {name} names code that would run when the model is loaded: {json.dumps(code)[:120]}"
            hint = f"delete auto_map from {name} if Transformers has the classes itself"
            yield Finding("code-required", where, message, hint, about=name)
