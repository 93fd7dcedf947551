"""Weights, matrices and initial weights that exports share although each run should have its own."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.findings import Finding
from mixhub.hub.check.subject import ExportPair, RunUnderCheck
from mixhub.hub.rules.lineage import have_different_starts, initial_findings
from mixhub.hub.rules.revisions import training_of
from mixhub.hub.rules.tensors import shared_findings
from mixhub.hub.rules.weights import shared_tensors
from mixhub.workspace.lineage import UNKNOWN, Lineage

_DETERMINES_WEIGHTS = ("step", "steps", "init_seed", "order_seed", "corpus_sha256", "initial_weights_sha256")
"""Keys of a lineage that together determine the weights."""


def weights_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Another export with the same weights or matrices, unless both are of one training."""
    for pair in run.pairs:
        if not pair.has_same_weights:
            if have_different_starts(pair.lineage, pair.other):
                one, other = pair.fingerprints
                yield from shared_findings(run.where, shared_tensors(one, other), len(one), pair.name)
        elif not (_may_share(pair) or _is_same_training(pair.lineage, pair.other)):
            hint = "one was copied over the other: find out which, and export or adopt it again"
            yield Finding(
                "weights-repeated",
                run.where,
                f"has the same weights as {pair.name}",
                hint,
                "warning" if _may_be_same_training(pair.lineage, pair.other) else "error",
                about=pair.name,
            )


def initial_weights_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Two runs of a family whose initial weights contradict their init_seed."""
    others: dict[str, Lineage] = {}
    for pair in run.pairs:
        if pair.is_of_family and pair.revision != run.run.revision:
            others.setdefault(pair.revision, pair.other)
    if run.lineage is not None:
        yield from initial_findings(run.where, run.lineage, others)


def _may_share(pair: ExportPair) -> bool:
    """Whether the family gives both the same weights, by their names."""
    family = pair.run.family
    name = family.revisions.step_pattern.format(revision=pair.revision, step=pair.step)
    return pair.is_of_family and training_of(family, pair.run.where) == training_of(family, name)


def _is_same_training(lineage: Lineage, other: Lineage) -> bool:
    """Whether two families share a run: everything that determines the weights is known and equal.

    At step 0 the seed of the weights is enough.
    """
    if lineage.step == other.step == 0 and lineage.init_seed == other.init_seed != UNKNOWN:
        return True
    pairs = ((getattr(lineage, key), getattr(other, key)) for key in _DETERMINES_WEIGHTS)
    return lineage.family != other.family and all(one == two != UNKNOWN for one, two in pairs)


def _may_be_same_training(lineage: Lineage, other: Lineage) -> bool:
    """Whether two families may share an adopted run: it has one number in both, and nothing contradicts it."""
    pairs = ((getattr(lineage, key), getattr(other, key)) for key in _DETERMINES_WEIGHTS)
    is_possible = all(one == two or UNKNOWN in (one, two) for one, two in pairs)
    return (
        lineage.family != other.family and (lineage.kind, lineage.number) == (other.kind, other.number) and is_possible
    )
