"""A run as its rules see it: its export, and the rest of the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from mixhub.errors import MixhubError
from mixhub.files import FileState, file_states
from mixhub.hub.rules.export import ExportCheck
from mixhub.hub.rules.weights import Fingerprint, are_same_tensors, fingerprints
from mixhub.spec.family import Family, Run
from mixhub.workspace.lineage import Lineage, read_lineage
from mixhub.workspace.paths import Workspace


@dataclass(frozen=True)
class RunUnderCheck:
    """A step of a run, whose export was checked by itself."""

    workspace: Workspace
    family: Family
    run: Run
    step: int
    content: ExportCheck
    """The result for the export alone."""

    @property
    def branch(self) -> str:
        """The branch that it goes to."""
        return self.family.branch(self.run, self.step)

    @property
    def where(self) -> str:
        """What findings call it."""
        return self.family.place(self.run.repo_id, self.branch)

    @property
    def is_last(self) -> bool:
        """Whether it is the last step, which has results, metrics and a rendered card."""
        return self.step == self.family.training.steps

    @cached_property
    def export(self) -> Path:
        """The folder."""
        return self.workspace.export(self.run, self.step)

    @cached_property
    def lineage(self) -> Lineage | None:
        """Its lineage; None if missing or malformed, as the check of the export reports."""
        return lineage_of(self.export)

    @cached_property
    def pairs(self) -> tuple[ExportPair, ...]:
        """Pairs with each other export of the workspace, of any family; both must have lineages."""
        if self.lineage is None:
            return ()
        own = (self.family.name, self.run.revision, self.step)
        return tuple(
            ExportPair(self, self.lineage, name, revision, step, path, lineage)
            for name, revision, step, path in self.workspace.exports()
            if (name, revision, step) != own and (lineage := lineage_of(path)) is not None
        )


@dataclass(frozen=True)
class ExportPair:
    """The export of a run, and another one of the workspace."""

    run: RunUnderCheck
    lineage: Lineage
    """Of the run."""
    family: str
    """Name of the other export's family."""
    revision: str
    step: int
    path: Path
    other: Lineage
    """Of the other export."""

    @property
    def name(self) -> str:
        """The other export, as findings name it."""
        return f"{self.family} {self.revision} at step {self.step}"

    @cached_property
    def fingerprints(self) -> tuple[Mapping[str, Fingerprint], Mapping[str, Fingerprint]]:
        """Of the tensors of both."""
        return _fingerprints(self.run.export), _fingerprints(self.path)

    @cached_property
    def has_same_weights(self) -> bool:
        """Whether the weights are equal by hash, or by tensors, which may be in other shards or another dtype."""
        if self.other.weights_sha256 in (self.lineage.weights_sha256, self.run.content.weights_sha256):
            return True
        return are_same_tensors(*self.fingerprints)


def lineage_of(export: Path) -> Lineage | None:
    """Return the lineage of an export; None if missing or malformed."""
    try:
        return read_lineage(export)
    except MixhubError:  # a rule of exports reports it
        return None


def _fingerprints(export: Path) -> Mapping[str, Fingerprint]:
    """As `fingerprints`, once per state of a folder: each of 64 runs is compared with all others."""
    return _cached_fingerprints(export, tuple(file_states(export).items()))


@lru_cache(maxsize=4096)
def _cached_fingerprints(export: Path, _states: tuple[tuple[str, FileState], ...]) -> Mapping[str, Fingerprint]:
    return fingerprints(export)
