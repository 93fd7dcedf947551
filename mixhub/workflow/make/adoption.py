"""Adopting a model that another trainer made as the export of a run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from mixhub.errors import ExportError, MixhubError, UsageError, WorkspaceError
from mixhub.files import clear_leftovers, locked, new_folder, read_json, write_json, write_text
from mixhub.findings import Finding, errors
from mixhub.hub.remote.custom_code import allowed_code
from mixhub.hub.remote.files import KEPT_ON_HUB
from mixhub.hub.rules.config import CODE, CONFIG, GGUF, require_model
from mixhub.hub.rules.export import check_export, is_pickle
from mixhub.hub.rules.family import description, model_findings
from mixhub.hub.rules.lineage import identity_findings
from mixhub.phrases import listed
from mixhub.progress import SILENT, Progress
from mixhub.spec import Family, Run
from mixhub.spec.base import data_sha256, read_yaml, to_yaml
from mixhub.workflow.inputs import RunName, WorkspaceLike, find_run, open_workspace, read_mixtures
from mixhub.workspace.export import TOKENIZER_EXTRAS, TRAIN_CONFIG_FILE, WEIGHTS_INDEX_FILE, has_usual_name
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, file_sha256, read_lineage, weights_sha256
from mixhub.workspace.paths import RunFolder, Workspace
from mixhub.workspace.recipe_diff import recipe_changes

_TRAINER_STATE = "trainer_state.json"
"""Written by the Trainer of Transformers."""
_CONFIGS = ("config.json", "generation_config.json", WEIGHTS_INDEX_FILE)
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", *TOKENIZER_EXTRAS)


@dataclass(frozen=True)
class Adopted:
    """An adopted model."""

    family: Family
    run: Run
    export: Path
    step: int
    """The step of the export: the known step, or else the family's last."""
    lineage: Lineage
    left_out: tuple[str, ...]
    """Files of the folder that do not belong to an export, and were not copied."""
    repeated: tuple[tuple[str, str], ...]
    """Family and revision of other runs in the workspace with the same weights."""


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
    """Copy a model in Transformers format into the workspace, as the export of a run, if it passes all checks.

    Args:
        workspace: the workspace.
        source: folder with config, safetensors and tokenizer. An export of mixhub keeps its lineage.
        step: updates made; None: as the folder states, or unknown, and exported as the last step.
        mixture: the training mixture, if the folder does not state it: RegMix's YAML, or `domain: weight`.
        tokenizer: folder with the tokenizer, if it is not in `source`.
        replace: overwrite an existing export.
        progress: counts the bytes of weights.
        **run_name: seed or index, and family.

    Raises:
        UsageError: step or mixture contradict the folder or the family.
        UnknownNameError: there is no such family, seed or index.
        UnsupportedModelError: it is another thing than a causal language model, or this machine cannot open it.
        ExportError: it is not a complete model, or one of another family or run; lists every problem.
        WorkspaceError: there is an export of that step already, or the run was trained here.
    """
    workspace = open_workspace(workspace)
    family, run = find_run(workspace, **run_name)
    source, mixture = Path(source), Path(mixture) if mixture is not None else None
    wanted = _Wanted(source, step, mixture, Path(tokenizer) if tokenizer is not None else source, replace)
    with allowed_code(workspace, family):
        return _adopt(workspace, family, run, wanted, progress)


@dataclass(frozen=True)
class _Wanted:
    """What to adopt; as the arguments of `adopt`."""

    source: Path
    step: int | None
    mixture: Path | None
    tokenizer: Path
    replace: bool


def _adopt(workspace: Workspace, family: Family, run: Run, wanted: _Wanted, progress: Progress) -> Adopted:
    source, mixture, replace = wanted.source, wanted.mixture, wanted.replace
    files, left_out = _files(source, wanted.tokenizer)
    known_step = _known_step(source, wanted.step)
    last = family.training.steps
    if (step := last if known_step is None else known_step) > last:
        hint = "correct training.steps of the family in mixhub.yaml, if it was trained for longer"
        message = f"step = {step}: {family.name} has {last} steps"
        raise UsageError(message, code="option-value", hint=hint, option="--step", value=step)
    config = _train_config(source, family, run, mixture)
    folder = workspace.run_folder(run)
    with locked(folder.lock, f"{folder.path} is in use"):
        clear_leftovers(folder.exports)
        _require_no_export(folder, step, replace)
        with new_folder(folder.export(step)) as building:
            for name, path in files.items():
                shutil.copyfile(path, building / name)
            _name_repo_of_code(source / CONFIG, building / CONFIG, family)
            lineage = _complete(building, source, family, run, known_step, config)
            same = _same_weights(workspace, folder.export(step), lineage)
            other_steps = [path for _, _, path in same if path.is_relative_to(folder.path)]
            if other_steps and not replace:
                message = f"{other_steps[0]}: already has these weights, at another step"
                raise WorkspaceError(message, code="weights-elsewhere", path=other_steps[0])
            origins = {building / TRAIN_CONFIG_FILE: mixture or source / TRAIN_CONFIG_FILE, building: source}
            _require_sound(building, origins, family, run, step, lineage, progress)
        for export in other_steps:
            shutil.rmtree(export)
    repeated = tuple((name, revision) for name, revision, path in same if path not in other_steps)
    return Adopted(family, run, folder.export(step), step, lineage, left_out, repeated)


