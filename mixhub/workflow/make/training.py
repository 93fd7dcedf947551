"""Training a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from types import MappingProxyType
from typing import Unpack

from mixhub.errors import MixhubError, UsageError
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.training.options import DEFAULTS, TrainOptions, require_count
from mixhub.training.processes import Ended, is_launched, run_processes, world_size
from mixhub.workflow.data.verification import require_same_tokens
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Trained:
    """A trained run, or one that was asked to stop, or failed."""

    run: Run
    step: int
    """Updates made."""
    export: Path | None
    """The weights of the last step, in Transformers format; None if the run ended before it."""
    error: MixhubError | None = None
    """Why the run failed, of `train_each`; None if it did not."""


def train(
    workspace: WorkspaceLike,
    *,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
    should_stop: Callable[[], bool] = lambda: False,
    **run_name: Unpack[RunName],
) -> Trained:
    """Train a run, from its last checkpoint if there is one, and export its weights; makes no network requests.

    `train_each` trains several.

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
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    _ = family.llama  # raises for other models, which only Transformers can build
    if _prepared(workspace, family, run, world_size(), progress) is None:
        from mixhub.training.loop import train

        train(
            family,
            run,
            tokens=workspace.tokens(family),
            folder=workspace.run_folder(run),
            options=options,
            progress=progress,
            should_stop=should_stop,
        )
    return trained_so_far(workspace, **run_name)


def train_in_processes(
    workspace: WorkspaceLike,
    count: int,
    *,
    command: Sequence[str],
    signals: Sequence[Signals],
    environment: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> Ended:
    """Train a run with several processes on this machine, each of which runs a command that calls `train`.

    Args:
        workspace: the workspace with the token shards.
        count: number of processes.
        command: program and arguments.
        signals: passed on to the processes, which stop with a checkpoint.
        environment: variables of the processes, beside those of this one.
        progress: shows the check of the token shards.
        **run_name: seed or index, and family.

    Raises:
        UsageError: a launcher started this process already.
        RunError: as `train`; the global batch cannot be divided over the processes; or one was killed.
        CorpusError: as `train`.
    """
    if is_launched():
        message = "--num-processes: RANK or WORLD_SIZE is set, so a launcher has started this process with others"
        raise UsageError(message, code="option-conflict")
    world_size()  # for its error under srun
    require_count(count)
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    _prepared(workspace, family, run, count, progress)
    return run_processes(command, count, signals=signals, environment=environment)


def _prepared(workspace: Workspace, family: Family, run: Run, processes: int, progress: Progress) -> Path | None:
    """Return the export of a finished run; otherwise make the checks that need no torch, which takes seconds."""
    from mixhub.training.resume import finished_export, require_trainable

    export = finished_export(family, run, workspace.run_folder(run))
    if export is None:
        require_trainable(family, run, workspace.tokens(family), processes)
        require_same_tokens(workspace, family, progress)  # before processes wait for each other, which they do not long
    return export


def trained_so_far(workspace: WorkspaceLike, **run_name: Unpack[RunName]) -> Trained:
    """Return how far a run is trained: its export, otherwise the step from which `train` would continue it, or 0.

    Raises:
        UsageError, UnknownNameError: there is no such run.
    """
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    folder, last = workspace.run_folder(run), family.training.steps
    if last in folder.export_steps():
        return Trained(run, last, folder.export(last))
    return Trained(run, max(folder.checkpoint_steps(), default=0), None)
