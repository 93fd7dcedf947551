"""`mixhub generate`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import HubOption, IndexOption, SeedOption, StepOption, WorkspaceOption, workspace_if_any

if TYPE_CHECKING:
    from mixhub.spec.family import Family
    from mixhub.workspace.paths import Workspace


_COLDEST = 0.001
"""The lowest temperature above 0: below, logits over it are no numbers any more."""


def generate(
    prompt: Annotated[str, typer.Argument(help="What the model goes on from; `-` reads it from standard input.")],
    seed: SeedOption = None,
    index: IndexOption = None,
    step: StepOption = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="A family, or a repo_id of anybody; else the workspace's.", metavar="NAME"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit by its name.", metavar="NAME")] = None,
    tokens: Annotated[int, typer.Option(help="New tokens at most.", min=1, metavar="N")] = 64,
    temperature: Annotated[
        float, typer.Option(help="0 takes the likeliest token each time; above, one is drawn.", min=0.0, metavar="T")
    ] = 0.0,
    draw_seed: Annotated[int, typer.Option(help="Seed of the draws.", min=0, max=2**63 - 1, metavar="N")] = 0,
    hub: HubOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Print text that a revision writes: from the export in the workspace where there is one, else from the hub."""
    import sys

    from mixhub.cli.common.console import hide_client_bars
    from mixhub.endpoint import checked_hub
    from mixhub.errors import UsageError

    hide_client_bars()
    place = workspace_if_any(workspace)
    text = prompt if prompt != "-" else sys.stdin.buffer.read().decode("utf-8", errors="replace")
    if 0 < temperature < _COLDEST or not math.isfinite(temperature):
        raise UsageError(f"--temperature {temperature}: must be 0, or a number from {_COLDEST} on")
    if hub is not None:
        checked_hub(hub, "--hub")
    if family is None and place is None:
        raise UsageError("which family?", hint='name one, or a repo: mixhub generate --family human-1b --seed 4 "..."')
    name = family or place.config.family  # type: ignore[union-attr]
    options: dict[str, Any] = {"seed": seed, "index": index, "step": step, "revision": revision}
    model, tokenizer, source = _opened(place, name, options, hub)
    print(f"{source}:", file=sys.stderr)
    print(_written(model, tokenizer, text, tokens, temperature, draw_seed))


def _opened(place: Workspace | None, name: str, options: dict[str, Any], hub: str | None) -> tuple[Any, Any, str]:
    """Model, tokenizer, and where they are from."""
    import sys

    from mixhub.card.facts.withdrawal import withdrawals
    from mixhub.hub.remote.load import family_of, load, open_folder
    from mixhub.workspace.lineage import read_lineage

    family, _ = family_of(name, place)
    if place is not None and family is not None and hub is None and options["revision"] is None:
        export = _export(place, family, options)
        if export is not None:
            model, tokenizer = open_folder(export, str(export))
            weights = read_lineage(export).weights_sha256
            for one in withdrawals(place, family):
                if one.weights_sha256 == weights:
                    print(f"warning: {one.sentence()}", file=sys.stderr)
            return model, tokenizer, str(export)
    loaded = load(name, hub=hub, workspace=place.root if place else None, **options)
    return loaded.model, loaded.tokenizer, f"{loaded.repo_id}@{loaded.revision} = {loaded.commit}"


def _export(place: Workspace, family: Family, options: dict[str, Any]) -> Path | None:
    run = family.run(seed=options["seed"], index=options["index"])
    step = family.training.steps if options["step"] is None else options["step"]
    folder = place.run_folder(run)
    return folder.export(step) if step in folder.export_steps() else None


def _written(model: Any, tokenizer: Any, text: str, tokens: int, temperature: float, seed: int) -> str:
    """The prompt and what the model adds to it."""
    import torch

    from mixhub.errors import UsageError

    ids = tokenizer(text, return_tensors="pt").input_ids  # (1, T)
    if not ids.shape[1]:
        if tokenizer.bos_token_id is None:
            raise UsageError("the prompt is empty", hint='give some words: mixhub generate --seed 4 "The "')
        ids = torch.tensor([[tokenizer.bos_token_id]])
    room = model.config.max_position_embeddings - ids.shape[1]
    if room < 1:
        raise UsageError(
            f"the prompt has {ids.shape[1]} tokens, and the model sees {model.config.max_position_embeddings}",
            hint="shorten it",
        )
    drawn = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
    torch.manual_seed(seed)
    with torch.inference_mode():
        written = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=min(tokens, room), **drawn
        )  # (1, T + new)
    return str(tokenizer.decode(written[0], skip_special_tokens=True))
