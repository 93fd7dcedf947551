"""Training several runs, one after the other."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Unpack

from mixhub.errors import MixhubError, RunError, UsageError
from mixhub.files import disk_problem
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.training.options import DEFAULTS, TrainOptions
from mixhub.training.processes import is_launched, world_size
from mixhub.workflow.inputs import RunName, RunNames, WorkspaceLike, find_runs, open_workspace
from mixhub.workflow.make.training import Trained, train, trained_so_far
from mixhub.workspace.paths import Workspace


def train_each(
    workspace: WorkspaceLike,
    *,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
    should_stop: Callable[[], bool] = lambda: False,
    **run_names: Unpack[RunNames],
) -> Iterator[Trained]:
    """Train runs one after the other, each as `train` does, and yield each when it has ended; iterate to train.

        for trained in mixhub.train_each("my-work", all=True):
            print(trained.run.revision, trained.export)

    Finished runs are not trained again. If a run fails, the others are trained nevertheless, unless the disk is full or
    two runs in a row fail for the same reason. A run that is asked to stop is the last.

    Args:
        workspace: the workspace with the token shards.
        options: as for `train`.
        progress: counts the steps of each run.
        should_stop: asked after each step and before each run.
        **run_names: seed or index, or those of several, or all; and family.

    Raises:
        UsageError, UnknownNameError, CorpusError: as `train`, before the first run.
        UsageError: a launcher started this process with others, and several runs are named.
        RunError: runs failed; raised after the last run, and each was yielded with its `error`. If one run is named, it
            is the error of that run.
    """
    workspace = open_workspace(workspace)

    def train_one(run_name: RunName) -> Trained:
        return train(workspace, options=options, progress=progress, should_stop=should_stop, **run_name)

    yield from train_in_turn(workspace, train_one, should_stop=should_stop, **run_names)


def train_in_turn(
    workspace: WorkspaceLike,
    train_one: Callable[[RunName], Trained],
    *,
    processes: int = 1,
    should_stop: Callable[[], bool],
    **run_names: Unpack[RunNames],
) -> Iterator[Trained]:
    """Train runs one after the other as `train_each` does, each by a function.

    Args:
        workspace: the workspace with the token shards.
        train_one: trains a run, or returns how far it was when it stopped; its errors are those of the run.
        processes: number of processes that train a run together.
        should_stop: asked before each run but the first.
        **run_names: seed or index, or those of several, or all; and family.
    """
    workspace = open_workspace(workspace)
    family, runs = find_runs(workspace, **run_names)
    if len(runs) == 1:
        yield train_one(_name(family, runs[0]))
        return
    _require_ready(workspace, family, runs, processes)
    ended: list[Trained] = []
    for run in runs:
        if ended and should_stop():
            return
        ended.append(_tried(workspace, family, run, train_one))
        yield ended[-1]
        if ended[-1].export is None and ended[-1].error is None:
            return
        errors = [str(one.error) for one in ended[-2:] if one.error is not None]
        if len(errors) == 2 and len(set(errors)) == 1:
            break
    _require_no_failure(runs, ended)


def _tried(workspace: Workspace, family: Family, run: Run, train_one: Callable[[RunName], Trained]) -> Trained:
    """Return how a run ended; raises the error of a full disk, which is also that of the others."""
    name = _name(family, run)
    try:
        return train_one(name)
    except MixhubError as error:
        if disk_problem(error) is not None:
            raise
        _release(error)
        so_far = trained_so_far(workspace, **name)
        return Trained(run, so_far.step, None, error)


def _release(error: BaseException | None) -> None:
    """Free the model and the optimizer that the tracebacks of an error hold, before the next run needs the memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _name(family: Family, run: Run) -> RunName:
    return {"family": family, run.kind: run.label}  # type: ignore[misc]


def _require_ready(workspace: Workspace, family: Family, runs: Sequence[Run], processes: int) -> None:
    """Raise what `train` would for each of the runs that are not finished, as far as this needs no torch."""
    from mixhub.training.resume import require_trainable

    if is_launched():
        message = f"{plural(len(runs), 'run')} named, but a launcher started this process, and can train only one"
        raise UsageError(message, code="runs-launched")
    world_size()  # for its error under srun
    _ = family.llama
    for run in runs:
        if family.training.steps not in workspace.run_folder(run).export_steps():
            require_trainable(family, run, workspace.tokens(family), processes)


def _require_no_failure(runs: Sequence[Run], ended: Sequence[Trained]) -> None:
    """Raise RunError if a run failed."""
    failed = [one.run.revision for one in ended if one.error is not None]
    if failed:
        left = [run.revision for run in runs[len(ended) :]]
        reason = f"; not tried, because two failed for the same reason: {listed(left, most=5)}" if left else ""
        message = f"{len(failed)} of {plural(len(runs), 'run')} failed: {listed(failed, most=5)}{reason}"
        raise RunError(message, code="runs-failed", failed=tuple(failed), left=tuple(left))
