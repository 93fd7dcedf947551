"""The lineage of a run's export is of this run and this step."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding
from mixhub.hub.check.subject import RunUnderCheck
from mixhub.hub.rules.lineage import identity_findings, seed_findings, trained_tokens_findings
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN

_CONFIG = "train_config.yaml"
_STEP_HINT = "make the export again, or adopt the folder anew with --step"


def run_wrong(run: RunUnderCheck) -> Iterator[Finding]:
    """The lineage is of this run, with its seeds."""
    if run.lineage is not None:
        yield from identity_findings(run.where, run.run, run.lineage)
        yield from seed_findings(run.where, run.run, run.lineage)


def lineage_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """The lineage is of the step that the export lies at, and of a run as long as the family's."""
    if run.lineage is None:
        return
    for key, asked in (("step", run.step), ("steps", run.family.training.steps)):
        given = getattr(run.lineage, key)
        if given not in (UNKNOWN, asked):
            message = f"{LINEAGE_FILE} says {key} = {given}, and it lies at {asked}"
            yield Finding("lineage-differs", run.where, message, _STEP_HINT, about=key)
    yield from trained_tokens_findings(run.where, run.family, run.lineage, _STEP_HINT)


def train_config_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """`train_config.yaml` has the hash that the lineage names; `recipe_differs` reports one that cannot be read."""
    path = run.export / _CONFIG
    if run.lineage is None or run.lineage.train_config_sha256 == UNKNOWN or not path.is_file():
        return
    try:
        actual = data_sha256(read_yaml(path, ExportError))
    except MixhubError:
        return
    if actual != run.lineage.train_config_sha256:
        message = f"{_CONFIG} was changed since the export: {LINEAGE_FILE} names another hash"
        yield Finding("train-config-differs", run.where, message, "make the export again")
