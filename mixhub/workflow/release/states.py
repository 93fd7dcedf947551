"""The state of each run of a family, read only from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mixhub.analysis.scores import counted
from mixhub.card.facts.gather import gather_run
from mixhub.card.facts.withdrawal import withdrawals
from mixhub.card.page.write import revision_card
from mixhub.errors import MixhubError
from mixhub.hub.check.receipts import valid_receipt
from mixhub.hub.publish.receipts import all_commits
from mixhub.hub.verify.receipts import verified_at
from mixhub.spec import Family, Run
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace
from mixhub.workspace.cells import cells_in
from mixhub.workspace.export import require_complete
from mixhub.workspace.lineage import UNKNOWN, read_lineage
from mixhub.workspace.paths import Workspace
from mixhub.workspace.recipe_diff import recipe_changes


@dataclass(frozen=True)
class RunStatus:
    """The state of one run."""

    revision: str
    step: int | None
    """Updates made, by the newest checkpoint or export; None if training never began."""
    steps: int
    """Updates of the whole run."""
    is_step_known: bool
    """Whether `step` is recorded; for an adopted run it may be assumed to be the last."""
    weights_sha256: str | None
    """Weights of the last step's export; None without one."""
    cells: int
    """Cells evaluated with these weights."""
    cells_expected: int
    """Cells of the suite."""
    checked: bool
    """Whether the last `mixhub check` found no errors, and the export is unchanged since."""
    card: Literal["fresh", "stale", "missing"] | None
    """Whether its card is what a render would write now; None without an export."""
    pushed: Mapping[str, str]
    """Commit of its branch with these weights, by hub."""
    verified: Mapping[str, str]
    """When that commit was verified, by hub; omits hubs where it was not."""
    withdrawn: str | None = None
    """Why these weights were withdrawn."""
    problem: str | None = None
    """What is wrong with it, one line; values that could not be read are those of a run that never began."""
    repo_id: str = ""
    """The repo to which it is pushed."""
    branch: str = ""
    """The branch to which it is pushed."""

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def status(workspace: WorkspaceLike, *, family: str | Family | None = None) -> list[RunStatus]:
    """Return the state of every run of a family, without a request; a broken run does not affect the others.

    Args:
        workspace: holds the runs.
        family: the family; None: the workspace's.

    Raises:
        UnknownNameError: there is no such family.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    return [_run_status(workspace, family, run) for run in family.runs()]


def _run_status(workspace: Workspace, family: Family, run: Run) -> RunStatus:
    folder = workspace.run_folder(run)
    steps = family.training.steps
    weights, cells, problem, checked, card, is_step_known = None, [], None, False, None, True
    try:
        if steps in folder.export_steps():
            export = folder.export(steps)
            lineage = read_lineage(export)
            weights, is_step_known = lineage.weights_sha256, lineage.step != UNKNOWN
            require_complete(export)
            receipt = valid_receipt(workspace, export, weights)
            checked = receipt is not None and not receipt.errors
            problem = next(iter(recipe_changes(family, run, export / folder.train_config.name).values()), None)
        cells = cells_in(workspace.results(run))
        if weights is not None and problem is None:
            card = _card(workspace, family, run)
    except MixhubError as error:
        problem = error.message.splitlines()[0]
    present, expected = counted(family, run, cells, weights)
    pushed: dict[str, str] = {}
    verified: dict[str, str] = {}
    withdrawn: list[str] = []
    try:
        marks = [one for one in withdrawals(workspace, family) if one.concerns(run, run.branch)]
        withdrawn = [one.why for one in marks if one.weights_sha256 == weights]
        pushed = all_commits(workspace, run.repo_id, run.branch, weights) if weights else {}
        for hub, commit in pushed.items():
            if when := verified_at(workspace, run.repo_id, run.branch, commit):
                verified[hub] = when
    except MixhubError as error:
        problem = problem or error.message.splitlines()[0]
    return RunStatus(
        revision=run.revision,
        step=max([*folder.checkpoint_steps(), *folder.export_steps()], default=None),
        steps=steps,
        is_step_known=is_step_known,
        weights_sha256=weights,
        cells=present,
        cells_expected=expected,
        checked=checked,
        card=card,
        pushed=pushed,
        verified=verified,
        withdrawn=withdrawn[0] if withdrawn else None,
        problem=problem,
        repo_id=run.repo_id,
        branch=run.branch,
    )


def _card(workspace: Workspace, family: Family, run: Run) -> Literal["fresh", "stale", "missing"]:
    path = workspace.revision_card(run)
    if not path.is_file():
        return "missing"
    text = revision_card(workspace, family, gather_run(workspace, family, run))
    return "fresh" if path.read_bytes().replace(b"\r\n", b"\n") == text.encode() else "stale"
