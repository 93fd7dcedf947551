"""Copying branches unchanged from one hub to another: verified at the source, and again at the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mixhub.analysis.published.eval_results import own_cell
from mixhub.card.facts.withdrawal import Withdrawal, add_erratum, is_marked, mark_withdrawn
from mixhub.endpoint import Endpoint
from mixhub.errors import ExportError, HubError, RepoNotFoundError, RevisionNotFoundError, UsageError
from mixhub.findings import Finding
from mixhub.hub.publish.branch_plans import main_model, withdrawn_on_main
from mixhub.hub.publish.plan import DEFAULTS, Plan, PushOptions, Target, plan_files, stale
from mixhub.hub.publish.receipts import hub_key
from mixhub.hub.publish.withdraw import withdrawals_on
from mixhub.hub.remote import files as remote_files
from mixhub.hub.remote.branches import fetch
from mixhub.hub.remote.client import branch_heads, file_content, remote_tree
from mixhub.hub.remote.files import CARD, MAIN, is_model_file, local_file, remote_file, same_content, weights_in
from mixhub.hub.rules.revisions import BranchNames
from mixhub.hub.rules.weights import scan
from mixhub.hub.verify.repo import Verification, verify
from mixhub.phrases import listed
from mixhub.progress import Progress
from mixhub.spec.family import Family
from mixhub.workspace.lineage import LINEAGE_FILE


@dataclass(frozen=True)
class Promotion:
    """A family's repo on one hub, whose branches are copied to another."""

    family: Family
    """The family, as the repo holds it."""
    source: Endpoint
    target: Endpoint
    verified: Verification
    """The result of `verify` at the source. Its commits are promoted, even if the branches move."""
    marks: tuple[Withdrawal, ...] = ()
    """What was withdrawn at the target (see `withdrawals_on`), and stays so."""

    @classmethod
    def read(cls, family: Family, source: Endpoint, target: Endpoint, progress: Progress) -> Promotion:
        """Verify the repo on the source, which must be another hub than the target."""
        if hub_key(source) == hub_key(target):
            message = f"--from {source.name or source.url}: is also the hub to push to"
            hint = "name another one: --hub HUB"
            raise UsageError(message, code="option-conflict", hint=hint, options=("--from", "--hub"))
        verified = verify(source, family.repo_id, family, progress=progress)
        return cls(family, source, target, verified, tuple(withdrawals_on(target, family)))

    def place(self, branch: str) -> str:
        """Return what messages call a branch."""
        return self.family.place(self.family.repo_id, branch)

    def target_of(self, branch: str) -> Target:
        """Ask the target for a branch."""
        is_card = branch == MAIN and not self.family.main_is_run
        return Target.read(self.target, self.family.repo_id, branch, place=self.place(branch), is_card=is_card)

    @property
    def commits(self) -> dict[str, str]:
        """The commit of each branch that was verified."""
        return {branch.name: branch.commit for branch in self.verified.branches if branch.commit is not None}

    def findings_on(self, branch: str) -> list[Finding]:
        """Return the findings of a branch; errors name the hub.

        What could not be checked is one, and so is a card with other commits: the target would have them nowhere.
        """
        findings = [finding for finding in self.verified.findings if finding.where == branch]
        found = [replace(finding, where=self.place(branch)) for finding in findings]
        return [
            one
            if one.level == "warning" and one.code != "card-commit-differs"
            else replace(one, message=f"{one.message} (on {self.source})", level="error")
            for one in found
        ]

    def branches_of(self, runs: Sequence[str], *, checkpoints: bool) -> list[str]:
        """Return those of the given branches of runs that the source has, optionally with those of earlier steps.

        Raises:
            HubError: there are none.
        """
        names = BranchNames(self.family)
        meanings = {name: names.meaning(name) for name in self.commits} if checkpoints else {}
        of_steps = {name for name, one in meanings.items() if one and (one.run is None or one.run.branch in runs)}
        branches = [name for name in self.commits if name in runs or name in of_steps]
        if not branches:
            message = f"{self.source}: {self.family.repo_id} has none of {', '.join(runs)}"
            there = [run.revision for run in self.family.runs() if run.branch in self.commits]
            hint = f"promote one of: {listed(there, most=12)}" if there else f"push a run to {self.source} first"
            raise HubError(message, code="branch-missing", hint=hint)
        return branches

    def target_tree(self, branch: str) -> dict[str, remote_files.RemoteFile]:
        """Return the files of a branch at the target; empty if there is no such branch or repo."""
        try:
            return remote_tree(self.target, self.family.repo_id, branch)
        except (RepoNotFoundError, RevisionNotFoundError):
            return {}


