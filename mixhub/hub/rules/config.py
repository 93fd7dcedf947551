"""`config.json` as Transformers reads it: defaults filled in, old keys renamed."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.findings import Finding
from mixhub.hub.rules.plain import plain_config
from mixhub.phrases import listed

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

CONFIG = "config.json"
ADAPTER_CONFIG = "adapter_config.json"
CODE = "auto_map"
"""Key of configs that names classes of custom code."""
GGUF = ".gguf"
"""Suffix of weights for llama.cpp."""
VOLATILE = ("_name_or_path", "transformers_version", "torch_dtype", "dtype")
"""Keys of configs about who saved them and in which dtype; two seeds may differ in them."""
_NO_MEMORY = re.compile(r"OutOfMemory|can.t allocate memory")
"""How torch reports that memory is exhausted."""
_CONVERTED = (".model", ".spm")
"""Suffixes of tokenizers that Transformers converts with another package."""
_CONVERTERS = ("sentencepiece", "tiktoken")
_RANK = re.compile(rb"[A-Za-z0-9+/]+=* \d+\s*")
_LINE = 4096


_ALLOW = "if you trust it, allow it at a commit by `code` in mixhub.yaml; or mixhub.load(..., trust_remote_code=True)"


class UnsupportedModelError(ExportError):
    """A model that may be sound, but that Transformers cannot open on this machine as a causal language model."""

    code = "model-unsupported"


def read_config(folder: Path) -> PreTrainedConfig:
    """Return the config that Transformers makes of `config.json`.

    Raises:
        UnsupportedModelError: it describes a model that needs custom code, another version or a missing package.
        ExportError: Transformers cannot make a model of it.
    """
    from transformers import AutoConfig

    try:
        with silence():
            config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # each config class raises its own for values that contradict each other
        raise why_unsupported(error, folder) or config_unusable(folder, error) from None
    return config


def config_unusable(folder: Path, error: Exception) -> ExportError:
    """Return the error for a `config.json` that Transformers cannot use."""
    message = f"{CONFIG} does not describe a model for Transformers: {reason(error, folder)}"
    hint = f"take {CONFIG} from where the model was trained"
    return ExportError(message, code="config-unusable", hint=hint, path=folder / CONFIG)


def why_unsupported(error: BaseException, folder: Path) -> UnsupportedModelError | None:
    """Return why a model that may be sound could not be opened; None if the error is the fault of its files."""
    need = unmet_need(error, folder)
    method = _quantisation(folder)
    if need is not None and need.code == "package-missing" and method is not None:
        message = f"its weights are quantised ({method}), and it {need.message}"
        return UnsupportedModelError(message, code=need.code, hint=need.hint, **need.fields)
    return need or _unknown_kind(folder) or _quantised(error, folder)


def unmet_need(error: BaseException, folder: Path | None = None) -> UnsupportedModelError | None:
    """Return the error for what this machine lacks: a package or memory; None if the fault is elsewhere.

    Libraries often raise another error when an import fails; the causes of an error count, too. Of a tokenizer that
    needs conversion, the format of its file in `folder` counts first: Transformers tries one package after another,
    and reports the last.
    """
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    needed = _tokenizer_packages(folder) if folder is not None and any(map(_is_of_tokenizer, chain)) else {}
    if missing := [package for package, module in needed.items() if not _is_installed(module)]:
        names = " and ".join(missing)
        message = f"its tokenizer needs {names}, not installed here"
        return UnsupportedModelError(
            message, code="package-missing", hint=f"install {names}", module=needed[missing[0]]
        )
    if needed:  # and installed, so the file is damaged if another package was tried
        others = {*_CONVERTERS} - {*needed}
        chain = [one for one in chain if str(getattr(one, "name", "")).split(".")[0] not in others]
    for one in reversed(chain):
        if isinstance(one, ImportError):
            module = one.name if isinstance(one, ModuleNotFoundError) else None
            message = f"needs a package that is not installed here: {reason(one)}"
            hint = f"install {module}" if module else "install or update the package that the message names"
            return UnsupportedModelError(message, code="package-missing", hint=hint, module=module)
    if any(isinstance(one, MemoryError) or _NO_MEMORY.search(f"{type(one).__name__}: {one}") for one in chain):
        hint = "use a machine with more memory"
        return UnsupportedModelError("needs more memory than there is here", code="memory-exceeded", hint=hint)
    return None


def _tokenizer_packages(folder: Path) -> dict[str, str]:
    """Return the packages that convert a tokenizer without `tokenizer.json`, with their modules; empty for none.

    tiktoken's files have a token in base64 and its rank on each line; other `.model` files are those of sentencepiece.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in _CONVERTED and path.is_file())
    if not files or (folder / "tokenizer.json").is_file():
        return {}
    with files[0].open("rb") as file:
        is_tiktoken = _RANK.fullmatch(file.readline(_LINE)) is not None
    return (
        {"tiktoken": "tiktoken"} if is_tiktoken else {"sentencepiece": "sentencepiece", "protobuf": "google.protobuf"}
    )


