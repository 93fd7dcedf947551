"""A published revision is marked as bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

from mixhub.card.page.write import require_unedited
from mixhub.errors import MixhubError
from mixhub.hub.publish.plan_card import plan_card
from mixhub.hub.publish.receipts import all_commits
from mixhub.hub.publish.withdraw import Withdrawn, correct_main, is_on_main
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import HubLike, RunName, WorkspaceLike, find_run, open_hub, open_workspace
from mixhub.workflow.release.pushes import push_card, require_sound_plans

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.publish.push import Pushed
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Withdrawal:
    """A revision that was withdrawn, and what came of the family's card."""

    family: str
    repo_id: str
    branch: str
    done: Withdrawn
    """The mark, the commits and the tag."""
    elsewhere: Mapping[str, str]
    """Other hubs that have the same weights, and their commit: withdraw it there, too."""
    is_on_main: bool
    """Whether main holds the same model, so that another has to take its place."""
    card: Pushed | None
    """The card that was rendered and pushed; None if it could not be."""
    errata: str | None
    """If it could not be, the commit of main that adds a line of errata to the card as it lies there."""
    problem: MixhubError | None = None
    """Why it could not be rendered."""


def withdraw(
    workspace: WorkspaceLike,
    why: str,
    *,
    step: int | None = None,
    hub: HubLike | None = None,
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> Withdrawal:
    """Marks a published revision as bad, without deleting what others have pinned.

    Its card says so at its head and in its tags, `mixhub.load` warns of it, a git tag names the commit, and the card on
    main lists it among the errata. Other weights that are pushed to the branch later are not withdrawn.

    Args:
        workspace: where it is noted, so that cards which are rendered later say it too.
        why: what is wrong with it, one line.
        step: an earlier step; None: the last.
        hub: `local`, an address or an endpoint; None: the workspace's.
        progress: reports which hub it is.
        **run_name: seed or index, and family.

    Raises:
        UsageError: the reason is empty or has several lines, or the names mean no run.
        RevisionNotFoundError: the branch does not exist on the hub.
        HubError: it holds no model, or the hub refuses.
        PushConflictError: somebody pushed meanwhile; nothing is marked on the hub.
    """
    from mixhub.hub.publish.withdraw import withdraw

    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    branch = family.revision(**{run.kind: run.number}, step=step)
    with open_hub(workspace, hub, progress=progress) as endpoint:
        done = withdraw(workspace, family, endpoint, branch, why)
        commits = all_commits(workspace, family.repo_id, branch, done.withdrawal.weights_sha256)
        here = endpoint.name or endpoint.url
        elsewhere = {other: commit for other, commit in commits.items() if other != here}
        on_main = is_on_main(family, endpoint, done.withdrawal)
        card, errata, problem = _correct_card(workspace, family, endpoint, done, on_main)
    return Withdrawal(family.name, family.repo_id, branch, done, elsewhere, on_main, card, errata, problem)


def _correct_card(
    workspace: Workspace, family: Family, endpoint: Endpoint, done: Withdrawn, on_main: bool
) -> tuple[Pushed | None, str | None, MixhubError | None]:
    """Renders and pushes the family's card; adds a line alone where it cannot be rendered here, somebody changed it, or
    it holds the same model."""
    problem = None
    has_exports = any(workspace.run_folder(run).export_steps() for run in family.runs())
    try:
        if has_exports and not on_main:
            require_unedited(workspace, family)
            require_sound_plans([plan_card(workspace, family, endpoint)])
            return push_card(workspace, family, endpoint), None, None
    except MixhubError as error:
        problem = error
    return None, correct_main(family, endpoint, done), problem
