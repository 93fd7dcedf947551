"""The rule that no two branches of a repo share weights; and, with `--deep`, what only the weights show.

For the second, every byte is downloaded and read, and complete models are loaded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mixhub.errors import MixhubError
from mixhub.findings import Finding, errors
from mixhub.hub.check.loading import loading_findings
from mixhub.hub.remote.branches import fetch
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.lineage import hash_findings, have_different_starts, initial_findings
from mixhub.hub.rules.tensors import not_finite_findings, shared_findings
from mixhub.hub.rules.weights import Fingerprint, are_same_tensors, fingerprints, scan, shared_tensors
from mixhub.hub.verify.subject import AGAIN, BranchUnderCheck, RepoUnderCheck
from mixhub.progress import Progress
from mixhub.workspace.lineage import combined_sha256


def weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches with the same weights, by the hub's hashes; `main` may hold those of another branch."""
    yield from _repeated(repo, {one.name: one.branch.weights for one in repo.models})


def _repeated(repo: RepoUnderCheck, weights: Mapping[str, str | None]) -> Iterator[Finding]:
    """For each branch, another one with its weights: this alone does not tell which of the two is wrong.

    Args:
        repo: the repo.
        weights: what identifies the weights, by branch; None if unknown.
    """
    by_weights: dict[str, list[str]] = defaultdict(list)
    for name, digest in weights.items():
        if digest is not None and name != MAIN:
            by_weights[digest].append(name)
    for names in by_weights.values():
        for name in names:
            training = repo.training_of(name)
            others = [one for one in names if repo.training_of(one) != training]
            other = next((one for one in others if repo.training_of(one) is not None), None)
            if other is None:
                continue
            if repo.family is not None and training is None:
                message = f"is not a revision of {repo.family.name}, and holds the weights of {other}"
                yield Finding(
                    "weights-repeated", name, message, "delete it if it is not intended", "warning", about=other
                )
            else:
                hint = "find out which of the two is right, and push the other again from its export"
                yield Finding("weights-repeated", name, f"has the same weights as {other}", hint, about=other)


def initial_weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Two runs whose initial weights contradict their init_seed; a pair is reported once."""
    names = [name for name in repo.lineages if repo.family is None or name in repo.runs]
    for number, name in enumerate(names):
        before = {other: repo.lineages[other] for other in names[:number]}
        yield from initial_findings(name, repo.lineages[name], before)


def deep_findings(repo: RepoUnderCheck, shallow: list[Finding], progress: Progress) -> Iterator[Finding]:
    """Download the weights of all branches and check them; a branch without findings is loaded, too.

    Args:
        repo: the repo.
        shallow: the findings without the weights.
        progress: advances with each branch.
    """
    wrong = {finding.where for finding in errors(shallow)}
    prints: dict[str, Mapping[str, Fingerprint]] = {}
    with progress.start("weights", len(repo.models), "branch") as bar:
        for branch in repo.models:
            folder = fetch(repo.endpoint, repo.repo_id, branch.branch.commit, list(branch.branch.tree))
            findings = list(_weights_wrong(branch, folder))
            yield from findings or (() if branch.name in wrong else loading_findings(branch.name, folder))
            prints[branch.name] = fingerprints(folder)
            bar.advance(note=branch.name)
    reported = {finding.where for finding in shallow if finding.code == "weights-repeated"}
    yield from _copies(repo, prints, reported)


def _weights_wrong(branch: BranchUnderCheck, folder: Path) -> Iterator[Finding]:
    """Files of weights that are damaged, differ from the hub's hash, or hold NaN or infinite numbers.

    If the hub states no hashes, the weights are compared with the lineage.
    """
    hashes = {}
    for path in branch.branch.safetensors:
        try:
            scanned = scan(folder / path)
        except MixhubError as error:
            yield Finding(error.code, branch.name, error.message.replace(f"{folder}/", ""), AGAIN, about=path)
            continue
        hashes[path] = scanned.sha256
        stated = branch.branch.tree[path].sha256
        if stated not in (None, scanned.sha256):
            message = f"{path} has sha256 {scanned.sha256}, but the hub states {stated}"
            hint = "download it again; if it persists, push it again"
            yield Finding("download-differs", branch.name, message, hint, about=path)
        yield from not_finite_findings(branch.name, scanned.not_finite, "withdraw it: mixhub withdraw")
    is_whole = bool(hashes) and len(hashes) == len(branch.branch.safetensors)
    if branch.lineage is not None and branch.branch.weights_sha256 is None and is_whole:
        yield from hash_findings(branch.name, branch.lineage, combined_sha256(hashes.items()), None, AGAIN)


def _copies(
    repo: RepoUnderCheck, prints: Mapping[str, Mapping[str, Fingerprint]], reported: set[str]
) -> Iterator[Finding]:
    """Branches with the same numbers in other shards or dtypes, and matrices that runs share; each pair once.

    Args:
        repo: the repo.
        prints: fingerprints of the tensors, by branch.
        reported: branches whose repeated weights were found by their hashes.
    """
    names = list(prints)
    first = {
        name: next((one for one in names[:number] if are_same_tensors(prints[name], prints[one])), name)
        for number, name in enumerate(names)
    }
    yield from _repeated(repo, {name: one for name, one in first.items() if name not in reported})
    counts = list(first.values())
    unique = [
        name
        for name, one in first.items()
        if name in repo.lineages and name != MAIN and name not in reported and counts.count(one) == 1
    ]
    for number, name in enumerate(unique):
        for other in unique[:number]:
            if have_different_starts(repo.lineages[name], repo.lineages[other]):
                shared = shared_tensors(prints[name], prints[other])
                yield from shared_findings(name, shared, len(prints[name]), other)
