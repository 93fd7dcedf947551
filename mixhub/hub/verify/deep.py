"""What is found only in the weights themselves: every byte is downloaded and read, and what is whole is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mixhub.errors import MixhubError
from mixhub.findings import Finding, errors
from mixhub.hub.check.loading import loading_findings
from mixhub.hub.remote.branches import fetch
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.lineage import began_apart
from mixhub.hub.rules.tensors import not_finite_findings, shared_findings
from mixhub.hub.rules.weights import Fingerprint, Scanned, are_same_tensors, fingerprints, scan, shared_tensors
from mixhub.hub.verify.copies import repeated_findings
from mixhub.hub.verify.subject import BranchUnderCheck, RepoUnderCheck
from mixhub.progress import Progress
from mixhub.workspace.lineage import combined_sha256


@dataclass(frozen=True)
class DownloadedBranch:
    """A branch whose files all lie in a folder."""

    subject: BranchUnderCheck
    folder: Path

    @cached_property
    def scanned(self) -> Mapping[str, Scanned | MixhubError]:
        """Each file of weights, read to its last byte, or why it cannot be."""
        return {path: _scan(self.folder / path) for path in self.subject.branch.safetensors}


@dataclass(frozen=True)
class DownloadedRepo:
    """A repo of which all branches with models were downloaded."""

    repo: RepoUnderCheck
    prints: Mapping[str, Mapping[str, Fingerprint]]
    """Fingerprints of the tensors, by branch."""
    reported: frozenset[str]
    """Branches whose repeated weights were reported by their hashes."""

    @cached_property
    def same(self) -> Mapping[str, str]:
        """By branch, the first one that has its numbers: itself, or one before it."""
        names = list(self.prints)
        return {
            name: next((one for one in names[:number] if are_same_tensors(self.prints[name], self.prints[one])), name)
            for number, name in enumerate(names)
        }


def weights_malformed(branch: DownloadedBranch) -> Iterator[Finding]:
    """Each file is whole, has the hash that the hub states, and no NaN or infinite numbers."""
    name = branch.subject.name
    for path, scanned in branch.scanned.items():
        if isinstance(scanned, MixhubError):
            message = scanned.message.replace(f"{branch.folder}/", "")
            yield Finding(scanned.code, name, message, "push it again from its export", about=path)
            continue
        stated = branch.subject.branch.tree[path].sha256
        if stated is not None and scanned.sha256 != stated:
            message = f"{path} came down as {scanned.sha256}, and the hub says {stated}"
            hint = "download it again; if it stays, push it again"
            yield Finding("download-differs", name, message, hint, about=path)
        yield from not_finite_findings(name, scanned.not_finite, "withdraw it: mixhub withdraw")


def weights_differ(branch: DownloadedBranch) -> Iterator[Finding]:
    """The weights are those of the lineage, if the hub states no hash by which they were compared before."""
    lineage = branch.subject.lineage
    hashes = {path: one.sha256 for path, one in branch.scanned.items() if isinstance(one, Scanned)}
    if lineage is None or branch.subject.branch.weights_sha256 is not None or len(hashes) < len(branch.scanned):
        return
    own = combined_sha256(hashes.items())
    if hashes and own != lineage.weights_sha256:
        message = f"its weights are {own}, but its lineage says {lineage.weights_sha256}"
        yield Finding("weights-differ", branch.subject.name, message, "push it again from its export")


def weights_repeated(downloaded: DownloadedRepo) -> Iterator[Finding]:
    """No two branches hold the same numbers, in whichever shards and dtype."""
    same = {name: known for name, known in downloaded.same.items() if name not in downloaded.reported}
    yield from repeated_findings(downloaded.repo, same)


def tensors_shared(downloaded: DownloadedRepo) -> Iterator[Finding]:
    """No two runs that began with other weights have a matrix in common; a pair is reported once."""
    lineages, same = downloaded.repo.lineages, list(downloaded.same.values())
    names = [
        name
        for name, first in downloaded.same.items()
        if name in lineages and name != MAIN and name not in downloaded.reported and same.count(first) == 1
    ]
    for number, name in enumerate(names):
        for other in names[:number]:
            if began_apart(lineages[name], lineages[other]):
                own = downloaded.prints[name]
                yield from shared_findings(name, shared_tensors(own, downloaded.prints[other]), len(own), other)


BRANCH_RULES: tuple[Callable[[DownloadedBranch], Iterator[Finding]], ...] = (weights_malformed, weights_differ)
"""What the weights of each branch must keep."""
REPO_RULES: tuple[Callable[[DownloadedRepo], Iterator[Finding]], ...] = (weights_repeated, tensors_shared)
"""What the weights of all branches must keep together."""


def deep_findings(repo: RepoUnderCheck, shallow: list[Finding], progress: Progress) -> Iterator[Finding]:
    """Downloads the weights of all branches, and applies the rules; a branch without fault is loaded, too.

    Args:
        repo: the repo.
        shallow: what was found without the weights.
        progress: advances with each branch.
    """
    wrong = {finding.where for finding in errors(shallow)}
    prints: dict[str, Mapping[str, Fingerprint]] = {}
    with progress.start("weights", len(repo.models), "branch") as bar:
        for one in repo.models:
            folder = fetch(repo.endpoint, repo.repo_id, one.branch.commit, list(one.branch.tree))
            branch = DownloadedBranch(one, folder)
            found = [finding for rule in BRANCH_RULES for finding in rule(branch)]
            yield from found or (() if one.name in wrong else loading_findings(one.name, folder))
            prints[one.name] = fingerprints(folder)
            bar.advance(note=one.name)
    reported = frozenset(finding.where for finding in shallow if finding.code == "weights-repeated")
    downloaded = DownloadedRepo(repo, prints, reported)
    yield from (finding for rule in REPO_RULES for finding in rule(downloaded))


def _scan(path: Path) -> Scanned | MixhubError:
    try:
        return scan(path)
    except MixhubError as error:
        return error
