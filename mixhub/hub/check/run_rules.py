"""Rules for a run: compared with the family, with its metrics and results, and with other exports."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator

from mixhub.errors import MixhubError
from mixhub.findings import Finding, Level, from_error
from mixhub.hub.check.subject import ExportPair, RunUnderCheck
from mixhub.hub.rules.family import model_findings
from mixhub.hub.rules.lineage import (
    have_different_starts,
    initial_findings,
    lineage_findings,
    recipe_findings,
    result_findings,
)
from mixhub.hub.rules.revisions import BranchNames
from mixhub.hub.rules.tensors import DTYPE_HINT, loaded_dtype, shared_findings
from mixhub.hub.rules.weights import equal_tensors, shared_tensors
from mixhub.workspace.export import TRAIN_CONFIG_FILE
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.metrics import read_metrics

_DETERMINES_WEIGHTS = ("step", "steps", "init_seed", "order_seed", "corpus_sha256", "initial_weights_sha256")
"""Keys of a lineage that together determine the weights."""


def lineage_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """A lineage of another run or step."""
    if run.lineage is not None:
        hint = "make the export again, or adopt the folder again with --step"
        yield from lineage_findings(run.where, run.family, run.run, run.step, run.lineage, hint)


def recipe_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """Recipe, model or tokenizer that differ from the family."""
    content = run.content
    yield from recipe_findings(run.where, run.export / TRAIN_CONFIG_FILE, run.lineage, run.family, run.run)
    yield from model_findings(run.where, run.family, content.config, content.vocab_size, content.eos_token)


def metrics_differ(run: RunUnderCheck) -> Iterator[Finding]:
    """Metrics, published with the last step, that end at another step or equal those of another run of the family."""
    path = run.workspace.run_folder(run.run).metrics
    if not (run.is_last and run.lineage and run.lineage.steps != UNKNOWN and path.is_file()):  # others have none
        return
    for other in run.family.runs():
        beside = run.workspace.run_folder(other).metrics
        if other.revision != run.run.revision and beside.is_file() and filecmp.cmp(path, beside, shallow=False):
            message = f"{path.name} is the same as that of {other.revision}, byte for byte"
            hint = "restore it: one was copied over the other"
            yield Finding("metrics-repeated", run.where, message, hint, about=other.revision)
    try:
        last = max((line["step"] for line in read_metrics(path)), default=0)
    except MixhubError as error:
        yield from_error(error, run.where)
        return
    if last != run.step:
        message = f"{path.name} ends at step {last}, but the run at {run.step}"
        yield Finding("metrics-differ", run.where, message, "restore it from where the run was trained")


def results_foreign(run: RunUnderCheck) -> Iterator[Finding]:
    """Results, which belong to the last step, of other weights or another run."""
    if run.is_last and run.lineage is not None:
        hint = f"delete it and evaluate again: mixhub evaluate --{run.run.kind} {run.run.label}"
        yield from result_findings(run.where, run.workspace.results(run.run), run.run, run.lineage, hint)


def weights_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Another export with the same weights or matrices, unless both are of one training."""
    for pair in run.pairs:
        if not pair.has_same_weights:
            yield from _tensors_shared(pair)
        elif not _may_share(pair) and (is_same := _is_same_training(pair.lineage, pair.other)) is not True:
            message = f"has the same weights as {pair.name}"
            level: Level = "error" if is_same is False else "warning"
            hint = "find out which was copied over the other, and export or adopt it again"
            yield Finding("weights-repeated", run.where, message, hint, level, about=pair.name)


def _tensors_shared(pair: ExportPair) -> Iterator[Finding]:
    """Matrices that two trainings share: a warning where a part of the weights may be frozen."""
    one, other = pair.fingerprints
    shared, run = shared_tensors(one, other), pair.run
    is_apart = have_different_starts(pair.lineage, pair.other)
    if not shared or (not is_apart and (_may_share(pair) or _is_same_training(pair.lineage, pair.other))):
        return
    if not is_apart:  # the edges of a matrix may be equal
        shared = equal_tensors(run.export, pair.path, {name: name for name in shared})
    is_own = pair.family == run.family.name and run.family.card.base_model is None
    yield from shared_findings(run.where, shared, len(one), pair.name, "error" if is_apart or is_own else "warning")


def dtype_varies(run: RunUnderCheck) -> Iterator[Finding]:
    """A run whose model loads in another dtype than that of the first run of the family."""
    same = {one.revision: one for one in run.pairs if (one.family, one.step) == (run.family.name, run.step)}
    first = next((one.revision for one in run.family.runs() if one.revision in {*same, run.run.revision}), None)
    if first not in same:
        return
    folders = (run.export, same[first].path)
    own, other = (
        loaded_dtype(folder, {name: one.tensor for name, one in prints.items()})
        for folder, prints in zip(folders, same[first].fingerprints, strict=True)
    )
    if None not in (own, other) and own != other:
        message = f"loads in {own}, but {first} in {other}"
        yield Finding("dtype-varies", run.where, message, DTYPE_HINT, "warning", about="dtype")


def initial_weights_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Two runs of a family whose initial weights contradict their init_seed."""
    others: dict[str, Lineage] = {}
    for pair in run.pairs:
        if pair.family == run.family.name and pair.revision != run.run.revision:
            others.setdefault(pair.revision, pair.other)
    if run.lineage is not None:
        yield from initial_findings(run.where, run.lineage, others)


def _may_share(pair: ExportPair) -> bool:
    """Whether the family gives both the same weights, by their names."""
    family = pair.run.family
    other = next((one for one in family.runs() if one.revision == pair.revision), None)
    if pair.family != family.name or other is None:
        return False
    names = BranchNames(family)
    return names.training_of(pair.run.run, pair.run.step) == names.training_of(other, pair.step)


def _is_same_training(lineage: Lineage, other: Lineage) -> bool | None:
    """Whether two families share a run: all that determines the weights is equal; None if some of it is unknown.

    At step 0 the seed of the weights is enough. An adopted run may be shared only under the same number.
    """
    if lineage.step == other.step == 0 and lineage.init_seed == other.init_seed != UNKNOWN:
        return True
    pairs = [(getattr(lineage, key), getattr(other, key)) for key in _DETERMINES_WEIGHTS]
    if lineage.family == other.family or any(one != two and UNKNOWN not in (one, two) for one, two in pairs):
        return False
    if not any(UNKNOWN in pair for pair in pairs):
        return True
    return None if (lineage.kind, lineage.number) == (other.kind, other.number) else False


RULES = (
    *(lineage_differs, weights_repeated, initial_weights_repeated),
    *(dtype_varies, metrics_differ, recipe_differs, results_foreign),
)
"""The rules for a run, in the order of the report."""