def _files(source: Path, tokenizer: Path) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the files to copy, by name, and the names of the other files of `source`."""
    require_model(source)
    for folder, name, hint in (
        (source, CONFIG, "pass the folder that model.save_pretrained(...) wrote"),
        (tokenizer, "tokenizer.json", "pass --tokenizer DIR; tokenizer.save_pretrained(DIR) writes one"),
    ):
        if not (folder / name).is_file():
            raise ExportError(f"{folder}: no {name}", code="file-missing", hint=hint, path=folder / name)
    present = sorted(path.name for path in source.iterdir() if path.is_file())
    weights = [name for name in present if name.endswith(".safetensors")]
    weights = [name for name in weights if has_usual_name(name)] or weights
    if not weights:
        others = [name for name in present if is_pickle(name) or name.endswith(GGUF)]
        message = f"{source}: no weights as safetensors{f', only {listed(others, most=3)}' if others else ''}"
        hint = "load it with AutoModelForCausalLM.from_pretrained, then call save_pretrained(DIR)"
        raise ExportError(message, code="safetensors-missing", hint=hint, path=source)
    files = {name: source / name for name in present if name in (*_CONFIGS, *weights)}
    files |= {name: tokenizer / name for name in _TOKENIZER if (tokenizer / name).is_file()}
    known = (*files, *_TOKENIZER, *KEPT_ON_HUB, TRAIN_CONFIG_FILE, LINEAGE_FILE, _TRAINER_STATE)
    return files, tuple(name for name in present if name not in known)


def _name_repo_of_code(source: Path, path: Path, family: Family) -> None:
    """Write the repo of the code into a config that names the modules of custom code alone, as in that repo."""
    stated = family.architecture.config.get(CODE)
    if not isinstance(stated, Mapping):
        return
    config = read_json(source, ExportError)
    if isinstance(config, dict) and isinstance(own := config.get(CODE), Mapping):
        short = {key: value.rpartition("--")[2] if isinstance(value, str) else value for key, value in stated.items()}
        if all(own[key] == short.get(key) for key in own):
            write_json(path, {**config, CODE: {key: stated[key] for key in own}})


def _known_step(source: Path, step: int | None) -> int | None:
    """Return the step in the option or the folder; raises UsageError if they differ."""
    stated = read_lineage(source).step if (source / LINEAGE_FILE).is_file() else trainer_steps(source)
    if not isinstance(stated, int):  # absent, or unknown
        return step
    if step not in (None, stated):
        message = f"--step {step}: {source} states step {stated}"
        raise UsageError(message, code="option-contradicted", option="--step", value=step)
    return stated


def trainer_steps(folder: Path) -> int | None:
    """Return the updates that the state of the Trainer of Transformers counts in a folder; None if it has none."""
    path = folder / _TRAINER_STATE
    state = read_json(path, ExportError) if path.is_file() else None
    steps = state.get("global_step") if isinstance(state, Mapping) else None
    return steps if type(steps) is int and steps >= 0 else None


def _train_config(source: Path, family: Family, run: Run, mixture: Path | None) -> dict[str, Any]:
    """Return what is known about the training, with RegMix's keys."""
    path = source / TRAIN_CONFIG_FILE
    stated = read_yaml(path, ExportError) if path.is_file() else {}
    if not isinstance(stated, dict):
        raise ExportError(f"{path}: must be a mapping of keys to values", code="file-malformed", path=path)
    try:
        data_sha256(stated)
    except MixhubError as error:
        raise ExportError(f"{path}: {error.message}", code=error.code, path=path) from None
    is_whole = isinstance(stated.get("mixhub"), Mapping)
    config = stated if is_whole else {key: stated[key] for key in ("train", "valid", "model_name") if key in stated}
    if mixture is not None:
        weights = dict(read_mixtures(mixture)[0].domain_weights)
        if is_whole or config.setdefault("train", weights) != weights:
            message = f"--mixture {mixture}: {path} states the mixture"
            raise UsageError(message, code="option-contradicted", option="--mixture", path=path)
    if not is_whole:
        ours = {"format": 1, "adopted": True, "family": family.name, "revision": run.revision, run.kind: run.label}
        config["mixhub"] = ours
    return config


