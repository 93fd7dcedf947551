"""The inputs of cells: the model and the settings of a call, whether a cell on disk still matches them, and the
file of a measured cell."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, ResultsError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.encoding import Encoder
from mixhub.evaluation.harness import SCORER, STDERR, Measured, choose_device, choose_dtype
from mixhub.evaluation.options import Backend, CellKey, Options, Storage
from mixhub.evaluation.suite import BuiltTask, SuiteTask, fingerprint
from mixhub.files import read_json, write_bytes, write_text
from mixhub.spec import Evaluation, Family, Run
from mixhub.workspace.cells import (
    MEASURES_KEY,
    OF_PROMPTS,
    PROVENANCE_KEY,
    Cell,
    Dataset,
    Provenance,
    figures_sha256,
    read_cell,
    samples_path,
)
from mixhub.workspace.export import TRAIN_CONFIG_FILE, require_complete
from mixhub.workspace.lineage import UNKNOWN, combined_sha256, file_sha256, read_lineage, versions, weights_sha256
from mixhub.workspace.recipe_diff import require_same_recipe

_PACKAGES = ("lm_eval", "transformers", "torch", "datasets")
_DECIDING = ("lm_eval", "transformers", "torch")
"""Packages whose version may change a figure: cells of other versions are measured again."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "spiece.model")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelUnderTest:
    """The weights to measure, and their origin."""

    folder: Path
    """Weights, config and tokenizer, in Transformers format."""
    name: str
    """The family; for another model its repo_id, or the folder's name."""
    revision: str
    """The run's branch; for another model the requested revision."""
    weights_sha256: str
    """Hash of the weights."""
    tokenizer_sha256: str
    """Hash of the tokenizer."""
    run: Run | None = None
    """The run, if it is a family's."""
    step: int | str = UNKNOWN
    """Updates made."""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"

    @classmethod
    def of_run(cls, family: Family, run: Run, export: Path) -> ModelUnderTest:
        """Return the export of a run.

        Raises:
            ExportError: the export is incomplete, another run's, or does not have the weights in its lineage.
            RunError: the export was trained with another recipe or mixture than the family has now.
        """
        require_complete(export)
        lineage, actual = read_lineage(export), weights_sha256(export)
        if (lineage.family, lineage.revision) != (family.name, run.revision):
            actual_run, named_run = f"{lineage.revision} of {lineage.family}", f"{run.revision} of {family.name}"
            message = f"{export}: its lineage says {actual_run}, not {named_run}"
            hint = "this export belongs to another run; name that run, or keep each run's export in its own folder"
            raise ExportError(
                message, code="run-wrong", hint=hint, path=export, family=lineage.family, revision=lineage.revision
            )
        if actual != lineage.weights_sha256:
            message = f"{export}: its weights have sha256 {actual}, but its lineage says {lineage.weights_sha256}"
            hint = "delete the folder and export again: mixhub train --seed N (or --index N)"
            raise ExportError(message, code="weights-differ", hint=hint, path=export, lineage=lineage.weights_sha256)
        require_same_recipe(family, run, export / TRAIN_CONFIG_FILE, export.parent.parent)
        return cls(export, family.name, run.revision, actual, _tokenizer_sha256(export), run, lineage.step)

    @classmethod
    def of_folder(cls, folder: Path, name: str, revision: str) -> ModelUnderTest:
        """Return any model in Transformers format; raises ExportError if it lacks a config, tokenizer or safetensors.

        Args:
            folder: weights, config and tokenizer.
            name: the name of the model in its cells.
            revision: the revision in its cells.
        """
        _require_whole_model(folder)
        return cls(folder, name, revision, weights_sha256(folder), _tokenizer_sha256(folder))


def _tokenizer_sha256(folder: Path) -> str:
    """Hash `tokenizer.json`; without it, the files of the tokenizer."""
    if (folder / "tokenizer.json").is_file():
        return file_sha256(folder / "tokenizer.json")
    files = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not files:
        raise _missing(folder, "tokenizer.json", "copy the tokenizer into the folder of the weights")
    return combined_sha256((path.name, file_sha256(path)) for path in files)


