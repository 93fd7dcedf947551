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
from mixhub.files import disk_problem, write_text
from mixhub.spec import catalog
from mixhub.spec.base import FrozenMap, Spec, read_yaml, rule_error, to_yaml
from mixhub.spec.family import Family, Run, extend, replicate
from mixhub.spec.values import Commit, Name, RepoId, repo_id_problem
from mixhub.workspace.export import TRAIN_CONFIG_FILE

CONFIG_FILE = "mixhub.yaml"
ENVIRONMENT = "MIXHUB_WORKSPACE"
STATE_FILE = "state.json"
"""The last file of a checkpoint to be written."""
FORMAT = 1
_HINT = "run mixhub families --fields to list all fields"


def _checked_hub(value: str) -> str:
    try:
        return checked_hub(value, "hub")
    except UsageError as error:
        raise rule_error("must be 'local' or the address of a hub", code=error.code) from None


class WorkspaceConfig(Spec):
    """The content of `mixhub.yaml`."""

    format: Literal[1] = 1
    """Version of the workspace format."""
    family: Name
    """Family that commands work on by default."""
    hub: Annotated[str, AfterValidator(_checked_hub)] = LOCAL
    """Hub that commands use: `local` for the embedded hub, or an address."""
    namespace: Name | None = None
    """Owner to use in every repo_id. Default: the owner in the repo_id of the family."""
    code: FrozenMap[RepoId, Commit] = Field(default_factory=dict, validate_default=True)
    """Custom code of models that may run: the commit, 40 hexadecimal digits, by repo. `verify` never runs any."""
    families: FrozenMap[str, Mapping[str, Any]] = Field(default_factory=dict, validate_default=True)
    """Custom families, by name; see below."""


class _Below:
    """A fixed path below a run folder or workspace."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def __get__(self, owner: RunFolder | Workspace | None, kind: type) -> Path:
        if owner is None:  # asked of the class, as help() does
            return self  # type: ignore[return-value]
        return (owner.root if isinstance(owner, Workspace) else owner.path).joinpath(*self.parts)


@dataclass(frozen=True)
class RunFolder:
    """`runs/<family>/<revision>/`."""

    path: Path

    train_config = _Below(TRAIN_CONFIG_FILE)
    """The recipe of the run."""
    metrics = _Below("metrics.jsonl")
    """A line of JSON for each step and validation."""
    diverged = _Below("diverged.json")
    """What the step read at which the run was stopped because it diverged."""
    trackers = _Below("trackers.json")
    """The runs of trackers, to be continued."""
    lock = _Below(".lock")
    """Held during training."""
    checkpoints = _Below("checkpoints")
    """Resumable states, a folder for each step."""
    compiled = _Below("compiled")
    """Code of `train --kernels compile`; may be deleted between trainings."""
    exports = _Below("export")
    """Exports, a folder for each step."""

    def tracker(self, name: str) -> Path:
        """Return the folder of a tracker's files."""
        return self.path / "trackers" / name

    def checkpoint(self, step: int) -> Path:
        """Return the folder of a resumable state."""
        return self.checkpoints / f"step-{step:06d}"

    def export(self, step: int) -> Path:
        """Return the folder of an export, the weights of a step in Transformers format."""
        return self.exports / f"step-{step:06d}"

    def checkpoint_steps(self) -> list[int]:
        """Return the steps that have a finished checkpoint, ascending."""
        return [step for step in _steps(self.checkpoints) if (self.checkpoint(step) / STATE_FILE).is_file()]

    def unfinished_checkpoints(self) -> list[Path]:
        """Return the folders of checkpoints that lack their last file, such as those of a copy that was stopped."""
        finished = self.checkpoint_steps()
        return [self.checkpoint(step) for step in _steps(self.checkpoints) if step not in finished]

    def export_steps(self) -> list[int]:
        """Return the steps that have an export, ascending."""
        return _steps(self.exports)


