"""`mixhub adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, find_workspace

FolderArgument = Annotated[Path, typer.Argument(help="A model in Transformers format: config, safetensors, tokenizer.")]
StepOption = Annotated[
    int | None, typer.Option(help="Updates made, where that is known.", metavar="N", min=0, show_default=False)
]
MixtureOption = Annotated[
    Path | None, typer.Option(help="What it was trained on: RegMix's YAML, or domain: weight.", metavar="FILE")
]
TokenizerOption = Annotated[
    Path | None, typer.Option(help="Its tokenizer, where that is not in the folder.", metavar="DIR")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Take the place of an export that is there.")]


def adopt(
    folder: FolderArgument,
    seed: SeedOption = None,
    index: IndexOption = None,
    step: StepOption = None,
    mixture: MixtureOption = None,
    tokenizer: TokenizerOption = None,
    replace: ReplaceOption = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Take a model that another trainer made into the workspace, as the export of a run.

    The folder is copied and checked, and stays as it is. What is not known of its training is said to be unknown, in
    lineage.json and on the card.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import hide_client_bars, progress, say
    from mixhub.workspace.lineage import UNKNOWN

    hide_client_bars()
    adopted = workflow.adopt(
        find_workspace(workspace_dir),
        folder,
        step=step,
        mixture=mixture,
        tokenizer=tokenizer,
        replace=replace,
        progress=progress(),
        seed=seed,
        index=index,
        family=family_name,
    )
    unknown = [key for key, value in adopted.lineage.to_data().items() if value == UNKNOWN]
    say(f"adopted {folder} as {adopted.run.revision} of {adopted.family.name}: {adopted.export}")
    say(f"weights {adopted.lineage.weights_sha256[:12]}" + (f"; unknown: {', '.join(unknown)}" if unknown else ""))
    for name, revision in adopted.repeated:
        say(f"warning: {name} {revision} has the same weights; one of the two is the wrong folder")
    if adopted.left_out:
        say(f"left where they are: {', '.join(adopted.left_out)}")
    option = f"--{adopted.run.kind} {adopted.run.number}"
    if adopted.step != adopted.family.training.steps:
        say(
            f"it is an earlier step of a run of {adopted.family.training.steps} steps, and has no scores of its own; "
            f"if it is the last, let the family say so in mixhub.yaml (training: {{steps: {adopted.step}}})"
        )
        option += f" --step {adopted.step}"
    say(f"next: mixhub check {option} --load && mixhub card render && mixhub push {option} --dry-run")
