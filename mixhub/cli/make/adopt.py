"""`mixhub adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, IndexOption, SeedOption, WorkspaceOption, find_workspace

FolderArgument = Annotated[Path, typer.Argument(help="A model in Transformers format: config, safetensors, tokenizer.")]
StepOption = Annotated[
    int | None, typer.Option(help="Updates made. [default: as the folder states, or unknown]", metavar="N", min=0)
]
MixtureOption = Annotated[
    Path | None, typer.Option(help="Training mixture: a file with RegMix's YAML, or domain: weight.", metavar="FILE")
]
TokenizerOption = Annotated[
    Path | None, typer.Option(help="Folder of the tokenizer. [default: that of the model]", metavar="DIR")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Overwrite an existing export.")]


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
    """Copy a model from another trainer into the workspace, as the export of a run.

    The copy is checked. What is not known about its training is recorded as unknown, in lineage.json and on the card.
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
        say(f"not copied: {', '.join(adopted.left_out)}")
    option = f"--{adopted.run.kind} {adopted.run.number}"
    if adopted.step != (steps := adopted.family.training.steps):
        say(f"it is an earlier step of a run of {steps} steps, and will have no scores of its own;")
        say(f"if it is the last step, add this to the family in mixhub.yaml: training: {{steps: {adopted.step}}}")
        option += f" --step {adopted.step}"
    say(f"next: mixhub check {option} --load && mixhub card render && mixhub push {option} --dry-run")