def _require_no_export(folder: RunFolder, step: int, replace: bool) -> None:
    """Raise WorkspaceError if the export exists or the run was trained here."""
    export = folder.export(step)
    if export.exists() and not replace:
        hint = "pass --replace to overwrite it, or --step if this is another step"
        raise WorkspaceError(f"{export}: already exists", code="export-exists", hint=hint, path=export)
    if folder.metrics.exists() or folder.checkpoint_steps():
        message = f"{folder.path}: was trained here, and its metrics and checkpoints belong to other weights"
        hint = f"delete or rename {folder.path}, or adopt the folder as another run"
        raise WorkspaceError(message, code="run-trained-here", hint=hint, path=folder.path)


def _complete(
    building: Path, source: Path, family: Family, run: Run, step: int | None, config: Mapping[str, Any]
) -> Lineage:
    """Add the files that the folder may lack, and return the lineage."""
    if not (building / "generation_config.json").is_file():
        from transformers import AutoConfig, GenerationConfig

        try:
            model_config = AutoConfig.from_pretrained(building, trust_remote_code=False)
            GenerationConfig.from_model_config(model_config).save_pretrained(building)
        except Exception as error:  # each config class raises different errors for invalid values
            reason = (str(error).strip().splitlines() or [""])[0].replace(str(building), str(source))
            message = f"{source}: config.json does not describe a model: {type(error).__name__}: {reason}"
            raise ExportError(message, code="config-unusable", path=source) from None
    write_text(building / TRAIN_CONFIG_FILE, to_yaml(config))
    if (source / LINEAGE_FILE).is_file():
        lineage = read_lineage(source)
    else:
        known = {
            "format": 1,
            "family": family.name,
            "revision": run.revision,
            "kind": run.kind,
            "number": run.label,
            "replicates": family.replicates,
            "seeds": UNKNOWN if family.replicates else None,
            "datasets": None,
            "step": UNKNOWN if step is None else step,
            "train_config_sha256": data_sha256(config) if "train" in config else UNKNOWN,
            "tokenizer_sha256": file_sha256(building / "tokenizer.json"),
            "weights_sha256": weights_sha256(building),
            "versions": {},
        }
        required = [name for name, field in Lineage.model_fields.items() if field.is_required()]
        lineage = Lineage.from_data(dict.fromkeys(required, UNKNOWN) | known, LINEAGE_FILE)
    write_json(building / LINEAGE_FILE, lineage.to_data())
    return lineage


def _same_weights(workspace: Workspace, export: Path, lineage: Lineage) -> list[tuple[str, str, Path]]:
    """Return family, revision and folder of the other exports with the same weights."""
    same = []
    for family, revision, _, path in workspace.exports():
        with suppress(MixhubError):  # `check` reports damaged exports
            if path != export and read_lineage(path).weights_sha256 == lineage.weights_sha256:
                same.append((family, revision, path))
    return same


def _require_sound(
    export: Path, origins: dict[Path, Path], family: Family, run: Run, step: int, lineage: Lineage, progress: Progress
) -> None:
    """Raise ExportError if an export fails a check; the message names the `origins` of its files."""
    branch = family.branch(run, step)
    content = check_export(export, branch, progress)
    findings = [
        *content.findings,
        *identity_findings(branch, run, lineage),
        *model_findings(branch, family, content.config, content.vocab_size, content.eos_token),
    ]
    path = export / TRAIN_CONFIG_FILE
    hint = "pass the mixture that it was trained on, or correct the family in mixhub.yaml"
    findings += [Finding("recipe-differs", branch, line, hint) for line in recipe_changes(family, run, path).values()]
    if lineage.train_config_sha256 not in (UNKNOWN, data_sha256(read_yaml(path, ExportError))):
        message = f"the {TRAIN_CONFIG_FILE} in {LINEAGE_FILE} is not the one in the folder"
        hint = f"adopt the whole folder that mixhub exported, with its {TRAIN_CONFIG_FILE}"
        findings.append(Finding("train-config-differs", branch, message, hint))
    if not (wrong := errors(findings)):
        return
    lines = []
    for line in (finding.message for finding in wrong):
        for copy, origin in origins.items():
            line = line.replace(str(copy), str(origin))
        lines.append(line if line.startswith(tuple(map(str, origins.values()))) else f"{origins[export]}: {line}")
    parts = description(family, content, export)
    change = "replace its architecture by this" if "model_type: " in parts else "add this to it"
    hint = f"if the family is wrong, {change} in mixhub.yaml:\n{parts}" if parts else "adopt another folder"
    raise ExportError("\n".join(lines), code="adoption-unsound", hint=hint, findings=tuple(wrong))
