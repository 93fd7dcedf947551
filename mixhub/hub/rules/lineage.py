"""A lineage beside the run that it should be of, and beside other lineages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mixhub.findings import Finding
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage


def identity_findings(where: str, run: Run, lineage: Lineage) -> Iterator[Finding]:
    """Whether a lineage is that of the run."""
    given = (lineage.family, lineage.revision, lineage.kind, lineage.number)
    if given != (run.family, run.revision, run.kind, run.number):
        message = (
            f"{LINEAGE_FILE} says that it is {lineage.kind} {lineage.number} of {lineage.family} ({lineage.revision}), "
            f"not {run.kind} {run.number} of {run.family} ({run.revision})"
        )
        hint = "these are the weights of another run: put them where they belong"
        yield Finding("run-wrong", where, message, hint)


def seed_findings(where: str, run: Run, lineage: Lineage) -> Iterator[Finding]:
    """Seeds of a lineage that are not the run's; what is unknown on either side is no contradiction."""
    for key, asked in (("init_seed", run.init_seed), ("order_seed", run.order_seed)):
        trained = getattr(lineage, key)
        if asked is not None and trained not in (UNKNOWN, asked):
            message = f"was trained with {key} = {trained}, and {run.family} says {asked} for {run.revision}"
            yield Finding("seed-wrong", where, message, "these are the weights of another run", about=key)


def trained_tokens_findings(where: str, family: Family, lineage: Lineage, hint: str = "") -> Iterator[Finding]:
    """Whether a lineage states as many training tokens as its steps take; nothing if either is unknown."""
    if UNKNOWN in (lineage.tokens, lineage.step, lineage.steps):
        return
    asked = int(lineage.step) * tokens_per_step(family.training.global_batch_size, family.training.sequence_length)
    if lineage.tokens != asked:
        message = f"{LINEAGE_FILE} says {lineage.tokens:,} tokens, and {lineage.step:,} steps take {asked:,}"
        yield Finding("lineage-differs", where, message, hint, about="tokens")


def initial_findings(where: str, own: Lineage, others: Mapping[str, Lineage]) -> Iterator[Finding]:
    """Initial weights and their seeds, compared with other runs: the one is the same exactly where the other is.

    Args:
        where: the revision.
        own: its lineage.
        others: lineages of other runs of the same architecture, by revision.
    """
    for revision, other in others.items():
        if UNKNOWN in (own.init_seed, own.initial_weights_sha256, other.init_seed, other.initial_weights_sha256):
            continue
        alike = own.initial_weights_sha256 == other.initial_weights_sha256
        if alike and own.init_seed != other.init_seed:
            message = (
                f"began with the same weights as {revision} ({own.initial_weights_sha256[:12]}), though init_seed is "
                f"{own.init_seed} here and {other.init_seed} there"
            )
            hint = "one of the two was trained with the wrong seed"
            yield Finding("initial-weights-repeated", where, message, hint, about=revision)
        elif not alike and own.init_seed == other.init_seed:
            message = f"began with other weights than {revision}, though init_seed is {own.init_seed} in both"
            hint = "one of the two was not initialised as its lineage says"
            yield Finding("initial-weights-differ", where, message, hint, about=revision)


def began_apart(own: Lineage, other: Lineage) -> bool:
    """Whether two trainings are known to have begun with other weights, so that they share no matrix."""
    seeds = (own.init_seed, other.init_seed)
    return UNKNOWN not in seeds and seeds[0] != seeds[1]
