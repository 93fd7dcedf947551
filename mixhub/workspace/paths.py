"""Every path on disk, and the file that makes a folder a workspace."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mixhub.endpoint import LOCAL, checked_hub
from mixhub.errors import Problem, RunError, SpecError, UnknownNameError, UsageError, WorkspaceError
from mixhub.files import write_text
from mixhub.spec import catalog
from mixhub.spec.base import FrozenMap, Spec, read_yaml, rule_error, to_yaml
from mixhub.spec.family import Family, Run, extend
from mixhub.spec.identifiers import repo_id_problem
from mixhub.spec.values import Name

CONFIG_FILE = "mixhub.yaml"
ENVIRONMENT = "MIXHUB_WORKSPACE"
FORMAT = 1
_HINT = "what each field means: mixhub families --fields"


def _checked_hub(value: str) -> str:
    try:
        return checked_hub(value, "hub")
    except UsageError as error:
        raise rule_error("must be 'local' or the address of a hub", code=error.code) from None


class WorkspaceConfig(Spec):
    """The content of `mixhub.yaml`."""

    format: Literal[1] = 1
    """Version of the workspace's layout."""
    family: Name
    """The family that commands mean when none is named."""
    hub: Annotated[str, AfterValidator(_checked_hub)] = LOCAL
    """`local` for the embedded hub, or an address."""
    namespace: Name | None = None
    """Replaces the owner in the families' repo_id; absent: as the family says."""
    families: FrozenMap[str, Mapping[str, Any]] = Field(default_factory=dict, validate_default=True)
    """Families of one's own, by name; `extends` takes the recipe of another."""


@dataclass(frozen=True)
class RunFolder:
    """`runs/<family>/<revision>/`."""

    path: Path

    @property
    def train_config(self) -> Path:
        """What the run is trained with."""
        return self.path / "train_config.yaml"

    @property
    def metrics(self) -> Path:
        """One line of JSON a logged step."""
        return self.path / "metrics.jsonl"

    @property
    def lock(self) -> Path:
        """Held while the run is trained."""
        return self.path / ".lock"

    @property
    def checkpoints(self) -> Path:
        """Resumable states, a folder a step."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """Resumable state after `step` updates."""
        return self.checkpoints / f"step-{step:06d}"

    @property
    def exports(self) -> Path:
        """Exports, a folder a step."""
        return self.path / "export"

    def export(self, step: int) -> Path:
        """Weights after `step` updates, in Transformers format."""
        return self.exports / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Steps that have a checkpoint, ascending."""
        return _steps(self.checkpoints)

    def export_steps(self) -> list[int]:
        """Steps that have an export, ascending."""
        return _steps(self.exports)


