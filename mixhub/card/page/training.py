"""The sections of a card on training: recipe, compute, losses and lineage."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from mixhub.card.facts.recipe import hyperparameters, recipe_source, seeds
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, branches, code, link, listed, without_empty_columns
from mixhub.endpoint import HUGGINGFACE
from mixhub.spec import catalog
from mixhub.spec.architecture import Architecture
from mixhub.spec.family import Family
from mixhub.spec.flops import flops_per_token
from mixhub.spec.schedule import tokens_per_step
from mixhub.workspace.lineage import UNKNOWN, DatasetPart, Lineage


class Pace(NamedTuple):
    """The speed of a training run."""

    tokens_per_second: float
    """Median over its steps."""
    hours: float
    """In steps alone, without validations, checkpoints and steps that were repeated after a stop."""


def training(facts: FamilyFacts) -> dict[str, Any]:
    """Return how the runs are trained, and their losses."""
    table, not_stated = hyperparameters(facts)
    source = facts.original or recipe_source(facts.family)
    adopted = [one.run.revision for one in facts.runs if one.lineage and one.lineage.steps == UNKNOWN]
    return {
        "hyperparameters": table,
        "not_stated": not_stated,
        "has_origins": facts.is_confirmed,
        "source": catalog_link(source, source.name) if source else None,
        "adopted": branches(adopted),
        "losses": _losses(facts),
        "seeds": seeds(facts),
        "has_words": any(isinstance(label, str) for label in facts.family.revisions.labels),
        "run_heading": facts.run_heading,
    }


def catalog_link(family: Family, text: str) -> Markdown:
    """Return a link to the repo of a shipped family; only its name if its models were never published."""
    is_on_hub = family.name in catalog.published()
    return link(text, f"{HUGGINGFACE}/{family.repo_id}") if is_on_hub else code(family.name)


def compute(facts: FamilyFacts) -> dict[str, Any]:
    """Return the floating-point operations of training, and device and time of the runs for which they are known."""
    rows = []
    for one in facts.runs:
        pace = find_pace(facts, one)
        if one.lineage is not None and (one.lineage.device != UNKNOWN or pace):
            speed = (f"{pace.tokens_per_second:,.0f}", figures.hours(pace.hours)) if pace else (figures.ABSENT,) * 2
            named = (code(one.run.revision), one.lineage.device_name or one.lineage.device)
            rows.append((*named, figures.whole(one.lineage.processes), *speed, *_use(one.lineage)))
    headers = (facts.run_heading, "Device", "Processes", "Median tokens per second", "Time in training steps", *_USE)
    numbers = frozenset(range(2, len(headers)))
    table = without_empty_columns(Table(headers, tuple(rows), numbers), figures.ABSENT) if rows else None
    known = {"runs": table, "gpu_hours": _gpu_hours(facts), "has_mfu": table is not None and _USE[1] in table.headers}
    architecture, training = facts.family.architecture, facts.family.training
    if not isinstance(architecture, Architecture):  # which may have other layers than those of the formula
        return {"flops": None, "flops_per_token": None, **known}
    per_token = flops_per_token(architecture, training.sequence_length)
    total = figures.flops(per_token * training.tokens) if facts.has_tokens else None
    return {"flops": total, "flops_per_token": figures.flops(per_token), **known}


_USE = ("GPU-hours", "MFU")


def _use(lineage: Lineage) -> tuple[str, str]:
    """Return the GPU-hours and the MFU of a run, where known; a CPU has neither."""
    if lineage.device in ("cpu", UNKNOWN):
        return figures.ABSENT, figures.ABSENT
    hours = figures.ABSENT if lineage.device_hours is None else figures.device_hours(lineage.device_hours)
    return hours, figures.ABSENT if lineage.mfu is None else f"{lineage.mfu:.1%}"


def _gpu_hours(facts: FamilyFacts) -> str | None:
    """Return the GPU-hours of several runs together; None if those of one are unknown."""
    lineages = [one.lineage for one in facts.runs if one.lineage is not None]
    on_gpus = [one for one in lineages if one.device not in ("cpu", UNKNOWN)]
    hours = [one.device_hours for one in on_gpus if one.device_hours is not None]
    return figures.device_hours(sum(hours)) if len(hours) == len(lineages) > 1 else None


def find_pace(facts: FamilyFacts, run: RunFacts) -> Pace | None:
    """Return the pace of a run; None unless its metrics have the speed of every step."""
    speeds = [line.get("tokens_per_second") for line in run.metrics if "loss" in line]
    known = [float(speed) for speed in speeds if isinstance(speed, int | float) and speed > 0]
    if not known or len(known) < len(speeds):
        return None
    per_step = tokens_per_step(facts.family.training.global_batch_size, facts.family.training.sequence_length)
    return Pace(median(known), sum(per_step / speed for speed in known) / 3600)


def lineage_table(run: RunFacts) -> Table | None:
    """Return what the weights of a run were made from; None if unknown."""
    lineage = run.lineage
    if lineage is None:
        return None
    hashes = {
        "Weights": lineage.weights_sha256,
        "Initial weights": lineage.initial_weights_sha256,
        "Token shards": lineage.corpus_sha256,
        "Tokenizer": lineage.tokenizer_sha256,
        "Training configuration": lineage.train_config_sha256,
    }
    rows = [
        *((f"{name} (sha256)", UNKNOWN if value == UNKNOWN else code(value)) for name, value in hashes.items()),
        *([("Text", dataset_parts(lineage.datasets))] if isinstance(lineage.datasets, tuple) else []),
        ("Steps", f"{figures.whole(lineage.step)} of {figures.whole(lineage.steps)}"),
        ("Tokens", figures.whole(lineage.tokens)),
        *([("Replicates", code(lineage.replicates))] if lineage.replicates else []),
        *([("Seeds", lineage.seeds)] if lineage.seeds else []),
        ("Seed of the weights", str(lineage.init_seed)),
        ("Seed of the order", str(lineage.order_seed)),
        ("Device", lineage.device_name or lineage.device),
        ("Processes", figures.whole(lineage.processes)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in sorted(lineage.versions.items())) or UNKNOWN),
    ]
    return Table(("Lineage", "Value"), tuple(rows))


def dataset_parts(parts: Sequence[DatasetPart]) -> Markdown:
    """Return how many files of which datasets were trained on."""
    shown = []
    for one in parts:
        count = f"all {one.of:,}" if one.is_whole else f"{one.files:,} of {one.of:,}"
        shown.append(Markdown(f"{count} files of {link(one.repo_id, f'{HUGGINGFACE}/datasets/{one.repo_id}')}"))
    return listed(shown)


def _losses(facts: FamilyFacts) -> Table | None:
    known = [one for one in facts.runs if one.training_loss is not None or one.validation_losses]
    if not known:
        return None
    keys = list(dict.fromkeys(key for one in known for key in one.validation_losses))
    rows = []
    for one in known:
        losses = [one.training_loss, *map(one.validation_losses.get, keys)]
        rows.append((code(one.run.revision), *map(figures.loss, losses)))
    names = [f"Validation: {key.removeprefix(facts.family.data.valid_prefix)}" for key in keys]
    return Table((facts.run_heading, "Training", *names), tuple(rows), frozenset(range(1, len(keys) + 2)))