def _require_whole_model(folder: Path) -> None:
    """Refuse a folder that is an adapter, has no config, or has weights in another format only."""
    has_weights = any(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    if not has_weights and (folder / "adapter_config.json").is_file():
        base = read_json(folder / "adapter_config.json", ExportError).get("base_model_name_or_path")
        message = f"{folder}: is a PEFT adapter of {base}, not a whole model"
        hint = "merge it into its base: PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(DIR)"
        raise ExportError(message, code="model-adapter", hint=hint, path=folder, base=base)
    if not (folder / "config.json").is_file():
        raise _missing(folder, "config.json", "pass a folder in Transformers format")
    if not has_weights:
        files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: -path.stat().st_size)
        what = f"no *.safetensors file; its largest file is {files[0].name}"
        code = (
            f"from transformers import AutoModelForCausalLM as M; M.from_pretrained('{folder}').save_pretrained('DIR')"
        )
        hint = f'mixhub opens only safetensors; convert other weights that Transformers reads: python -c "{code}"'
        raise ExportError(f"{folder}: {what}", code="weights-missing", hint=hint, path=folder, file=files[0].name)


def _missing(folder: Path, name: str, hint: str) -> ExportError:
    return ExportError(f"{folder}: has no {name}", code="file-missing", hint=hint, path=folder / name)


@dataclass(frozen=True)
class SweepConfig:
    """Settings shared by all cells of one call."""

    model: ModelUnderTest
    fewshot_seed: int
    device: str
    dtype: str
    limit: int | None
    backend: Backend
    datasets: Datasets
    versions: Mapping[str, str]
    """Of the packages that measure."""
    device_map: str | None = None
    of_prompts: Mapping[str, Any] = field(default_factory=dict)
    """Chat template and system instruction, as provenances record them."""
    _fingerprints: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: ModelUnderTest, evaluation: Evaluation, storage: Storage, options: Options) -> SweepConfig:
        """Complete the options with device and dtype; raises UsageError for those that cannot be used."""
        device = choose_device(options.device, options.device_map)
        prompting = options.prompting
        return cls(
            model=model,
            fewshot_seed=evaluation.fewshot_seed,
            device=device,
            dtype=choose_dtype(options.dtype, device),
            limit=options.limit,
            backend=options.backend,
            datasets=storage.datasets,
            versions=versions(*_PACKAGES),
            device_map=options.device_map,
            of_prompts={} if prompting.is_plain else Encoder.load(model.folder, prompting=prompting).of_prompts,
        )

    def fingerprint(self, task: SuiteTask) -> str:
        """Return what identifies the documents of a task; if `unknown`, say once that cells are not compared by it."""
        if task.name not in self._fingerprints:
            found: str = UNKNOWN
            reason = "nothing identifies them"
            try:
                found = fingerprint(task, self.datasets)
            except ResultsError as error:
                reason = error.message
            if found == UNKNOWN:
                what = "could not compare its documents with those of the cells on disk, which are kept"
                logger.warning("task %s: %s: %s", task.name, what, reason)
            self._fingerprints[task.name] = found
        return self._fingerprints[task.name]


def finished_cell(config: SweepConfig, key: CellKey, results: Path) -> Cell | None:
    """Return the cell on disk, if it matches.

    Raises:
        ResultsError: the file in its place is not a cell of ours, or a whole cell that a limited one would replace.
    """
    path = key.path(results)
    if not path.exists():
        return None
    cell = read_cell(path)
    if names := _differences(config, key.task, cell):
        if cell.limit is None and config.limit is not None and "weights_sha256" not in names:
            what = f"is a complete cell of these weights, and would be replaced by {config.limit} documents"
            message = f"{path}: {what} (different {', '.join(names)})"
            hint = "omit the limit to measure the cell again, or delete the file"
            raise ResultsError(message, code="cell-complete", hint=hint, path=path, differences=tuple(names))
        return None
    if not cell.samples.is_file() or file_sha256(cell.samples) != cell.provenance.samples_sha256:
        return None
    return cell if cell.limit is None or cell.limit == config.limit else None


def _inputs(config: SweepConfig, task: SuiteTask) -> dict[str, Any]:
    """Return the fields of a provenance that must match for a cell to stay, apart from its limit."""
    model = config.model
    return {
        "family": model.name,
        "revision": model.revision,
        "step": model.step,
        "weights_sha256": model.weights_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "fewshot_seed": config.fewshot_seed,
        "dtype": config.dtype,
        "task_sha256": task.sha256,
        **{name: config.of_prompts.get(name) for name in OF_PROMPTS},
    }


def _differences(config: SweepConfig, task: SuiteTask, cell: Cell) -> list[str]:
    """List what differs between a cell on disk and the requested one, except for its limit."""
    provenance = cell.provenance
    names = [name for name, value in _inputs(config, task).items() if getattr(provenance, name) != value]
    names += [f"{name} version" for name in _DECIDING if provenance.versions.get(name) != config.versions[name]]
    if config.backend != provenance.backend == "mixhub":
        names.append("backend")
    elif config.backend == provenance.backend == "mixhub" and provenance.scorer != SCORER:
        names.append("scorer")
    if config.fingerprint(task) not in (UNKNOWN, provenance.dataset.fingerprint):
        names.append("dataset")
    return names


