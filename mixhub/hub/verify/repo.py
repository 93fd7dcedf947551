"""Whether repos on a hub hold what their family says: every branch complete, of its own seed, and described correctly.

It works on repos from others, too: facts that they do not state are not expected.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, HubUnreachableError, MixhubError, RepoNotFoundError
from mixhub.findings import Finding, Level
from mixhub.hub.remote.branches import read_branches
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.remote.files import MAIN
from mixhub.hub.verify import cards, eval_results, files, model, names, presence, weights
from mixhub.hub.verify.subject import REPORT, BranchUnderCheck, Compared, RepoUnderCheck, place, unread_finding
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family, Run


def each_branch(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Apply the rules for branches to all branches with models; once to those of one commit that no run has."""
    rules = (*files.BRANCH_RULES, *model.BRANCH_RULES, eval_results.eval_results_differ)
    of_commits: dict[str, list[Finding]] = {}
    for branch in repo.models:
        is_named = branch.meaning is not None or branch.name == MAIN  # then its name counts, too
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


_RepoRules = tuple[Callable[[RepoUnderCheck], Iterator[Finding]], ...]

PRESENCE: _RepoRules = (*presence.RULES, *names.RULES, each_branch)
COMPARISONS: tuple[Callable[[Compared], Iterator[Finding]], ...] = (
    weights.weights_repeated,
    weights.files_shared,
    files.files_differ,
    files.dtypes_vary,
    weights.initial_weights_repeated,
)
PAGES: _RepoRules = (eval_results.eval_results_malformed, each_card, cards.card_commits_differ)
"""Rules in the order of the report; for those that need the weights see `weights.deep_findings`."""


@dataclass(frozen=True)
class Verified:
    """A branch that was verified."""

    repo_id: str
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
    """The result of verifying a repo, or all repos of a family."""

    repo_id: str
    """The repo; of several, their pattern in the family, such as `lab/tiny-seed{seed}`."""
    branches: tuple[Verified, ...]
    findings: tuple[Finding, ...]
    """On a branch of one of several repos they are at `lab/tiny-seed1@step100`."""

    def where(self, branch: Verified) -> str:
        """Return how findings name a branch."""
        return place(self.repo_id, branch.repo_id, branch.name)


def verify(
    endpoint: Endpoint,
    repo_id: str,
    family: Family | None = None,
    *,
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
        local: `weights_sha256` by revision in the workspace: other weights on the hub are stale.
        planned: revisions that the workspace plans, and knows nothing else about: they need not exist yet.
        deep: download the weights, too: hash them, check every number, load and generate.
        progress: advances with each branch.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    repo = _read(endpoint, repo_id, family, local or {}, planned, progress)
    compared = Compared(repo_id, [repo])
    return Verification(repo_id, tuple(_verified(repo)), tuple(_findings(compared, deep, progress)))


def verify_repos(
    endpoint: Endpoint,
    family: Family,
    *,
    local: Mapping[str, str] | None = None,
    planned: Collection[str] = (),
    deep: bool = False,
    progress: Progress = SILENT,
) -> Verification:
    """Verify a family of which each run has a repo, as `verify`, and compare the branches of all repos.

    A repo that does not exist or cannot be read is a finding, unless none can be read.
    """
    repos: list[RepoUnderCheck] = []
    unread: list[tuple[Run, HubError]] = []
    for part in family.parts():
        [run] = part.runs()
        gone = next((error for _, error in unread if isinstance(error, HubUnreachableError)), None)
        try:
            if gone is not None:  # it was waited for once
                raise gone
            repos.append(_read(endpoint, part.repo_id, part, local or {}, planned, progress))
        except HubError as error:
            unread.append((run, error))
    if not repos:
        raise unread[0][1]
    own = None if any(repo.is_foreign for repo in repos) else planned
    findings = [_unread_repo(family, run, error, own) for run, error in unread]
    verified = [one for repo in repos for one in _verified(repo)]
    verified += [Verified(run.repo_id, run.branch, None, True, None, 0, 0, False) for run, _ in unread]
    findings += _findings(Compared(family.repo_id, repos), deep, progress)
    return Verification(family.repo_id, tuple(verified), tuple(findings))


def _unread_repo(family: Family, run: Run, error: HubError, planned: Collection[str] | None) -> Finding:
    """Return the finding for a repo of a family that could not be read; planned is None if others published it."""
    where = place(family.repo_id, run.repo_id, run.branch)
    if not isinstance(error, RepoNotFoundError):
        return unread_finding(where, error, "")
    hint = f"{REPORT if planned is None else 'push its run'}; or, if it will never exist, remove it from revisions"
    level: Level = "warning" if run.revision in (planned or ()) else "error"
    return Finding(error.code, where, "there is no such repo on the hub, or it is private", hint, level)


def _read(
    endpoint: Endpoint,
    repo_id: str,
    family: Family | None,
    local: Mapping[str, str],
    planned: Collection[str],
    progress: Progress,
) -> RepoUnderCheck:
    unread: dict[str, MixhubError] = {}
    heads = branch_heads(endpoint, repo_id)
    branches = read_branches(endpoint, repo_id, heads, progress, unread)
    return RepoUnderCheck(endpoint, repo_id, family, local, branches, planned, unread, heads)


def _findings(compared: Compared, deep: bool, progress: Progress) -> Iterator[Finding]:
    """Apply all rules."""
    findings = [
        *_each_repo(compared, PRESENCE),
        *(finding for rule in COMPARISONS for finding in rule(compared)),
        *_each_repo(compared, PAGES),
    ]
    if deep:
        findings += weights.deep_findings(compared, findings, progress)
    return _without_folders(compared, findings)


def _each_repo(compared: Compared, rules: _RepoRules) -> Iterator[Finding]:
    for repo in compared.repos:
        for finding in (finding for rule in rules for finding in rule(repo)):
            is_of_repo = finding.where == repo.repo_id
            yield finding if is_of_repo else replace(finding, where=compared.where(repo, finding.where))


def _verified(repo: RepoUnderCheck) -> Iterator[Verified]:
    """Yield the branches of a repo: those that were read, and those that are missing or could not be read."""
    expected = repo.expected
    for branch in repo.branches.values():
        yield Verified(
            repo.repo_id,
            branch.name,
            branch.commit,
            branch.name in expected,
            branch.weights_sha256 or branch.weights,
            len(branch.tree),
            sum(file.size for file in branch.tree.values()),
            branch.name in repo.lineages,
        )
    for name in dict.fromkeys((*expected, *repo.unread)):
        if name not in repo.branches:
            yield Verified(repo.repo_id, name, repo.heads.get(name), name in expected, None, 0, 0, False)


def _without_folders(compared: Compared, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Remove the folders of downloads from messages."""
    for finding in findings:
        branch = compared.branches.get(finding.where)
        folders = [str(branch.branch.folder), str(branch.branch.folder.resolve())] if branch else []
        message = finding.message
        for folder in folders:
            message = message.replace(f"{folder}/", "").replace(folder, branch.repo.repo_id if branch else "")
        yield replace(finding, message=message)
