"""Marking a published revision as bad."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Unpack

from mixhub.card.page.write import require_unedited
from mixhub.errors import MixhubError
from mixhub.hub.publish import withdraw as hub_withdraw
from mixhub.hub.publish.branch_plans import plan_card
from mixhub.hub.publish.push import Pushed
from mixhub.hub.publish.receipts import all_commits
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import HubLike, RunName, WorkspaceLike, find_run, open_hub, open_workspace
from mixhub.workflow.release.cards import render_card
from mixhub.workflow.release.pushes import push_card, require_sound_plans


@dataclass(frozen=True)
class Withdrawal:
    """A revision that was withdrawn, and what happened to the family's card."""

    family: str
    repo_id: str
    branch: str
    done: hub_withdraw.Withdrawn
    """The mark, the commits and the tag."""
    elsewhere: Mapping[str, str]
    """Other hubs that have the same weights, and their commit: withdraw it there, too."""
    is_on_main: bool
    """Whether main holds a copy of the model, so that another has to replace it."""
    card: Pushed | None = None
    """The family's card on main, rendered and pushed; None if it could not be, or if main is the branch itself."""
    errata: str | None = None
    """Otherwise the commit of main that adds a line of errata to the existing card, unless main is the branch."""
    problem: MixhubError | None = None
    """The error if it could not be rendered."""


def withdraw(
    workspace: WorkspaceLike,
    why: str,
    *,
    step: int | None = None,
    hub: HubLike | None = None,
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> Withdrawal:
    """Mark a published revision as bad, without deleting what others have pinned.

    Its card says so at its head and in its tags, `mixhub.load` warns, a git tag names the commit, and the card on main
    lists it in the errata. What a push wrote to `.eval_results/` is deleted. Other weights that are pushed to the
    branch later are not withdrawn.

    Args:
        workspace: notes it for cards that are rendered later.
        why: what is wrong with it, one line.
        step: an earlier step; None: the last.
        hub: `local`, an address or an endpoint; None: the workspace's.
        progress: reports the hub.
        **run_name: seed or index, and family.

    Raises:
        UsageError: the reason is not one line, or no such run.
        RevisionNotFoundError: the branch does not exist on the hub.
        HubError: it holds no model, or the hub refuses.
        PushConflictError: somebody pushed meanwhile; nothing is marked on the hub.
    """
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    part, branch = family.part(run), family.branch(run, step)
    card, errata, problem = None, None, None
    with open_hub(workspace, hub, progress=progress) as endpoint:
        done = hub_withdraw.withdraw(workspace, part, endpoint, branch, why)
        commits = all_commits(workspace, run.repo_id, branch, done.withdrawal.weights_sha256)
        commits.pop(endpoint.name or endpoint.url, None)
        on_main = not family.main_is_run and hub_withdraw.is_on_main(part, endpoint, done.withdrawal)
        has_exports = any(workspace.run_folder(one).export_steps() for one in part.runs())
        try:
            if has_exports and family.main_is_run:
                render_card(workspace, family=family)
            elif has_exports and not on_main:
                require_unedited(workspace, family)
                require_sound_plans([plan_card(workspace, part, endpoint)])
                card = push_card(workspace, family, endpoint, part=part)
        except MixhubError as error:
            problem = error
        if card is None and not family.main_is_run:
            errata = hub_withdraw.correct_main(part, endpoint, done)
    return Withdrawal(family.name, run.repo_id, branch, done, commits, on_main, card, errata, problem)
