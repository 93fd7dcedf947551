"""Weights and initial weights that branches share although each should have its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from mixhub.findings import Finding
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.lineage import initial_findings
from mixhub.hub.verify.subject import RepoUnderCheck


def weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Branches with the same weights, by the hub's hashes; `main` may hold those of another branch."""
    yield from repeated_findings(repo, {one.name: one.branch.weights for one in repo.models})


def repeated_findings(repo: RepoUnderCheck, weights: Mapping[str, str | None]) -> Iterator[Finding]:
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
                yield Finding("weights-repeated", name, message, "delete it if not intended", "warning", about=other)
            else:
                hint = "find out which of the two is right, and push the other again from its export"
                yield Finding("weights-repeated", name, f"has the same weights as {other}", hint, about=other)


def initial_weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Two runs whose initial weights contradict their init_seed; a pair is reported once."""
    names = [name for name in repo.lineages if repo.family is None or name in repo.runs]
    for number, name in enumerate(names):
        before = {other: repo.lineages[other] for other in names[:number]}
        yield from initial_findings(name, repo.lineages[name], before)
