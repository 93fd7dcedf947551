"""A revision is withdrawn: its card, its tags and the family's card say so; nothing that others pinned is deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from mixhub.card.facts.withdrawal import (
    Withdrawal,
    add_erratum,
    is_marked,
    mark_withdrawn,
    note_withdrawal,
    read_mark,
    withdrawals,
)
from mixhub.card.markdown.text import plain
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, UsageError
from mixhub.hub.publish.receipts import hub_key, read_receipts, write_receipt
from mixhub.hub.remote.branches import Branch, read_branch
from mixhub.hub.remote.client import (
    PARALLEL_REQUESTS,
    branch_heads,
    client,
    file_content,
    heads_if_any,
    hub_errors,
    remote_tree,
    revision_not_found,
    tags,
)
from mixhub.hub.remote.files import CARD, MAIN, weights_in
from mixhub.hub.rules.revisions import step_of
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Withdrawn:
    """What a withdrawal came to."""

    withdrawal: Withdrawal
    was: str
    """The commit that the branch was at."""
    commit: str
    """Where the branch is now: the same files, but for the card."""
    tag: str
    """Names the commit that was withdrawn."""


def withdraw(workspace: Workspace, family: Family, endpoint: Endpoint, branch: str, why: str) -> Withdrawn:
    """Marks a branch as bad, and notes it in the workspace; the family's card is for `push_card`, or `correct_main`.

    Args:
        workspace: where it is noted, so that cards which are rendered later say it too.
        family: the family.
        endpoint: the hub.
        branch: the branch.
        why: the reason, one line.

    Raises:
        UsageError: the reason is empty, or has several lines; or the same weights were withdrawn for another one.
        RevisionNotFoundError: there is no such branch.
        HubError: it holds no model; or the hub refused.
        PushConflictError: somebody pushed meanwhile; nothing is marked on the hub.
    """
    why = _required_reason(why, branch)
    heads = branch_heads(endpoint, family.repo_id)
    if branch not in heads:
        raise revision_not_found(endpoint, family.repo_id, branch)
    read = read_branch(endpoint, family.repo_id, branch, heads[branch])
    if read.weights_sha256 is None:
        raise HubError(
            f"{endpoint}: {family.repo_id}@{branch} holds no safetensors, so there is nothing to withdraw",
            code="weights-missing",
            repo_id=family.repo_id,
            revision=branch,
        )
    learn_withdrawals(workspace, family, endpoint)
    withdrawal = _noted_or_new(workspace, family, branch, read.weights_sha256, why)
    text = mark_withdrawn(read.text(CARD) or f"# {branch} of {family.name}\n", withdrawal)
    if not is_marked(text):
        raise HubError(
            f"{endpoint}: the card of {family.repo_id}@{branch} cannot be marked: its metadata cannot be read",
            code="card-unmarkable",
            hint=f"push {branch} again, with a card that can be read; then withdraw it",
            repo_id=family.repo_id,
            revision=branch,
        )
    commit = _put_card(endpoint, family.repo_id, branch, read.commit, text)
    note_withdrawal(workspace, withdrawal)
    tag = _tag(endpoint, family.repo_id, read)
    receipt = read_receipts(workspace, hub_key(endpoint), family.repo_id).get(branch)
    if receipt is not None and receipt.commit == read.commit:
        moved = receipt.model_copy(update={"commit": commit})
        write_receipt(workspace, hub_key(endpoint), family.repo_id, branch, moved)
    return Withdrawn(withdrawal, read.commit, commit, tag)


def _required_reason(why: str, branch: str) -> str:
    """The reason as cards show it, and as it is read from them; raises UsageError unless it is one line."""
    why = why.strip()
    if not why or len(why.splitlines()) > 1:
        raise UsageError(
            f"--why {why!r}: must be one line that says what is wrong with {branch}",
            code="option-value",
            option="--why",
            value=why,
        )
    return plain(why)


def _noted_or_new(workspace: Workspace, family: Family, branch: str, weights_sha256: str, why: str) -> Withdrawal:
    """The withdrawal that is noted of these weights, else a new one; raises UsageError if it has another reason."""
    key = (branch, weights_sha256)
    before = next((one for one in withdrawals(workspace, family) if (one.revision, one.weights_sha256) == key), None)
    if before is not None and before.why != why:
        raise UsageError(
            before.sentence(),
            code="withdrawal-noted",
            hint=f"to say it otherwise, mend {workspace.withdrawn.relative_to(workspace.root)}, then push it",
            revision=branch,
            why=before.why,
        )
    return before or Withdrawal(
        family=family.name,
        revision=branch,
        weights_sha256=weights_sha256,
        why=why,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
    )


def withdrawals_on(endpoint: Endpoint, family: Family, known: Mapping[str, str] | None = None) -> list[Withdrawal]:
    """What the cards on a hub say was withdrawn, in the order of the branches.

    Args:
        endpoint: the hub.
        family: the family.
        known: commits by branch that need not be looked at.

    Raises:
        HubError: the hub cannot be asked.
    """
    heads = heads_if_any(endpoint, family.repo_id)
    revisions = {run.revision for run in family.runs()}
    names = [name for name in heads if name in revisions or step_of(family, name) is not None]
    names = [name for name in names if (known or {}).get(name) != heads[name]]

    def look(name: str) -> Withdrawal | None:
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        weights = weights_in(tree)
        if weights is None or CARD not in tree:
            return None
        card = file_content(endpoint, family.repo_id, heads[name], CARD).decode(errors="replace")
        mark = read_mark(card) if is_marked(card) else None
        if mark is None:
            return None
        return Withdrawal(family=family.name, revision=name, weights_sha256=weights, why=mark[0], date=mark[1])

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        return [one for one in pool.map(look, names) if one is not None]


def learn_withdrawals(workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Withdrawal]:
    """Notes what others withdrew on a hub, so that what is pushed from here says it too; those that are new here.

    Branches that are as this workspace left them are not asked for.
    """
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    commits = {branch: receipt.commit for branch, receipt in receipts.items()}
    noted = {(one.revision, one.weights_sha256) for one in withdrawals(workspace, family)}
    marks = withdrawals_on(endpoint, family, commits)
    new = [one for one in marks if (one.revision, one.weights_sha256) not in noted]
    for one in new:
        note_withdrawal(workspace, one)
    return new


def is_on_main(family: Family, endpoint: Endpoint, withdrawal: Withdrawal) -> bool:
    """Whether `main` holds the weights that were withdrawn."""
    return weights_in(remote_tree(endpoint, family.repo_id, MAIN)) == withdrawal.weights_sha256


def correct_main(family: Family, endpoint: Endpoint, done: Withdrawn) -> str:
    """Adds an erratum to the family's card as it lies on the hub, where it cannot be rendered, and the branch's new
    commit; marks it, where `main` holds the weights too; the commit of `main`."""
    head = branch_heads(endpoint, family.repo_id)[MAIN]
    main = read_branch(endpoint, family.repo_id, MAIN, head)
    text = main.text(CARD) or f"# {family.card.title}\n"
    text = add_erratum(text.replace(done.was, done.commit), done.withdrawal)
    if main.weights_sha256 == done.withdrawal.weights_sha256:
        text = mark_withdrawn(text, done.withdrawal)
    return _put_card(endpoint, family.repo_id, MAIN, head, text)


def _put_card(endpoint: Endpoint, repo_id: str, branch: str, parent: str, card: str) -> str:
    from huggingface_hub import CommitOperationAdd

    if card.encode() == _card(endpoint, repo_id, branch, parent):
        return parent
    with hub_errors(endpoint, repo_id, branch):
        info = client(endpoint).create_commit(
            repo_id,
            [CommitOperationAdd(CARD, card.encode())],
            commit_message=f"Withdraw {branch}" if branch != MAIN else "Errata",
            revision=branch,
            parent_commit=parent,
        )
    return str(info.oid)


def _card(endpoint: Endpoint, repo_id: str, branch: str, commit: str) -> bytes | None:
    path = read_branch(endpoint, repo_id, branch, commit).folder / CARD
    return path.read_bytes() if path.is_file() else None


def _tag(endpoint: Endpoint, repo_id: str, branch: Branch) -> str:
    """Tags what was withdrawn, so that its commit can be found when the branch has moved on; once."""
    known = tags(endpoint, repo_id)
    if is_marked(branch.text(CARD) or ""):
        names = [name for name in known if re.fullmatch(rf"{re.escape(branch.name)}-withdrawn(-\d+)?", name)]
        if names:
            return names[-1]
    name, number = f"{branch.name}-withdrawn", 1
    while known.get(name, branch.commit) != branch.commit:
        number += 1
        name = f"{branch.name}-withdrawn-{number}"
    with hub_errors(endpoint, repo_id, branch.commit):
        client(endpoint).create_tag(repo_id, tag=name, revision=branch.commit, exist_ok=True)
    return name
