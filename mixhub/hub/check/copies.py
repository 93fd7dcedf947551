"""Runs must not share what each makes by itself: weights, matrices, initial weights, metrics."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator

from mixhub.findings import Finding
from mixhub.hub.check.subject import ExportPair, RunUnderCheck
from mixhub.hub.rules.lineage import began_apart, initial_findings
from mixhub.hub.rules.revisions import training_of
from mixhub.hub.rules.tensors import shared_findings
from mixhub.hub.rules.weights import shared_tensors
from mixhub.workspace.lineage import UNKNOWN, Lineage

_FIXES_WEIGHTS = ("step", "steps", "init_seed", "order_seed", "corpus_sha256", "initial_weights_sha256")
"""Keys of a lineage that fix the weights together."""


def weights_repeated(pair: ExportPair) -> Iterator[Finding]:
    """No two exports hold the same weights, unless they are of one training."""
    if not pair.has_same_weights or _is_meant(pair) or _is_same_training(pair.lineage, pair.other):
        return
    hint = "one of the two was copied over the other: find out which, and export or adopt it again"
    yield Finding(
        "weights-repeated",
        pair.own.where,
        f"has the same weights as {pair.shown}",
        hint,
        "warning" if _may_be_same_training(pair.lineage, pair.other) else "error",
        about=pair.shown,
    )


def tensors_shared(pair: ExportPair) -> Iterator[Finding]:
    """No two runs that began with other weights have a matrix in common."""
    if not pair.has_same_weights and began_apart(pair.lineage, pair.other):
        own, other = pair.fingerprints
        yield from shared_findings(pair.own.where, shared_tensors(own, other), len(own), pair.shown)


PAIR_RULES: tuple[Callable[[ExportPair], Iterator[Finding]], ...] = (weights_repeated, tensors_shared)
"""What holds of any two exports."""


def each_pair(run: RunUnderCheck) -> Iterator[Finding]:
    """`PAIR_RULES` of a run and each other export."""
    for pair in run.pairs:
        for rule in PAIR_RULES:
            yield from rule(pair)


def initial_weights_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Two runs of a family began with the same weights exactly if their init_seed is the same."""
    others: dict[str, Lineage] = {}
    for pair in run.pairs:
        if pair.is_of_family and pair.revision != run.run.revision:
            others.setdefault(pair.revision, pair.other)
    if run.lineage is not None:
        yield from initial_findings(run.where, run.lineage, others)


def metrics_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """No two runs of a family have the same metrics, to the byte."""
    path = run.workspace.run_folder(run.run).metrics
    if not (run.is_last and run.lineage and run.lineage.steps != UNKNOWN and path.is_file()):
        return
    for other in run.family.runs():
        beside = run.workspace.run_folder(other).metrics
        if other.revision != run.run.revision and beside.is_file() and filecmp.cmp(path, beside, shallow=False):
            message = f"{path.name} is that of {other.revision}, to the byte"
            hint = "one was copied over the other: restore it"
            yield Finding("metrics-repeated", run.where, message, hint, about=other.revision)


def _is_meant(pair: ExportPair) -> bool:
    """Whether the family gives both the same weights, by their names."""
    family = pair.own.family
    name = family.revisions.step_pattern.format(revision=pair.revision, step=pair.step)
    return pair.is_of_family and training_of(family, pair.own.where) == training_of(family, name)


def _is_same_training(own: Lineage, other: Lineage) -> bool:
    """Whether two families share a run: what fixes the weights is known of both, and is the same. At step 0 the seed of
    the weights does."""
    if own.step == other.step == 0 and own.init_seed == other.init_seed != UNKNOWN:
        return True
    pairs = ((getattr(own, key), getattr(other, key)) for key in _FIXES_WEIGHTS)
    return own.family != other.family and all(mine == theirs != UNKNOWN for mine, theirs in pairs)


def _may_be_same_training(own: Lineage, other: Lineage) -> bool:
    """Whether two families may share an adopted run: it is that of one number in both, and nothing contradicts it."""
    pairs = ((getattr(own, key), getattr(other, key)) for key in _FIXES_WEIGHTS)
    is_possible = all(mine == theirs or UNKNOWN in (mine, theirs) for mine, theirs in pairs)
    return own.family != other.family and (own.kind, own.number) == (other.kind, other.number) and is_possible
