"""What a run takes, before it is trained: by calculation, and by a trial on the machine."""

from __future__ import annotations

from typing import Unpack

from mixhub.progress import SILENT, Progress
from mixhub.training.options import DEFAULTS, TrainOptions, require_count
from mixhub.training.planning.machines import this_machine
from mixhub.training.planning.outcome import Preflight
from mixhub.training.planning.plan import TrainingPlan, plan
from mixhub.workflow.data.verification import require_same_tokens
from mixhub.workflow.inputs import (
    RunName,
    RunNames,
    WorkspaceLike,
    find_family,
    find_run,
    find_runs,
    open_workspace,
)


def plan_training(
    workspace: WorkspaceLike,
    *,
    mfu: float | None = None,
    processes: int = 1,
    options: TrainOptions = DEFAULTS,
    **run_names: Unpack[RunNames],
) -> TrainingPlan:
    """Calculate steps, memory, traffic and time of a run on several machines; trains nothing and does not load torch.

    Args:
        workspace: the workspace.
        mfu: share of the devices' peak that training is assumed to use; None: 0.4.
        processes: how many on this machine, which is shown too if they are several or its device is given.
        options: the device of this machine, and the sharding; by default, what is recommended on each machine.
        **run_names: the family, and runs of it, which need not be given: all runs of a family take the same.

    Raises:
        UsageError: the MFU is out of range, or the family is not of Llamas.
        UnknownNameError: there is no such run.
        RunError: there are fewer GPUs than processes, or there is no process.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, run_names.get("family"))
    if any(value is not None and value is not False for key, value in run_names.items() if key != "family"):
        find_runs(workspace, **run_names)
    require_count(processes)
    here = this_machine(processes, options.device) if processes > 1 or options.device else None
    return plan(family, mfu=mfu, here=here, sharding=options.sharding)


def preflight(
    workspace: WorkspaceLike,
    *,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> Preflight:
    """Try a run on this machine for a few updates: whether it repeats and resumes, and how fast it is.

    Every process of the run calls this, and gets the same outcome. Nothing is written into the run's folder.

    Args:
        workspace: the workspace with the token shards.
        options: how to train on this machine.
        progress: counts updates.
        **run_name: seed or index, and family.

    Raises:
        UsageError: no run is named, or its family is not of Llamas.
        UnknownNameError: there is no such run.
        RunError: it cannot be trained here.
        CorpusError: the corpus is not packed, or token shards changed since.
    """
    from mixhub.training.resume import require_trainable

    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    _ = family.llama  # raises for other models
    tokens = workspace.tokens(family)
    require_trainable(family, run, tokens)  # before torch is imported, which takes seconds
    require_same_tokens(workspace, family, progress)
    from mixhub.training.planning.preflight import preflight

    return preflight(family, run, tokens=tokens, folder=workspace.run_folder(run), options=options, progress=progress)
