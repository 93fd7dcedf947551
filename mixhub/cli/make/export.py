"""`mixhub export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next
from mixhub.cli.common.options import (
    FamilyOption,
    IndicesOption,
    SeedsOption,
    WorkspaceOption,
    find_workspace,
    indices,
    named,
    seeds,
)

_STEP_HELP = "Step of the checkpoint. [default: the newest]"
_DTYPE_HELP = "`float32`, `bfloat16` or `float16`."
_OUTPUT_HELP = (
    "Folder to write; with --all, one folder in it for each run. [default: the export of the run, which evaluate, "
    "check and push take]"
)


def export(
    seed: SeedsOption = None,
    index: IndicesOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs that have a checkpoint.")] = False,
    step: Annotated[int | None, typer.Option("--step", help=_STEP_HELP, metavar="N", min=0)] = None,
    dtype: Annotated[str, typer.Option(help=_DTYPE_HELP, metavar="NAME")] = "float32",
    output: Annotated[Path | None, typer.Option("--output", "-o", help=_OUTPUT_HELP, metavar="DIR")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite an existing export.")] = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Export a checkpoint in Transformers format: an earlier step, or the last one in another dtype.

    `train` exports the last step in float32 itself. Makes no network requests.
    """
    from mixhub import workflow

    names = workflow.RunNames(
        seed=seeds(seed),
        index=indices(index),
        all=everything,
        family=family_name,
    )
    workspace = find_workspace(workspace_dir)
    exported = workflow.export(
        workspace, step=step, dtype=dtype, output=output, replace=replace, progress=progress(), **names
    )
    for one in exported:
        say(f"{one.run.revision}: export of step {one.step} in {one.path}")
    steps = {one.step for one in exported}
    if output is None and len(steps) == 1:
        runs, (last,) = named(seed, index, everything), steps
        is_last = last == workspace.family(family_name).training.steps
        say_next(f"mixhub evaluate {runs}" if is_last else f"mixhub check {runs} --step {last}")