@dataclass(frozen=True)
class Workspace:
    """A folder with a `mixhub.yaml`, which holds all files that mixhub makes."""

    root: Path
    config: WorkspaceConfig

    push_receipts = _Below("receipts", "push.json")
    """Receipts of pushes, by hash."""
    check_receipts = _Below("receipts", "check.json")
    """Receipts of checked exports, by hash."""
    verify_receipts = _Below("receipts", "verify.json")
    """Receipts of verified branches, by hub."""
    withdrawn = _Below("receipts", "withdrawn.json")
    """Withdrawn revisions, with reasons."""
    card_receipts = _Below("receipts", "cards.json")
    """Hashes of the rendered cards, which show whether a card was edited."""
    cache = _Below("cache")
    """May be deleted at any time."""
    hub = _Below("hub")
    """Storage of the embedded hub."""

    def __fspath__(self) -> str:
        """Return the folder, so that a workspace can be used as a path."""
        return str(self.root)

    @classmethod
    def open(cls, root: Path) -> Workspace:
        """Open the workspace at `root`; raises WorkspaceError if it is not one, SpecError if its file breaks rules."""
        path = root / CONFIG_FILE
        if not path.is_file():
            hint = f"create one with mixhub init {root}, or try mixhub demo"
            message = f"{root}: not a workspace: no {CONFIG_FILE}"
            if root.is_file():
                message, hint = f"{root}: not a workspace, but a file", f"pass a folder that contains a {CONFIG_FILE}"
            raise WorkspaceError(message, code="workspace-missing", hint=hint, path=root)
        data = read_yaml(path, WorkspaceError)
        if isinstance(data, Mapping) and isinstance(version := data.get("format"), int) and version > FORMAT:
            message = f"{path}: format = {version}: this version of mixhub supports only {FORMAT}"
            raise WorkspaceError(message, code="workspace-newer", path=path, format=version)
        return cls.validated(root, data)

    @classmethod
    def find(cls, start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Workspace:
        """Open the workspace in MIXHUB_WORKSPACE, or the nearest one at or above `start` (the working directory)."""
        if folder := environ.get(ENVIRONMENT):
            return cls.open(Path(folder))
        start = (start or Path.cwd()).resolve()
        for parent in (start, *start.parents):
            if (parent / CONFIG_FILE).is_file():
                return cls.open(parent)
        hint = "create one with mixhub init, pass --workspace DIR, or try mixhub demo"
        message = f"{start}: no workspace here or above (no {CONFIG_FILE})"
        raise WorkspaceError(message, code="workspace-missing", hint=hint, path=start)

    @classmethod
    def create(cls, root: Path, config: Mapping[str, Any]) -> Workspace:
        """Write `mixhub.yaml` into a new or existing folder; raises WorkspaceError if the folder is a workspace."""
        path = root / CONFIG_FILE
        if path.exists():
            hint = f"edit {path}, or choose another folder"
            raise WorkspaceError(f"{root}: already a workspace", code="workspace-exists", hint=hint, path=root)
        data = {"format": FORMAT, **config}
        cls.validated(root, data)
        try:
            write_text(path, to_yaml(data))
        except OSError as error:
            if disk_problem(error):
                raise
            message = f"{root}: cannot create a workspace: {error.strerror}"
            raise WorkspaceError(message, code="workspace-unwritable", path=root) from None
        return cls.open(root)

    @classmethod
    def validated(cls, root: Path, data: object) -> Workspace:
        """Return the workspace whose mixhub.yaml has this content; raises SpecError if it breaks rules."""
        workspace = cls(root.resolve(), WorkspaceConfig.from_data(data, str(root / CONFIG_FILE), hint=_HINT))
        for name in (workspace.config.family, *workspace.config.families):
            workspace.family(name)
        return workspace

    def family_names(self) -> list[str]:
        """Return the names of the custom families, then those of the catalog."""
        custom = list(self.config.families)
        return custom + [name for name in catalog.names() if name not in custom]

    def family(self, name: str | None = None) -> Family:
        """Return a family by name, by default the workspace's, with the workspace's namespace in its repo_id.

        Raises:
            UnknownNameError: neither the workspace nor the catalog has it.
            SpecError: it breaks rules.
        """
        family = self.stated_family(name)
        if self.config.namespace is None:
            return family
        repo_id = f"{self.config.namespace}/{family.repo_id.split('/')[1]}"
        moved = family.model_copy(update={"repo_id": repo_id})
        if family.has_repo_per_run and not moved.has_repo_per_run:
            rule = f"must be omitted, because the owner in repo_id, {family.repo_id}, tells the repos of the runs apart"
            raise self._broken("namespace", self.config.namespace, rule, code="keys-conflict")
        if problem := next((broken for run in moved.runs() if (broken := repo_id_problem(run.repo_id))), None):
            raise self._broken("namespace", self.config.namespace, problem, code="value-format")
        return moved

    def stated_family(self, name: str | None = None) -> Family:
        """Return a family as `family`, but with the repo_id that it states: `namespace` does not replace the owner."""
        name = self.config.family if name is None else name
        file = f"{self.root / CONFIG_FILE} (family {name})"
        return Family.from_data(self._family_data(name, ()), file, hint=_HINT)

    def _family_data(self, name: str, extending: tuple[str, ...]) -> dict[str, Any]:
        if name in extending:
            chain = " > ".join((*extending, name))
            raise self._broken("families", chain, "extends itself", code="family-circular")
        if name not in self.config.families:
            if name not in catalog.names():
                raise UnknownNameError("family", name, self.family_names(), where=str(self.root / CONFIG_FILE))
            return catalog.data(name)
        data = {"name": name, **self.config.families[name]}
        if data["name"] != name:
            rule = f"must be omitted, or equal its key, {name}"
            raise self._broken(f"families.{name}.name", data["name"], rule, code="keys-conflict")
        base, original = data.pop("extends", None), data.get("replicates")
        if original is not None and base is not None:
            rule = "must be omitted, because replicates names the family whose recipe is used"
            raise self._broken(f"families.{name}.extends", base, rule, code="keys-conflict")
        if original is not None:
            return replicate(catalog.data(str(original)), data)
        if base is None:
            return data
        return extend(self._family_data(str(base), (*extending, name)), data)

    def _broken(self, key: str, value: object, rule: str, *, code: str) -> SpecError:
        return SpecError(str(self.root / CONFIG_FILE), [Problem(key, value, rule, code=code)])

    def path(self, *parts: str) -> Path:
        """Return a path below the root."""
        return self.root.joinpath(*parts)

    def corpus(self, family: Family) -> Path:
        """Return the folder of the text: `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`."""
        return self.path("data", family.data.corpus)

    def tokens(self, family: Family) -> Path:
        """Return the folder of the token shards, with a folder for each domain, the tokenizer, and `manifest.json`."""
        return self.path("data", f"{family.data.corpus}.{family.tokenizer.name}")

    def run_folder(self, run: Run) -> RunFolder:
        """Return the folder in which a run is trained."""
        return RunFolder(self.path("runs", run.family, run.revision))

    def export(self, run: Run, step: int) -> Path:
        """Return the folder of an export; raises RunError, listing the other exports of the run, if it is missing."""
        folder = self.run_folder(run)
        steps = tuple(folder.export_steps())
        if step in steps:
            return folder.export(step)
        message = f"{folder.exports}: no export of step {step} (available: {', '.join(map(str, steps)) or 'none'})"
        option = f"--{run.kind} {run.label}"
        hint = f"adopt a model trained elsewhere: mixhub adopt DIR {option}"
        if run.init_seed is not None:  # the others cannot be trained here
            hint = f"train it: mixhub train {option}; or {hint}"
        raise RunError(message, code="export-missing", hint=hint, path=folder.exports, step=step, steps=steps)

    def exports(self) -> list[tuple[str, str, int, Path]]:
        """Return family, revision, step and folder of all exports of all families."""
        runs = [RunFolder(folder.parent) for folder in sorted(self.path("runs").glob("*/*/export"))]
        return [
            (run.path.parent.name, run.path.name, step, run.export(step)) for run in runs for step in run.export_steps()
        ]

    def results(self, run: Run) -> Path:
        """Return the folder of the evaluated cells of a run: `<task>.<k>shot.json`, with samples beside them."""
        return self.path("results", run.family, run.revision)

    def imported(self, run: Run) -> Path:
        """Return the folder of lm-eval's results of a run that were measured elsewhere."""
        return self.path("results", run.family, "imported", run.revision)

    def card(self, family: Family) -> Path:
        """Return the family's card; each card of a revision is in a folder below."""
        return self.path("cards", family.name, "README.md")

    def custom_card_files(self, family: Family, kind: Literal["card", "revision"]) -> tuple[Path, Path]:
        """Return the custom sections and the custom template for the card of a family or those of its revisions.

        Neither needs to exist. The name of a family other than the workspace's is part of the file names.
        """
        stem = kind if family.name == self.config.family else f"{kind}.{family.name}"
        return self.path(f"{stem}.md"), self.path(f"{stem}.md.j2")

    def license(self, family: Family) -> Path | None:
        """Return the licence file that the family names, if any; raises SpecError if it is missing."""
        name = family.card.license_file
        if name is None or self.path(name).is_file():
            return self.path(name) if name else None
        problem = Problem("card.license_link", name, f"must be a file beside {CONFIG_FILE}", code="file-missing")
        hint = "add the file, or set the key to a web address"
        raise SpecError(f"{self.root / CONFIG_FILE} (family {family.name})", [problem], hint=hint)

    def revision_card(self, run: Run) -> Path:
        """Return the card of a revision."""
        return self.path("cards", run.family, run.revision, "README.md")

    def sample_summaries(self, family: Family) -> Path:
        """Return the cached summaries of the samples of a family's cells."""
        return self.path("cache", "samples", f"{family.name}.json")

    def hashed_tokens(self, family: Family) -> Path:
        """Return the file that remembers which token shards were compared with the manifest."""
        return self.path("cache", "tokens", f"{self.tokens(family).name}.json")

    def lock(self, what: str) -> Path:
        """Return a lock file for a part of the workspace."""
        return self.path("cache", "locks", f"{what}.lock")


def _steps(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    matches = (re.fullmatch(r"step-([0-9]{6,})", path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)
