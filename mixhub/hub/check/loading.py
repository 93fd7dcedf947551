"""Whether a model can be loaded with Transformers, and writes text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mixhub.errors import MixhubError
from mixhub.findings import Finding

if TYPE_CHECKING:
    import torch

_PROMPT = "The"
_NEW_TOKENS = 8
LOADING_HINT = "load it in Python to see more: AutoModelForCausalLM.from_pretrained(...)"


def loading_findings(where: str, folder: Path) -> Iterator[Finding]:
    """Loads a folder with Transformers and lets the model write a few tokens."""
    import torch

    from mixhub.hub.remote.load import open_folder

    try:
        model, tokenizer = open_folder(folder, where)
        ids = tokenizer(_PROMPT, return_tensors="pt").input_ids  # (1, T)
        with torch.inference_mode():
            finite = bool(torch.isfinite(model(input_ids=ids).logits).all())
            options = {"max_new_tokens": _NEW_TOKENS, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
            written: torch.Tensor = cast("Any", model).generate(ids, **options)  # (1, T + new)
    except MixhubError as error:
        yield Finding("load-failed", where, error.message, error.hint or LOADING_HINT)
    except Exception as error:  # whatever the model's own code raises
        said = (str(error).strip().splitlines() or [""])[0]
        yield Finding("load-failed", where, f"cannot write text: {type(error).__name__}: {said}", LOADING_HINT)
    else:
        yield from _output_findings(where, finite, written.shape[1] - ids.shape[1])


def _output_findings(where: str, finite: bool, written: int) -> Iterator[Finding]:
    if not finite:
        yield Finding("load-failed", where, "gives logits that are NaN or infinite", "do not publish it")
    elif written != _NEW_TOKENS:
        yield Finding("load-failed", where, f"wrote {written} tokens of {_NEW_TOKENS}", LOADING_HINT)
