"""A push: first the plan, then one commit on the branch, then the proof that the hub holds it, then the receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixhub.card import facts
from mixhub.card.write import family_card, intact, is_plot, revision_card
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError
from mixhub.export import EXPORT_FILES, WEIGHTS_INDEX_FILE, require_complete, weight_files
from mixhub.family import Family, Run
from mixhub.hub.client import client, translated
from mixhub.hub.plan import LocalFile, Plan, RemoteFile, changes, local_file, same_content
from mixhub.hub.receipts import MAIN, Receipt, hub_key, pushed_commits, write_receipt
from mixhub.lineage import LINEAGE_FILE, combined_sha256, read_lineage
from mixhub.workspace import Workspace

CARD = "README.md"

_TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")


@dataclass(frozen=True)
class Pushed:
    """What a push came to."""

    plan: Plan
    commit: str
    sent: bool
    """False when the branch held it all already, and nothing was sent."""


def plan_run(workspace: Workspace, family: Family, run: Run, endpoint: Endpoint) -> Plan:
    """The plan of a run's branch: its last export, its card, its metrics and its results.

    Raises:
        RunError, ExportError: there is no export of the last step, or it misses a file.
        ResultsError: results were made with other weights.
        HubError: the hub cannot be asked.
    """
    export = workspace.export(run, family.training.steps)
    require_complete(export)
    files = {path: local_file(source) for path, source in release_files(workspace, family, run, export).items()}
    weights = combined_sha256((path, files[path].sha256) for path in weight_files(export))
    known = read_lineage(export).weights_sha256
    if weights != known:
        raise ExportError(
            f"{export}: its weights are {weights}, but {LINEAGE_FILE} says {known}",
            hint=f"delete the folder and make it again: mixhub train --{run.kind} {run.number}",
            path=export,
        )
    parent = _parent(family.repo_id, run.revision, endpoint)
    return _plan(family.repo_id, run.revision, files, endpoint, parent, weights=weights)


def plan_card(workspace: Workspace, family: Family, endpoint: Endpoint) -> Plan:
    """The plan of `main`: the family's card, which names the commits of the branches that were pushed to this hub, and
    its plots."""
    parent = _parent(family.repo_id, MAIN, endpoint)  # before the receipts are read: a push between is a conflict
    commits = pushed_commits(workspace, hub_key(endpoint), family)
    card = family_card(workspace, family, commits=commits)
    content = {CARD: card.text.encode(), **card.files(workspace.card(family).parent, intact(workspace))}
    files = {path: local_file(data) for path, data in content.items()}
    return _plan(family.repo_id, MAIN, files, endpoint, parent, weights=None)


def release_files(workspace: Workspace, family: Family, run: Run, export: Path) -> dict[str, Path | bytes]:
    """What the branch of a run holds, by path: export, card, metrics, and results as `results/<cell>.json`."""
    files: dict[str, Path | bytes] = {name: export / name for name in _export_files(export)}
    own = facts.gather_run(workspace, family, run)
    files[CARD] = revision_card(workspace, family, own).encode()
    if workspace.run_folder(run).metrics.exists():
        files["metrics.jsonl"] = workspace.run_folder(run).metrics
    files |= {f"results/{cell.path.name}": cell.path for cell in own.cells}
    return files


def execute(plan: Plan, workspace: Workspace, endpoint: Endpoint) -> Pushed:
    """Makes the branch what the plan says, in one commit, and sees that it is so; sends nothing when it is already.

    Raises:
        PushConflictError: the branch moved since the plan was made; nothing of this push is there.
        HubError: the hub refused, or does not hold what was sent.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    parent = _ready_branch(plan, endpoint)
    commit = parent
    if plan.changed:
        operations: list[CommitOperationAdd | CommitOperationDelete] = []
        for change in plan.changed:
            if change.action == "delete":
                operations.append(CommitOperationDelete(path_in_repo=change.path))
            else:
                operations.append(CommitOperationAdd(change.path, _readable(plan.files[change.path].source)))
        with translated(endpoint, plan.repo_id, plan.branch):
            commit = (
                client(endpoint)
                .create_commit(
                    plan.repo_id,
                    operations,
                    commit_message=_message(plan),
                    revision=plan.branch,
                    parent_commit=parent,
                )
                .oid
            )
    _verify(plan, commit, endpoint)
    receipt = Receipt(
        hub=endpoint.name or endpoint.url,
        commit=commit,
        weights_sha256=plan.weights_sha256,
        files=len(plan.files),
        size=sum(file.size for file in plan.files.values()),
    )
    write_receipt(workspace, hub_key(endpoint), plan.repo_id, plan.branch, receipt)
    return Pushed(plan, commit, sent=bool(plan.changed))


