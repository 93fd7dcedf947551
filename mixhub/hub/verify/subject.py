"""A repo and its branches as their rules see them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mixhub.card.facts.runs import RunFacts
from mixhub.card.facts.withdrawal import is_rendered
from mixhub.card.markdown.parse import read_card
from mixhub.endpoint import Endpoint
from mixhub.errors import HubError, MixhubError
from mixhub.findings import Finding, Level
from mixhub.hub.remote.branches import Branch, read_headers
from mixhub.hub.remote.files import CARD, MAIN, RESULTS
from mixhub.hub.rules.config import CONFIG
from mixhub.hub.rules.revisions import BranchNames, Meaning
from mixhub.hub.rules.weights import Tensor
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import LINEAGE_FILE, Lineage, read_lineage

AGAIN = "push it again from its export"
"""Hint for a branch of ours."""
REPORT = "report it to the publisher"
"""Hint for a branch of others."""
MANY = 5
"""From so many branches on, one message for all of them, so that they are printed as one."""
_ABSENT = (404, 410)
"""Status of a file that the hub lists, and does not have."""


def unread_finding(where: str, error: MixhubError, hint: str, what: str = "") -> Finding:
    """Return the finding for what could not be read: `unchecked` if the hub or the network is to blame.

    Args:
        where: the branch.
        error: why.
        hint: the next step if the repo is to blame.
        what: the file.
    """
    if not isinstance(error, HubError):
        return Finding(error.code, where, error.message, hint, about=what)
    level: Level = "error" if error.fields.get("status") in _ABSENT else "unchecked"
    message = f"{what} cannot be read: {error.message}" if what else f"cannot be read: {error.message}"
    return Finding(error.code, where, message, hint if level == "error" else error.hint or "", level, about=what)


@dataclass(frozen=True)
class RepoUnderCheck:
    """A repo on a hub, of which all branches were read, except for their weights."""

    endpoint: Endpoint
    repo_id: str
    family: Family | None
    """What it should hold; None: its branches are only compared with each other."""
    local: Mapping[str, str]
    """`weights_sha256` by revision in the workspace."""
    branches: Mapping[str, Branch]
    """All that were read, by name."""
    planned: Collection[str] = ()
    """Revisions of a family in the workspace that have no run there and were never pushed from there."""
    unread: Mapping[str, MixhubError] = field(default_factory=dict)
    """Branches that could not be read, with the reason."""
    heads: Mapping[str, str] = field(default_factory=dict)
    """Commits of all branches, by name."""

    @cached_property
    def names(self) -> BranchNames | None:
        """The names of the family's branches."""
        return BranchNames(self.family) if self.family else None

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The runs of the family, by branch; empty without a family."""
        return self.names.runs if self.names else {}

    @property
    def expected(self) -> list[str]:
        """The branches that must hold a model, apart from earlier steps."""
        return [*self.runs, *([MAIN] if self.main_is_merged else [])]

    def revision(self, name: str) -> str:
        """Return the name of the run of a branch, in the workspace and in tables; the branch itself without a run."""
        return self.runs[name].revision if name in self.runs else name

    @property
    def main_is_merged(self) -> bool:
        """Whether `main` holds weights of its own."""
        return bool(self.family and self.family.revisions.main_is_merged)

    @cached_property
    def pushed(self) -> list[Branch]:
        """The branches of runs that exist."""
        return [self.branches[name] for name in self.runs if name in self.branches]

    @cached_property
    def models(self) -> list[BranchUnderCheck]:
        """The branches that hold a model in Transformers' format, or part of one."""
        branches = self.branches.values()
        is_family = self.family is not None or any(CONFIG in branch.tree for branch in branches)
        return [BranchUnderCheck(self, branch) for branch in branches if branch.is_model and is_family]

    @cached_property
    def headers(self) -> dict[str, Mapping[str, Tensor] | MixhubError]:
        """The tensors of the weights, or why they could not be read, by the hash of the file."""
        return read_headers(self.endpoint, self.repo_id, [one.branch for one in self.models])

    @cached_property
    def lineages(self) -> dict[str, Lineage]:
        """Lineages that could be read, by branch."""
        return {one.name: one.lineage for one in self.models if one.lineage is not None}

    @cached_property
    def facts(self) -> dict[str, RunFacts]:
        """Facts on the branches of runs, by revision: lineage, and the cells of its weights."""
        return {one.name: one.facts for one in self.models if one.facts is not None}

    @cached_property
    def has_pushed_branch(self) -> bool:
        """Whether mixhub pushed the branch of any run, by its lineage, or else by its card.

        The card on `main` does not count: it may be rendered for models that others published.
        """
        return any(LINEAGE_FILE in run.tree or is_rendered(run.text(CARD) or "") for run in self.pushed)

    @cached_property
    def is_foreign(self) -> bool:
        """Whether others published what it holds."""
        return bool(self.models) and not self.has_pushed_branch

    @property
    def licenses(self) -> list[str]:
        """The licence file, if the family has a custom licence."""
        name = self.family.card.license_file if self.family else None
        return [name] if name else []

    def builds_on_a_model(self, name: str) -> bool:
        """Whether the models of a branch start from another one, of which a part may be frozen, by card or family."""
        if self.family is not None and self.family.card.base_model is not None:
            return True
        texts = (self.branches[one].text(CARD) for one in (name, MAIN) if one in self.branches)
        return any(_base_model(text) for text in texts if text is not None)


