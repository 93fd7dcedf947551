"""Results files of lm-eval, of any version and in any layout of folders, as one record per cell.

Supported are the files of lm-eval 0.2 and 0.3 (`{"results": {"piqa": {"acc": …}}, "versions": …, "config": …}`), of
0.4 (`acc,none`), and mixhub's own cells. Values that a version did not write are unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mixhub.errors import ResultsError, UsageError
from mixhub.files import read_json
from mixhub.progress import SILENT, Progress
from mixhub.workspace.cells import PROVENANCE_KEY, parse_cell
from mixhub.workspace.lineage import UNKNOWN, Unknown
from mixhub.workspace.records import PLAIN, Entries, Record

_OLD = "0.3"
"""The version of lm-eval for files of the format that ended with 0.3."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?")
_SEED = re.compile(r"(?P<model>.*?)[/_.-]*(?<![A-Za-z])seed[-_]?(?P<number>\d+)(?P<rest>/.*)?")
_PARTS = ("peft", "delta", "subfolder", "gguf_file")
"""Arguments that change the named model into another one."""
_QUANTIZED = ("load_in_8bit", "load_in_4bit")
_DTYPES = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Superseded:
    """A cell that is not used because it was measured again later."""

    record: Record
    """The older one."""
    by: Record
    """The newer one."""


@dataclass(frozen=True)
class Outputs:
    """The content of results files."""

    records: tuple[Record, ...]
    """The newest record of each cell."""
    superseded: tuple[Superseded, ...]
    """Older records of the same cells."""
    skipped: tuple[Path, ...]
    """JSON files in the folders that are not results."""


def read_outputs(paths: Sequence[Path], progress: Progress = SILENT) -> Outputs:
    """Read all results in files and folders.

    If a cell was measured several times, the newest record is used. Records of the same cell have the same model,
    revision, task, shots, seed of the shots, limit, dtype and prompting.

    Raises:
        ResultsError: a file is not JSON, not lm-eval's, or has a figure that is not a finite number; or two records of
            a cell differ, and neither is newer; or there are no results.
        UsageError: a path does not exist.
    """
    files = [file for path in paths for file in _files(path)]
    records: list[Record] = []
    skipped: list[Path] = []
    with progress.start("results", len(files), "file") as bar:
        for file, is_named in files:
            found = read_output(file, is_named=is_named)
            records += found or ()
            skipped += [file] if found is None else []
            bar.advance()
    if not records:
        message = f"{', '.join(map(str, paths))}: no lm-eval results"
        raise ResultsError(
            message, code="results-missing", hint="pass lm-eval's --output_path, or a file in it", paths=tuple(paths)
        )
    return Outputs(*_newest(records), tuple(skipped))


def read_output(path: Path, *, is_named: bool = True) -> list[Record] | None:
    """Read the cells of one results file.

    Args:
        path: the file.
        is_named: whether the user named the file itself; if not, files that are not results return None.

    Raises:
        ResultsError: as `read_outputs`.
    """
    try:
        data = read_json(path, ResultsError)
    except ResultsError:
        if path.suffix.lower() == ".json" or not path.is_file():
            raise
        raise _malformed(path, "not JSON") from None
    if not isinstance(data, Mapping) or "results" not in data:
        if is_named:
            raise _malformed(path, "no results")
        return None
    return [parse_cell(path, data)] if PROVENANCE_KEY in data else list(_records(path, data))


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    if path.is_file():
        yield path, True
    elif path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file, False
    else:
        message = f"{path}: no such file or folder"
        raise UsageError(
            message, code="file-missing", hint="pass a folder of results, or an lm-eval results file", path=path
        )