def differences(config: SweepConfig, key: CellKey, results: Path) -> tuple[str, ...]:
    """Return what differs between a cell on disk and the requested one, if there is one: the limit, too."""
    path = key.path(results)
    if not path.exists():
        return ()
    cell = read_cell(path)
    names = _differences(config, key.task, cell)
    return (*names, *(["limit"] if cell.limit not in (None, config.limit) else []))


def write_cell(
    config: SweepConfig, lm: Any, built: BuiltTask, measured: Measured, cell: CellKey, results: Path
) -> Cell:
    """Write a measured cell atomically, and its samples beside it.

    Args:
        config: what all cells of the call share.
        lm: lm-eval's model, after it scored the cell.
        built: the task.
        measured: the figures.
        cell: the cell.
        results: folder of the cells.
    """
    samples = "".join(_line(sample) for sample in measured.samples).encode()
    provenance = _provenance(config, lm, built, measured, samples, cell.num_fewshot)
    path, results_json = cell.path(results), _results_json(config, measured, provenance)
    # The result is deleted first and written last: while it exists, the samples beside it belong to it.
    path.unlink(missing_ok=True)
    write_bytes(samples_path(path), samples)
    write_text(path, results_json)
    return read_cell(path)


def _line(sample: Mapping[str, Any]) -> str:
    """Return a sample as JSON. Its log-likelihoods are finite; a field of the document that is not becomes null."""
    try:
        return json.dumps(sample, default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_finite(sample), default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _provenance(
    config: SweepConfig, lm: Any, built: BuiltTask, measured: Measured, samples: bytes, num_fewshot: int
) -> Provenance:
    figures = json.loads(json.dumps(measured.results["results"], default=_jsonable, allow_nan=False))  # as read
    model, task = config.model, built.suite
    of_backend = {"batch_size": lm.batch_size}
    if config.backend == "mixhub":
        of_backend = {"scorer": SCORER, "layout": lm.layout, "batch_tokens": lm.batch_tokens}
    path, name = str(task.dataset_path), task.config.get("dataset_name")
    dataset = Dataset(path=path, name=name, fingerprint=built.fingerprint, benchmark=built.benchmark)
    return Provenance(
        **_inputs(config, task),
        kind=model.run.kind if model.run else None,
        number=model.run.label if model.run else None,
        task=task.name,
        num_fewshot=num_fewshot,
        limit=config.limit,
        device=config.device.partition(":")[0],
        backend=config.backend,
        **of_backend,
        **measured.counts,
        dataset=dataset,
        stderr=STDERR,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        results_sha256=figures_sha256(figures, {task.name: measured.measures}),
        versions=config.versions,
    )


def _results_json(config: SweepConfig, measured: Measured, provenance: Provenance) -> str:
    """Return lm-eval's results and ours, without the keys that name the machine or a folder."""
    model = config.model
    settings = {
        "model": "hf",
        "model_args": {"pretrained": model.name, "revision": model.revision, "dtype": config.dtype},
        "model_revision": model.revision,
        "model_sha": "",
    }
    results = {
        **measured.results,
        **_as_lm_eval(config.of_prompts),
        "config": {**settings, **measured.results["config"]},
        "date": measured.date,
        "transformers_version": config.versions["transformers"],
        "lm_eval_version": config.versions["lm_eval"],
        "model_source": "hf",
        "model_name": str(model),
        "model_name_sanitized": re.sub(r"[@/]", "__", str(model)),
        "total_evaluation_time_seconds": str(measured.seconds),
        MEASURES_KEY: {provenance.task: measured.measures},
        PROVENANCE_KEY: provenance.to_data(),
    }
    return json.dumps(results, indent=2, default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"


def _as_lm_eval(of_prompts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of prompts under the keys of lm-eval's results; none for plain text."""
    if not of_prompts:
        return {}
    system = of_prompts["system_instruction"]
    return {
        "system_instruction": system,
        "system_instruction_sha": None if system is None else hashlib.sha256(system.encode()).hexdigest(),
        "fewshot_as_multiturn": of_prompts["fewshot_as_multiturn"],
        "chat_template_sha": of_prompts["chat_template_sha256"],
    }


def _jsonable(value: object) -> Any:
    """Convert a value as lm-eval does; functions become their names, since their addresses change."""
    from mixhub.evaluation.lm_eval_private import handle_non_serializable

    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return handle_non_serializable(value)
