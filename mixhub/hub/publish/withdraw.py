"""Withdrawing a revision: its card, its tags and the family's card show it; pinned commits are not deleted.

What a push wrote to `.eval_results/` is deleted, so that no leaderboard ranks the revision.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from mixhub.analysis.published.eval_results import own_cell
from mixhub.card.facts import withdrawal as marks
from mixhub.card.facts.withdrawal import Withdrawal, withdrawals
from mixhub.card.markdown.text import plain
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, UsageError
from mixhub.hub.publish.receipts import hub_key, read_receipts, write_receipt
from mixhub.hub.remote import client as remote_client
from mixhub.hub.remote.branches import Branch, read_branch
from mixhub.hub.remote.client import branch_heads, client, commit_files, file_content, hub_errors, remote_tree, tags
from mixhub.hub.remote.files import CARD, MAIN, weights_in
from mixhub.hub.rules.revisions import BranchNames
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Withdrawn:
    """The result of a withdrawal."""

    withdrawal: Withdrawal
    was: str
    """The commit that was withdrawn."""
    commit: str
    """The new commit of the branch: the same files, except for the card and the results for leaderboards."""
    tag: str
    """Names the commit that was withdrawn."""


def withdraw(workspace: Workspace, family: Family, endpoint: Endpoint, branch: str, why: str) -> Withdrawn:
    """Mark a branch as bad, and note it in the workspace; the family's card is for `push_card` or `correct_main`.

    Args:
        workspace: notes it for cards that are rendered later.
        family: the family, as one repo holds it.
        endpoint: the hub.
        branch: the branch.
        why: the reason, one line.

    Raises:
        UsageError: the reason is not one line, or the same weights were withdrawn for another one.
        RevisionNotFoundError: there is no such branch.
        HubError: it holds no model, or the hub refused.
        PushConflictError: somebody pushed meanwhile; nothing is marked on the hub.
    """
    if len(why.strip().splitlines()) != 1:
        message = f"--why {why!r}: must be one line that says what is wrong with {branch}"
        raise UsageError(message, code="option-value", option="--why", value=why)
    heads = branch_heads(endpoint, family.repo_id)
    if branch not in heads:
        raise remote_client.revision_not_found(endpoint, family.repo_id, branch)
    remote = read_branch(endpoint, family.repo_id, branch, heads[branch])
    where = f"{endpoint}: {family.repo_id}@{branch}"
    if remote.weights_sha256 is None:
        raise HubError(f"{where} holds no safetensors, so there is nothing to withdraw", code="weights-missing")
    fetch_withdrawals(workspace, family, endpoint)
    withdrawal = _existing_or_new(workspace, family, branch, remote.weights_sha256, plain(why.strip()))
    text = marks.mark_withdrawn(remote.text(CARD) or f"# {branch} of {family.name}\n", withdrawal)
    if not marks.is_marked(text):
        hint = f"push {branch} again with a readable card, then withdraw it"
        raise HubError(f"{where}: cannot mark its card: malformed metadata", code="card-unmarkable", hint=hint)
    commit = _mark(endpoint, family.repo_id, remote, text, f"Withdraw {branch}")
    marks.note_withdrawal(workspace, withdrawal)
    tag = _tag(endpoint, family.repo_id, remote)
    receipt = read_receipts(workspace, hub_key(endpoint), family.repo_id).get(branch)
    if receipt is not None and receipt.commit == remote.commit:
        content = {path: digest for path, digest in receipt.content.items() if not own_cell(path)}
        content[CARD] = hashlib.sha256(text.encode()).hexdigest()
        moved = receipt.model_copy(update={"commit": commit, "content": content})
        write_receipt(workspace, hub_key(endpoint), family.repo_id, branch, moved)
    return Withdrawn(withdrawal, remote.commit, commit, tag)


def _existing_or_new(workspace: Workspace, family: Family, branch: str, weights_sha256: str, why: str) -> Withdrawal:
    """Return the withdrawal of these weights, or a new one; raises UsageError if it has another reason."""
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    new = _withdrawal(family, branch, weights_sha256, why, date)
    existing = next((one for one in withdrawals(workspace, family) if _is_same(one, new)), None)
    if existing is not None and existing.why != why:
        hint = f"to change the reason, edit {workspace.withdrawn.relative_to(workspace.root)} and push"
        message = existing.sentence()
        raise UsageError(message, code="withdrawal-noted", hint=hint, revision=branch, why=existing.why)
    return existing or new


def _withdrawal(family: Family, branch: str, weights_sha256: str, why: str, date: str) -> Withdrawal:
    """Return a withdrawal, which names the run if the branch does not, or if other repos may have such a branch."""
    meaning = BranchNames(family).meaning(branch)
    of = meaning.run.revision if meaning and meaning.run else None
    run = of if of and (family.is_part or of not in branch) else None
    return Withdrawal(family=family.name, revision=branch, run=run, weights_sha256=weights_sha256, why=why, date=date)


def _is_same(one: Withdrawal, other: Withdrawal) -> bool:
    """Whether two withdrawals are of the same weights on the same branch."""
    return (one.revision, one.run, one.weights_sha256) == (other.revision, other.run, other.weights_sha256)


def withdrawals_on(endpoint: Endpoint, family: Family, known: Mapping[str, str] | None = None) -> list[Withdrawal]:
    """Return the withdrawals on the cards of a hub, in the order of the branches.

    Args:
        endpoint: the hub.
        family: the family.
        known: commits by branch that need not be read.

    Raises:
        HubError: the hub cannot be reached.
    """
    heads = branch_heads(endpoint, family.repo_id, missing_ok=True)
    meaning = BranchNames(family).meaning
    names = [name for name in heads if meaning(name) and (known or {}).get(name) != heads[name]]

    def read(name: str) -> Withdrawal | None:
        tree = remote_tree(endpoint, family.repo_id, heads[name])
        weights = weights_in(tree)
        if weights is None or CARD not in tree:
            return None
        card = file_content(endpoint, family.repo_id, heads[name], CARD).decode(errors="replace")
        mark = marks.read_mark(card) if marks.is_marked(card) else None
        if mark is None:
            return None
        return _withdrawal(family, name, weights, *mark)

    with ThreadPoolExecutor(remote_client.PARALLEL_REQUESTS) as pool:
        return [one for one in pool.map(read, names) if one is not None]


def fetch_withdrawals(workspace: Workspace, family: Family, endpoint: Endpoint) -> list[Withdrawal]:
    """Note what others withdrew on a hub, for cards that are pushed from here; return the new ones.

    Branches as this workspace left them need no request.
    """
    receipts = read_receipts(workspace, hub_key(endpoint), family.repo_id)
    commits = {branch: receipt.commit for branch, receipt in receipts.items()}
    noted = withdrawals(workspace, family)
    remote = withdrawals_on(endpoint, family, commits)
    new = [one for one in remote if not any(_is_same(one, other) for other in noted)]
    for one in new:
        marks.note_withdrawal(workspace, one)
    return new


def is_on_main(family: Family, endpoint: Endpoint, withdrawal: Withdrawal) -> bool:
    """Whether `main` holds the weights that were withdrawn."""
    return weights_in(remote_tree(endpoint, family.repo_id, MAIN)) == withdrawal.weights_sha256


def correct_main(family: Family, endpoint: Endpoint, done: Withdrawn) -> str:
    """Add an erratum and the branch's new commit to the family's card on the hub, for when it cannot be rendered.

    Also mark it, as a branch, if `main` holds the weights. Return the commit of `main`.
    """
    main = read_branch(endpoint, family.repo_id, MAIN, branch_heads(endpoint, family.repo_id)[MAIN])
    text = main.text(CARD) or f"# {family.card.title}\n"
    text = marks.add_erratum(text.replace(done.was, done.commit), done.withdrawal)
    if main.weights_sha256 == done.withdrawal.weights_sha256:
        return _mark(endpoint, family.repo_id, main, marks.mark_withdrawn(text, done.withdrawal), "Errata")
    return _commit(endpoint, family.repo_id, main, text, "Errata")


def _mark(endpoint: Endpoint, repo_id: str, branch: Branch, card: str, message: str) -> str:
    """Replace the card of a branch, and delete what a push wrote for leaderboards; return the commit."""
    return _commit(endpoint, repo_id, branch, card, message, deleted=sorted(filter(own_cell, branch.tree)))


def _commit(
    endpoint: Endpoint, repo_id: str, branch: Branch, card: str, message: str, deleted: Sequence[str] = ()
) -> str:
    """Replace the card of a branch and delete files, unless nothing changes; return the commit."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    path = branch.folder / CARD
    if not deleted and path.is_file() and path.read_bytes() == card.encode():
        return branch.commit
    operations = [CommitOperationAdd(CARD, card.encode()), *map(CommitOperationDelete, deleted)]
    return commit_files(endpoint, repo_id, branch.name, branch.commit, operations, message)


def _tag(endpoint: Endpoint, repo_id: str, branch: Branch) -> str:
    """Tag the withdrawn commit, once, so that it can be found when the branch has moved on."""
    existing = tags(endpoint, repo_id)
    if marks.is_marked(branch.text(CARD) or ""):
        names = [name for name in existing if re.fullmatch(rf"{re.escape(branch.name)}-withdrawn(-\d+)?", name)]
        if names:
            return names[-1]
    name, number = f"{branch.name}-withdrawn", 1
    while existing.get(name, branch.commit) != branch.commit:
        number += 1
        name = f"{branch.name}-withdrawn-{number}"
    with hub_errors(endpoint, repo_id, branch.commit):
        client(endpoint).create_tag(repo_id, tag=name, revision=branch.commit, exist_ok=True)
    return name
