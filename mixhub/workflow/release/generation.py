"""Text that a revision of a family writes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from mixhub.endpoint import checked_hub
from mixhub.errors import UsageError
from mixhub.spec import Family
from mixhub.workflow.inputs import RunName, WorkspaceLike, workspace_if_given

if TYPE_CHECKING:
    from mixhub.workspace.paths import Workspace

_COLDEST = 0.001
"""The lowest temperature above 0: below, logits over it are no numbers any more."""


@dataclass(frozen=True)
class Sampling:
    """How text is drawn."""

    tokens: int = 64
    """New tokens at most."""
    temperature: float = 0.0
    """0 takes the likeliest token each time; above, one is drawn."""
    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True)
class Generated:
    """What a model wrote."""

    text: str
    """The prompt and what the model added to it."""
    source: str
    """The export, or repo, revision and commit."""
    withdrawn: tuple[str, ...] = ()
    """Why the weights of an export were withdrawn, a sentence each; what a hub says of its own is a warning."""


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
    """Text that a revision writes: from the export in the workspace where there is one, else from the hub.

        mixhub.generate("my-work", "Once upon a time", seed=1).text
        mixhub.generate(None, "The Pile is", family="human-1b", seed=4).text

    Args:
        workspace: where exports lie; None: what is published.
        prompt: what the model goes on from.
        step: an earlier step; None: the last.
        revision: a branch, tag or commit by its name, on the hub, instead of a run.
        hub: `local` or an address: it is loaded from there, even if there is an export.
        sampling: how many tokens, and how they are drawn.
        **run_name: seed or index; family: a family or a repo_id; None: the workspace's.

    Raises:
        UsageError: neither a workspace nor a family is given, the prompt is empty or too long, or an option is out of
            range.
        UnknownNameError: there is no such family, seed or index.
        HubError, ExportError: as for `mixhub.load`.

    Warns:
        UserWarning: as `mixhub.load` does.
    """
    workspace = workspace_if_given(workspace)
    if 0 < sampling.temperature < _COLDEST or not math.isfinite(sampling.temperature):
        raise UsageError(
            f"--temperature {sampling.temperature}: must be 0, or a number from {_COLDEST} on",
            code="option-value",
            option="--temperature",
            value=sampling.temperature,
        )
    if hub is not None:
        checked_hub(hub, "--hub")
    family = run_name.get("family")
    if family is None and workspace is None:
        raise UsageError(
            "which family?",
            code="option-missing",
            hint='name one, or a repo: mixhub generate --family human-1b --seed 4 "..."',
            option="--family",
        )
    name = family.name if isinstance(family, Family) else family or workspace.config.family  # type: ignore[union-attr]
    options: dict[str, Any] = {"seed": run_name.get("seed"), "index": run_name.get("index"), "step": step}
    if workspace is not None and hub is None and revision is None and (export := _export(workspace, name, **options)):
        return _from_export(workspace, name, export, prompt, sampling)
    from mixhub.hub.remote.load import load

    loaded = load(name, hub=hub, workspace=workspace.root if workspace else None, revision=revision, **options)
    text = _written(loaded.model, loaded.tokenizer, prompt, sampling)
    return Generated(text, f"{loaded.repo_id}@{loaded.revision} = {loaded.commit}")


def _export(workspace: Workspace, name: str, *, seed: int | None, index: int | None, step: int | None) -> Path | None:
    """The export of the run that is named, if the workspace knows the family and has one."""
    from mixhub.hub.remote.load import family_of

    family, _ = family_of(name, workspace)
    if family is None:
        return None
    run = family.run(seed=seed, index=index)
    step = family.training.steps if step is None else step
    folder = workspace.run_folder(run)
    return folder.export(step) if step in folder.export_steps() else None


def _from_export(workspace: Workspace, name: str, export: Path, prompt: str, sampling: Sampling) -> Generated:
    from mixhub.hub.remote.load import open_folder

    model, tokenizer = open_folder(export, str(export))
    text = _written(model, tokenizer, prompt, sampling)
    return Generated(text, str(export), tuple(_withdrawals(workspace, name, export)))


def _withdrawals(workspace: Workspace, name: str, export: Path) -> Iterator[str]:
    from mixhub.card.facts.withdrawal import withdrawals
    from mixhub.hub.remote.load import family_of
    from mixhub.workspace.lineage import read_lineage

    family, _ = family_of(name, workspace)
    assert family is not None
    weights = read_lineage(export).weights_sha256
    yield from (one.sentence() for one in withdrawals(workspace, family) if one.weights_sha256 == weights)


def _written(model: Any, tokenizer: Any, text: str, sampling: Sampling) -> str:
    """The prompt and what the model adds to it."""
    import torch

    ids = tokenizer(text, return_tensors="pt").input_ids  # (1, T)
    if not ids.shape[1]:
        if tokenizer.bos_token_id is None:
            raise UsageError(
                "the prompt is empty",
                code="prompt-empty",
                hint='give some words: mixhub generate --seed 4 "The "',
            )
        ids = torch.tensor([[tokenizer.bos_token_id]])
    room = model.config.max_position_embeddings - ids.shape[1]
    if room < 1:
        raise UsageError(
            f"the prompt has {ids.shape[1]} tokens, and the model sees {model.config.max_position_embeddings}",
            code="prompt-too-long",
            hint="shorten it",
            tokens=ids.shape[1],
        )
    drawn: dict[str, Any] = {"do_sample": False}
    if sampling.temperature > 0:
        drawn = {"do_sample": True, "temperature": sampling.temperature}
    with torch.random.fork_rng(devices=[]), torch.inference_mode():  # the caller's own draws go on as before
        torch.default_generator.manual_seed(sampling.seed)
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=min(sampling.tokens, room), **drawn
        )  # (1, T + new)
    return str(tokenizer.decode(written[0], skip_special_tokens=True))
