"""A run is trained to its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from mixhub.progress import SILENT, Progress
from mixhub.spec import Run
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace


@dataclass(frozen=True)
class Trained:
    """A run that is trained."""

    run: Run
    export: Path
    """Its weights after the last step, in Transformers format."""


def train(
    workspace: WorkspaceLike, *, device: str | None = None, progress: Progress = SILENT, **run_name: Unpack[RunName]
) -> Trained:
    """Trains a run to its end, from its last checkpoint if there is one, and exports its weights.

    Makes no request. A run that is trained already does not even import torch.

    Args:
        workspace: where its token shards lie, and where the run goes.
        device: `cpu` or `cuda`; None: the best there is.
        progress: shows the steps.
        **run_name: seed or index, and family.

    Raises:
        UsageError, UnknownNameError: the names mean no run.
        RunError: it cannot be trained here, or was begun with another recipe.
        CorpusError: the corpus is not packed.
    """
    from mixhub.training.resume import finished_export

    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    folder = workspace.run_folder(run)
    export = finished_export(family, run, folder)
    if export is None:
        from mixhub.training.loop import train

        export = train(family, run, tokens=workspace.tokens(family), folder=folder, device=device, progress=progress)
    return Trained(run, export)
