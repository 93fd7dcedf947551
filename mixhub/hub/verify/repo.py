"""Whether a repo on a hub is what its family says: every branch there, whole, of its own seed, and truly described.

It works on repos that mixhub did not make: what they do not say is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from mixhub.endpoint import Endpoint
from mixhub.findings import Finding
from mixhub.hub.remote.branches import read_branches
from mixhub.hub.remote.client import branch_heads
from mixhub.hub.verify.cards import (
    card_commits_differ,
    card_missing,
    card_scores_differ,
    card_unsound,
    results_foreign,
    weights_withdrawn,
)
from mixhub.hub.verify.copies import initial_weights_repeated, weights_repeated
from mixhub.hub.verify.deep import deep_findings
from mixhub.hub.verify.files import files_differ, files_foreign, files_missing, pickles_found
from mixhub.hub.verify.lineage import (
    hashes_differ,
    lineage_differs,
    lineage_malformed,
    metrics_malformed,
    model_differs,
    recipe_differs,
)
from mixhub.hub.verify.main import license_missing, main_differs
from mixhub.hub.verify.presence import branches_missing, branches_stale, branches_unknown
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.hub.verify.weights import config_unfit, shards_missing, tensors_differ, weights_malformed
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family

RepoRule = Callable[[RepoUnderCheck], Iterator[Finding]]
BranchRule = Callable[[BranchUnderCheck], Iterator[Finding]]

BRANCH_RULES: tuple[BranchRule, ...] = (
    files_missing,
    files_foreign,
    pickles_found,
    lineage_malformed,
    hashes_differ,
    lineage_differs,
    recipe_differs,
    model_differs,
    metrics_malformed,
    shards_missing,
    weights_malformed,
    tensors_differ,
    config_unfit,
)
"""What each branch with a model must keep, by itself and beside its run."""
CARD_RULES: tuple[BranchRule, ...] = (
    card_missing,
    card_unsound,
    results_foreign,
    card_scores_differ,
    weights_withdrawn,
)
"""What the card of each branch must keep, and that of `main`."""


def each_branch(repo: RepoUnderCheck) -> Iterator[Finding]:
    """`BRANCH_RULES` of all branches with models."""
    for branch in repo.models:
        for rule in BRANCH_RULES:
            yield from rule(branch)


def each_card(repo: RepoUnderCheck) -> Iterator[Finding]:
    """`CARD_RULES` of all branches that should have a card."""
    for branch in repo.with_cards:
        for rule in CARD_RULES:
            yield from rule(branch)


RULES: tuple[RepoRule, ...] = (
    branches_missing,
    branches_unknown,
    branches_stale,
    license_missing,
    main_differs,
    each_branch,
    weights_repeated,
    files_differ,
    initial_weights_repeated,
    each_card,
    card_commits_differ,
)
"""What a repo must keep, in the order in which it is reported; for what needs the weights see `deep`."""


@dataclass(frozen=True)
class Verified:
    """A branch, and what was found of it."""

    name: str
    commit: str | None
    """None of a branch that is not there."""
    is_expected: bool
    weights: str | None
    """Names its weights; None if it holds none."""
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
    deep: bool = False,
    progress: Progress = SILENT,
) -> Verification:
    """Reads all branches of a repo that hold models, and `main`, and reports what is wrong.

    Args:
        endpoint: the hub.
        repo_id: the repo.
        family: what it should hold; None: whatever it holds, checked against itself alone.
        only: these branches alone; they are still compared with each other.
        local: the weights that a workspace has, as `weights_sha256` by revision: other ones on the hub are stale.
        deep: download the weights too: hash them, look at every number, load and generate.
        progress: advances with each branch that is read.

    Raises:
        RepoNotFoundError, HubUnreachableError: the hub has no such repo, or does not answer.
    """
    heads = branch_heads(endpoint, repo_id)
    if only is not None:
        heads = {name: commit for name, commit in heads.items() if name in only}
    with progress.start("branches", len(heads), "branch") as bar:
        branches = {branch.name: branch for branch in read_branches(endpoint, repo_id, heads, bar)}
    revisions = [run.revision for run in family.runs()] if family else []
    expected = tuple(name for name in revisions if only is None or name in only)
    repo = RepoUnderCheck(endpoint, repo_id, family, expected, local or {}, branches)
    found = [finding for rule in RULES for finding in rule(repo)]
    if deep:
        found += deep_findings(repo, found, progress)
    return Verification(repo_id, tuple(_verified(repo)), tuple(_without_folders(repo, found)))


def _verified(repo: RepoUnderCheck) -> Iterator[Verified]:
    for branch in repo.branches.values():
        yield Verified(
            branch.name,
            branch.commit,
            branch.name in repo.expected,
            branch.weights_sha256 or branch.weights,
            len(branch.tree),
            branch.size,
            branch.name in repo.lineages,
        )
    for name in repo.expected:
        if name not in repo.branches:
            yield Verified(name, None, True, None, 0, 0, False)


def _without_folders(repo: RepoUnderCheck, findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings that name no folder into which a branch was downloaded."""
    folders = [f"{branch.folder}/" for branch in repo.branches.values()]
    for finding in findings:
        message = finding.message
        for folder in folders:
            message = message.replace(folder, "")
        yield replace(finding, message=message)
