"""A branch beside its lineage, its run and its recipe."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.remote.files import METRICS, TRAIN_CONFIG
from mixhub.hub.rules.config import known_config
from mixhub.hub.rules.family import architecture_findings, tokenizer_findings
from mixhub.hub.rules.lineage import identity_findings, seed_findings, trained_tokens_findings
from mixhub.hub.rules.tokenizer import read_tokenizer
from mixhub.hub.verify.subject import BranchUnderCheck
from mixhub.workspace.lineage import UNKNOWN, file_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.recipe_diff import recipe_changes

_SHOWN = 5
"""Keys of a recipe that are reported."""


def lineage_malformed(branch: BranchUnderCheck) -> Iterator[Finding]:
    """A lineage, if it has one, keeps its own rules."""
    if isinstance(branch.read_lineage, MixhubError):
        yield Finding("lineage-malformed", branch.name, branch.read_lineage.message)


def hashes_differ(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Weights, tokenizer and `train_config.yaml` have the hashes that the lineage states."""
    lineage, folder = branch.lineage, branch.branch.folder
    if lineage is None:
        return
    actual = branch.branch.weights_sha256
    if actual is not None and actual != lineage.weights_sha256:
        message = f"its weights are {actual}, but its lineage says {lineage.weights_sha256}"
        yield Finding("weights-differ", branch.name, message, "push it again from its export")
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file() and lineage.tokenizer_sha256 not in (UNKNOWN, file_sha256(tokenizer)):
        message = "tokenizer.json is not the tokenizer that its lineage names"
        yield Finding("tokenizer-differs", branch.name, message)
    config = branch.train_config_sha256
    if isinstance(config, MixhubError):
        yield Finding("train-config-malformed", branch.name, config.message)
    elif config is not None and lineage.train_config_sha256 not in (UNKNOWN, config):
        message = "train_config.yaml is not the one that its lineage names"
        yield Finding("train-config-differs", branch.name, message)


def lineage_differs(branch: BranchUnderCheck) -> Iterator[Finding]:
    """The lineage is of the run and step that the branch's name means."""
    lineage, run, family = branch.lineage, branch.run, branch.repo.family
    if lineage is None or run is None or family is None:
        return
    yield from identity_findings(branch.name, run, lineage)
    yield from seed_findings(branch.name, run, lineage)
    step = branch.repo.step_of(branch.name)
    asked = step[1] if step else family.training.steps
    if lineage.step not in (UNKNOWN, asked):
        message = f"its lineage says step {lineage.step}, and {asked} is expected here"
        yield Finding("lineage-differs", branch.name, message, about="step")


def recipe_differs(branch: BranchUnderCheck) -> Iterator[Finding]:
    """It was trained with the recipe that the family has now, for as many steps and tokens."""
    lineage, run, family = branch.lineage, branch.run, branch.repo.family
    if lineage is None or run is None or family is None:
        return
    if isinstance(branch.train_config_sha256, str):
        changed = recipe_changes(family, run, branch.branch.folder / TRAIN_CONFIG)
        for key, line in list(changed.items())[:_SHOWN]:
            yield Finding("recipe-differs", branch.name, line, "was the family changed since?", about=key)
    yield from trained_tokens_findings(branch.name, family, lineage)
    if lineage.steps not in (UNKNOWN, family.training.steps):
        message = f"its lineage says steps = {lineage.steps}, and the family has {family.training.steps}"
        yield Finding("lineage-differs", branch.name, message, about="steps")


def model_differs(branch: BranchUnderCheck) -> Iterator[Finding]:
    """Model and tokenizer are as the family describes them, if it is a branch of the family with a lineage."""
    family, folder = branch.repo.family, branch.branch.folder
    if branch.lineage is None or branch.run is None or family is None:
        return
    yield from architecture_findings(branch.name, family.architecture, known_config(folder))
    if (known := read_tokenizer(folder)) is not None:
        yield from tokenizer_findings(branch.name, family.tokenizer, known.size, known.eos_token)


def metrics_malformed(branch: BranchUnderCheck) -> Iterator[Finding]:
    """The metrics of a branch of ours can be read."""
    if branch.is_ours:
        try:
            read_metrics(branch.branch.folder / METRICS)
        except MixhubError as error:
            hint = "push it again from where it was trained"
            yield from_error(error, branch.name, hint=hint)
