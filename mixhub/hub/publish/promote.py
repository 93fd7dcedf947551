"""Branches go from one hub to another as they are: verified where they lie, and again where they arrive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixhub.card.facts.withdrawal import Withdrawal, add_erratum, is_marked, mark_withdrawn
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, RepoNotFoundError, RevisionNotFoundError, UsageError
from mixhub.findings import Finding, errors
from mixhub.hub.check.run import require_sound
from mixhub.hub.publish.compare import compare_with_hub
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions
from mixhub.hub.publish.plan_card import held_by_main, withdrawn_on_main
from mixhub.hub.publish.plan_files import plan_files
from mixhub.hub.publish.push import Pushed, push_plan
from mixhub.hub.publish.receipts import hub_key
from mixhub.hub.publish.withdraw import withdrawals_on
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
from mixhub.hub.rules.revisions import step_of
from mixhub.hub.rules.weights import scan
from mixhub.hub.verify.repo import Verification, verify
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import LINEAGE_FILE
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class Promotion:
    """A family's repo on one hub, of which branches go to another as they are."""

    family: Family
    source: Endpoint
    """The hub that has them."""
    target: Endpoint
    """The hub that gets them."""
    verified: Verification
    """What `verify` found at the source. Its commits are promoted, wherever the branches are by now."""
    marks: tuple[Withdrawal, ...] = ()
    """What was withdrawn at the target (see `withdrawals_on`), and stays so."""

    @property
    def commits(self) -> dict[str, str]:
        """The commit of each branch that was verified."""
        return {branch.name: branch.commit for branch in self.verified.branches if branch.commit is not None}

    def findings_on(self, branch: str) -> tuple[Finding, ...]:
        """What was found of a branch, and on which of the two hubs."""
        findings = [finding for finding in self.verified.findings if finding.where == branch]
        return tuple(
            replace(one, message=f"{one.message} (on {self.source})") if errors([one]) else one for one in findings
        )


@dataclass(frozen=True)
class PromotionPlan:
    """What a promotion does, and what is in its way."""

    promotion: Promotion
    branches: tuple[Plan, ...]
    """Carried out in this order, before `main`."""
    waiting: tuple[str, ...]
    """Runs that are not on the target as they are at the source, nor will be: `main`, which tells of all, waits for
    them."""
    main_options: PushOptions
    """Of `main`: it has a tag only where all runs are promoted."""
    findings: tuple[Finding, ...]
    """Errors on the branches, and on `main` where it follows at once: a plan with any is not carried out."""


def plan_promotions(
    workspace: Workspace,
    family: Family,
    source: Endpoint,
    target: Endpoint,
    options: PushOptions = DEFAULTS,
    *,
    runs: Sequence[Run] | None = None,
    checkpoints: bool = False,
    progress: Progress = SILENT,
) -> PromotionPlan:
    """Verifies a family's repo on one hub, and plans what makes its branches those of the same repo on another.

    Args:
        workspace: where the receipts of what was pushed to the target lie.
        family: the family.
        source: the hub that has them.
        target: the hub that gets them.
        options: `tag`, `private` and `force` are looked at.
        runs: whose branches; None: all, and `main` is tagged, too.
        checkpoints: the branches of their earlier steps, too.
        progress: is told of each branch that is verified.

    Raises:
        UsageError: the two are the same hub.
        HubError: a hub cannot be asked, or the source has none of these branches.
    """
    if hub_key(source) == hub_key(target):
        raise UsageError(
            f"--from {source.name or source.url}: is the hub that is pushed to",
            code="option-conflict",
            hint="name the other: --hub HUB",
            options=("--from", "--hub"),
        )
    verified = verify(source, family.repo_id, family, progress=progress)
    names = [run.revision for run in (family.runs() if runs is None else runs)]
    branches = promoted_branches(family, source, verified, names, checkpoints=checkpoints)
    promotion = Promotion(family, source, target, verified, tuple(withdrawals_on(target, family)))
    plans = compare_with_hub(plan_branches(promotion, branches, options), workspace, family, target)
    findings = [finding for plan in plans for finding in errors(plan.findings)]
    waiting = not_yet_promoted(promotion, branches)
    main_options = options if runs is None else replace(options, tag=None)
    if not waiting:
        findings += errors(plan_main(promotion, main_options, before=plans).findings)
    return PromotionPlan(promotion, tuple(plans), tuple(waiting), main_options, tuple(findings))


