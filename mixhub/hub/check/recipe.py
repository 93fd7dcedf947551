"""A run beside its family: what it was trained with, and the model and tokenizer that came of it."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.check.subject import RunUnderCheck
from mixhub.hub.rules.family import architecture_findings, tokenizer_findings
from mixhub.workspace.recipe_diff import recipe_changes

_SHOWN = 5
"""Keys of a recipe that are reported."""


def recipe_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """It was trained with the recipe that the family has now."""
    path = run.export / "train_config.yaml"
    if not path.is_file():
        return
    try:
        changed = recipe_changes(run.family, run.run, path)
    except MixhubError as error:
        yield from_error(error, run.where, code="train-config-malformed")
        return
    hint = f"restore the family, or train {run.run.revision} anew: mixhub train --{run.run.kind} {run.run.number}"
    for key, line in list(changed.items())[:_SHOWN]:
        yield Finding("recipe-differs", run.where, line.removeprefix(f"{run.export}/"), hint, about=key)
    if len(changed) > _SHOWN:
        message = f"and {len(changed) - _SHOWN} more keys of train_config.yaml differ"
        yield Finding("recipe-differs", run.where, message, hint)


def model_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """Model and tokenizer are as the family describes them."""
    content = run.content
    yield from architecture_findings(run.where, run.family.architecture, content.config)
    yield from tokenizer_findings(run.where, run.family.tokenizer, content.vocab_size, content.eos_token)
