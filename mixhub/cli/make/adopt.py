"""`mixhub adopt`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, open_workspace


def adopt(
    folder: Annotated[Path, typer.Argument(help="A model in Transformers format: config, safetensors, tokenizer.")],
    seed: SeedOption = None,
    index: IndexOption = None,
    step: Annotated[
        int | None, typer.Option(help="Updates made, where that is known.", metavar="N", min=0, show_default=False)
    ] = None,
    mixture: Annotated[
        Path | None,
        typer.Option(help="What it was trained on: RegMix's YAML, or domain: weight.", metavar="FILE"),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="Its tokenizer, where that is not in the folder.", metavar="DIR")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an export that is there.")] = False,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Take a model that another trainer made into the workspace, as the export of a run.

    The folder is copied and checked, and stays as it is. What is not known of its training is said to be unknown, in
    lineage.json and on the card.
    """
    from mixhub.cli.common.console import hide_client_bars, progress, say
    from mixhub.errors import MixhubError
    from mixhub.workflow.adopt import adopt
    from mixhub.workspace.lineage import UNKNOWN, read_lineage

    hide_client_bars()
    place = open_workspace(workspace)
    chosen = place.family(family)
    run = chosen.run(seed=seed, index=index)
    made = adopt(
        place,
        chosen,
        run,
        folder,
        step=step,
        mixture=mixture,
        tokenizer=tokenizer,
        replace=replace,
        progress=progress(),
    )
    known = made.lineage.to_data()
    unknown = [key for key, value in known.items() if value == UNKNOWN]
    say(f"adopted {folder} as {run.revision} of {chosen.name}: {made.export}")
    say(f"weights {made.lineage.weights_sha256[:12]}" + (f"; unknown: {', '.join(unknown)}" if unknown else ""))
    for name, revision, _, path in place.exports():
        other = None
        with suppress(MixhubError):  # of one that is damaged it is not known; `check` says so
            other = read_lineage(path).weights_sha256
        if (name, revision) != (chosen.name, run.revision) and other == made.lineage.weights_sha256:
            say(f"warning: {name} {revision} has the same weights; one of the two is the wrong folder")
    if made.left_out:
        say(f"left where they are: {', '.join(made.left_out)}")
    option = f"--{run.kind} {run.number}"
    if made.step != chosen.training.steps:
        say(
            f"it is an earlier step of a run of {chosen.training.steps} steps, and has no scores of its own; if it is "
            f"the last, let the family say so in mixhub.yaml (training: {{steps: {made.step}}})"
        )
        option += f" --step {made.step}"
    say(f"next: mixhub check {option} --load && mixhub card render && mixhub push {option} --dry-run")
