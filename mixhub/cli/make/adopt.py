"""`mixhub adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import hide_client_bars, progress, say, say_next
from mixhub.cli.common.options import (
    FamilyOption,
    IndexOption,
    SeedOption,
    WorkspaceOption,
    find_workspace,
)

_FOLDER_HELP = "Folder of a causal language model in Transformers format: config, safetensors, tokenizer."
_STEP_HELP = "Number of optimizer updates made. [default: from the folder if recorded there, otherwise unknown]"
_MIXTURE_HELP = "Training mixture, if the folder does not record it: RegMix's YAML, or lines `domain: weight`."
_TOKENIZER_HELP = "Tokenizer folder. [default: the model folder]"


def adopt(
    folder: Annotated[Path, typer.Argument(help=_FOLDER_HELP, metavar="DIR")],
    seed: SeedOption = None,
    index: IndexOption = None,
    step: Annotated[int | None, typer.Option(help=_STEP_HELP, metavar="N", min=0)] = None,
    mixture: Annotated[Path | None, typer.Option(help=_MIXTURE_HELP, metavar="FILE")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help=_TOKENIZER_HELP, metavar="DIR")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing export.")] = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Copy a model trained elsewhere into the workspace, as the export of a run.

    The copy is checked. What is not known about its training is recorded as unknown in lineage.json and on the card.
    """
    from mixhub import workflow
    from mixhub.workspace.lineage import UNKNOWN

    hide_client_bars()
    run_name: workflow.RunName = {"seed": seed, "index": index, "family": family_name}
    files = {"mixture": mixture, "tokenizer": tokenizer}
    workspace = find_workspace(workspace_dir)
    adopted = workflow.adopt(workspace, folder, step=step, replace=replace, progress=progress(), **files, **run_name)
    unknown = [key for key, value in adopted.lineage.to_data().items() if value == UNKNOWN]
    say(f"adopted {folder} as {adopted.run.revision} of {adopted.family.name}: {adopted.export}")
    say(f"weights {adopted.lineage.weights_sha256[:12]}" + (f"; unknown: {', '.join(unknown)}" if unknown else ""))
    for name, revision in adopted.repeated:
        say(f"warning: {name} {revision} has the same weights; one of the two is the wrong folder")
    if adopted.left_out:
        say(f"not copied: {', '.join(adopted.left_out)}")
    option = f"--{adopted.run.kind} {adopted.run.label}"
    if adopted.step != (steps := adopted.family.training.steps):
        say(f"this is an earlier step of a run of {steps} steps, and will have no scores;")
        say(f"if it is the last step, add this to the family in mixhub.yaml: training: {{steps: {adopted.step}}}")
        option += f" --step {adopted.step}"
    say_next(f"mixhub check {option} --load && mixhub card render && mixhub push {option} --dry-run")