def _base_model(card: str) -> object:
    try:
        return read_card(card).metadata.get("base_model")
    except MixhubError:  # the rules of cards report it
        return None


@dataclass(frozen=True)
class BranchUnderCheck:
    """A branch of a repo."""

    repo: RepoUnderCheck
    branch: Branch

    @property
    def name(self) -> str:
        """The branch, as findings name it."""
        return self.branch.name

    @cached_property
    def meaning(self) -> Meaning | None:
        """What its name means in the family; None if nothing."""
        return self.repo.names.meaning(self.name) if self.repo.names else None

    @property
    def run(self) -> Run | None:
        """The run that it belongs to, maybe with an earlier step; None also for a stage that all runs share."""
        return self.meaning.run if self.meaning else None

    @cached_property
    def training(self) -> Hashable | None:
        """What determines its weights (see `BranchNames.training`); its name without a family."""
        if self.repo.names is None or (self.name == MAIN and self.repo.main_is_merged):
            return self.name
        return self.repo.names.training(self.name)

    @property
    def is_of_run(self) -> bool:
        """Whether it is the branch of a run, and not of an earlier step."""
        return self.name in self.repo.runs

    @property
    def is_alias(self) -> bool:
        """Whether it is `main`, and may hold the model of another branch, since it is neither a run's nor merged."""
        return self.name == MAIN and MAIN not in self.repo.expected

    @cached_property
    def is_ours(self) -> bool:
        """Whether mixhub pushed it, so that it has all files of such a branch.

        Its lineage shows it; without one, those of the other runs of the family do.
        """
        return LINEAGE_FILE in self.branch.tree or (self.run is not None and self.repo.has_pushed_branch)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of its weights, as far as their headers could be read."""
        headers = (self.repo.headers.get(self.branch.digest(path)) for path in self.branch.opened)
        return {name: one for header in headers if isinstance(header, Mapping) for name, one in header.items()}

    @property
    def again(self) -> str:
        """The next step for a damaged branch."""
        return AGAIN if self.is_ours else REPORT

    @cached_property
    def read_lineage(self) -> Lineage | MixhubError | None:
        """Its lineage, or why it cannot be read; None without one."""
        try:
            return read_lineage(self.branch.folder) if LINEAGE_FILE in self.branch.tree else None
        except MixhubError as error:
            return error

    @property
    def lineage(self) -> Lineage | None:
        """Its lineage, if it can be read."""
        return None if isinstance(self.read_lineage, MixhubError) else self.read_lineage

    @cached_property
    def facts(self) -> RunFacts | None:
        """Facts about its run; None unless it is the branch of a run with a lineage.

        Its cells count only if all were measured with its weights.
        """
        lineage = self.lineage
        if self.name not in self.repo.runs or lineage is None:
            return None
        try:
            cells = tuple(read_cells(self.branch.folder / RESULTS))
        except MixhubError:  # `results_foreign` reports it
            cells = ()
        is_sound = all(cell.weights_sha256 == lineage.weights_sha256 for cell in cells)
        return RunFacts(self.repo.runs[self.name], lineage, cells=cells if is_sound else ())


def place(verified: str, repo_id: str, name: str) -> str:
    """Return how findings name a branch: of one of several repos that are verified, as `lab/tiny-seed1@step100`."""
    return name if repo_id == verified else f"{repo_id}@{name}"


@dataclass(frozen=True)
class Compared:
    """What is compared with each other: one repo, or all repos of a family."""

    repo_id: str
    """The repo; of several, their pattern, such as `lab/tiny-seed{seed}`."""
    repos: Sequence[RepoUnderCheck]
    """Those that could be read."""

    def where(self, repo: RepoUnderCheck, name: str) -> str:
        """Return how findings name a branch."""
        return place(self.repo_id, repo.repo_id, name)

    def run(self, name: str) -> str | None:
        """Return what findings call the run of a branch: its name, or its repo if each run has one; None without."""
        one = self.models[name]
        if one.run is None:
            return None
        return one.run.revision if one.repo.repo_id == self.repo_id else one.repo.repo_id

    @cached_property
    def branches(self) -> dict[str, BranchUnderCheck]:
        """All branches, by the name that findings give them."""
        return {
            self.where(repo, name): BranchUnderCheck(repo, branch)
            for repo in self.repos
            for name, branch in repo.branches.items()
        }

    @cached_property
    def models(self) -> dict[str, BranchUnderCheck]:
        """The branches that hold a model, or part of one, likewise."""
        return {self.where(repo, one.name): one for repo in self.repos for one in repo.models}
