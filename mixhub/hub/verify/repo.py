"""Whether a repo on a hub holds what its family says: every branch complete, of its own seed, and described correctly.

It works on repos from others, too: facts that they do not state are not expected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.findings import Finding
from mixhub.hub.remote.branches import read_branches
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.files import MAIN
from mixhub.hub.verify import cards, eval_results, files, model, presence, weights
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family


def each_branch(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Apply the rules for branches to all branches with models; once to those of one commit that no run has."""
    rules = (*files.BRANCH_RULES, *model.BRANCH_RULES, eval_results.eval_results_differ)
    of_commits: dict[str, list[Finding]] = {}
    for branch in repo.models:
        is_named = branch.run is not None or branch.name == MAIN  # then its name counts, too
        findings = None if is_named else of_commits.get(branch.branch.commit)
        if findings is None:
            findings = [finding for rule in rules for finding in rule(branch)]
        if not is_named:
            of_commits[branch.branch.commit] = findings
        yield from (replace(finding, where=branch.name) for finding in findings)


def each_card(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Apply the rules for cards to all branches that should have one."""
    main = [BranchUnderCheck(repo, branch) for branch in repo.branches.values() if branch.name == MAIN]
    branches = [*repo.models, *(branch for branch in main if not branch.branch.is_model)]
    return (finding for branch in branches for rule in cards.CARD_RULES for finding in rule(branch))


RULES: tuple[Callable[[RepoUnderCheck], Iterator[Finding]], ...] = (
    *presence.RULES,
    each_branch,
    weights.weights_repeated,
    weights.files_shared,
    files.files_differ,
    files.dtypes_vary,
    eval_results.eval_results_malformed,
    weights.initial_weights_repeated,
    each_card,
    cards.card_commits_differ,
)
"""Rules for a repo, in the order of the report; for those that need the weights see `weights.deep_findings`."""


@dataclass(frozen=True)
class Verified:
    """A branch that was verified."""

    name: str
    commit: str | None
    """None if the branch is missing."""
    is_expected: bool
    weights: str | None
    """Identifies its weights; None without weights."""
    files: int
    size: int
    """Bytes."""
    tells_lineage: bool


@dataclass(frozen=True)
class Verification:
    """The result of verifying a repo."""

    repo_id: str
    branches: tuple[Verified, ...]
    findings: tuple[Finding, ...]


def verify(
    endpoint: Endpoint,
    repo_id: str,
    family: Family | None = None,
    *,
    only: Sequence[str] | None = None,
    local: Mapping[str, str] | None = None,
    planned: Collection[str] = (),
    deep: bool = False,
    progress: Progress = SILENT,
) -> Verification:
    """Read all branches of a repo that hold models, and `main`, and report what is wrong.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        family: what it should hold; None: its branches are only compared with each other.
        only: verify only these branches, and compare them with each other.
        local: `weights_sha256` by revision in the workspace: other weights on the hub are stale.
        planned: revisions that the workspace plans, and knows nothing else about: they need not exist yet.
        deep: download the weights, too: hash them, check every number, load and generate.
        progress: advances with each branch.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    heads = branch_heads(endpoint, repo_id)
    if only is not None:
        heads = {name: commit for name, commit in heads.items() if name in only}
    unread: dict[str, MixhubError] = {}
    branches = read_branches(endpoint, repo_id, heads, progress, unread)
    revisions = [run.revision for run in family.runs()] if family else []
    expected = tuple(name for name in revisions if only is None or name in only)
    repo = RepoUnderCheck(endpoint, repo_id, family, expected, local or {}, branches, planned, unread)
    findings = [finding for rule in RULES for finding in rule(repo)]
    if deep:
        findings += weights.deep_findings(repo, findings, progress)
    verified = [
        Verified(
            branch.name,
            branch.commit,
            branch.name in expected,
            branch.weights_sha256 or branch.weights,
            len(branch.tree),
            sum(file.size for file in branch.tree.values()),
            branch.name in repo.lineages,
        )
        for branch in branches.values()
    ]
    others = {**dict.fromkeys(expected), **{name: heads[name] for name in unread}}
    verified += [
        Verified(name, commit, name in expected, None, 0, 0, False)
        for name, commit in others.items()
        if name not in branches
    ]
    return Verification(repo_id, tuple(verified), tuple(_without_folders(repo, findings)))


def _without_folders(repo: RepoUnderCheck, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Remove the folders of downloads from messages."""
    for finding in findings:
        branch = repo.branches.get(finding.where)
        folders = [str(branch.folder), str(branch.folder.resolve())] if branch else []
        message = finding.message
        for folder in folders:
            message = message.replace(f"{folder}/", "").replace(folder, repo.repo_id)
        yield replace(finding, message=message)
