"""An export that another trainer made becomes one of the workspace; what is not known of it is recorded as unknown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from mixhub.errors import ExportError, MixhubError, UsageError, WorkspaceError
from mixhub.files import clear_leftovers, locked, new_folder, read_json, write_json, write_text
from mixhub.findings import Finding, errors, hints
from mixhub.hub.rules.export import ExportCheck, check_export, is_pickle
from mixhub.hub.rules.family import description, model_findings
from mixhub.hub.rules.lineage import identity_findings
from mixhub.hub.rules.revisions import branch_of
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Mixture, Run
from mixhub.spec.base import data_sha256, read_yaml, to_yaml, validated
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace
from mixhub.workspace.export import TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, file_sha256, read_lineage, weights_sha256
from mixhub.workspace.paths import RunFolder, Workspace
from mixhub.workspace.recipe_diff import recipe_changes

_TRAIN_CONFIG = "train_config.yaml"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", *TOKENIZER_EXTRAS)
_HINTS = 6
"""Next steps that are shown at once."""
_DESCRIBABLE = {
    "architecture-differs",
    "architecture-unsupported",
    "recipe-differs",
    "token-id-differs",
    "token-missing",
    "tokenizer-differs",
    "tokenizer-unusable",
    "vocabulary-differs",
    "vocabulary-exceeded",
}
"""Codes of findings that another description of the family may answer."""
_TRAINER_STATE = "trainer_state.json"
"""What the Trainer of Transformers leaves in its checkpoints."""


@dataclass(frozen=True)
class Adopted:
    """A folder that was taken in."""

    family: Family
    run: Run
    export: Path
    step: int
    """Where it lies: the step that is known of it, else the family's last."""
    lineage: Lineage
    left_out: tuple[str, ...]
    """Files of the folder that belong to no export, and stayed where they are."""
    repeated: tuple[tuple[str, str], ...]
    """Family and revision of other runs in the workspace that have the same weights."""


def adopt(
    workspace: WorkspaceLike,
    source: str | os.PathLike[str],
    *,
    step: int | None = None,
    mixture: str | os.PathLike[str] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
    **run_name: Unpack[RunName],
) -> Adopted:
    """Copies a folder in Transformers format into the workspace, as the export of a run.

    The folder stays as it is. What lies in the workspace is whole and passes the checks of a file alone (see
    `check_export`), or is not there. An export that mixhub made elsewhere keeps its lineage.

    Args:
        workspace: where it goes.
        source: the folder: config, safetensors, tokenizer.
        step: updates made; None: what the folder states, else it is taken for the last step, as unknown.
        mixture: what it was trained on, if the folder does not state it: RegMix's YAML, or `domain: weight`.
        tokenizer: a folder with its tokenizer, where it is not beside the weights.
        replace: take the place of an export that is there.
        progress: shows the files of weights.
        **run_name: seed or index, and family.

    Raises:
        UsageError: step or mixture contradict what the folder or the family say.
        UnknownNameError: there is no such family, seed or index.
        ExportError: the folder is not an export, or belongs to another model or run; every fault is listed.
        WorkspaceError: there is an export of that step already, or the run is being trained.
    """
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    own_mixture = Path(mixture) if mixture is not None else None
    folder = _Source.read(Path(source), Path(tokenizer) if tokenizer is not None else None)
    step = folder.step(step)
    target = _Target(workspace, family, run, family.training.steps if step is None else step, replace)
    if target.step > family.training.steps:
        raise UsageError(
            f"step = {target.step}: {family.name} has {family.training.steps} steps",
            code="option-value",
            hint="mend training.steps of the family in mixhub.yaml, if it was trained for longer",
            option="--step",
            value=target.step,
        )
    config = folder.train_config(family, run, own_mixture)
    lineage = target.take(folder, step, config, own_mixture, progress)
    return Adopted(family, run, target.export, target.step, lineage, folder.left_out, tuple(target.repeated(lineage)))


