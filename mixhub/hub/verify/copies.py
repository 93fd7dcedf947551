"""Branches must not share what each holds for itself: weights, matrices, initial weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from mixhub.findings import Finding
from mixhub.hub.remote.files import MAIN
from mixhub.hub.rules.lineage import initial_findings
from mixhub.hub.verify.subject import RepoUnderCheck


def weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """No two branches hold the same weights, by the hashes that the hub states; `main` may hold those of another."""
    yield from repeated_findings(repo, {one.name: one.branch.weights for one in repo.models})


def repeated_findings(repo: RepoUnderCheck, weights: Mapping[str, str | None]) -> Iterator[Finding]:
    """For each branch, which other one has its weights: which of the two is wrong is not known from that.

    Args:
        repo: the repo.
        weights: what names the weights, by branch; None if nothing does.
    """
    by_weights: dict[str, list[str]] = defaultdict(list)
    for name, known in weights.items():
        if known is not None and name != MAIN:
            by_weights[known].append(name)
    for names in by_weights.values():
        for name in names:
            others = [one for one in names if repo.training_of(one) != repo.training_of(name)]
            if others:
                known_one = next((one for one in others if repo.training_of(one) is not None), others[0])
                yield from _repeated(repo, name, known_one)


def initial_weights_repeated(repo: RepoUnderCheck) -> Iterator[Finding]:
    """Two runs began with the same weights exactly if their init_seed is the same; a pair is reported once."""
    names = [name for name in repo.lineages if repo.family is None or name in repo.runs]
    for number, name in enumerate(names):
        before = {other: repo.lineages[other] for other in names[:number]}
        yield from initial_findings(name, repo.lineages[name], before)


def _repeated(repo: RepoUnderCheck, name: str, other: str) -> Iterator[Finding]:
    if repo.family is not None and repo.training_of(name) is None:
        message = f"is no revision of {repo.family.name}, and holds the weights of {other}"
        yield Finding("weights-repeated", name, message, "delete it if it is not meant", "warning", about=other)
    elif repo.family is None or repo.training_of(other) is not None:
        hint = "find out which of the two is right, and push the other again from its export"
        yield Finding("weights-repeated", name, f"has the same weights as {other}", hint, about=other)
