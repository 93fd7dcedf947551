"""Branches go from one hub to another as they are: verified where they lie, and again where they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mixhub.card.facts.withdrawal import Withdrawal, add_erratum, is_marked, mark_withdrawn
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, RepoNotFoundError, RevisionNotFoundError
from mixhub.findings import Finding, errors
from mixhub.hub.check.check import step_of
from mixhub.hub.publish.plan import Plan
from mixhub.hub.publish.push import held_by_main, plan_files, withdrawn_on_main
from mixhub.hub.remote.branches import fetch
from mixhub.hub.remote.client import file_content, heads_if_any, remote_tree
from mixhub.hub.remote.files import (
    CARD,
    KEPT_ON_HUB,
    MAIN,
    LocalFile,
    RemoteFile,
    is_model_file,
    local_file,
    remote_file,
    same_content,
    weights_in,
)
from mixhub.hub.rules.export import listed
from mixhub.hub.rules.weights import scan
from mixhub.hub.verify.verify import Verification
from mixhub.spec.family import Family
from mixhub.workspace.lineage import LINEAGE_FILE


def plan_promotion(
    family: Family,
    source: Endpoint,
    target: Endpoint,
    verified: Verification,
    marks: Sequence[Withdrawal],
    branches: Sequence[str],
    *,
    tag: str | None = None,
    private: bool = False,
    force: bool = False,
) -> list[Plan]:
    """The plans that make branches of a repo on one hub those of the same repo on another; nothing large is fetched.

    What is promoted are the commits that were verified, wherever the branches are by now.

    Args:
        family: the family.
        source: the hub that has them.
        target: the hub that gets them.
        verified: what `verify` found at the source; what is wrong with a branch stands in its plan.
        marks: what was withdrawn at the target (see `withdrawals_on`), and stays so.
        branches: which of those.
        tag: a tag for the commits; as a push names it.
        private: make the repo private, where it is new.
        force: replace a card that somebody changed on the target.

    Raises:
        HubError: a hub cannot be asked.
    """
    heads = _commits(verified)
    plans = []
    for branch in branches:
        tree = remote_tree(source, family.repo_id, heads[branch])
        there = _tree_if_any(target, family.repo_id, branch)
        files = _planned(source, family.repo_id, heads[branch], tree, there, marks)
        plan = plan_files(
            family.repo_id,
            branch,
            files,
            target,
            weights=weights_in(tree),
            message=f"Promote {branch} from commit {heads[branch][:12]}",
            tag=f"{branch}-{tag}" if tag else None,
            private=private,
            force=force,
        )
        plans.append(replace(plan, findings=(*_findings_on(verified, branch, source), *plan.findings)))
    return plans


def fetched(plan: Plan, source: Endpoint, verified: Verification) -> Plan:
    """The plan with the files that it sends, downloaded from the hub that has them and hashed.

    Args:
        plan: of `plan_promotion`.
        source: the hub.
        verified: what the plan was made of.

    Raises:
        HubError: a file came down other than it was planned.
        ExportError: weights hold what is no finite number.
    """
    wanted = [change.path for change in plan.changed if change.action != "delete"]
    wanted = [path for path in wanted if plan.files[path].source is None]
    if not wanted:
        return plan
    commit = _commits(verified)[plan.branch]
    folder = fetch(source, plan.repo_id, commit, wanted)
    files = dict(plan.files)
    for path in wanted:
        files[path] = local_file(folder / path)
        planned = plan.files[path]
        alike = files[path].sha256 == planned.sha256 if planned.sha256 else files[path].git_oid() == planned.oid
        if not alike:
            raise HubError(
                f"{source}: {plan.repo_id}@{commit}: {path} is not what was planned",
                hint="promote again; if it stays, verify the source with --deep",
                repo_id=plan.repo_id,
                path=path,
            )
        if path.endswith(".safetensors") and (bad := scan(folder / path).not_finite):
            raise ExportError(
                f"{source}: {plan.repo_id}@{plan.branch}: {path} has NaN or infinite numbers in {listed(sorted(bad))}",
                hint=f"nothing was promoted; on {source}: mixhub withdraw",
                path=folder / path,
            )
    return replace(plan, files=files)


def plan_main(
    family: Family,
    source: Endpoint,
    target: Endpoint,
    verified: Verification,
    marks: Sequence[Withdrawal],
    *,
    tag: str | None = None,
    private: bool = False,
    force: bool = False,
    before: Sequence[Plan] = (),
) -> Plan:
    """The plan of `main`, once all branches are promoted: the source's, with the commits that they have on the target.

    The model that it holds by the family is copied there, from the branch that has it.

    Args:
        family: the family.
        source: the hub that has it.
        target: the hub that gets it.
        verified, marks, tag, private, force: as `plan_promotion` takes them.
        before: plans of branches that will be carried out before this one, so that the card will change.
    """
    heads = _commits(verified)
    there = heads_if_any(target, family.repo_id)
    tree = remote_tree(source, family.repo_id, heads[MAIN])
    model, copied = held_by_main(family, target, there, before)
    kept = (path for path in tree if path not in KEPT_ON_HUB)
    paths = [path for path in kept if family.main_run is None or not is_model_file(path)]
    folder = fetch(source, family.repo_id, heads[MAIN], paths)
    files = {**model, **{path: local_file(folder / path) for path in paths}}
    if CARD in files:
        card = (folder / CARD).read_text(encoding="utf-8")
        for branch, commit in there.items():
            if branch in heads:
                card = card.replace(heads[branch], commit)
        for mark in marks:
            card = add_erratum(card, mark)
        files[CARD] = local_file(card.encode())
    plan = plan_files(
        family.repo_id,
        MAIN,
        files,
        target,
        weights=None,
        message=f"Promote the card from commit {heads[MAIN][:12]}",
        tag=tag,
        private=private,
        force=force,
        moved=any(one.changed for one in before),
    )
    wrong = withdrawn_on_main(model, marks)
    return replace(plan, findings=(*_findings_on(verified, MAIN, source), *plan.findings, *wrong), copied=copied)


def plan_model_on_main(family: Family, target: Endpoint, marks: Sequence[Withdrawal]) -> Plan | None:
    """The plan that makes the model on `main` that of its run's branch again, after a promotion of some runs.

    None where `main` holds none, or may not hold that one.
    """
    heads = heads_if_any(target, family.repo_id)
    tree = _tree_if_any(target, family.repo_id, MAIN)
    model, copied = held_by_main(family, target, heads, ())
    if not model or LINEAGE_FILE not in tree or any(withdrawn_on_main(model, marks)):
        return None
    others = {path: remote_file(file) for path, file in tree.items() if path not in KEPT_ON_HUB}
    files = {**{path: file for path, file in others.items() if not is_model_file(path)}, **model}
    plan = plan_files(family.repo_id, MAIN, files, target, weights=None, message="Copy the model that main holds")
    return replace(plan, copied=copied)


def not_yet_promoted(
    family: Family,
    source: Endpoint,
    target: Endpoint,
    verified: Verification,
    marks: Sequence[Withdrawal],
    planned: Sequence[str],
) -> list[str]:
    """Runs whose branch on one hub is not on the other with the same files: `main`, which tells of all, waits for them.

    Args:
        family: the family.
        source, target, verified, marks: as `plan_promotion` takes them.
        planned: branches that are promoted before `main` is.
    """
    heads = _commits(verified)
    lacking = []
    for name in (run.revision for run in family.runs() if run.revision in heads and run.revision not in planned):
        tree, there = remote_tree(source, family.repo_id, heads[name]), _tree_if_any(target, family.repo_id, name)
        wanted = _planned(source, family.repo_id, heads[name], tree, there, marks)
        alike = all(path in there and same_content(file, there[path]) for path, file in wanted.items())
        if not alike or set(wanted) != set(there) - KEPT_ON_HUB:
            lacking.append(name)
    return lacking


def promoted_branches(
    family: Family, source: Endpoint, verified: Verification, names: Sequence[str], *, checkpoints: bool
) -> list[str]:
    """The branches of some runs that a hub has: with `checkpoints`, those of their earlier steps too.

    Raises:
        HubError: it has none of them.
    """
    heads = _commits(verified)
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


def _findings_on(verified: Verification, branch: str, hub: Endpoint) -> tuple[Finding, ...]:
    """What was found of a branch, and on which of the two hubs."""
    own = [finding for finding in verified.findings if finding.where == branch]
    return tuple(replace(one, message=f"{one.message} (on {hub})") if errors([one]) else one for one in own)


def _planned(
    source: Endpoint,
    repo_id: str,
    commit: str,
    tree: Mapping[str, RemoteFile],
    there: Mapping[str, RemoteFile],
    marks: Sequence[Withdrawal],
) -> dict[str, LocalFile]:
    """The files of a commit, `tree`, as they shall be on another hub, which has those of `there`.

    Which files are stored as large ones is for each hub to say, and those are named by another hash; where the two
    differ in it, the file, which is small on one of them, is fetched, so that it is known by both. Weights that were
    withdrawn there, by `marks`, stay so.
    """
    unlike = [
        path
        for path, file in tree.items()
        if path in there and file.size == there[path].size and (file.sha256 is None) != (there[path].sha256 is None)
    ]
    folder = fetch(source, repo_id, commit, unlike) if unlike else Path()
    files = {
        path: local_file(folder / path) if path in unlike else remote_file(file)
        for path, file in tree.items()
        if path not in KEPT_ON_HUB
    }
    weights = weights_in(tree)
    for mark in (mark for mark in marks if mark.weights_sha256 == weights and CARD in tree):
        card = file_content(source, repo_id, commit, CARD).decode(errors="replace")
        if not is_marked(card):
            files[CARD] = local_file(mark_withdrawn(card, mark).encode())
    return files


def _tree_if_any(endpoint: Endpoint, repo_id: str, branch: str) -> dict[str, RemoteFile]:
    """The files of a branch; none where there is no such branch, or no such repo."""
    try:
        return remote_tree(endpoint, repo_id, branch)
    except (RepoNotFoundError, RevisionNotFoundError):
        return {}


def _commits(verified: Verification) -> dict[str, str]:
    """The commit of each branch that was verified."""
    return {branch.name: branch.commit for branch in verified.branches if branch.commit is not None}
