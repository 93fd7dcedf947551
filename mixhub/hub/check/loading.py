"""Whether a model loads with Transformers and generates text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import UnsupportedModelError, reason, require_causal, why_unsupported

if TYPE_CHECKING:
    import torch

_NEW_TOKENS = 8
LOADING_HINT = "load it in Python to see more: AutoModelForCausalLM.from_pretrained(...)"


def loading_findings(where: str, folder: Path) -> Iterator[Finding]:
    """A folder that Transformers cannot load, or a model that does not generate a few tokens."""
    import torch

    from mixhub.hub.load.opening import open_folder

    try:
        require_causal(folder)
        model, tokenizer = open_folder(folder, where)
        ids = tokenizer("The", return_tensors="pt").input_ids  # (1, T)
        with torch.inference_mode():
            is_finite = bool(torch.isfinite(model(input_ids=ids).logits).all())
            options = {"max_new_tokens": _NEW_TOKENS, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
            output: torch.Tensor = cast("Any", model).generate(ids, **options)  # (1, T + new)
    except Exception as error:  # anything that the model's own code raises
        yield _failure(error, where, folder)
        return
    if not is_finite:
        yield Finding("load-failed", where, "gives logits that are NaN or infinite", "do not publish it")
    elif (count := output.shape[1] - ids.shape[1]) != _NEW_TOKENS:
        yield Finding("load-failed", where, f"generated {count} tokens instead of {_NEW_TOKENS}", LOADING_HINT)


def _failure(error: Exception, where: str, folder: Path) -> Finding:
    """Return the finding for a model that did not load or generate: `unchecked` if its files may be sound."""
    unsupported = error if isinstance(error, UnsupportedModelError) else why_unsupported(error, folder)
    if unsupported is not None:
        message = unsupported.message.removeprefix(f"{where}: ")
        return replace(from_error(unsupported, where), message=message, level="unchecked")
    if isinstance(error, MixhubError):
        return Finding("load-failed", where, error.message.removeprefix(f"{where}: "), error.hint or LOADING_HINT)
    return Finding("load-failed", where, f"cannot generate text: {reason(error, folder)}", LOADING_HINT)
