"""Exporting checkpoints."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mixhub.errors import RunError, UsageError, WorkspaceError
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec import Run
from mixhub.training.options import DTYPES
from mixhub.workflow.inputs import RunNames, WorkspaceLike, find_runs, open_workspace
from mixhub.workspace.lineage import LINEAGE_FILE
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class ExportedStep:
    """A checkpoint that was exported."""

    run: Run
    step: int
    """Updates made."""
    path: Path
    """The folder of the export."""


def export(
    workspace: WorkspaceLike,
    *,
    step: int | None = None,
    dtype: str = "float32",
    output: str | os.PathLike[str] | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
    **run_names: Unpack[RunNames],
) -> list[ExportedStep]:
    """Export a checkpoint of one run, or of all, in Transformers format; makes no network requests.

    Args:
        workspace: the workspace with the checkpoints and the token shards, which have the tokenizer.
        step: the step of the checkpoint; None: the newest of each run.
        dtype: `float32`, `bfloat16` or `float16`; training has float32 weights.
        output: a folder to write, with several runs one folder in it for each; None: the exports of the runs, from
            which `evaluate`, `check` and `push` take them.
        replace: whether existing exports are overwritten.
        progress: counts the runs.
        **run_names: seed or index, or all runs that have checkpoints, and family.

    Raises:
        UsageError, UnknownNameError: there is no such run or dtype.
        RunError: there is no such checkpoint, or it belongs to another recipe or other tokens.
        WorkspaceError: the folder exists.
        CorpusError: the token shards are missing.
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype = {dtype!r}: must be one of {', '.join(DTYPES)}", code="option-value", option="dtype")
    workspace, everything = open_workspace(workspace), run_names.get("all", False)
    family, runs = find_runs(workspace, **run_names)
    if everything:
        runs = _with_checkpoint(workspace, runs, step)
    exports = []
    for run in runs:
        chosen = _step(workspace, run, step)
        path = workspace.run_folder(run).export(chosen)
        if output is not None:
            path = Path(output) / run.revision if everything or len(runs) > 1 else Path(output)
        _require_writable(path, replace=replace, is_own=output is None)
        exports.append(ExportedStep(run, chosen, path))
    from mixhub.training.export import export_checkpoint

    tokens = workspace.tokens(family)
    with progress.start("export", len(runs), "run") as bar:
        for one in exports:
            folder = workspace.run_folder(one.run)
            export_checkpoint(family, one.run, one.step, tokens=tokens, folder=folder, path=one.path, dtype=dtype)
            bar.advance(note=one.run.revision)
    return exports


def _with_checkpoint(workspace: Workspace, runs: list[Run], step: int | None) -> list[Run]:
    """Return the runs that have a checkpoint of a step, or any; if none has, the first, for its error."""
    steps = {run.revision: workspace.run_folder(run).checkpoint_steps() for run in runs}
    return [run for run in runs if (steps[run.revision] if step is None else step in steps[run.revision])] or runs[:1]


def _step(workspace: Workspace, run: Run, step: int | None) -> int:
    """Return the step to export; raises RunError if it has no checkpoint."""
    steps = workspace.run_folder(run).checkpoint_steps()
    if steps and (step is None or step in steps):
        return steps[-1] if step is None else step
    what = "no checkpoint" if step is None else f"no checkpoint of step {step}"
    if steps:
        hint = f"checkpoints exist of {listed([f'step {one}' for one in steps], most=5)}"
    else:
        hint = f"train it: mixhub train --{run.kind} {run.label}"
    raise RunError(f"{run.family}, {run.revision}: {what}", code="checkpoint-missing", hint=hint, steps=tuple(steps))


def _require_writable(folder: Path, *, replace: bool, is_own: bool) -> None:
    """Raise WorkspaceError if a folder exists that may not be replaced; never one that is no export."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not is_own and not (folder / LINEAGE_FILE).is_file():
        message = f"{folder}: exists, and is not an export"
        raise WorkspaceError(message, code="folder-not-empty", hint="pass another folder", path=folder)
    if not replace:
        hint = "pass --replace to overwrite it, or --output DIR to write another folder"
        raise WorkspaceError(f"{folder}: already exists", code="export-exists", hint=hint, path=folder)
