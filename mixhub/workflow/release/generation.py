"""Text that a revision of a family generates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from mixhub.endpoint import checked_hub
from mixhub.errors import ExportError, MixhubError, UsageError
from mixhub.spec import Family, Run
from mixhub.workflow.inputs import RunName, WorkspaceLike, workspace_if_given
from mixhub.workspace.paths import Workspace

_COLDEST = 0.001
"""Lowest temperature above 0: below it, logits divided by it overflow."""


@dataclass(frozen=True)
class Sampling:
    """Sampling options."""

    tokens: int = 64
    """Maximum number of new tokens."""
    temperature: float = 0.0
    """0 takes the most likely token each time; higher values sample."""
    seed: int = 0
    """Seed for sampling."""


@dataclass(frozen=True)
class Generated:
    """Text that a model generated."""

    text: str
    """The prompt and the new text."""
    source: str
    """The export, or repo, revision and commit."""
    withdrawn: tuple[str, ...] = ()
    """Why the weights of an export were withdrawn, a sentence each; for a hub it is a warning."""


def generate(
    workspace: WorkspaceLike | None,
    prompt: str,
    *,
    step: int | None = None,
    revision: str | None = None,
    hub: str | None = None,
    sampling: Sampling = Sampling(),
    **run_name: Unpack[RunName],
) -> Generated:
    """Generate text with a revision: from the export in the workspace if there is one, otherwise from the hub.

        mixhub.generate("my-work", "Once upon a time", seed=1).text
        mixhub.generate(None, "The Pile is", family="human-1b", seed=4).text

    Args:
        workspace: holds exports; None: only published revisions.
        prompt: the text to continue.
        step: an earlier step; None: the last.
        revision: the name of a branch, tag or commit on the hub, instead of a run.
        hub: `local` or an address: load from there, even if there is an export.
        sampling: number of tokens, and how they are sampled.
        **run_name: seed or index; family: a family or a repo_id; None: the workspace's.

    Raises:
        UsageError: neither a workspace nor a family is given, the prompt is empty or too long, or an option is out of
            range.
        UnknownNameError: there is no such family, seed or index.
        HubError, ExportError: as for `mixhub.load`.

    Warns:
        UserWarning: as `mixhub.load` does.
    """
    from mixhub.hub.load.load import load
    from mixhub.hub.load.names import family_of
    from mixhub.hub.remote.custom_code import allowed_code

    workspace = workspace_if_given(workspace)
    _require_usable(sampling.temperature)
    if hub is not None:
        checked_hub(hub, "--hub")
    family = run_name.get("family") or (workspace.config.family if workspace else None)
    if family is None:
        hint = 'pass a family or a repo: mixhub generate --family human-1b --seed 4 "..."'
        raise UsageError("no family given", code="option-missing", hint=hint, option="--family")
    name = family.name if isinstance(family, Family) else family
    seed, index = run_name.get("seed"), run_name.get("index")
    spec = family_of(name, workspace)[0] if workspace and hub is None and revision is None else None
    if workspace is not None and spec is not None:
        run = spec.run(seed=seed, index=index)
        folder = workspace.run_folder(run)
        wanted = spec.training.steps if step is None else step
        if wanted in folder.export_steps():
            with allowed_code(workspace, spec), _checking_proposed(run):
                return _generate_from_export(workspace, spec, folder.export(wanted), prompt, sampling)
    root = workspace.root if workspace else None
    loaded = load(name, hub=hub, workspace=root, revision=revision, seed=seed, index=index, step=step)
    source = f"{loaded.repo_id}@{loaded.revision} = {loaded.commit}"
    return Generated(_generate(loaded.model, loaded.tokenizer, loaded.path, source, prompt, sampling), source)


def _require_usable(temperature: float) -> None:
    if 0 < temperature < _COLDEST or not math.isfinite(temperature):
        message = f"--temperature {temperature}: must be 0, or at least {_COLDEST}"
        raise UsageError(message, code="option-value", option="--temperature", value=temperature)


@contextmanager
def _checking_proposed(run: Run) -> Iterator[None]:
    """For a run's own export, which nobody else published, propose to check it if it cannot be opened."""
    try:
        yield
    except ExportError as error:
        if error.code != "model-unloadable":
            raise
        hint = f"see what is wrong: mixhub check --{run.kind} {run.label}"
        raise ExportError(error.message, code=error.code, hint=hint, **error.fields) from error


def _generate_from_export(
    workspace: Workspace, family: Family, export: Path, prompt: str, sampling: Sampling
) -> Generated:
    from mixhub.card.facts.withdrawal import withdrawals
    from mixhub.hub.load.opening import open_folder
    from mixhub.workspace.lineage import read_lineage

    text = _generate(*open_folder(export, str(export)), export, str(export), prompt, sampling)
    weights = read_lineage(export).weights_sha256
    marks = [one for one in withdrawals(workspace, family) if one.weights_sha256 == weights]
    return Generated(text, str(export), tuple(one.sentence() for one in marks))


def _generate(model: Any, tokenizer: Any, folder: Path, source: str, prompt: str, sampling: Sampling) -> str:
    """As `_generate_text`; raises ExportError if the model is of another kind, or its code or tokenizer fails."""
    from mixhub.hub.rules.config import UnsupportedModelError, reason, require_causal, unmet_need

    try:
        require_causal(folder)
        return _generate_text(model, tokenizer, prompt, sampling)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{source}: {error.message}", code=error.code, hint=error.hint) from None
    except MixhubError:
        raise
    except Exception as error:  # each class of models and tokenizers raises its own
        need = unmet_need(error)
        message = f"{source}: cannot generate text: {need.message if need else reason(error, folder)}"
        hint = need.hint if need else "check that Transformers generates text with this model"
        raise ExportError(message, code=need.code if need else "generation-failed", hint=hint, path=folder) from error


def _generate_text(model: Any, tokenizer: Any, text: str, sampling: Sampling) -> str:
    """Return the prompt and the new text."""
    import torch

    ids = tokenizer(text, return_tensors="pt").input_ids  # (1, T)
    if not ids.shape[1]:
        if tokenizer.bos_token_id is None:
            hint = 'pass a prompt: mixhub generate --seed 4 "The "'
            raise UsageError("the prompt is empty", code="prompt-empty", hint=hint)
        ids = torch.tensor([[tokenizer.bos_token_id]])
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = context if isinstance(context, int) and context > 0 else ids.shape[1] + sampling.tokens
    if ids.shape[1] >= limit:
        message = f"the prompt has {ids.shape[1]} tokens, but the model's context is {limit}"
        raise UsageError(message, code="prompt-too-long", hint="shorten the prompt")
    options: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        options = {"do_sample": True, "temperature": sampling.temperature}
    options["max_new_tokens"] = min(sampling.tokens, limit - ids.shape[1])
    with torch.random.fork_rng(devices=[]), torch.inference_mode():  # leaves the caller's random state alone
        torch.default_generator.manual_seed(sampling.seed)
        output = model.generate(ids, attention_mask=torch.ones_like(ids), **options)  # (1, T + new)
    return str(tokenizer.decode(output[0], skip_special_tokens=True))
