"""Branches go from one hub to another as they are: verified where they lie, and again where they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError
from mixhub.family import Family
from mixhub.hub.branches import fetch
from mixhub.hub.client import branch_heads, remote_tree
from mixhub.hub.finding import Finding, errors
from mixhub.hub.plan import KEPT_ON_HUB, LocalFile, Plan, RemoteFile, local_file, remote_file, same_content
from mixhub.hub.push import plan_files
from mixhub.hub.receipts import MAIN
from mixhub.hub.release import CARD
from mixhub.hub.verify import step_of, verify
from mixhub.lineage import combined_sha256
from mixhub.progress import SILENT, Progress


def plan_promotion(
    family: Family,
    source: Endpoint,
    target: Endpoint,
    branches: Sequence[str],
    *,
    tag: str | None = None,
    private: bool = False,
    progress: Progress = SILENT,
) -> list[Plan]:
    """The plans that make branches of a repo on one hub those of the same repo on another; nothing large is fetched.

    The branches are verified first (see `verify`), each also against the others; what is wrong stands in the plans.

    Args:
        family: the family.
        source: the hub that has them.
        target: the hub that gets them.
        branches: which.
        tag: a tag for the commits; as a push names it.
        private: make the repo private, where it is new.
        progress: is told of each branch that is read.

    Raises:
        RevisionNotFoundError: the source has no such branch.
        HubError: a hub cannot be asked.
    """
    heads = branch_heads(source, family.repo_id)
    found = verify(source, family.repo_id, family, progress=progress).findings
    plans = []
    for branch in branches:
        tree = remote_tree(source, family.repo_id, heads.get(branch, branch))
        files = {path: remote_file(file) for path, file in tree.items() if path not in KEPT_ON_HUB}
        own = tuple(_on(finding, source) for finding in found if finding.where == branch)
        plan = plan_files(
            family.repo_id,
            branch,
            files,
            target,
            weights=_weights(tree),
            message=f"Promote {branch} from commit {heads[branch][:12]}",
            tag=f"{branch}-{tag}" if tag else None,
            private=private,
        )
        plans.append(replace(plan, findings=(*own, *plan.findings)))
    return plans


def fetched(plan: Plan, source: Endpoint) -> Plan:
    """The plan with the files that it sends, downloaded from the hub that has them and hashed.

    Raises:
        HubError: a file came down other than the hub says that it is.
    """
    wanted = [change.path for change in plan.changed if change.action != "delete"]
    if not wanted:
        return plan
    commit = branch_heads(source, plan.repo_id)[plan.branch]
    tree = remote_tree(source, plan.repo_id, commit)
    folder = fetch(source, plan.repo_id, commit, wanted)
    files = dict(plan.files)
    for path in wanted:
        files[path] = local_file(folder / path)
        if path not in tree or not same_content(files[path], tree[path]):
            raise HubError(
                f"{source}: {plan.repo_id}@{commit}: {path} is not what was planned",
                hint="promote again; if it stays, verify the source with --deep",
                repo_id=plan.repo_id,
                path=path,
            )
    return replace(plan, files=files)


def plan_main(
    family: Family,
    source: Endpoint,
    target: Endpoint,
    *,
    tag: str | None = None,
    private: bool = False,
) -> Plan:
    """The plan of `main`, once all branches are promoted: the source's, with the commits that they have on the target.

    Args:
        family: the family.
        source: the hub that has it.
        target: the hub that gets it.
        tag, private: as `plan_promotion` takes them.
    """
    heads = branch_heads(source, family.repo_id)
    tree = remote_tree(source, family.repo_id, heads[MAIN])
    paths = [path for path in tree if path not in KEPT_ON_HUB]
    folder = fetch(source, family.repo_id, heads[MAIN], paths)
    files: dict[str, LocalFile] = {path: local_file(folder / path) for path in paths}
    if CARD in files:
        card = (folder / CARD).read_text(encoding="utf-8")
        for branch, commit in branch_heads(target, family.repo_id).items():
            if branch in heads:
                card = card.replace(heads[branch], commit)
        files[CARD] = local_file(card.encode())
    return plan_files(
        family.repo_id,
        MAIN,
        files,
        target,
        weights=None,
        message=f"Promote the card from commit {heads[MAIN][:12]}",
        tag=tag,
        private=private,
    )


def not_yet_promoted(family: Family, source: Endpoint, target: Endpoint) -> list[str]:
    """Runs whose branch on one hub is not on the other with the same files: `main`, which tells of all, waits."""
    theirs, ours = branch_heads(source, family.repo_id), branch_heads(target, family.repo_id)
    lacking = []
    for run in family.runs():
        if run.revision not in theirs:
            continue
        wanted = remote_tree(source, family.repo_id, theirs[run.revision])
        there = remote_tree(target, family.repo_id, ours[run.revision]) if run.revision in ours else {}
        alike = all(path in there and same_content(remote_file(file), there[path]) for path, file in wanted.items())
        if not alike or set(wanted) != set(there):
            lacking.append(run.revision)
    return lacking


def promoted_branches(family: Family, source: Endpoint, names: Sequence[str], *, checkpoints: bool) -> list[str]:
    """The branches of some runs that a hub has: with `checkpoints`, those of their earlier steps too.

    Raises:
        HubError: it has none of them.
    """
    heads = branch_heads(source, family.repo_id)
    found = []
    for name in heads:
        step = step_of(family, name)
        if name in names or (checkpoints and step is not None and step[0].revision in names):
            found.append(name)
    if not found:
        raise HubError(
            f"{source}: {family.repo_id} has none of {', '.join(names)}",
            hint=f"it has: {', '.join(heads)}",
            repo_id=family.repo_id,
        )
    return found


def _on(finding: Finding, hub: Endpoint) -> Finding:
    return replace(finding, message=f"{finding.message} (on {hub})") if errors([finding]) else finding


def _weights(tree: Mapping[str, RemoteFile]) -> str | None:
    hashes = [(path, file.sha256) for path, file in tree.items() if path.endswith(".safetensors") and "/" not in path]
    if not hashes or any(digest is None for _, digest in hashes):
        return None
    return combined_sha256((path, str(digest)) for path, digest in hashes)
