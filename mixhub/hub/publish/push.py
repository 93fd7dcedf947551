"""Carrying a plan out: the large files, then one commit on the branch, then the proof, then the receipt."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, PushConflictError
from mixhub.hub.check.run import require_sound
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.receipts import Receipt, hub_key, write_receipt
from mixhub.hub.remote.client import branch_heads, client, first_commit, hub_errors, remote_tree, tags
from mixhub.hub.remote.files import MAIN, require_unchanged, same_content
from mixhub.progress import SILENT, Progress
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

_LARGE = 10_000_000
"""Bytes from which a file is looked for on the hub before it is sent: another branch, or a push that was broken off,
may have brought it."""
_TOGETHER = 64_000_000
"""Bytes that are uploaded at once: what arrived whole is not sent again after a push that was broken off."""


@dataclass(frozen=True)
class Pushed:
    """What a push came to."""

    plan: Plan
    commit: str
    sent: bool
    """False when the branch held it all already, and nothing was sent."""
    uploaded: tuple[str, ...] = ()
    """Large files that were sent: those that the hub had from elsewhere are not among them."""


def push_plan(plan: Plan, workspace: Workspace, endpoint: Endpoint, progress: Progress = SILENT) -> Pushed:
    """Makes the branch what the plan says, in one commit, and sees that it is so; sends nothing when it is already.

    Whenever it is broken off, the branch holds the commit of before or the new one; the same push again ends in the
    same tree, and does not send what the hub has.

    Raises:
        ExportError: something in the plan is wrong, or a file changed since it was planned; nothing is on the branch.
        PushConflictError: the branch moved since the plan was made; nothing of this push is there.
        HubError: the hub refused, or does not hold what was sent.
    """
    require_sound(plan.findings, plan.branch, f"nothing was sent to {plan.branch}")
    require_unchanged(plan.files)
    parent = _ready_branch(plan, endpoint)
    commit, uploaded = parent, []
    if plan.changed:
        additions, others = _operations(plan)
        uploaded = _upload(plan, additions, endpoint, progress)
        require_unchanged(plan.files)
        with hub_errors(endpoint, plan.repo_id, plan.branch), _samples_expected(additions):
            info = client(endpoint).create_commit(
                plan.repo_id,
                [*additions, *others],
                commit_message=plan.message,
                revision=plan.branch,
                parent_commit=parent,
            )
        commit = str(info.oid)
    elif branch_heads(endpoint, plan.repo_id).get(plan.branch) != parent:
        raise PushConflictError(
            f"{endpoint}: somebody pushed to {plan.repo_id} of branch {plan.branch} meanwhile",
            hint="look at what came, then push again: the plan is made anew",
            repo_id=plan.repo_id,
            revision=plan.branch,
        )
    _verify(plan, commit, endpoint)
    _tag(plan, commit, endpoint)
    receipt = Receipt(
        hub=endpoint.name or endpoint.url,
        commit=commit,
        weights_sha256=plan.weights_sha256 or None,
        files=len(plan.files),
        size=sum(file.size for file in plan.files.values()),
    )
    write_receipt(workspace, hub_key(endpoint), plan.repo_id, plan.branch, receipt)
    return Pushed(plan, commit, bool(plan.changed), tuple(uploaded))


@contextmanager
def _samples_expected(additions: Sequence[CommitOperationAdd]) -> Iterator[None]:
    """Keeps the client from warning of parquet in a repo of a model, where a push has any: samples are meant."""
    if not any(one.path_in_repo.endswith(".parquet") for one in additions):
        yield
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*you are about to commit a data file")
        yield


def _operations(plan: Plan) -> tuple[list[CommitOperationAdd], list[Any]]:
    """What is sent, and what the hub does by itself."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    from mixhub.hub.remote.huggingface_private import set_sha256

    additions: list[CommitOperationAdd] = []
    others: list[Any] = []
    for change in plan.changed:
        if change.action == "delete":
            others.append(CommitOperationDelete(path_in_repo=change.path))
            continue
        if change.path in plan.copied:
            others.append(CommitOperationCopy(change.path, change.path, src_revision=plan.copied[change.path]))
            continue
        file = plan.files[change.path]
        assert file.source is not None
        operation = CommitOperationAdd(change.path, _readable(file.source))
        if file.sha256 is not None:
            set_sha256(operation, file.sha256)
        additions.append(operation)
    return additions, others