@dataclass(frozen=True)
class _Target:
    """The place of an export in a workspace."""

    workspace: Workspace
    family: Family
    run: Run
    step: int
    replace: bool

    @property
    def folder(self) -> RunFolder:
        return self.workspace.run_folder(self.run)

    @property
    def export(self) -> Path:
        return self.folder.export(self.step)

    def take(
        self, source: _Source, step: int | None, config: Mapping[str, Any], mixture: Path | None, progress: Progress
    ) -> Lineage:
        """Makes the export from a folder; its lineage."""
        self.folder.path.mkdir(parents=True, exist_ok=True)
        with locked(self.folder.lock, f"{self.folder.path} is in use"):
            clear_leftovers(self.folder.exports)
            self._require_room(source.path)
            with new_folder(self.export) as building:
                source.copy(building)
                write_text(building / _TRAIN_CONFIG, to_yaml(config))
                lineage = source.lineage(self.family, self.run, step, building, config)
                write_json(building / LINEAGE_FILE, lineage.to_data())
                others = self._other_steps(lineage)
                origins = {building / _TRAIN_CONFIG: mixture or source.path / _TRAIN_CONFIG, building: source.path}
                _require_sound(building, origins, self.family, self.run, self.step, lineage, progress)
            for other in others:  # they were taken for those of another step
                shutil.rmtree(other)
        return lineage

    def _require_room(self, source: Path) -> None:
        """Raises WorkspaceError when an export or a run that was trained here is in the way."""
        if self.export.exists() and not self.replace:
            raise WorkspaceError(
                f"{self.export}: there is an export already",
                code="export-exists",
                hint="give --replace if this one is to take its place, or --step if it is another",
                path=self.export,
            )
        if self.folder.metrics.exists() or self.folder.checkpoint_steps():
            raise WorkspaceError(
                f"{self.folder.path}: {self.run.revision} was trained here, and its metrics and checkpoints are not "
                f"those of {source}",
                code="run-trained-here",
                hint=f"delete or rename {self.folder.path}, or adopt the folder as another run",
                path=self.folder.path,
            )

    def _other_steps(self, lineage: Lineage) -> list[Path]:
        """Exports of the run that hold the same weights as those of another step, which are to be replaced."""
        repeated = []
        for export in (self.folder.export(step) for step in self.folder.export_steps()):
            with suppress(MixhubError):  # of one that is damaged it is not known; `check` says so
                if export != self.export and read_lineage(export).weights_sha256 == lineage.weights_sha256:
                    repeated.append(export)
        if repeated and not self.replace:
            raise WorkspaceError(
                f"{repeated[0]}: these weights are there already, as those of another step",
                code="weights-elsewhere",
                hint="give --replace if this is the step that they are of",
                path=repeated[0],
            )
        return repeated

    def repeated(self, lineage: Lineage) -> Iterator[tuple[str, str]]:
        """Family and revision of other runs with the same weights."""
        for family, revision, _, path in self.workspace.exports():
            other = None
            with suppress(MixhubError):  # of one that is damaged it is not known; `check` says so
                other = read_lineage(path).weights_sha256
            if (family, revision) != (self.run.family, self.run.revision) and other == lineage.weights_sha256:
                yield family, revision