@dataclass(frozen=True)
class Workspace:
    """A folder with a `mixhub.yaml`; everything that mixhub makes lies under it."""

    root: Path
    config: WorkspaceConfig

    def __fspath__(self) -> str:
        """Its folder, so that it may stand wherever that may."""
        return str(self.root)

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """The workspace at `root`; raises WorkspaceError when it is none and SpecError when its file breaks rules."""
        path = root / CONFIG_FILE
        if not path.is_file():
            raise WorkspaceError(
                f"{root}: no workspace, since it has no {CONFIG_FILE}",
                code="workspace-missing",
                hint=f"make one: mixhub init {root}, or see one at work: mixhub demo",
                path=root,
            )
        data = read_yaml(path, WorkspaceError)
        if isinstance(data, Mapping) and isinstance(data.get("format"), int) and data["format"] > FORMAT:
            raise WorkspaceError(
                f"{path}: format = {data['format']}: newer than this mixhub knows ({FORMAT})",
                code="workspace-newer",
                hint="upgrade: pip install -U mixhub",
                path=path,
                format=data["format"],
            )
        workspace = cls(root.resolve(), WorkspaceConfig.from_data(data, str(path), hint=_HINT))
        for name in (workspace.config.family, *workspace.config.families):
            workspace.family(name)
        return workspace

    @classmethod
    def find(cls, start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Workspace:
        """The workspace that MIXHUB_WORKSPACE names, else the nearest at or above `start` (the working directory)."""
        if named := environ.get(ENVIRONMENT):
            return cls.open(Path(named))
        start = (start or Path.cwd()).resolve()
        for folder in (start, *start.parents):
            if (folder / CONFIG_FILE).is_file():
                return cls.open(folder)
        raise WorkspaceError(
            f"{start}: no workspace here or above (no {CONFIG_FILE})",
            code="workspace-missing",
            hint="make one: mixhub init, name one: --workspace DIR, or see one at work: mixhub demo",
            path=start,
        )

    @classmethod
    def create(cls, root: Path, config: Mapping[str, Any]) -> Workspace:
        """Writes `mixhub.yaml` into `root`, which may exist; raises WorkspaceError when it is a workspace already."""
        path = root / CONFIG_FILE
        if root.is_file():
            raise WorkspaceError(f"{root}: is a file", code="workspace-unwritable", hint="choose a folder", path=root)
        if path.exists():
            raise WorkspaceError(
                f"{root}: already a workspace",
                code="workspace-exists",
                hint=f"edit {path}, or choose another folder",
                path=root,
            )
        text = to_yaml({"format": FORMAT, **config})
        candidate = cls(root.resolve(), WorkspaceConfig.from_data({"format": FORMAT, **config}, str(path), hint=_HINT))
        for name in (candidate.config.family, *candidate.config.families):
            candidate.family(name)
        try:
            write_text(path, text)
        except OSError as error:
            raise WorkspaceError(
                f"{root}: cannot be made a workspace: {error.strerror}",
                code="workspace-unwritable",
                hint="choose another folder",
                path=root,
            ) from None
        return cls.open(root)

    def family_names(self) -> list[str]:
        """Families of one's own, then those of the catalog."""
        own = list(self.config.families)
        return own + [name for name in catalog.names() if name not in own]

    def family(self, name: str | None = None) -> Family:
        """The named family, or the workspace's; with the workspace's namespace in its repo_id.

        Raises:
            UnknownNameError: neither the workspace nor the catalog has it; names the nearest.
            SpecError: its specification breaks rules.
        """
        name = name or self.config.family
        file = f"{self.root / CONFIG_FILE} (family {name})"
        family = Family.from_data(self._family_data(name, ()), file, hint=_HINT)
        if self.config.namespace is None:
            return family
        repo_id = f"{self.config.namespace}/{family.repo_id.split('/')[1]}"
        if problem := repo_id_problem(repo_id):
            raise self._broken("namespace", self.config.namespace, problem, code="value-format")
        return family.model_copy(update={"repo_id": repo_id})

    def _family_data(self, name: str, extending: tuple[str, ...]) -> dict[str, Any]:
        if name in extending:
            chain = " > ".join((*extending, name))
            raise self._broken("families", chain, "extends itself", code="family-circular")
        if name not in self.config.families:
            if name not in catalog.names():
                raise UnknownNameError("family", name, self.family_names(), where=str(self.root / CONFIG_FILE))
            return catalog.data(name)
        own = {"name": name, **self.config.families[name]}
        if own["name"] != name:
            rule = f"must be its key, {name}, or be left out"
            raise self._broken(f"families.{name}.name", own["name"], rule, code="keys-conflict")
        if (base := own.pop("extends", None)) is None:
            return own
        return extend(self._family_data(str(base), (*extending, name)), own)

    def _broken(self, key: str, value: object, rule: str, *, code: str) -> SpecError:
        return SpecError(str(self.root / CONFIG_FILE), [Problem(key, value, rule, code=code)])

    def path(self, *parts: str) -> Path:
        """A path below the root."""
        return self.root.joinpath(*parts)

    def corpus(self, family: Family) -> Path:
        """The corpus as downloaded: `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`."""
        return self.path("data", family.data.corpus)

    def tokens(self, family: Family) -> Path:
        """Token shards of the corpus, one folder a domain, the tokenizer, and `manifest.json`."""
        return self.path("data", f"{family.data.corpus}.{family.tokenizer.name}")

    def run_folder(self, run: Run) -> RunFolder:
        """Where a run is trained."""
        return RunFolder(self.path("runs", run.family, run.revision))

    def export(self, run: Run, step: int) -> Path:
        """The export of a run after `step` updates; raises RunError, saying which there are, when it is not there."""
        folder = self.run_folder(run)
        if step in folder.export_steps():
            return folder.export(step)
        steps = tuple(folder.export_steps())
        there = ", ".join(map(str, steps)) or "none"
        raise RunError(
            f"{folder.exports}: no export of step {step} (there: {there})",
            code="export-missing",
            hint=f"train it: mixhub train --{run.kind} {run.number}; or take in what was trained elsewhere: "
            f"mixhub adopt DIR --{run.kind} {run.number}",
            path=folder.exports,
            step=step,
            steps=steps,
        )

    def exports(self) -> list[tuple[str, str, int, Path]]:
        """All exports of all families: family, revision, step and folder of each."""
        found = []
        for folder in sorted(self.path("runs").glob("*/*/export")):
            run = RunFolder(folder.parent)
            for step in run.export_steps():
                found.append((folder.parent.parent.name, folder.parent.name, step, run.export(step)))
        return found

    def results(self, run: Run) -> Path:
        """Evaluated cells of a run: `<task>.<k>shot.json`, with samples beside them."""
        return self.path("results", run.family, run.revision)

    def imported(self, run: Run) -> Path:
        """lm-eval's results of a run that were not measured here: any of its files."""
        return self.path("results", run.family, "imported", run.revision)

    def card(self, family: Family) -> Path:
        """The family's card; the card of a revision lies in a folder of its name below."""
        return self.path("cards", family.name, "README.md")

    def own_words(self, family: Family, kind: Literal["card", "revision"]) -> tuple[Path, Path]:
        """Words of one's own for the card of a family, or for those of its revisions, and a template of one's own;
        neither need be there. The files of another family than the workspace's have its name in theirs."""
        stem = kind if family.name == self.config.family else f"{kind}.{family.name}"
        return self.path(f"{stem}.md"), self.path(f"{stem}.md.j2")

    def license(self, family: Family) -> Path | None:
        """The file of the licence that the family names, if it names one; raises SpecError where that is not there."""
        name = family.card.license_file
        if name is None or self.path(name).is_file():
            return self.path(name) if name else None
        rule = f"must be a file beside {CONFIG_FILE}, and there is none"
        raise SpecError(
            f"{self.root / CONFIG_FILE} (family {family.name})",
            [Problem("card.license_link", name, rule, code="file-missing")],
            hint="put the licence there, or name its address instead",
        )

    def revision_card(self, run: Run) -> Path:
        """The card of one revision."""
        return self.path("cards", run.family, run.revision, "README.md")

    def task_config(self, relative: str) -> Path:
        """A task YAML of one's own."""
        return self.path(*Path(relative).parts)

    @property
    def push_receipts(self) -> Path:
        """What was pushed where, by hash."""
        return self.path("receipts", "push.json")

    @property
    def check_receipts(self) -> Path:
        """Which exports were checked, by hash."""
        return self.path("receipts", "check.json")

    @property
    def verify_receipts(self) -> Path:
        """Which branches of which hub were verified."""
        return self.path("receipts", "verify.json")

    @property
    def withdrawn(self) -> Path:
        """Which revisions were withdrawn, and why."""
        return self.path("receipts", "withdrawn.json")

    @property
    def card_receipts(self) -> Path:
        """Which cards were rendered, by hash, so that a card that was edited by hand is known."""
        return self.path("receipts", "cards.json")

    @property
    def cache(self) -> Path:
        """What may be deleted at any time."""
        return self.path("cache")

    @property
    def datasets(self) -> Path:
        """Documents that tasks read, a folder a dataset repo."""
        return self.cache / "datasets"

    @property
    def requests(self) -> Path:
        """Requests of the evaluation, built for all checkpoints."""
        return self.cache / "requests"

    def sample_summaries(self, family: Family) -> Path:
        """What the samples of a family's cells come to, so that they are read once."""
        return self.cache / "samples" / f"{family.name}.json"

    @property
    def hub(self) -> Path:
        """Storage of the embedded hub."""
        return self.path("hub")

    def lock(self, what: str) -> Path:
        """A lock file for a part of the workspace."""
        return self.path("cache", "locks", f"{what}.lock")


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)
