"""Lineage, recipe and results compared with the run they should belong to, and with other lineages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding, from_error
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage
from mixhub.workspace.recipe_diff import recipe_changes

_SHOWN = 5
"""Keys of a recipe that are reported."""


def identity_findings(where: str, run: Run, lineage: Lineage) -> Iterator[Finding]:
    """A lineage that belongs to another run."""
    if (lineage.family, lineage.revision, lineage.kind, lineage.number) != (
        run.family, run.revision, run.kind, run.label,
    ):  # fmt: skip
        message = (
            f"{LINEAGE_FILE} belongs to {lineage.kind} {lineage.number} of {lineage.family} ({lineage.revision}), "
            f"not to {run.kind} {run.label} of {run.family} ({run.revision})"
        )
        yield Finding("run-wrong", where, message, "move the weights to the run they belong to")


def lineage_findings(where: str, family: Family, run: Run, step: int, lineage: Lineage, hint: str) -> Iterator[Finding]:
    """A lineage that contradicts the run, its seeds, or the step; unknown values contradict nothing."""
    yield from identity_findings(where, run, lineage)
    for key, seed in (("init_seed", run.init_seed), ("order_seed", run.order_seed)):
        trained = getattr(lineage, key)
        if seed is not None and trained not in (UNKNOWN, seed):
            message = f"was trained with {key} = {trained}, but {run.family} says {seed} for {run.revision}"
            yield Finding("seed-wrong", where, message, "use the weights of this run, or correct its seeds", about=key)
    expected = {"step": step, "steps": family.training.steps}
    if UNKNOWN not in (lineage.step, lineage.steps):
        per_step = tokens_per_step(family.training.global_batch_size, family.training.sequence_length)
        expected["tokens"] = int(lineage.step) * per_step
    for key, value in expected.items():
        stated = getattr(lineage, key)
        if stated not in (UNKNOWN, value):
            message = f"{LINEAGE_FILE} states {key} = {stated:,}, expected {value:,}"
            yield Finding("lineage-differs", where, message, hint, about=key)


def hash_findings(
    where: str, lineage: Lineage, weights: str | None, tokenizer: str | None, hint: str
) -> Iterator[Finding]:
    """Hashes of weights and tokenizer that differ from the lineage; None is not compared."""
    for code, what, actual, stated in (
        ("weights-differ", "its weights are", weights, lineage.weights_sha256),
        ("tokenizer-differs", "tokenizer.json is", tokenizer, lineage.tokenizer_sha256),
    ):
        if actual is not None and stated not in (UNKNOWN, actual):
            yield Finding(code, where, f"{what} {actual}, but {LINEAGE_FILE} says {stated}", hint)


def recipe_findings(
    where: str, train_config: Path, lineage: Lineage | None, family: Family | None, run: Run | None
) -> Iterator[Finding]:
    """A `train_config.yaml` that differs from the hash in the lineage, or from the recipe of the family."""
    if not train_config.is_file():
        return
    try:
        actual = data_sha256(read_yaml(train_config, ExportError))
        changes = recipe_changes(family, run, train_config) if family and run else {}
    except MixhubError as error:
        yield from_error(error, where, code="train-config-malformed")
        return
    if lineage is not None and lineage.train_config_sha256 not in (UNKNOWN, actual):
        message = f"train_config.yaml was changed since the export: {LINEAGE_FILE} states another hash"
        yield Finding("train-config-differs", where, message, "make the export again")
    hint = "restore the family, or train the run again"
    for key, line in list(changes.items())[:_SHOWN]:
        yield Finding("recipe-differs", where, line.removeprefix(f"{train_config.parent}/"), hint, about=key)
    if len(changes) > _SHOWN:
        message = f"and {len(changes) - _SHOWN} more keys of train_config.yaml differ"
        yield Finding("recipe-differs", where, message, hint)


def initial_findings(where: str, lineage: Lineage, others: Mapping[str, Lineage]) -> Iterator[Finding]:
    """Initial weights shared by runs with different seeds, or different for the same seed.

    Args:
        where: the revision.
        lineage: its lineage.
        others: lineages of other runs of the same architecture, by revision.
    """
    seed, weights = lineage.init_seed, lineage.initial_weights_sha256
    for revision, other in others.items():
        if UNKNOWN in (seed, weights, other.init_seed, other.initial_weights_sha256):
            continue
        if weights == other.initial_weights_sha256 and seed != other.init_seed:
            message = (
                f"started from the same weights as {revision} ({weights[:12]}), but init_seed is {seed} here "
                f"and {other.init_seed} there"
            )
            hint = "find out which was trained with the wrong seed, and train it again"
            yield Finding("initial-weights-repeated", where, message, hint, about=revision)
        elif weights != other.initial_weights_sha256 and seed == other.init_seed:
            message = f"started from other weights than {revision}, but init_seed is {seed} in both"
            hint = "find out which was not initialised as its lineage says, and train it again"
            yield Finding("initial-weights-differ", where, message, hint, about=revision)


def have_different_starts(lineage: Lineage, other: Lineage) -> bool:
    """Whether two runs are known to have started from different weights, so that they share no matrix."""
    seeds = (lineage.init_seed, other.init_seed)
    return UNKNOWN not in seeds and seeds[0] != seeds[1]


def result_findings(where: str, folder: Path, run: Run, lineage: Lineage, hint: str) -> Iterator[Finding]:
    """Results in a folder that are malformed, or were measured with other weights or as another run."""
    try:
        cells = read_cells(folder)
    except MixhubError as error:
        yield from_error(error, where, code="results-malformed", hint=hint)
        return
    for cell in cells:
        origin = cell.provenance
        for what, measured, expected in (
            ("weights", cell.weights_sha256, lineage.weights_sha256),
            ("run", UNKNOWN if origin.kind is None else f"{origin.kind} {origin.number}", f"{run.kind} {run.label}"),
            ("step", origin.step, lineage.step),
            ("tokenizer", origin.tokenizer_sha256, lineage.tokenizer_sha256),
        ):
            if measured != expected and UNKNOWN not in (measured, expected):
                message = f"{cell.path.name}: evaluated with {what} {str(measured)[:12]}, not {str(expected)[:12]}"
                yield Finding("results-foreign", where, message, hint, about=what)
                return