def _require_sound(
    building: Path,
    origins: Mapping[Path, Path],
    family: Family,
    run: Run,
    step: int,
    lineage: Lineage,
    progress: Progress,
) -> None:
    """Raises ExportError for what is wrong with a folder that is being made; `origins` names what it is made of."""
    where = branch_of(family, run, step)
    content = check_export(building, where, progress)
    findings: list[Finding] = [*content.findings]
    findings += identity_findings(where, run, lineage)
    findings += model_findings(where, family, content.config, content.vocab_size, content.eos_token)
    changed = recipe_changes(family, run, building / _TRAIN_CONFIG).values()
    hint = "take the mixture that it was trained on, or mend the family in mixhub.yaml"
    findings += [Finding("recipe-differs", where, line, hint) for line in changed]
    if lineage.train_config_sha256 not in (UNKNOWN, data_sha256(read_yaml(building / _TRAIN_CONFIG, ExportError))):
        message = f"{LINEAGE_FILE} names a {_TRAIN_CONFIG} that is not the one beside it"
        hint = f"take the whole folder that mixhub exported, with its {_TRAIN_CONFIG}"
        findings.append(Finding("train-config-differs", where, message, hint))
    if wrong := errors(findings):
        lines = [finding.message for finding in wrong]
        for copied, origin in origins.items():
            lines = [line.replace(str(copied), str(origin)) for line in lines]
        source = str(origins[building])
        raise ExportError(
            "\n".join(
                line if line.startswith((source, *map(str, origins.values()))) else f"{source}: {line}"
                for line in lines
            ),
            code="adoption-unsound",
            hint=_hint(family, content, wrong),
            findings=tuple(wrong),
        )


def _hint(family: Family, content: ExportCheck, wrong: Sequence[Finding]) -> str:
    """The next step: where the folder is of another model than the family's, what the family would have to say."""
    if {finding.code for finding in wrong} <= _DESCRIBABLE and (lines := description(family, content)):
        more = "".join(f"\nand {hint}" for hint in hints(wrong) if hint.startswith("set "))
        return (
            "take another folder; or, if the family is described wrongly, add this to its parts in mixhub.yaml:\n"
            f"{lines}{more}"
        )
    return "; ".join(hints(wrong)[:_HINTS]) or "mend mixhub.yaml, or take another folder"