def _upload(plan: Plan, additions: Sequence[CommitOperationAdd], endpoint: Endpoint, progress: Progress) -> list[str]:
    """Sends the large files that the hub does not have, some at a time; their paths."""
    with hub_errors(endpoint, plan.repo_id, plan.branch):
        present = _present(plan, additions, endpoint)
        missing = [one for one in additions if one.path_in_repo not in present]
        total = sum(plan.files[one.path_in_repo].size for one in missing)
        with progress.start(f"sending {plan.branch}", total, "byte") as bar:
            for group in _groups(missing, plan):
                client(endpoint).preupload_lfs_files(plan.repo_id, group, revision=plan.branch)
                bar.advance(sum(plan.files[one.path_in_repo].size for one in group))
    return [one.path_in_repo for one in missing if plan.files[one.path_in_repo].size >= _LARGE]


def _present(plan: Plan, additions: Iterable[CommitOperationAdd], endpoint: Endpoint) -> set[str]:
    """Large files that the hub has already; the client will not send them."""
    from mixhub.hub.remote.huggingface_private import mark_present

    large = [one for one in additions if plan.files[one.path_in_repo].size >= _LARGE]
    return mark_present(large, client(endpoint), plan.repo_id) if large else set()


def _groups(additions: Iterable[CommitOperationAdd], plan: Plan) -> Iterator[list[CommitOperationAdd]]:
    """In the order of their size, as many at once as are small together."""
    group: list[CommitOperationAdd] = []
    size = 0
    for one in sorted(additions, key=lambda one: plan.files[one.path_in_repo].size):
        length = plan.files[one.path_in_repo].size
        if group and size + length > _TOGETHER:
            yield group
            group, size = [], 0
        group.append(one)
        size += length
    if group:
        yield group


def _ready_branch(plan: Plan, endpoint: Endpoint) -> str:
    """The commit that the push builds on; makes the repo, and the branch from its first commit, where they are new."""
    api = client(endpoint)
    with hub_errors(endpoint, plan.repo_id, plan.branch):
        if plan.parent is None:
            api.create_repo(plan.repo_id, exist_ok=True, private=plan.private or None)
        if plan.private and not api.model_info(plan.repo_id).private:
            raise HubError(
                f"{endpoint}: {plan.repo_id} is public already, and a push does not hide what others may use",
                code="repo-public",
                hint="leave --private out, or change it in the repo's settings",
                repo_id=plan.repo_id,
            )
        parent = plan.parent or first_commit(endpoint, plan.repo_id)
        if not plan.branch_exists and plan.branch != MAIN:
            api.create_branch(plan.repo_id, branch=plan.branch, revision=parent, exist_ok=True)
    return parent


def _verify(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    """Raises HubError unless a commit holds exactly the planned files, by hash."""
    remote = remote_tree(endpoint, plan.repo_id, commit)
    wrong = {
        path: "another content" if path in remote else "no such file"
        for path, file in plan.files.items()
        if path not in remote or not same_content(file, remote[path])
    }
    wrong |= {change.path: "a file that was deleted" for change in plan.changes if _stayed(change, remote)}
    for path, state in wrong.items():
        raise HubError(
            f"{endpoint}: {plan.repo_id}@{commit} has {state} at {path} after the push",
            code="push-unverified",
            hint=f"push again; do not use {plan.branch} before",
            repo_id=plan.repo_id,
            revision=commit,
            path=path,
        )


def _stayed(change: Any, remote: Mapping[str, object]) -> bool:
    return change.action == "delete" and change.path in remote


def _tag(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    if plan.tag is not None:
        with hub_errors(endpoint, plan.repo_id, commit):
            client(endpoint).create_tag(plan.repo_id, tag=plan.tag, revision=commit, exist_ok=True)
        if tags(endpoint, plan.repo_id).get(plan.tag) != commit:
            raise HubError(
                f"{endpoint}: the tag {plan.tag} of {plan.repo_id} was set elsewhere meanwhile",
                code="tag-taken",
                hint="the commit is there; choose another tag: --tag NAME",
                repo_id=plan.repo_id,
                tag=plan.tag,
            )


def _readable(source: Path | bytes) -> str | bytes:
    return source if isinstance(source, bytes) else str(source)
