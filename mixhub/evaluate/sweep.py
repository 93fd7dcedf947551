"""The cells of one run, measured one after the other in one process; each is written when it is done."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, ResultsError, UnknownNameError, UsageError
from mixhub.evaluate.harness import STDERR, Measured, choose_device, choose_dtype, load_model, measure, require_shots
from mixhub.evaluate.quiet import quiet
from mixhub.evaluate.results import (
    PROVENANCE_KEY,
    Cell,
    Dataset,
    Provenance,
    cell_path,
    read_cell,
    samples_path,
)
from mixhub.evaluate.suite import SuiteTask, build, dataset_fingerprint, resolve
from mixhub.export import require_complete
from mixhub.family import Family, Run, Task
from mixhub.files import clear_leftovers, locked, write_bytes, write_text
from mixhub.lineage import UNKNOWN, Lineage, file_sha256, read_lineage, versions, weights_sha256
from mixhub.progress import SILENT, Progress
from mixhub.recipe import require_same_recipe
from mixhub.spec import data_sha256

_PACKAGES = ("lm_eval", "transformers", "torch", "datasets")


@dataclass(frozen=True)
class _Setting:
    """What all cells of one call share."""

    family: Family
    run: Run
    lineage: Lineage
    tokenizer_sha256: str
    device: str
    dtype: str
    limit: int | None
    versions: Mapping[str, str]


def evaluate(
    family: Family,
    run: Run,
    *,
    export: Path,
    results: Path,
    task_configs: Mapping[str, Path] | None = None,
    tasks: Sequence[str] | None = None,
    num_fewshot: Sequence[int] | None = None,
    limit: int | None = None,
    device: str | None = None,
    dtype: str | None = None,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> list[Cell]:
    """Measures the cells of a run that are missing, and gives all that were asked for: task by task, then by shots.

    A cell on disk counts as done when it was made from the same weights, step, tokenizer, task, data, shots seed, dtype
    and lm-eval version; else it is measured anew and replaced. A whole cell also stands for a limited one; a limited
    cell never replaces a whole one of the same weights, and a whole one replaces a limited one.

    Args:
        family: says the suite and the seed of the shots.
        run: what was trained.
        export: its weights, in Transformers format.
        results: folder of this run's cells, `<task>.<k>shot.json`.
        task_configs: by task, the YAML of each task that has one of its own.
        tasks: names; else all of the family's.
        num_fewshot: shot counts of the family's; else all of them.
        limit: only the first so many documents of each task.
        device: `cpu`, `cuda` or `cuda:N`; else the best there is.
        dtype: else float32 on CPU and bfloat16 on CUDA.
        cache: where datasets keeps what it has read; else where it always does.
        progress: shows cells.

    Raises:
        ExportError: the export is incomplete, another run's, or not the weights that its lineage names.
        RunError: the export was trained with another recipe or mixture than the family has now.
        UnknownNameError: no such task in the family, or in lm-eval.
        ResultsError: a dataset cannot be loaded, a figure is not finite, a file in the way is no cell of ours or was
            changed, a limited cell would replace a whole one, or a task fixes its shots at 0 or has too
            few documents for them.
        UsageError: an option is out of range.
        WorkspaceError: another process writes to `results`.
    """
    chosen = _chosen_tasks(family, tasks)
    shots = _chosen_shots(family, num_fewshot)
    if limit is not None and limit < 1:
        raise UsageError(f"limit = {limit}: must be at least 1 document", limit=limit)
    require_complete(export)
    lineage = _own_lineage(family, run, export)
    require_same_recipe(family, run, export / "train_config.yaml", export.parent.parent)
    suite = resolve(chosen, task_configs or {})
    _require_free_shots(suite, shots)
    device = choose_device(device)
    setting = _Setting(
        family=family,
        run=run,
        lineage=lineage,
        tokenizer_sha256=file_sha256(export / "tokenizer.json"),
        device=device,
        dtype=choose_dtype(dtype, device),
        limit=limit,
        versions=versions(*_PACKAGES),
    )
    with locked(results / ".lock", f"{results} is being evaluated"):
        clear_leftovers(results)
        missing = {task.name: [k for k in shots if not _is_done(setting, task, k, results)] for task in suite}
        total = sum(map(len, missing.values()))
        if total:
            with progress.start(f"evaluate {run.revision}", total, "cell") as bar:
                for cell in _measured(setting, export, results, suite, missing, cache):
                    bar.advance(note=f"{cell.task} {cell.num_fewshot}-shot")
        return [read_cell(cell_path(results, task.name, k)) for task in suite for k in shots]


def _chosen_tasks(family: Family, names: Sequence[str] | None) -> list[Task]:
    known = {task.name: task for task in family.evaluation.tasks}
    for name in names or ():
        if name not in known:
            raise UnknownNameError("task", name, known, where=f"{family.name}'s evaluation")
    return [task for name, task in known.items() if names is None or name in names]


def _chosen_shots(family: Family, counts: Sequence[int] | None) -> list[int]:
    if counts is None:
        return list(family.evaluation.num_fewshot)
    for count in counts:
        if count < 0:
            raise UsageError(f"num_fewshot = {count}: must not be negative", num_fewshot=count)
        if count not in family.evaluation.num_fewshot:
            known = ", ".join(map(str, family.evaluation.num_fewshot))
            raise UsageError(
                f"num_fewshot = {count}: must be one of {family.name}'s shot counts: {known}",
                hint="leave it out to measure all of them, or add it to evaluation.num_fewshot of the family",
                num_fewshot=count,
            )
    return sorted(set(counts))


def _require_free_shots(suite: Sequence[SuiteTask], shots: Sequence[int]) -> None:
    # lm-eval keeps such a task at 0 shots whatever is asked, so its figure would stand under another shot count.
    for task in suite:
        if task.config.get("num_fewshot") == 0 and any(shots):
            raise ResultsError(
                f"task {task.name}: {task.source} fixes num_fewshot at 0, so there is no {max(shots)}-shot cell",
                hint="set evaluation.num_fewshot to [0], or give the task a YAML of its own without num_fewshot",
                task=task.name,
            )


def _own_lineage(family: Family, run: Run, export: Path) -> Lineage:
    lineage = read_lineage(export)
    if (lineage.family, lineage.revision) != (family.name, run.revision):
        raise ExportError(
            f"{export}: is {lineage.revision} of {lineage.family} by its lineage, not {run.revision} of {family.name}",
            hint="name the run that it is of, or put each run's export into its own folder",
            path=export,
        )
    actual = weights_sha256(export)
    if actual != lineage.weights_sha256:
        raise ExportError(
            f"{export}: its weights are {actual}, and its lineage names {lineage.weights_sha256}",
            hint="delete the folder and make it again from the newest checkpoint: mixhub train --seed N (or --index N)",
            path=export,
        )
    return lineage


def _is_done(setting: _Setting, task: SuiteTask, num_fewshot: int, results: Path) -> bool:
    """Whether a cell on disk stands for this one.

    Raises:
        ResultsError: the file in its place is no cell of ours, or is a whole one that a limited one would replace.
    """
    path = cell_path(results, task.name, num_fewshot)
    if not path.exists():
        return False
    cell = read_cell(path)
    if differing := _differences(setting, task, cell):
        if cell.limit is None and setting.limit is not None and "weights_sha256" not in differing:
            raise ResultsError(
                f"{path}: is a whole cell of these weights, which {setting.limit} documents would replace "
                f"(it differs in {', '.join(differing)})",
                hint="leave out the limit to measure it anew, or delete it",
                path=path,
            )
        return False
    if not cell.samples.is_file() or file_sha256(cell.samples) != cell.provenance.samples_sha256:
        return False
    return cell.limit is None or cell.limit == setting.limit


def _differences(setting: _Setting, task: SuiteTask, cell: Cell) -> list[str]:
    """In what a cell on disk differs from the one that was asked for, its limit apart."""
    made = cell.provenance
    wanted = {
        "family": (made.family, setting.family.name),
        "revision": (made.revision, setting.run.revision),
        "step": (made.step, setting.lineage.step),
        "weights_sha256": (made.weights_sha256, setting.lineage.weights_sha256),
        "tokenizer_sha256": (made.tokenizer_sha256, setting.tokenizer_sha256),
        "fewshot_seed": (made.fewshot_seed, setting.family.evaluation.fewshot_seed),
        "dtype": (made.dtype, setting.dtype),
        "task_sha256": (made.task_sha256, task.sha256),
        "lm_eval version": (made.versions.get("lm_eval"), setting.versions["lm_eval"]),
    }
    if task.data_sha256 != UNKNOWN:
        wanted["dataset"] = (made.dataset.fingerprint, task.data_sha256)
    return [name for name, (there, here) in wanted.items() if there != here]


def _measured(
    setting: _Setting,
    export: Path,
    results: Path,
    suite: Sequence[SuiteTask],
    missing: Mapping[str, Sequence[int]],
    cache: Path | None,
) -> Iterator[Cell]:
    """Loads the model once and each dataset once; writes and yields cell after cell."""
    lm: Any = None
    for task in suite:
        if not missing[task.name]:
            continue
        with quiet():
            built = build(task, cache)
            require_shots(built, max(missing[task.name]))
            lm = lm or load_model(export, setting.device, setting.dtype)
        for shots in missing[task.name]:
            started, date = time.monotonic(), time.time()
            with quiet():
                found = measure(lm, built, shots, setting.limit, setting.family.evaluation.fewshot_seed)
            samples = "".join(_line(sample) for sample in found.samples).encode()
            provenance = _provenance(
                setting, task, shots, lm.batch_size, dataset_fingerprint(task, built), found, samples
            )
            results_json = _results_json(setting, found.results, provenance, date, time.monotonic() - started)
            yield _write(cell_path(results, task.name, shots), results_json, samples)


def _line(sample: Mapping[str, Any]) -> str:
    """A sample as JSON. Log-likelihoods are finite by now; a document's own fields that are not are written as null."""
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
    setting: _Setting,
    task: SuiteTask,
    num_fewshot: int,
    batch_size: int,
    fingerprint: str,
    found: Measured,
    samples: bytes,
) -> Provenance:
    figures = json.loads(json.dumps(found.results["results"], default=_jsonable, allow_nan=False))  # as they are read
    return Provenance(
        family=setting.family.name,
        revision=setting.run.revision,
        kind=setting.run.kind,
        number=setting.run.number,
        step=setting.lineage.step,
        weights_sha256=setting.lineage.weights_sha256,
        tokenizer_sha256=setting.tokenizer_sha256,
        task=task.name,
        task_sha256=task.sha256,
        num_fewshot=num_fewshot,
        fewshot_seed=setting.family.evaluation.fewshot_seed,
        limit=setting.limit,
        dtype=setting.dtype,
        device=setting.device.partition(":")[0],
        batch_size=batch_size,
        dataset=Dataset(
            path=str(task.config.get("dataset_path")), name=task.config.get("dataset_name"), fingerprint=fingerprint
        ),
        stderr=STDERR,
        samples_sha256=hashlib.sha256(samples).hexdigest(),
        results_sha256=data_sha256(figures),
        versions=setting.versions,
    )