def plan_branches(promotion: Promotion, branches: Sequence[str], options: PushOptions = DEFAULTS) -> list[Plan]:
    """Return the plans of branches; no large file is downloaded.

    Raises:
        HubError: a hub cannot be reached.
    """
    plans = []
    for branch in branches:
        files, weights, _ = _files_on_target(promotion, branch)
        message = f"Promote {branch} from commit {promotion.commits[branch][:12]}"
        plan = plan_files(promotion.target_of(branch), files, options, message=message, weights=weights)
        plans.append(replace(plan, findings=(*promotion.findings_on(branch), *plan.findings)))
    return plans


def download_plan_files(plan: Plan, promotion: Promotion) -> Plan:
    """Return the plan with the files that it sends, downloaded from the source and hashed.

    Raises:
        HubError: a file differs from the plan.
        ExportError: weights hold NaN or infinite numbers.
    """
    changed = [change.path for change in plan.changed if change.action != "delete"]
    paths = [path for path in changed if plan.files[path].source is None]
    if not paths:
        return plan
    source, commit = promotion.source, promotion.commits[plan.branch]
    folder = fetch(source, plan.repo_id, commit, paths)
    files = dict(plan.files)
    for path in paths:
        files[path], planned = local_file(folder / path), plan.files[path]
        is_same = files[path].sha256 == planned.sha256 if planned.sha256 else files[path].git_oid() == planned.oid
        if not is_same:
            message = f"{source}: {plan.repo_id}@{commit}: {path} differs from the plan"
            hint = "promote again; if it persists, verify the source with --deep"
            raise HubError(message, code="download-differs", hint=hint)
        if path.endswith(".safetensors") and (bad := scan(folder / path).not_finite):
            names = listed(sorted(bad), most=3)
            message = f"{source}: {plan.repo_id}@{plan.branch}: {path} has NaN or infinite numbers in {names}"
            hint = f"nothing was promoted; on {source}: mixhub withdraw"
            raise ExportError(message, code="weights-not-finite", hint=hint)
    return replace(plan, files=files)


def plan_main(promotion: Promotion, options: PushOptions = DEFAULTS, *, before: Sequence[Plan] = ()) -> Plan:
    """Return the plan of `main` after all branches: the source's, with the commits of the target.

    The model that `main` should hold is copied there from its branch.

    Args:
        promotion: the repo, and the two hubs.
        options: `tag`, `private` and `force` are used.
        before: plans of branches that will be pushed before, so that the card will change.
    """
    family, source, commits = promotion.family, promotion.source, promotion.commits
    heads = branch_heads(promotion.target, family.repo_id, missing_ok=True)
    model, copied = main_model(family, promotion.target, heads, before)
    tree = remote_tree(source, family.repo_id, commits[MAIN])
    paths = [
        path for path in tree if path not in remote_files.KEPT_ON_HUB and not (family.main_run and _is_of_run(path))
    ]
    folder = fetch(source, family.repo_id, commits[MAIN], paths)
    files = {**model, **{path: local_file(folder / path) for path in paths}}
    if CARD in files:
        card = (folder / CARD).read_text(encoding="utf-8")
        for branch in set(heads) & set(commits):
            card = card.replace(commits[branch], heads[branch])
        for mark in promotion.marks:
            card = add_erratum(card, mark)
        files[CARD] = local_file(card.encode())
    message = f"Promote the card from commit {commits[MAIN][:12]}"
    moves_first = any(one.changed for one in before)
    plan = plan_files(promotion.target_of(MAIN), files, options, message=message, moves_first=moves_first)
    withdrawn = withdrawn_on_main(model, promotion.marks)
    return replace(plan, findings=(*promotion.findings_on(MAIN), *plan.findings, *withdrawn), copied=copied)


