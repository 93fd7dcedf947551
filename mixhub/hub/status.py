"""How far each run of a family is, read from disk alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixhub.errors import MixhubError
from mixhub.evaluate.results import cells_in
from mixhub.evaluate.scores import counted
from mixhub.export import require_complete
from mixhub.family import Family, Run
from mixhub.hub.receipts import all_commits
from mixhub.lineage import read_lineage
from mixhub.recipe import recipe_changes
from mixhub.workspace import Workspace


@dataclass(frozen=True)
class RunStatus:
    """How far one run is."""

    revision: str
    step: int | None
    """Updates made, by the newest checkpoint or export; None when training never began."""
    steps: int
    """Updates of the whole run."""
    weights_sha256: str | None
    """Weights of the last step's export; None when there is none."""
    cells: int
    """Cells evaluated with these weights."""
    cells_expected: int
    """Cells of the suite."""
    pushed: Mapping[str, str]
    """Commit of its branch by hub, where these weights were pushed."""
    problem: str | None = None
    """What is wrong with it, a line; figures that could not be read for it are those of nothing done."""


def family_status(workspace: Workspace, family: Family) -> list[RunStatus]:
    """The state of every run of a family; makes no request, and what is wrong with one run stays with it."""
    return [_run_status(workspace, family, run) for run in family.runs()]


def _run_status(workspace: Workspace, family: Family, run: Run) -> RunStatus:
    folder = workspace.run_folder(run)
    steps = family.training.steps
    reached = max([*folder.checkpoint_steps(), *folder.export_steps()], default=None)
    weights, cells, problem = None, [], None
    try:
        if steps in folder.export_steps():
            export = folder.export(steps)
            weights = read_lineage(export).weights_sha256
            require_complete(export)
            problem = next(iter(recipe_changes(family, run, export / folder.train_config.name).values()), None)
        cells = cells_in(workspace.results(run))
    except MixhubError as error:
        problem = error.message.splitlines()[0]
    present, expected = counted(family, run, cells, weights)
    return RunStatus(
        revision=run.revision,
        step=reached,
        steps=steps,
        weights_sha256=weights,
        cells=present,
        cells_expected=expected,
        pushed=all_commits(workspace, family.repo_id, run.revision, weights) if weights else {},
        problem=problem,
    )
