"""Carrying out a plan: the large files, then one commit on the branch, then the verification, then the receipt."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, HubUnreachableError, MixhubError, PushConflictError
from mixhub.findings import from_error
from mixhub.hub.check.run import require_sound
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.receipts import Receipt, hub_key, write_receipt
from mixhub.hub.remote.client import branch_heads, client, commit_files, first_commit, hub_errors, remote_tree, tags
from mixhub.hub.remote.files import MAIN, require_unchanged, same_content
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

_LARGE = 10_000_000
"""Size in bytes from which a file is looked up on the hub first: another branch or an interrupted push may have sent
it."""
_TOGETHER = 64_000_000
"""Bytes that are uploaded at once; an interrupted push does not send complete uploads again."""


@dataclass(frozen=True)
class Pushed:
    """The result of a push."""

    plan: Plan
    commit: str
    sent: bool
    """False if the branch held everything already."""
    uploaded: tuple[str, ...] = ()
    """Large files that were sent; not those that the hub had."""


def push_all(
    plans: Iterable[Plan], workspace: Workspace, endpoint: Endpoint, show: Callable[[Pushed], None], progress: Progress
) -> tuple[list[Pushed], dict[str, MixhubError]]:
    """As `push_plan`, one plan after the other; `show` is called with each result.

    Goes on with the others if one fails, unless nothing answers. Returns the results, and the errors by `Plan.where`.
    """
    results: list[Pushed] = []
    failed: dict[str, MixhubError] = {}
    for plan in plans:
        if gone := next((error for error in failed.values() if isinstance(error, HubUnreachableError)), None):
            failed[plan.where] = gone
            continue
        try:
            results.append(push_plan(plan, workspace, endpoint, progress))
            show(results[-1])
        except MixhubError as error:
            failed[plan.where] = error
    return results, failed


def require_all_pushed(results: Sequence[Pushed], failed: Mapping[str, MixhubError]) -> None:
    """Raise HubError, with a line per branch that was not pushed; or the error itself if only one was to be pushed."""
    if len(failed) == 1 and not results:
        raise next(iter(failed.values()))
    if failed:
        findings = tuple(from_error(error, where) for where, error in failed.items())
        pushed = listed([one.plan.where for one in results], most=3) or "nothing"
        summary = f"{len(failed)} of {len(failed) + len(results)} branches were not pushed; on the hub: {pushed}"
        hint = f"{next((one.hint + '; then ' for one in findings if one.hint), '')}push again: it sends what is missing"
        message = "\n".join([*map(str, findings), summary])
        raise HubError(message, code="push-incomplete", hint=hint, findings=findings)


def push_plan(plan: Plan, workspace: Workspace, endpoint: Endpoint, progress: Progress = SILENT) -> Pushed:
    """Apply a plan to its branch in one commit, and verify it; sends nothing if it is up to date.

    If interrupted, the branch holds the old commit or the new one. The same push again gives the same tree, and does
    not send what the hub has.

    Raises:
        ExportError: the plan has errors, or a file changed since; nothing is on the branch.
        PushConflictError: the branch moved since the plan was made; nothing of this push is there.
        HubError: the hub refused, or does not hold what was sent.
    """
    require_sound(plan.findings, plan.where, f"nothing was sent to {plan.where}")
    require_unchanged(plan.files)
    parent = _ready_branch(plan, endpoint)
    commit, uploaded = parent, []
    if plan.changed:
        additions, others = _operations(plan)
        uploaded = _upload(plan, additions, endpoint, progress)
        require_unchanged(plan.files)
        has_samples = any(change.path.endswith(".parquet") for change in plan.changed)
        with _parquet_allowed() if has_samples else nullcontext():
            operations = [*additions, *others]
            commit = commit_files(endpoint, plan.repo_id, plan.branch, parent, operations, plan.message)
    elif branch_heads(endpoint, plan.repo_id).get(plan.branch) != parent:
        message = f"{endpoint}: somebody pushed to {plan.repo_id}@{plan.branch} during this push"
        hint = "look at what was pushed, then push again"
        raise PushConflictError(message, hint=hint, repo_id=plan.repo_id, revision=plan.branch)
    _verify(plan, commit, endpoint)
    _tag(plan, commit, endpoint)
    receipt = Receipt(
        hub=endpoint.name or endpoint.url,
        commit=commit,
        weights_sha256=plan.weights_sha256 or None,
        files=len(plan.files),
        size=sum(file.size for file in plan.files.values()),
        content={path: file.sha256 or file.oid or "" for path, file in plan.files.items()},
    )
    write_receipt(workspace, hub_key(endpoint), plan.repo_id, plan.branch, receipt)
    return Pushed(plan, commit, bool(plan.changed), tuple(uploaded))


@contextmanager
def _parquet_allowed() -> Iterator[None]:
    """Hide the warning about data files in the repo of a model. Filters of warnings belong to the whole process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*you are about to commit a data file")
        yield