def remote_tree(endpoint: Endpoint, repo_id: str, revision: str) -> dict[str, RemoteFile]:
    """The files of a revision, by path."""
    from huggingface_hub.hf_api import RepoFile

    with translated(endpoint, repo_id, revision):
        entries = list(client(endpoint).list_repo_tree(repo_id, recursive=True, revision=revision))
    return {
        entry.path: RemoteFile(entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
        for entry in entries
        if isinstance(entry, RepoFile)
    }


@dataclass(frozen=True)
class _Parent:
    """What a push builds on."""

    commit: str | None
    """The branch's commit, or the repo's first where the branch is new; None where the repo is new."""
    branch_exists: bool


def _parent(repo_id: str, branch: str, endpoint: Endpoint) -> _Parent:
    with translated(endpoint, repo_id):
        if not client(endpoint).repo_exists(repo_id):
            return _Parent(None, False)
    heads = _heads(endpoint, repo_id)
    return _Parent(heads.get(branch) or _first_commit(endpoint, repo_id), branch in heads)


def _plan(
    repo_id: str,
    branch: str,
    files: Mapping[str, LocalFile],
    endpoint: Endpoint,
    parent: _Parent,
    *,
    weights: str | None,
) -> Plan:
    remote = remote_tree(endpoint, repo_id, parent.commit) if parent.commit else {}
    if weights is None:
        remote = {path: file for path, file in remote.items() if path in files or is_plot(path)}
    planned = changes(files, remote)
    return Plan(repo_id, branch, files, tuple(planned), parent.commit, parent.branch_exists, weights)


def _export_files(export: Path) -> list[str]:
    """The files of an export that are published; raises ExportError for one that nobody meant to publish."""
    there = {path.relative_to(export).as_posix() for path in export.rglob("*") if path.is_file()}
    known = {*EXPORT_FILES, *weight_files(export), WEIGHTS_INDEX_FILE, *_TOKENIZER_EXTRAS}
    if foreign := sorted(there - known):
        raise ExportError(
            f"{export}: {', '.join(foreign)}: not part of an export, so it is not published",
            hint="move it out of the folder",
            path=export,
        )
    return sorted(there)


def _heads(endpoint: Endpoint, repo_id: str) -> dict[str, str]:
    with translated(endpoint, repo_id):
        return {ref.name: ref.target_commit for ref in client(endpoint).list_repo_refs(repo_id).branches}


def _first_commit(endpoint: Endpoint, repo_id: str) -> str:
    with translated(endpoint, repo_id, MAIN):
        return client(endpoint).list_repo_commits(repo_id, revision=MAIN)[-1].commit_id


def _ready_branch(plan: Plan, endpoint: Endpoint) -> str:
    """The commit that the push builds on; makes the repo, and the branch from its first commit, where they are new."""
    api = client(endpoint)
    with translated(endpoint, plan.repo_id, plan.branch):
        if plan.parent is None:
            api.create_repo(plan.repo_id, exist_ok=True)
        parent = plan.parent or _first_commit(endpoint, plan.repo_id)
        if not plan.branch_exists and plan.branch != MAIN:
            api.create_branch(plan.repo_id, branch=plan.branch, revision=parent, exist_ok=True)
    return parent


def _verify(plan: Plan, commit: str, endpoint: Endpoint) -> None:
    remote = remote_tree(endpoint, plan.repo_id, commit)
    for path, file in plan.files.items():
        if path not in remote or not same_content(file, remote[path]):
            state = "another content" if path in remote else "no such file"
            raise HubError(
                f"{endpoint}: {plan.repo_id}@{commit} has {state} at {path} after the push",
                hint=f"push again; do not use {plan.branch} before",
                repo_id=plan.repo_id,
                revision=commit,
                path=path,
            )


def _message(plan: Plan) -> str:
    if plan.weights_sha256 is None:
        return "Update the family's card"
    return f"Publish {plan.branch}, weights {plan.weights_sha256[:12]}"


def _readable(source: Path | bytes) -> str | bytes:
    return source if isinstance(source, bytes) else str(source)