def require_promotable(plan: PromotionPlan) -> None:
    """Raises ExportError when something is in the way of a promotion."""
    require_sound(plan.findings, ", ".join(dict.fromkeys(finding.where for finding in plan.findings)))


def promote(
    plan: PromotionPlan,
    workspace: Workspace,
    *,
    show: Callable[[Pushed], None] = lambda pushed: None,
    progress: Progress = SILENT,
) -> list[Pushed]:
    """Carries a promotion out: downloads and checks all that it sends, then pushes each branch, then `main`.

    Args:
        plan: of `plan_promotions`.
        workspace: where the receipts go.
        show: is told of each branch as soon as it is pushed.
        progress: is told of what is sent.

    Raises:
        ExportError: something is in the way; nothing was sent.
        HubError: a hub refused, or gave other files than were planned.
        PushConflictError: a branch of the target moved meanwhile; those before it are promoted.
    """
    require_promotable(plan)
    promotion = plan.promotion
    results: list[Pushed] = []

    def push(one: Plan) -> None:
        results.append(push_plan(one, workspace, promotion.target, progress))
        show(results[-1])

    for one in [download_plan_files(one, promotion) for one in plan.branches]:  # all, before the first is sent
        push(one)
    main = plan_model_on_main(promotion) if plan.waiting else plan_main(promotion, plan.main_options)
    if main is not None:
        push(main)
    return results


def plan_branches(promotion: Promotion, branches: Sequence[str], options: PushOptions = DEFAULTS) -> list[Plan]:
    """The plans of branches; nothing large is fetched.

    Raises:
        HubError: a hub cannot be asked.
    """
    family, source, target = promotion.family, promotion.source, promotion.target
    plans = []
    for branch in branches:
        commit = promotion.commits[branch]
        tree = remote_tree(source, family.repo_id, commit)
        existing = _tree_if_any(target, family.repo_id, branch)
        plan = plan_files(
            family.repo_id,
            branch,
            _files_on_target(promotion, commit, tree, existing),
            target,
            options,
            weights=weights_in(tree),
            message=f"Promote {branch} from commit {commit[:12]}",
        )
        plans.append(replace(plan, findings=(*promotion.findings_on(branch), *plan.findings)))
    return plans


def download_plan_files(plan: Plan, promotion: Promotion) -> Plan:
    """The plan with the files that it sends, downloaded from the hub that has them and hashed.

    Raises:
        HubError: a file came down other than it was planned.
        ExportError: weights hold what is no finite number.
    """
    paths = [change.path for change in plan.changed if change.action != "delete"]
    paths = [path for path in paths if plan.files[path].source is None]
    if not paths:
        return plan
    source, commit = promotion.source, promotion.commits[plan.branch]
    folder = fetch(source, plan.repo_id, commit, paths)
    files = dict(plan.files)
    for path in paths:
        files[path] = local_file(folder / path)
        planned = plan.files[path]
        is_same = files[path].sha256 == planned.sha256 if planned.sha256 else files[path].git_oid() == planned.oid
        if not is_same:
            raise HubError(
                f"{source}: {plan.repo_id}@{commit}: {path} is not what was planned",
                code="download-differs",
                hint="promote again; if it stays, verify the source with --deep",
                repo_id=plan.repo_id,
                path=path,
            )
        if path.endswith(".safetensors") and (bad := scan(folder / path).not_finite):
            names = listed(sorted(bad), most=3)
            raise ExportError(
                f"{source}: {plan.repo_id}@{plan.branch}: {path} has NaN or infinite numbers in {names}",
                code="weights-not-finite",
                hint=f"nothing was promoted; on {source}: mixhub withdraw",
                path=folder / path,
            )
    return replace(plan, files=files)


def plan_main(promotion: Promotion, options: PushOptions = DEFAULTS, *, before: Sequence[Plan] = ()) -> Plan:
    """The plan of `main`, once all branches are promoted: the source's, with the commits that they have on the target.

    The model that it holds by the family is copied there, from the branch that has it.

    Args:
        promotion: the repo, and the two hubs.
        options: `tag`, `private` and `force` are looked at.
        before: plans of branches that will be carried out before this one, so that the card will change.
    """
    family, source, target = promotion.family, promotion.source, promotion.target
    heads = promotion.commits
    existing = heads_if_any(target, family.repo_id)
    tree = remote_tree(source, family.repo_id, heads[MAIN])
    model, copied = held_by_main(family, target, existing, before)
    kept = (path for path in tree if path not in KEPT_ON_HUB)
    paths = [path for path in kept if family.main_run is None or not is_model_file(path)]
    folder = fetch(source, family.repo_id, heads[MAIN], paths)
    files = {**model, **{path: local_file(folder / path) for path in paths}}
    if CARD in files:
        card = (folder / CARD).read_text(encoding="utf-8")
        for branch, commit in existing.items():
            if branch in heads:
                card = card.replace(heads[branch], commit)
        for mark in promotion.marks:
            card = add_erratum(card, mark)
        files[CARD] = local_file(card.encode())
    plan = plan_files(
        family.repo_id,
        MAIN,
        files,
        target,
        options,
        weights=None,
        message=f"Promote the card from commit {heads[MAIN][:12]}",
        moved=any(one.changed for one in before),
    )
    wrong = withdrawn_on_main(model, promotion.marks)
    return replace(plan, findings=(*promotion.findings_on(MAIN), *plan.findings, *wrong), copied=copied)