def _is_of_tokenizer(error: BaseException) -> bool:
    """Whether an error arose while a tokenizer was opened, and not since its code may not run."""
    modules = (str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__))
    is_inside = any(name.startswith("transformers.") and "tokenization" in name for name in modules)
    return is_inside and "trust_remote_code" not in str(error)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # of the package around it
        return False


def require_causal(folder: Path) -> None:
    """Raise UnsupportedModelError for a model of another kind than a causal language model, by Transformers' lists.

    Nothing without a usable config.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = read_config(folder)
    except UnsupportedModelError:
        raise
    except ExportError:
        return
    stated = getattr(config, "architectures", None) or ()
    other = next((name for name in stated if isinstance(name, str) and _is_of_another_kind(name)), None)
    if other is None and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return
    name = other or next(iter(stated), None) or f"a model of type {config.model_type}"
    message = f"{CONFIG} describes {name}, which is not a causal language model that mixhub can check"
    raise UnsupportedModelError(message, hint="check it with the class of Transformers that is made for it")


def require_model(folder: Path) -> None:
    """Raise UnsupportedModelError, by what a folder holds, for anything but a causal language model in plain numbers.

    Nothing if the folder holds no sign of a model.
    """
    files = sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    gguf = [name for name in files if name.endswith(GGUF)]
    weights = [name for name in files if name.endswith((".safetensors", GGUF)) or name.startswith("pytorch_model")]
    if ADAPTER_CONFIG in files and (CONFIG not in files or all(name.startswith("adapter_") for name in weights)):
        message = f"{folder}: holds an adapter ({ADAPTER_CONFIG}), not a causal language model that mixhub can check"
        hint = "apply it to its base model with peft: merge_and_unload(), then save_pretrained(DIR)"
        raise UnsupportedModelError(message, code="model-adapter", hint=hint, path=folder)
    if gguf and not any(name.endswith(".safetensors") for name in files):
        message = f"{folder}: holds {listed(gguf, most=3)}, not a causal language model that mixhub can check"
        raise UnsupportedModelError(message, hint="take the model that it was converted from", path=folder)
    if CONFIG not in files or plain_config((folder / CONFIG).read_bytes()) is not None:
        return
    if (method := _quantisation(folder)) is not None:
        message = f"{folder}: its weights are quantised ({method}), so it is not a model that mixhub can check"
        hint = "take the model that was quantised, with plain weights"
        raise UnsupportedModelError(message, hint=hint, path=folder)
    try:
        require_causal(folder)
    except UnsupportedModelError as error:
        message = f"{folder}: {error.message}"
        raise UnsupportedModelError(message, code=error.code, hint=error.hint, **error.fields) from None


@lru_cache
def _is_of_another_kind(architecture: str) -> bool:
    """Whether Transformers lists a class, but not as a causal language model."""
    from transformers.models.auto import modeling_auto

    kinds = {
        kind
        for kind, classes in vars(modeling_auto).items()
        if kind.endswith("_MAPPING_NAMES")
        and any(architecture in ([name] if isinstance(name, str) else name) for name in classes.values())
    }
    return bool(kinds) and "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES" not in kinds


def names_code(folder: Path) -> bool:
    """Whether a config needs custom code: it names some, and Transformers does not know the type."""
    from transformers import CONFIG_MAPPING

    data = _content(folder)
    return bool(data.get("auto_map")) and data.get("model_type") not in CONFIG_MAPPING


def _unknown_kind(folder: Path) -> UnsupportedModelError | None:
    """Return the error for a `config.json` of a model that Transformers does not know; None if it knows it."""
    from transformers import CONFIG_MAPPING, __version__

    data = _content(folder)
    kind = data.get("model_type")
    if not isinstance(kind, str) or kind in CONFIG_MAPPING:
        return None
    if data.get("auto_map"):
        message = f"model_type = {kind!r} in {CONFIG} needs the code in its repo, which mixhub does not run unasked"
        return UnsupportedModelError(message, hint=_ALLOW)
    written = data.get("transformers_version")
    source = f"; it was written by Transformers {written}" if written else ""
    message = f"model_type = {kind!r} in {CONFIG} is unknown to Transformers {__version__}{source}"
    return UnsupportedModelError(message, hint="it needs a newer Transformers, or custom code: ask the publisher")


def _quantisation(folder: Path) -> str | None:
    """Return the method by which weights are quantised; None for plain ones."""
    stated = _content(folder).get("quantization_config")
    return str(stated.get("quant_method")) if isinstance(stated, Mapping) else None


def _quantised(error: BaseException, folder: Path) -> UnsupportedModelError | None:
    """Return the error for quantised weights, many of which need a GPU or a package; None for plain ones."""
    if (method := _quantisation(folder)) is None:
        return None
    message = f"its weights are quantised ({method}), and cannot be opened here"
    return UnsupportedModelError(f"{message}: {reason(error, folder)}", hint="check it on a machine that can run it")


def _content(folder: Path) -> Mapping[str, Any]:
    """Return the JSON object in `config.json`; empty if there is none."""
    try:
        data = read_json(folder / CONFIG, ExportError)
    except MixhubError:
        return {}
    return data if isinstance(data, Mapping) else {}


def reason(error: BaseException, folder: Path | None = None) -> str:
    """Return the type of an error and its message up to the first line that is a sentence, without `folder`'s path."""
    text, *more = str(error).strip().splitlines() or [""]
    if text.rstrip().endswith(":") and more:
        text = f"{text.rstrip()} {more[0].strip()}"
    if folder is not None and len(folder.parts) > 1:  # a single name, such as `model`, may be any word of the message
        text = text.replace(f"{folder}/", "").replace(str(folder), "the model")
    return f"{type(error).__name__}: {text}"