def plan_model_on_main(promotion: Promotion) -> Plan | None:
    """Return the plan that updates the model on `main` from its branch, after a promotion of some runs.

    None if `main` holds none, or must not hold that one.
    """
    family = promotion.family
    tree = promotion.target_tree(MAIN)
    heads = branch_heads(promotion.target, family.repo_id, missing_ok=True)
    model, copied = main_model(family, promotion.target, heads, ())
    if not model or LINEAGE_FILE not in tree or any(withdrawn_on_main(model, promotion.marks)):
        return None
    others = {path: remote_file(file) for path, file in tree.items() if path not in remote_files.KEPT_ON_HUB}
    files = {**{path: file for path, file in others.items() if not _is_of_run(path)}, **model}
    message = "Copy the model that main holds"
    return replace(plan_files(promotion.target_of(MAIN), files, DEFAULTS, message=message), copied=copied)


def _is_of_run(path: str) -> bool:
    """Whether `main` gets a file from the branch of the run whose model it holds, as `main_model` selects them."""
    return is_model_file(path) or own_cell(path) is not None


def not_yet_promoted(promotion: Promotion, planned: Sequence[str]) -> list[str]:
    """Return the runs whose branches differ between the hubs, except those planned: `main` waits for them."""
    waiting = []
    for name in (run.branch for run in promotion.family.runs()):
        if name in promotion.commits and name not in planned:
            files, _, existing = _files_on_target(promotion, name)
            is_same = all(path in existing and same_content(file, existing[path]) for path, file in files.items())
            target = Target(promotion.target, promotion.family.repo_id, name, name, True)
            if not is_same or stale(target, files, existing):
                waiting.append(name)
    return waiting


def _files_on_target(
    promotion: Promotion, branch: str
) -> tuple[dict[str, remote_files.LocalFile], str | None, Mapping[str, remote_files.RemoteFile]]:
    """Return the files that a branch should have at the target, their weights, and the files that it has.

    Each hub decides which files are stored as large ones, and large files have another hash. A file that is large on
    only one hub is downloaded, so that both hashes are known. Withdrawn weights stay withdrawn.
    """
    source, repo_id, commit = promotion.source, promotion.family.repo_id, promotion.commits[branch]
    tree, existing = remote_tree(source, repo_id, commit), promotion.target_tree(branch)
    one_sided = [
        path
        for path, file in tree.items()
        if path in existing
        and file.size == existing[path].size
        and (file.sha256 is None) != (existing[path].sha256 is None)
    ]
    folder = fetch(source, repo_id, commit, one_sided) if one_sided else Path()
    files = {
        path: local_file(folder / path) if path in one_sided else remote_file(file)
        for path, file in tree.items()
        if path not in remote_files.KEPT_ON_HUB
    }
    weights = weights_in(tree)
    withdrawn = [mark for mark in promotion.marks if mark.weights_sha256 == weights]
    if withdrawn:
        files = {path: file for path, file in files.items() if not own_cell(path)}
    for mark in withdrawn if CARD in tree else ():
        card = file_content(source, repo_id, commit, CARD).decode(errors="replace")
        if not is_marked(card):
            files[CARD] = local_file(mark_withdrawn(card, mark).encode())
    return files, weights, existing