@dataclass(frozen=True)
class _Source:
    """The folder that is adopted."""

    path: Path
    tokenizer: Path
    """Where its tokenizer lies."""
    taken: tuple[str, ...]
    """Files that are copied from `path`."""
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, tokenizer: Path | None) -> _Source:
        if not path.is_dir():
            raise UsageError(
                f"{path}: no such folder",
                code="file-missing",
                hint="give the folder that model.save_pretrained(...) wrote",
                path=path,
            )
        if not (path / "config.json").is_file():
            raise ExportError(
                f"{path}: no model in Transformers format (no config.json)",
                code="file-missing",
                hint="give the folder that model.save_pretrained(...) wrote",
                path=path / "config.json",
            )
        present = sorted(file.name for file in path.iterdir() if file.is_file())
        weights = [name for name in present if name.endswith(".safetensors")]
        if not weights:
            pickles = [name for name in present if is_pickle(name)]
            what = f"its weights are pickles ({', '.join(pickles[:3])})" if pickles else "it holds no weights"
            raise ExportError(
                f"{path}: {what}, and only safetensors are published",
                code="safetensors-missing",
                hint="open it with AutoModelForCausalLM.from_pretrained, and save_pretrained it to a new folder",
                path=path,
            )
        beside = tokenizer or path
        if not (beside / "tokenizer.json").is_file():
            raise ExportError(
                f"{beside}: no tokenizer.json",
                code="file-missing",
                hint="name the folder of the tokenizer: --tokenizer DIR; AutoTokenizer.from_pretrained(...)"
                ".save_pretrained(DIR) writes one",
                path=beside / "tokenizer.json",
            )
        known = ("config.json", "generation_config.json", WEIGHTS_INDEX_FILE, *weights)
        taken = tuple(name for name in known if name in present)
        read = (*_TOKENIZER, _TRAIN_CONFIG, LINEAGE_FILE, _TRAINER_STATE)
        return cls(path, beside, taken, tuple(name for name in present if name not in (*taken, *read)))

    def step(self, step: int | None) -> int | None:
        """The step that is given or that the folder states; raises UsageError if they differ."""
        recorded: object = None
        if (self.path / LINEAGE_FILE).is_file():
            recorded = read_lineage(self.path).step
        elif (self.path / _TRAINER_STATE).is_file():
            state = read_json(self.path / _TRAINER_STATE, ExportError)
            recorded = state.get("global_step") if isinstance(state, Mapping) else None
        known = recorded if isinstance(recorded, int) and not isinstance(recorded, bool) and recorded >= 0 else None
        if step is not None and known is not None and step != known:
            raise UsageError(
                f"--step {step}: {self.path} says that it is of step {known}",
                code="option-contradicted",
                hint="leave --step out, or mend it",
                option="--step",
                value=step,
                path=self.path,
            )
        return known if step is None else step

    def train_config(self, family: Family, run: Run, mixture: Path | None) -> dict[str, Any]:
        """What is known of how it was trained, in RegMix's keys."""
        path = self.path / _TRAIN_CONFIG
        recorded: dict[str, Any] = {}
        if path.is_file():
            data = read_yaml(path, ExportError)
            if not isinstance(data, dict):
                raise ExportError(f"{path}: must hold keys and values", code="file-malformed", path=path)
            try:
                data_sha256(data)
            except MixhubError as error:
                hint = "mend it, or leave it out of the folder"
                raise ExportError(f"{path}: {error.message}", code=error.code, hint=hint, path=path) from None
            if isinstance(data.get("mixhub"), Mapping):
                if mixture is not None:
                    raise UsageError(
                        f"--mixture {mixture}: {path} tells what it was trained on",
                        code="option-contradicted",
                        hint="leave it out",
                        option="--mixture",
                        path=path,
                    )
                return data
            recorded = {key: data[key] for key in ("train", "valid", "model_name") if key in data}
        if mixture is not None:
            data = read_yaml(mixture, MixhubError)
            whole = data if isinstance(data, dict) and "train" in data else {"train": data}
            weights = dict(validated(Mixture, whole["train"], str(mixture)).domain_weights)
            if "train" in recorded and recorded["train"] != weights:
                raise UsageError(
                    f"--mixture {mixture}: {path} says another",
                    code="option-contradicted",
                    hint="leave --mixture out, or mend it",
                    option="--mixture",
                    path=path,
                )
            recorded["train"] = weights
        own = {"format": 1, "adopted": True, "family": family.name, "revision": run.revision, run.kind: run.number}
        return {**recorded, "mixhub": own}

    def copy(self, building: Path) -> None:
        for name in self.taken:
            shutil.copyfile(self.path / name, building / name)
        for name in _TOKENIZER:
            if (self.tokenizer / name).is_file():
                shutil.copyfile(self.tokenizer / name, building / name)
        if not (building / "generation_config.json").is_file():
            from transformers import AutoConfig, GenerationConfig

            try:
                config = AutoConfig.from_pretrained(building, trust_remote_code=False)
                GenerationConfig.from_model_config(config).save_pretrained(building)
            except Exception as error:  # each config class raises its own for values that do not go together
                message = (str(error).strip().splitlines() or [""])[0].replace(str(building), str(self.path))
                raise ExportError(
                    f"{self.path}: config.json describes no model: {type(error).__name__}: {message}",
                    code="config-unusable",
                    hint="take config.json from where it was trained",
                    path=self.path,
                ) from None

    def lineage(self, family: Family, run: Run, step: int | None, building: Path, config: Mapping[str, Any]) -> Lineage:
        if (self.path / LINEAGE_FILE).is_file():
            return read_lineage(self.path)
        return Lineage(
            family=family.name,
            revision=run.revision,
            kind=run.kind,
            number=run.number,
            step=UNKNOWN if step is None else step,
            steps=UNKNOWN,
            tokens=UNKNOWN,
            init_seed=UNKNOWN,
            order_seed=UNKNOWN,
            train_config_sha256=data_sha256(config) if "train" in config else UNKNOWN,
            corpus_sha256=UNKNOWN,
            tokenizer_sha256=file_sha256(building / "tokenizer.json"),
            initial_weights_sha256=UNKNOWN,
            weights_sha256=weights_sha256(building),
            device=UNKNOWN,
            processes=UNKNOWN,
            versions={},
        )
