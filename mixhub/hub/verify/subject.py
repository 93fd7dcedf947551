"""A repo and its branches as their rules see them: what was read of them, and what the family says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mixhub.card.facts.runs import RunFacts
from mixhub.card.facts.withdrawal import is_rendered
from mixhub.endpoint import Endpoint
from mixhub.errors import MixhubError
from mixhub.hub.remote.branches import Branch, tensors_of
from mixhub.hub.remote.files import CARD, MAIN, RESULTS, TRAIN_CONFIG
from mixhub.hub.rules.revisions import step_of, training_of
from mixhub.hub.rules.weights import Tensor
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.export import WEIGHTS_FILE, WeightsIndex
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage


@dataclass(frozen=True)
class RepoUnderCheck:
    """A repo on a hub, of which all branches were read, but for their weights."""

    endpoint: Endpoint
    repo_id: str
    family: Family | None
    """What it should hold; None: it is compared with itself alone."""
    expected: tuple[str, ...]
    """Revisions that must be there."""
    local: Mapping[str, str]
    """The weights that a workspace has, as `weights_sha256` by revision."""
    branches: Mapping[str, Branch]
    """All that were read, by name."""

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The runs of the family, by revision; none without a family."""
        return {run.revision: run for run in self.family.runs()} if self.family else {}

    @cached_property
    def pushed(self) -> list[Branch]:
        """The branches of runs that are there."""
        return [self.branches[name] for name in self.runs if name in self.branches]

    @cached_property
    def models(self) -> list[BranchUnderCheck]:
        """The branches that hold a model, or part of one."""
        return [BranchUnderCheck(self, branch) for branch in self.branches.values() if branch.is_model]

    @cached_property
    def with_cards(self) -> list[BranchUnderCheck]:
        """The branches that should have a card: those with a model, and `main`."""
        is_extra = MAIN in self.branches and not self.branches[MAIN].is_model
        return [*self.models, *([BranchUnderCheck(self, self.branches[MAIN])] if is_extra else ())]

    @cached_property
    def lineages(self) -> dict[str, Lineage]:
        """Lineages that could be read, by branch."""
        return {one.name: one.lineage for one in self.models if one.lineage is not None}

    @cached_property
    def facts(self) -> dict[str, RunFacts]:
        """What the branches of runs report of them, by revision: lineage, and the cells that have its weights."""
        return {one.name: one.facts for one in self.models if one.facts is not None}

    @cached_property
    def is_any_ours(self) -> bool:
        """Whether mixhub pushed the branch of any run, by its lineage, or else by its card.

        The card on `main` does not count: it may be rendered for models that others published.
        """
        return any(LINEAGE_FILE in run.tree or is_rendered(run.text(CARD) or "") for run in self.pushed)

    @property
    def licenses(self) -> list[str]:
        """The file of the licence, if the family has a custom one."""
        name = self.family.card.license_file if self.family else None
        return [name] if name else []

    def training_of(self, name: str) -> object:
        """What fixes the weights that a branch should hold (see `revisions.training_of`); its name without a family."""
        return training_of(self.family, name) if self.family else name

    def step_of(self, name: str) -> tuple[Run, int] | None:
        """The run and the step that a branch's name means, if it is that of a step."""
        return step_of(self.family, name) if self.family else None


@dataclass(frozen=True)
class BranchUnderCheck:
    """A branch of a repo."""

    repo: RepoUnderCheck
    branch: Branch

    @property
    def name(self) -> str:
        """Of the branch, as findings name it."""
        return self.branch.name

    @cached_property
    def run(self) -> Run | None:
        """The run that it is of, or of a step of which; None if it is of none."""
        step = self.repo.step_of(self.name)
        return self.repo.runs.get(self.name) or (step[0] if step else None)

    @cached_property
    def is_ours(self) -> bool:
        """Whether mixhub pushed it, so that it has all that such a branch has.

        Its lineage says so; if that is what it lacks, those of the other runs of the family do.
        """
        return LINEAGE_FILE in self.branch.tree or (self.run is not None and self.repo.is_any_ours)

    @cached_property
    def read_lineage(self) -> Lineage | MixhubError | None:
        """Its lineage, or why it cannot be read; None without one."""
        try:
            return self.branch.lineage()
        except MixhubError as error:
            return error

    @property
    def lineage(self) -> Lineage | None:
        """Its lineage, if it can be read."""
        return None if isinstance(self.read_lineage, MixhubError) else self.read_lineage

    @cached_property
    def train_config_sha256(self) -> str | MixhubError | None:
        """Hash of the content of its `train_config.yaml`, or why that cannot be read; None without one."""
        path = self.branch.folder / TRAIN_CONFIG
        try:
            return data_sha256(read_yaml(path)) if path.is_file() else None
        except MixhubError as error:
            return error

    @cached_property
    def weights(self) -> WeightsOnBranch:
        """Its files of weights, from the first bytes of each."""
        return WeightsOnBranch.read(self.repo, self.branch)

    @cached_property
    def cells(self) -> tuple[Cell, ...] | MixhubError:
        """The results on it, or why they cannot be read."""
        try:
            return tuple(read_cells(self.branch.folder / RESULTS))
        except MixhubError as error:
            return error

    @cached_property
    def facts(self) -> RunFacts | None:
        """What it reports of its run; None unless it is the branch of a run and has a lineage.

        Its cells count only if all of them were measured with its weights.
        """
        lineage = self.lineage
        if self.name not in self.repo.runs or lineage is None:
            return None
        cells = () if isinstance(self.cells, MixhubError) else self.cells
        is_sound = all(cell.weights_sha256 == lineage.weights_sha256 for cell in cells)
        return RunFacts(self.repo.runs[self.name], lineage, cells=cells if is_sound else ())


@dataclass(frozen=True)
class WeightsOnBranch:
    """The safetensors files of a branch."""

    index: WeightsIndex | None = None
    """Of its shards; None without one."""
    problem: MixhubError | None = None
    """Why the index cannot be read."""
    named: tuple[str, ...] = ()
    """Files that the weights consist of: those that the index names, else the single one."""
    shards: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    """The tensors of each file that could be read."""
    broken: Mapping[str, MixhubError] = field(default_factory=dict)
    """Why the others could not be."""

    @classmethod
    def read(cls, repo: RepoUnderCheck, branch: Branch) -> WeightsOnBranch:
        """Reads the headers of all files that are named and there."""
        try:
            index = branch.index()
        except MixhubError as error:
            return cls(problem=error)
        named = tuple(index.shards) if index else (WEIGHTS_FILE,)
        shards: dict[str, Mapping[str, Tensor]] = {}
        broken: dict[str, MixhubError] = {}
        for path in (path for path in named if path in branch.tree):
            try:
                shards[path] = tensors_of(repo.endpoint, repo.repo_id, branch, path)
            except MixhubError as error:
                broken[path] = error
        return cls(index, None, named, shards, broken)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all files, by name."""
        return {name: tensor for own in self.shards.values() for name, tensor in own.items()}