def known_config(folder: Path) -> dict[str, Any]:
    """Return the config of a model: the keys of `config.json`, and the defaults of Transformers for the rest.

    Plain data without keys that are None. Transformers reads some keys from several places (`rope_scaling` goes before
    `rope_parameters`), so the file alone is not enough. Empty without a usable config, which `shape_findings` reports.
    Of a usual Llama without the keys that every config has.
    """
    path = folder / CONFIG
    if not path.is_file():
        return {}
    return plain_config(path.read_bytes()) or _whole_config(folder)


def _whole_config(folder: Path) -> dict[str, Any]:
    """As `known_config`, with all keys, by Transformers."""
    content = (folder / CONFIG).read_bytes()
    if content not in _WHOLE:
        try:
            _WHOLE[content] = read_config(folder)
        except MixhubError:
            _WHOLE[content] = None
    config = _WHOLE[content]
    return {} if config is None else plain_data(config)


def plain_data(config: PreTrainedConfig) -> dict[str, Any]:
    """Return a config as plain data, without keys that are None."""

    def with_values(data: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in data.items() if value is not None}

    text = json.dumps(config.to_dict(), default=str)
    data: dict[str, Any] = json.loads(text, parse_constant=str, object_hook=with_values)
    return data


_WHOLE: dict[bytes, PreTrainedConfig | None] = {}
"""Configs by the content of the file: the revisions of a family share one."""


def comparable_config(folder: Path, name: str) -> str | None:
    """Return JSON that is equal for two configs that mean the same; None unless the file holds a JSON object.

    `config.json` is compared by what Transformers makes of it, other configs by their content.
    """
    data: Any = _whole_config(folder) if name == CONFIG and (folder / name).is_file() else {}
    if not data:
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:
            return None
    if not isinstance(data, Mapping):
        return None
    return json.dumps({key: value for key, value in data.items() if key not in VOLATILE}, sort_keys=True, default=str)


RUNNING: set[str] = set()
"""Types of models whose code is running, since mixhub.yaml allows it."""


@contextmanager
def running_code(model_type: str) -> Iterator[None]:
    """Take the code of a type of models for allowed, for a block; what was found with it is forgotten after."""
    RUNNING.add(model_type)
    _WHOLE.clear()
    try:
        yield
    finally:
        RUNNING.discard(model_type)
        _WHOLE.clear()


def code_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Configs that name custom code, which would run when the model is loaded, and that was not allowed."""
    for name in (CONFIG, "tokenizer_config.json"):
        try:
            data = read_json(folder / name, ExportError)
        except MixhubError:  # other rules report it
            continue
        if isinstance(data, Mapping) and (code := data.get("auto_map")) and data.get("model_type") not in RUNNING:
            message = f"auto_map in {name} names code that would run when the model is loaded: {json.dumps(code)[:120]}"
            is_known = name != CONFIG or _unknown_kind(folder) is None
            hint = f"delete auto_map from {name} if Transformers has the classes itself" if is_known else ""
            yield Finding("code-required", where, message, hint, about=name)


@contextmanager
def silence() -> Iterator[None]:
    """Hide what Transformers prints while it opens a model, for the block."""
    from logging import CRITICAL

    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
