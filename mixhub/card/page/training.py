"""The sections of a card on training: recipe, architecture, compute, losses and lineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixhub.card.facts.recipe import (
    SeedFacts,
    architecture,
    flops_per_token,
    hyperparameters,
    is_confirmed,
    seeds,
    states_tokens,
)
from mixhub.card.facts.runs import RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, branches, code, link, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec.family import Family
from mixhub.workspace.lineage import UNKNOWN


@dataclass(frozen=True)
class TrainingSection:
    """How the runs are trained, and what came of it."""

    hyperparameters: Table | None
    """None where none is stated."""
    not_stated: tuple[str, ...]
    """Hyperparameters of which nothing is known."""
    has_origins: bool
    """Whether it is told of each hyperparameter where it is from."""
    adopted: Markdown | None
    """Branches of runs that another trainer made; None where there are none."""
    losses: Table | None
    seeds: SeedFacts


@dataclass(frozen=True)
class ArchitectureSection:
    """What is trained."""

    table: Table
    tokenizer: Markdown
    vocabulary: int
    """Ids in use, added tokens included."""
    eos_token: Markdown


@dataclass(frozen=True)
class ComputeSection:
    """What training took, as far as it is known."""

    flops: str | None
    """Of a whole run, by the usual formula; None where it is not stated how many tokens one sees."""
    flops_per_token: str
    runs: Table | None
    """A line per run of which anything is known; None where there is none."""


def training_section(family: Family, runs: Sequence[RunFacts]) -> TrainingSection:
    """How the runs are trained."""
    confirmed = is_confirmed(family, runs)
    table, not_stated = hyperparameters(family, confirmed=confirmed)
    return TrainingSection(table, not_stated, confirmed, _adopted(runs), _losses(family, runs), seeds(family, runs))


def architecture_section(family: Family) -> ArchitectureSection:
    """What is trained."""
    tokenizer = family.tokenizer
    name = tokenizer.repo_id
    return ArchitectureSection(
        table=architecture(family),
        tokenizer=link(name, f"{HUGGINGFACE}/{name}") if name else code(tokenizer.name),
        vocabulary=tokenizer.vocab_size,
        eos_token=code(tokenizer.eos_token),
    )


def compute_section(family: Family, runs: Sequence[RunFacts]) -> ComputeSection:
    """What training took."""
    per_token = flops_per_token(family)
    rows = []
    for facts in runs:
        if facts.lineage is not None and (facts.lineage.device != UNKNOWN or facts.pace is not None):
            pace = facts.pace
            rows.append(
                (
                    code(facts.run.revision),
                    facts.lineage.device,
                    figures.whole(facts.lineage.processes),
                    f"{pace.tokens_per_second:,.0f}" if pace else figures.ABSENT,
                    figures.hours(pace.hours) if pace else figures.ABSENT,
                )
            )
    headers = ("Branch", "Device", "Processes", "Tokens per second, median", "Time in steps")
    table = without_empty_columns(Table(headers, tuple(rows), frozenset({2, 3, 4})), figures.ABSENT) if rows else None
    has_tokens = is_confirmed(family, runs) or states_tokens(family)
    total = figures.flops(per_token * family.training.tokens) if has_tokens else None
    return ComputeSection(total, figures.flops(per_token), table)


def lineage_table(facts: RunFacts) -> Table | None:
    """What the weights of a run are made of; None where that is not known."""
    lineage = facts.lineage
    if lineage is None:
        return None
    rows: list[tuple[str, str]] = [
        ("Weights (sha256)", code(lineage.weights_sha256)),
        ("Initial weights (sha256)", _hash(lineage.initial_weights_sha256)),
        ("Token shards (sha256)", _hash(lineage.corpus_sha256)),
        ("Tokenizer (sha256)", _hash(lineage.tokenizer_sha256)),
        ("Training configuration (sha256)", _hash(lineage.train_config_sha256)),
        ("Steps", f"{figures.whole(lineage.step)} of {figures.whole(lineage.steps)}"),
        ("Tokens", figures.whole(lineage.tokens)),
        ("Seed of the weights", str(lineage.init_seed)),
        ("Seed of the order", str(lineage.order_seed)),
        ("Device", lineage.device),
        ("Processes", figures.whole(lineage.processes)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(lineage.versions.items())) or UNKNOWN),
    ]
    return Table(("Lineage", "Value"), tuple(rows))


def _adopted(runs: Sequence[RunFacts]) -> Markdown | None:
    """Runs of whose training nothing is recorded: our own trainer always knows how many steps there are."""
    return branches([facts.run.revision for facts in runs if facts.lineage and facts.lineage.steps == UNKNOWN])


def _losses(family: Family, runs: Sequence[RunFacts]) -> Table | None:
    known = [facts for facts in runs if facts.losses.training is not None or facts.losses.validation]
    if not known:
        return None
    keys = list(dict.fromkeys(key for facts in known for key in facts.losses.validation))
    rows = tuple(
        (
            code(facts.run.revision),
            figures.loss(facts.losses.training),
            *(figures.loss(facts.losses.validation.get(key)) for key in keys),
        )
        for facts in known
    )
    headers = ("Branch", "Training", *(f"Validation: {key.removeprefix(family.data.valid_prefix)}" for key in keys))
    return Table(headers, rows, frozenset(range(1, len(headers))))


def _hash(value: str) -> str:
    return value if value == UNKNOWN else code(value)
