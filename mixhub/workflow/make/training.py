"""Training a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mixhub.progress import SILENT, Progress
from mixhub.spec import Run
from mixhub.training.options import DEFAULTS, TrainOptions
from mixhub.workflow.data.verification import require_same_tokens
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace


@dataclass(frozen=True)
class Trained:
    """A trained run, or one that was asked to stop."""

    run: Run
    step: int
    """Updates made."""
    export: Path | None
    """The weights of the last step, in Transformers format; None if the run was stopped before it."""


def train(
    workspace: WorkspaceLike,
    *,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
    should_stop: Callable[[], bool] = lambda: False,
    **run_name: Unpack[RunName],
) -> Trained:
    """Train a run, from its last checkpoint if there is one, and export its weights; makes no network requests.

    Args:
        workspace: the workspace with the token shards.
        options: how to train on this machine; nothing in it changes the weights beyond rounding.
        progress: counts the steps.
        should_stop: asked after each step; if true in any process, training stops there with a checkpoint.
        **run_name: seed or index, and family.

    Raises:
        UsageError: no run is named, or its family is not of Llamas.
        UnknownNameError: there is no such run.
        RunError: it cannot be trained here, or was started with another recipe.
        CorpusError: the corpus is not packed, or token shards changed since.
    """
    from mixhub.training.resume import finished_export, require_trainable

    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    _ = family.llama  # raises for other models, which only Transformers can build
    folder = workspace.run_folder(run)
    export = finished_export(family, run, folder)
    if export is None:
        require_trainable(family, run, workspace.tokens(family))  # before torch is imported, which takes seconds
        require_same_tokens(workspace, family, progress)  # before processes wait for each other, which they do not long
        from mixhub.training.loop import train

        export = train(
            family,
            run,
            tokens=workspace.tokens(family),
            folder=folder,
            options=options,
            progress=progress,
            should_stop=should_stop,
        )
    step = family.training.steps if export is not None else folder.checkpoint_steps()[-1]
    return Trained(run, step, export)


def last_checkpoint(workspace: WorkspaceLike, **run_name: Unpack[RunName]) -> int | None:
    """Return the step from which `train` would continue a run; None if it would start it.

    Raises:
        UsageError, UnknownNameError: there is no such run.
    """
    workspace = open_workspace(workspace)
    steps = workspace.run_folder(find_run(workspace, **run_name)[1]).checkpoint_steps()
    return steps[-1] if steps else None