def plan_model_on_main(promotion: Promotion) -> Plan | None:
    """The plan that makes the model on `main` that of its run's branch again, after a promotion of some runs.

    None where `main` holds none, or may not hold that one.
    """
    family, target = promotion.family, promotion.target
    heads = heads_if_any(target, family.repo_id)
    tree = _tree_if_any(target, family.repo_id, MAIN)
    model, copied = held_by_main(family, target, heads, ())
    if not model or LINEAGE_FILE not in tree or any(withdrawn_on_main(model, promotion.marks)):
        return None
    others = {path: remote_file(file) for path, file in tree.items() if path not in KEPT_ON_HUB}
    files = {**{path: file for path, file in others.items() if not is_model_file(path)}, **model}
    plan = plan_files(family.repo_id, MAIN, files, target, weights=None, message="Copy the model that main holds")
    return replace(plan, copied=copied)


def not_yet_promoted(promotion: Promotion, planned: Sequence[str]) -> list[str]:
    """Runs whose branch on one hub is not on the other with the same files: `main`, which tells of all, waits for them.

    Args:
        promotion: the repo, and the two hubs.
        planned: branches that are promoted before `main` is.
    """
    family, commits = promotion.family, promotion.commits
    waiting = []
    for name in (run.revision for run in family.runs() if run.revision in commits and run.revision not in planned):
        tree = remote_tree(promotion.source, family.repo_id, commits[name])
        existing = _tree_if_any(promotion.target, family.repo_id, name)
        files = _files_on_target(promotion, commits[name], tree, existing)
        is_same = all(path in existing and same_content(file, existing[path]) for path, file in files.items())
        if not is_same or set(files) != set(existing) - KEPT_ON_HUB:
            waiting.append(name)
    return waiting


def promoted_branches(
    family: Family, source: Endpoint, verified: Verification, names: Sequence[str], *, checkpoints: bool
) -> list[str]:
    """The branches of some runs that a hub has: with `checkpoints`, those of their earlier steps too.

    Raises:
        HubError: it has none of them.
    """
    heads = [branch.name for branch in verified.branches if branch.commit is not None]
    branches = []
    for name in heads:
        step = step_of(family, name)
        if name in names or (checkpoints and step is not None and step[0].revision in names):
            branches.append(name)
    if not branches:
        raise HubError(
            f"{source}: {family.repo_id} has none of {', '.join(names)}",
            code="branch-missing",
            hint=f"it has: {', '.join(heads)}",
            repo_id=family.repo_id,
        )
    return branches


def _files_on_target(
    promotion: Promotion, commit: str, tree: Mapping[str, RemoteFile], existing: Mapping[str, RemoteFile]
) -> dict[str, LocalFile]:
    """The files of a commit, `tree`, as they shall be on the target, whose branch has the files `existing`.

    Which files are stored as large ones is for each hub to say, and those are named by another hash; where the two
    differ in it, the file, which is small on one of them, is fetched, so that it is known by both. Weights that were
    withdrawn there stay so.
    """
    source, repo_id = promotion.source, promotion.family.repo_id
    unlike = [
        path
        for path, file in tree.items()
        if path in existing
        and file.size == existing[path].size
        and (file.sha256 is None) != (existing[path].sha256 is None)
    ]
    folder = fetch(source, repo_id, commit, unlike) if unlike else Path()
    files = {
        path: local_file(folder / path) if path in unlike else remote_file(file)
        for path, file in tree.items()
        if path not in KEPT_ON_HUB
    }
    weights = weights_in(tree)
    for mark in (mark for mark in promotion.marks if mark.weights_sha256 == weights and CARD in tree):
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