def _results_json(
    setting: _Setting, found: Mapping[str, Any], provenance: Provenance, date: float, seconds: float
) -> str:
    """lm-eval's results and our provenance, without what names the machine or a folder (`git_hash`, environment)."""
    name = f"{setting.family.name}@{setting.run.revision}"
    config = {
        "model": "hf",
        "model_args": {"pretrained": setting.family.name, "revision": setting.run.revision, "dtype": setting.dtype},
        "model_revision": setting.run.revision,
        "model_sha": "",
    }
    whole = {
        **found,
        "config": {**config, **found["config"]},
        "date": date,
        "transformers_version": setting.versions["transformers"],
        "lm_eval_version": setting.versions["lm_eval"],
        "model_source": "hf",
        "model_name": name,
        "model_name_sanitized": name.replace("@", "__"),
        "total_evaluation_time_seconds": str(seconds),
        PROVENANCE_KEY: provenance.to_data(),
    }
    return json.dumps(whole, indent=2, default=_jsonable, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, results_json: str, samples: bytes) -> Cell:
    """The result goes first and comes last: while it is there, the samples beside it are its own."""
    path.unlink(missing_ok=True)
    write_bytes(samples_path(path), samples)
    write_text(path, results_json)
    return read_cell(path)


def _jsonable(value: object) -> Any:
    """What JSON has no form for, as lm-eval writes it; functions by name, since their address changes."""
    from lm_eval.utils import handle_non_serializable

    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return handle_non_serializable(value)