def _records(path: Path, data: Mapping[str, Any]) -> Iterator[Record]:
    results: Any = data["results"]
    config: Any = data.get("config")
    parts = (results, config, data.get("versions"))
    are_mappings = all(isinstance(part, Mapping) for part in parts)
    if not are_mappings or not all(isinstance(figures, Mapping) for figures in results.values()):
        raise _malformed(path, "results by task, versions and config must be mappings")
    is_old = not any("," in str(key) for entry in results.values() for key in entry)
    shared = _shared_fields(path, data, config, is_old)
    for task in results:
        if _is_group(data, task):
            continue
        configured = _mapping(data, "configs", task)
        counts = _mapping(data, "n-samples", task)
        documents, in_split = _whole(counts.get("effective")), _whole(counts.get("original"))
        limit = config.get("limit", UNKNOWN)
        if documents != UNKNOWN and in_split != UNKNOWN:
            limit = documents if documents < in_split else None
        shots = map(_whole, (_entry(data, "n-shot", task), configured.get("num_fewshot"), config.get("num_fewshot")))
        metrics, stderrs = Entries(path, data, task, _malformed).figures(is_old=is_old)
        yield Record(
            **shared,
            task=task,
            num_fewshot=next((count for count in shots if count != UNKNOWN), UNKNOWN),
            metrics=MappingProxyType(metrics),
            stderrs=MappingProxyType(stderrs),
            documents=documents,
            documents_in_split=in_split,
            limit=limit if limit is None or isinstance(limit, int | float) else UNKNOWN,
            task_version=UNKNOWN if (version := _entry(data, "versions", task)) is None else str(version),
            task_hash=str(_entry(data, "task_hashes", task) or UNKNOWN),
            dataset=_dataset(configured),
            samples=_samples(path, task, config),
        )


def _shared_fields(path: Path, data: Mapping[str, Any], config: Mapping[str, Any], is_old: bool) -> dict[str, Any]:
    """The fields of a record that all tasks of a file share."""
    arguments = _arguments(config.get("model_args"))
    model, revision = _identity(data, config, arguments)
    dtype = str(config.get("model_dtype") or arguments.get("dtype") or UNKNOWN).removeprefix("torch.")
    dtype = UNKNOWN if dtype == "auto" else _DTYPES.get(dtype, dtype)
    quantized = [key.removeprefix("load_in_") for key in _QUANTIZED if str(arguments.get(key)) == "True"]
    seconds = None
    with suppress(TypeError, ValueError):
        seconds = float(data.get("total_evaluation_time_seconds", ""))
    return {
        "path": path,
        "model": model,
        "revision": revision,
        "measures": MappingProxyType({}),
        "fewshot_seed": _whole(config.get("fewshot_seed")),
        "prompting": _prompting(data),
        "weights_sha256": UNKNOWN if any(map(arguments.get, _PARTS)) else str(config.get("model_sha") or UNKNOWN),
        "dtype": " ".join([dtype, *quantized]),
        "device": str(config.get("device") or UNKNOWN).partition(":")[0],
        "harness": str(data.get("lm_eval_version") or (_OLD if is_old else UNKNOWN)),
        "date": _date(path, data),
        "seconds": seconds,
    }


def _is_group(data: Mapping[str, Any], task: str) -> bool:
    """Whether an entry summarizes other tasks; before 0.4.3 such an entry just has no configuration."""
    configs, groups, members = (data.get(key) for key in ("configs", "groups", "group_subtasks"))
    if (isinstance(groups, Mapping) and task in groups) or (isinstance(members, Mapping) and members.get(task)):
        return True
    return isinstance(configs, Mapping) and task not in configs and bool(configs)


def _dataset(configured: Mapping[str, Any]) -> str:
    if not configured.get("dataset_path"):
        return UNKNOWN
    return " ".join(str(configured[key]) for key in ("dataset_path", "dataset_name") if configured.get(key))


def _date(path: Path, data: Mapping[str, Any]) -> float | None:
    date = data.get("date")
    if isinstance(date, int | float) and not isinstance(date, bool) and math.isfinite(date):
        return float(date)
    if match := _DATE.search(path.name):
        day, _, time = match[0].partition("T")
        with suppress(ValueError):
            return datetime.fromisoformat(f"{day}T{time.replace('-', ':')}").timestamp()
    return None


