"""Opening a model in Transformers format, and why one cannot be opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ExportError
from mixhub.files import read_json
from mixhub.hub.remote.model_files import WRONGLY_PUBLISHED
from mixhub.hub.rules.config import CONFIG, UnsupportedModelError, reason, require_causal, unmet_need, why_unsupported
from mixhub.hub.rules.tokenizer import is_fault_of_files
from mixhub.hub.rules.weights import read_tensors
from mixhub.phrases import listed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TRUST = "if you trust it, run its code: mixhub.load(..., trust_remote_code=True)"
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


def open_folder(path: Path, where: str, **model_options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return model and tokenizer of a folder in Transformers format.

    Raises:
        UnsupportedModelError: it may be sound, but needs what is not here: a package, memory, custom code, or another
            class of Transformers.
        ExportError: it lacks a model or a tokenizer, or its weights are not exactly those of its config: Transformers
            alone would initialise what is missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not (path / CONFIG).is_file():
        hint = "pass a folder in Transformers format"
        raise ExportError(f"{where}: holds no model (no config.json)", code="model-missing", hint=hint, path=path)
    options = {"trust_remote_code": False, **model_options}  # unset, Transformers prompts, and runs it
    if not options["trust_remote_code"] and (other := _other_kind(path, where)) is not None:
        raise other
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=options["trust_remote_code"])
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, **options)
    except BaseException as error:  # each class of configs, tokenizers and models raises its own
        if not is_fault_of_files(error):
            raise
        if isinstance(error, TypeError) and (name := _UNEXPECTED.search(str(error))) and name[1] in model_options:
            raise TypeError(f"load() got an unexpected keyword argument {name[1]!r}: Transformers: {error}") from error
        raise unloadable(error, path, where, model_options) from error
    model, report = loaded
    keys = {
        kind: sorted(map(str, report.get(f"{kind}_keys") or ())) for kind in ("missing", "unexpected", "mismatched")
    }
    if wrong := {kind: names for kind, names in keys.items() if names}:
        problems = "; ".join(f"{kind}: {', '.join(names[:3])} ({len(names)})" for kind, names in wrong.items())
        message = f"{where}: its weights do not fit its config.json: {problems}"
        raise ExportError(message, code="weights-unfit", hint=WRONGLY_PUBLISHED, path=path, **wrong)
    return model, tokenizer


def unloadable(error: BaseException, path: Path, where: str, options: Mapping[str, Any]) -> ExportError:
    """Return the error for a model that a library could not open, by what is to be done about it.

    Args:
        error: what the library raised.
        path: the folder of the model.
        where: the model, for the message.
        options: those that were passed to Transformers.
    """
    is_trusted = bool(options.get("trust_remote_code"))
    unsupported = unmet_need(error, path) if is_trusted else why_unsupported(error, path)
    if unsupported is not None:
        return _named(unsupported, where)
    if not is_trusted and (other := _other_kind(path, where)) is not None:
        return other
    if "trust_remote_code" in str(error):
        message, hint = f"{where}: needs the code in its repo, which mixhub does not run unasked", _TRUST
        return UnsupportedModelError(message, code="code-required", hint=hint, path=path)
    damage = _damage(path)
    hint = "the files are damaged: report it to the publisher, or load another revision"
    if damage is None:
        used = f", or without {listed(list(options))}" if options else ""
        hint = f"try another version of Transformers{used}, or ask the publisher how it is loaded"
    message = f"{where}: cannot be opened: {damage or reason(error, path)}"
    return ExportError(message, code="model-unloadable", hint=hint, path=path, damaged=damage is not None)


def _other_kind(path: Path, where: str) -> UnsupportedModelError | None:
    """Return the error for a model of another kind than a causal language model; None for those."""
    try:
        require_causal(path)
    except UnsupportedModelError as error:
        return _named(error, where)
    return None


def _named(error: UnsupportedModelError, where: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{where}: {error.message}", code=error.code, hint=error.hint, **error.fields)


def _damage(path: Path) -> str | None:
    """Return what is wrong with the first file of a model that is not JSON or safetensors, as its name says."""
    try:
        for file in sorted(path.glob("*.json")):
            if not isinstance(read_json(file, ExportError), Mapping) and file.name.endswith("config.json"):
                return f"{file.name}: must be a JSON object"
        for file in sorted(path.glob("*.safetensors")):
            read_tensors(file)
    except (ExportError, OSError) as error:
        return str(error).replace(f"{path}/", "")
    return None