def _operations(plan: Plan) -> tuple[list[CommitOperationAdd], list[Any]]:
    """Return the files to send, and the operations that the hub performs."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    from mixhub.hub.remote.huggingface_private import set_sha256

    additions: list[CommitOperationAdd] = []
    others: list[Any] = []
    for path, action in ((change.path, change.action) for change in plan.changed):
        if action == "delete":
            others.append(CommitOperationDelete(path_in_repo=path))
        elif path in plan.copied:
            others.append(CommitOperationCopy(path, path, src_revision=plan.copied[path]))
        else:
            file = plan.files[path]
            assert file.source is not None
            additions.append(CommitOperationAdd(path, file.source))
            if file.sha256 is not None:
                set_sha256(additions[-1], file.sha256)
    return additions, others


def _upload(plan: Plan, additions: Sequence[CommitOperationAdd], endpoint: Endpoint, progress: Progress) -> list[str]:
    """Send the large files that the hub does not have, several at a time; return their paths."""
    from mixhub.hub.remote.huggingface_private import mark_present

    sizes = {path: file.size for path, file in plan.files.items()}
    with hub_errors(endpoint, plan.repo_id, plan.branch):
        large = [one for one in additions if sizes[one.path_in_repo] >= _LARGE]
        present = mark_present(large, client(endpoint), plan.repo_id) if large else set()  # the client skips these
        missing = {one.path_in_repo: one for one in additions if one.path_in_repo not in present}
        paths = sorted(missing, key=lambda path: sizes[path])
        ends = dict(zip(paths, accumulate(sizes[path] for path in paths), strict=True))
        with progress.start(f"sending {plan.where}", sum(sizes[path] for path in paths), "byte") as bar:
            for _, group in groupby(paths, key=lambda path: ends[path] // _TOGETHER):
                together = list(group)
                uploads = [missing[path] for path in together]
                client(endpoint).preupload_lfs_files(plan.repo_id, uploads, revision=plan.branch)
                bar.advance(sum(sizes[path] for path in together))
    return [path for path in paths if sizes[path] >= _LARGE]


def _ready_branch(plan: Plan, endpoint: Endpoint) -> str:
    """Return the commit that the push builds on; makes a new repo, and a new branch from its first commit."""
    api = client(endpoint)
    with hub_errors(endpoint, plan.repo_id, plan.branch):
        if plan.parent is None:
            api.create_repo(plan.repo_id, exist_ok=True, private=plan.private or None)
        if plan.private and not api.model_info(plan.repo_id).private:
            message = f"{endpoint}: {plan.repo_id} is already public, and a push cannot make it private"
            hint = "omit --private, or make the repo private in its settings"
            raise HubError(message, code="repo-public", hint=hint, repo_id=plan.repo_id)
        parent = plan.parent or first_commit(endpoint, plan.repo_id)
        if not plan.branch_exists and plan.branch != MAIN:
            api.create_branch(plan.repo_id, branch=plan.branch, revision=parent, exist_ok=True)
    return parent


def _verify(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    """Raise HubError unless a commit holds exactly the planned files, by hash."""
    remote = remote_tree(endpoint, plan.repo_id, commit)
    wrong = [path for path, file in plan.files.items() if path not in remote or not same_content(file, remote[path])]
    wrong += [change.path for change in plan.changes if change.action == "delete" and change.path in remote]
    if wrong:
        message = f"{endpoint}: {plan.repo_id}@{commit} does not hold the planned {wrong[0]} after the push"
        raise HubError(message, code="push-unverified", hint=f"push again; do not use {plan.where} until then")


def _tag(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    if plan.tag is not None:
        with hub_errors(endpoint, plan.repo_id, commit):
            client(endpoint).create_tag(plan.repo_id, tag=plan.tag, revision=commit, exist_ok=True)
        if tags(endpoint, plan.repo_id).get(plan.tag) != commit:
            message = f"{endpoint}: the tag {plan.tag} of {plan.repo_id} was set to another commit during this push"
            hint = "the commit was pushed; choose another tag: --tag NAME"
            raise HubError(message, code="tag-taken", hint=hint)