def _samples(path: Path, task: str, config: Mapping[str, Any]) -> Path | None:
    """The samples of a task, beside the results: with the same date; before 0.4.3 named by the model's arguments."""
    if match := _DATE.search(path.name):
        samples = path.with_name(f"samples_{task}_{match[0]}.jsonl")
    else:
        arguments = re.sub("/|=", "__", str(config.get("model_args", "")))
        samples = path.with_name(f"{arguments}_{task}.jsonl")
    with suppress(OSError):  # long arguments make a name that is too long
        return samples if samples.is_file() else None
    return None


def _arguments(given: object) -> dict[str, Any]:
    """`model_args`, written by different versions as `pretrained=a,revision=b` or as a mapping."""
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str):
        return {}
    pairs = (part.partition("=") for part in given.split(","))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _identity(data: Mapping[str, Any], config: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, str]:
    """Model and revision. A seed in the name of the model is split off as the revision."""
    named = arguments.get("pretrained") or arguments.get("model") or data.get("model_name") or config.get("model")
    parts = [str(named or UNKNOWN), *(str(arguments[part]) for part in _PARTS if arguments.get(part))]
    model = " with ".join(part.rstrip("/") for part in parts)
    revision = str(arguments.get("revision") or config.get("model_revision") or UNKNOWN)
    match = _SEED.fullmatch(model)
    if match is None or not match["model"] or _SEED.fullmatch(revision):
        return model, revision
    at = "" if revision in (UNKNOWN, "main") else f"@{revision}"
    return f"{match['model']}{match['rest'] or ''}{at}", f"seed-{int(match['number'])}"


def _prompting(data: Mapping[str, Any]) -> str:
    """The settings around the prompts; unknown before 0.4.3."""
    keys = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
    if not all(key in data for key in keys):
        return UNKNOWN
    given = [f"{key.removesuffix('_sha')} {str(data[key])[:8]}" for key in keys if data[key]]
    return ", ".join(given) or PLAIN


def _newest(records: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Superseded, ...]]:
    used: dict[tuple[object, ...], Record] = {}
    superseded: list[tuple[tuple[object, ...], Record]] = []
    for record in records:
        cell = (record.model, record.revision, record.task, record.num_fewshot)
        key = (*cell, record.fewshot_seed, record.limit, record.dtype, record.prompting)
        other = used.setdefault(key, record)
        if other is not record:
            used[key], older = _by_date(other, record)
            superseded.append((key, older))
    return tuple(used.values()), tuple(Superseded(record, used[key]) for key, record in superseded)


def _by_date(one: Record, other: Record) -> tuple[Record, Record]:
    """The newer and the older of two results of a cell."""
    if one.date is not None and other.date is not None and one.date != other.date:
        return (one, other) if one.date > other.date else (other, one)
    if one.metrics == other.metrics and one.stderrs == other.stderrs:
        return one, other
    raise ResultsError(
        f"{one.path} and {other.path} have different figures for {one.name}, and neither has a date",
        code="results-ambiguous",
        hint="keep one of them in the folder, or pass single files",
        paths=(one.path, other.path),
    )


def _entry(data: Mapping[str, Any], key: str, task: str) -> Any:
    by_task = data.get(key)
    return by_task.get(task) if isinstance(by_task, Mapping) else None


def _mapping(data: Mapping[str, Any], key: str, task: str) -> Mapping[str, Any]:
    entry = _entry(data, key, task)
    return entry if isinstance(entry, Mapping) else {}


def _whole(value: object) -> int | Unknown:
    return value if isinstance(value, int) and not isinstance(value, bool) else UNKNOWN


def _malformed(path: Path, what: str) -> ResultsError:
    message = f"{path}: not an lm-eval results file: {what}"
    return ResultsError(message, code="lm-eval-file-malformed", hint="evaluate again, or omit the file", path=path)
