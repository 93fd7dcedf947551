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

from mixhub.analysis.own_groups import with_groups
from mixhub.errors import ResultsError, UsageError
from mixhub.files import read_json
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.workspace.cells import PROVENANCE_KEY, parse_cell
from mixhub.workspace.lineage import UNKNOWN, Unknown
from mixhub.workspace.records import PLAIN, Entries, Record

_OLD = "0.3"
"""The version of lm-eval for files of the format that ended with 0.3."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?")
_RESULTS_FILE = re.compile(rf"results_{_DATE.pattern}\.json")
_STEP = re.compile(r"(?:^|[_.-])(?P<step>step[_-]?\d+)(?![A-Za-z0-9])")
_NOISE = 1e-6
"""Relative difference below which two figures differ only in rounding."""
_SEED = re.compile(r"(?P<model>.*?)[/_.-]*(?<![A-Za-z])seed[-_]?(?P<number>\d+)(?P<rest>/.*)?")
_PARTS = ("peft", "delta", "subfolder", "gguf_file")
"""Arguments that change the named model into another one."""
_QUANTIZED = ("load_in_8bit", "load_in_4bit")
_DTYPES = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Superseded:
    """A cell that is not used because the same cell was measured again."""

    record: Record
    """The one that is not used."""
    by: Record
    """The newer one; the first, if both have the same figures."""


@dataclass(frozen=True)
class Outputs:
    """The content of results files."""

    records: tuple[Record, ...]
    """The newest record of each cell."""
    superseded: tuple[Superseded, ...]
    """Other records of the same cells."""
    skipped: tuple[Path, ...]
    """JSON files in the folders that are not results."""
    problems: tuple[ResultsError, ...] = ()
    """Why files in the folders, or cells with several values, are not used."""
    omitted: tuple[str, ...] = ()
    """Values of files that are not figures, with their keys."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not used, a sentence each."""
        notes = [f"not used: {problem.message}" for problem in self.problems[:_MOST_NAMED]]
        if more := self.problems[_MOST_NAMED:]:
            notes.append(f"not used: {plural(len(more), 'more file or cell', 'more files or cells')}")
        if self.omitted:
            what = plural(len(self.omitted), "value that is", "values that are")
            notes.append(f"not used: {what} not a finite number: {listed(self.omitted, most=_MOST_NAMED)}")
        if self.skipped:
            names = listed([path.name for path in self.skipped], most=_MOST_NAMED)
            notes.append(f"skipped {plural(len(self.skipped), 'JSON file')} without results: {names}")
        return tuple(notes)


_MOST_NAMED = 3


def read_outputs(paths: Sequence[Path], progress: Progress = SILENT) -> Outputs:
    """Read all results in files and folders.

    If a cell was measured several times, the newest record is used. Records of the same cell have the same model,
    revision, task, shots, seed of the shots, limit, dtype and prompting. A file in a folder that cannot be read is
    omitted, as is a cell with several values of which none is the newest; `Outputs.problems` has the reasons.

    Raises:
        ResultsError: a named file is not JSON or not lm-eval's, a mixhub cell was changed, or there are no results.
        UsageError: a path does not exist.
    """
    files = [file for path in paths for file in _files(path)]
    records: list[Record] = []
    omitted: list[str] = []
    skipped: list[Path] = []
    problems: list[ResultsError] = []
    with progress.start("results", len(files), "file") as bar:
        for file, is_named in files:
            try:
                found = read_output(file, is_named=is_named, omitted=omitted)
            except ResultsError as problem:
                if is_named or problem.code not in ("lm-eval-file-malformed", "file-malformed"):
                    raise
                problems.append(problem)
            else:
                records += found or ()
                skipped += [file] if found is None else []
            bar.advance()
    used, superseded, ambiguous = _newest(with_groups(records))
    problems += ambiguous
    if not used and problems:
        raise problems[0]
    if not used:
        message = f"{', '.join(map(str, paths))}: no lm-eval results"
        raise ResultsError(
            message, code="results-missing", hint="pass lm-eval's --output_path, or a file in it", paths=tuple(paths)
        )
    return Outputs(used, superseded, tuple(skipped), tuple(problems), tuple(omitted))


def read_output(path: Path, *, is_named: bool = True, omitted: list[str] | None = None) -> list[Record] | None:
    """Read the cells of one results file.

    Args:
        path: the file.
        is_named: whether the user named the file itself; if not, files that are not results return None.
        omitted: gets the values that are not figures.

    Raises:
        ResultsError: the file is not JSON, not lm-eval's, or has no figure; or it is a changed cell of mixhub.
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
    return [parse_cell(path, data)] if PROVENANCE_KEY in data else _records(path, data, omitted)


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """The JSON files of a folder. In hidden folders only those that lm-eval named count: it names folders after models,
    such as `..__models__mine`."""
    if path.is_file():
        yield path, True
    elif path.is_dir():
        for file in sorted(path.rglob("*.json")):
            is_hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
            if file.is_file() and (not is_hidden or _RESULTS_FILE.fullmatch(file.name)):
                yield file, False
    else:
        message = f"{path}: no such file or folder"
        raise UsageError(
            message, code="file-missing", hint="pass a folder of results, or an lm-eval results file", path=path
        )


def _records(path: Path, data: Mapping[str, Any], omitted: list[str] | None) -> list[Record]:
    results: Any = data["results"]
    config: Any = data.get("config")
    for key in ("results", "config"):
        if not isinstance(data.get(key), Mapping):
            raise _malformed(path, f"{key} must be a mapping")
    names = [task for task in results if isinstance(results[task], Mapping)]
    if not names:
        raise _malformed(path, "results by task must be mappings")
    is_old = not any("," in str(key) for task in names for key in results[task])
    shared = _shared_fields(path, data, config, is_old)
    groups = Groups.of(data)
    records: list[Record] = []
    problems: list[ResultsError] = []
    for position, task in enumerate(names):
        try:
            figures = Entries(path, data, task, _malformed).figures(is_old=is_old)
        except ResultsError as problem:
            problems += [] if task in groups.names else [problem]
            continue
        if omitted is not None:
            omitted += [f"{entry} in {path}" for entry in figures.omitted]
        records.append(
            Record(
                **shared,
                **_task_fields(path, data, task, groups),
                num_fewshot=_shots(data, task, groups, (position, len(names))),
                metrics=MappingProxyType(figures.metrics),
                stderrs=MappingProxyType(figures.stderrs),
            )
        )
    if problems and not records:
        raise problems[0]
    if omitted is not None:
        omitted += [problem.message for problem in problems]
    return records


def _task_fields(path: Path, data: Mapping[str, Any], task: str, groups: Groups) -> dict[str, Any]:
    """The fields of a record that its task determines."""
    config = data["config"]
    documents, in_split = _documents(data, groups.members.get(task) or (task,))
    limit = config.get("limit", UNKNOWN)
    if documents != UNKNOWN and in_split != UNKNOWN:
        limit = documents if documents < in_split else None
    version = _entry(data, "versions", task)
    return {
        "task": task,
        "documents": documents,
        "documents_in_split": in_split,
        "limit": limit if limit is None or isinstance(limit, int | float) else UNKNOWN,
        "task_version": UNKNOWN if version is None else str(version),
        "task_hash": str(_entry(data, "task_hashes", task) or UNKNOWN),
        "dataset": _dataset(_mapping(data, "configs", task)),
        "samples": _samples(path, task, config),
        "group": groups.of_task.get(task, ""),
        "is_group": task in groups.names,
    }


def _documents(data: Mapping[str, Any], tasks: Sequence[str]) -> tuple[int | Unknown, int | Unknown]:
    """The documents that were evaluated, and those of the split, of a task or of all tasks of a group."""
    totals: list[int | Unknown] = []
    if not data.get("n-samples"):
        return UNKNOWN, UNKNOWN
    for key in ("effective", "original"):
        counts = [_whole(_mapping(data, "n-samples", task).get(key)) for task in tasks]
        known = [count for count in counts if count != UNKNOWN]
        totals.append(sum(known) if len(known) == len(counts) else UNKNOWN)
    return totals[0], totals[1]


def _shots(data: Mapping[str, Any], task: str, groups: Groups, at: tuple[int, int]) -> int | Unknown:
    """The number of shots of a task; a list in the configuration has one for each task, in the order of the results.

    Args:
        data: the file.
        task: the task or group.
        groups: the groups of the file.
        at: position of the task, and number of tasks.
    """
    overall = data["config"].get("num_fewshot")
    if isinstance(overall, list):
        overall = overall[at[0]] if len(overall) == at[1] else overall[0] if len({*map(str, overall)}) == 1 else None
    for one in (task, *groups.members.get(task, ())):
        known = map(_whole, (_entry(data, "n-shot", one), _mapping(data, "configs", one).get("num_fewshot")))
        if (count := next((count for count in known if count != UNKNOWN), None)) is not None:
            return count
    return _whole(overall)


@dataclass(frozen=True)
class Groups:
    """The groups of tasks in a file, whose scores summarize those of their tasks."""

    names: frozenset[str]
    """Entries that summarize others."""
    members: Mapping[str, tuple[str, ...]]
    """The tasks of each group, also those of groups in it."""
    of_task: Mapping[str, str]
    """The outermost group with a score of each task and group."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Groups:
        """Find the groups; before 0.4.3 a group is an entry without a configuration, and indents the titles below."""
        configs, scored, listed_in = (data.get(key) for key in ("configs", "groups", "group_subtasks"))
        configs, scored = (one if isinstance(one, Mapping) else {} for one in (configs, scored))
        inside = listed_in if isinstance(listed_in, Mapping) else _indented(data["results"])
        inside = {name: tuple(map(str, own)) for name, own in inside.items() if isinstance(own, list) and own}
        names = {
            name for name in data["results"] if name in scored or name in inside or (configs and name not in configs)
        }
        below = {name: _below(name, inside) for name in inside}
        of_task: dict[str, str] = {}
        for name in sorted(names & scored.keys(), key=lambda name: -len(below.get(name, ()))):
            for task in below.get(name, ()):
                of_task.setdefault(task, of_task.get(name, name))
        members = {name: tuple(task for task in own if task not in names) for name, own in below.items()}
        return cls(frozenset(names), MappingProxyType(members), MappingProxyType(of_task))


def _below(name: str, inside: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All tasks and groups in a group."""
    found: dict[str, None] = {}
    waiting = list(inside.get(name, ()))
    while waiting:
        if (task := waiting.pop(0)) not in found and task != name:
            found[task] = None
            waiting += inside.get(task, ())
    return tuple(found)


def _indented(results: Mapping[str, Any]) -> dict[str, list[str]]:
    """The entries below each outermost group, by the indented titles of lm-eval 0.4.0 and 0.4.1."""
    inside: dict[str, list[str]] = {}
    outer = ""
    for task, entry in results.items():
        if isinstance(entry, Mapping) and str(entry.get("alias", "")).lstrip().startswith("- "):
            inside.setdefault(outer, []).append(task)
        else:
            outer = task
    return inside


def _shared_fields(path: Path, data: Mapping[str, Any], config: Mapping[str, Any], is_old: bool) -> dict[str, Any]:
    """The fields of a record that all tasks of a file share."""
    arguments = _arguments(config.get("model_args"))
    model, revision = _identity(path, data, arguments)
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
        samples = path.parent / f"samples_{task}_{match[0]}.jsonl"
    else:
        arguments = re.sub("/|=", "__", str(config.get("model_args", "")))
        samples = path.parent / f"{arguments}_{task}.jsonl"
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


def _identity(path: Path, data: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, str]:
    """Model and revision. A seed in the name of the model is split off as the revision.

    GPT-NeoX names the folder and the step of its checkpoint; without a name, the name of the file has to do.
    """
    config = data["config"]
    named = next((arguments[key] for key in ("pretrained", "model", "load") if arguments.get(key)), None)
    named = named or data.get("model_name")
    revision = arguments.get("revision") or config.get("model_revision")
    if not named and arguments:
        step = _STEP.search(path.stem)
        named = (path.stem[: step.start()] + path.stem[step.end() :]).strip("_.-") if step else path.stem
    if not revision and "load" in arguments:
        step = _STEP.search(path.stem)
        iteration = _whole(arguments.get("iteration"))
        revision = step["step"] if step else None if iteration == UNKNOWN else f"step{iteration}"
    parts = [str(named or config.get("model") or UNKNOWN)]
    parts += [str(arguments[part]) for part in _PARTS if arguments.get(part)]
    model = " with ".join(part.rstrip("/") for part in parts)
    revision = str(revision or UNKNOWN)
    named, seed = split_seed(model)
    if not seed or _SEED.fullmatch(revision):
        return model, revision
    at = "" if revision in (UNKNOWN, "main") else f"@{revision}"
    return f"{named}{at}", seed


def split_seed(model: str) -> tuple[str, str]:
    """Split the seed off the name of a model: `("out/mix-a", "seed-1")` for `out/mix-a-seed1`; the seed is empty if
    there is none."""
    match = _SEED.fullmatch(model)
    if match is None or not match["model"]:
        return model, ""
    return f"{match['model']}{match['rest'] or ''}", f"seed-{int(match['number'])}"


def _prompting(data: Mapping[str, Any]) -> str:
    """The settings around the prompts; unknown before 0.4.3."""
    keys = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
    if not all(key in data for key in keys):
        return UNKNOWN
    given = [f"{key.removesuffix('_sha')} {str(data[key])[:8]}" for key in keys if data[key]]
    return ", ".join(given) or PLAIN


def _newest(
    records: Sequence[Record],
) -> tuple[tuple[Record, ...], tuple[Superseded, ...], tuple[ResultsError, ...]]:
    """The newest record of each cell, the others, and the cells with different values of which none is the newest."""
    by_cell: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        cell = (record.model, record.revision, record.task, record.num_fewshot)
        key = (*cell, record.fewshot_seed, record.limit, record.dtype, record.prompting)
        by_cell.setdefault(key, []).append(record)
    used: list[Record] = []
    superseded: list[Superseded] = []
    ambiguous: list[ResultsError] = []
    for own in by_cell.values():
        is_dated = all(record.date is not None for record in own)
        newest = max(own, key=lambda record: record.date or 0.0) if is_dated else own[0]
        for record in own:
            is_older = is_dated and record.date != newest.date
            if record is not newest and not is_older and not _are_same(record, newest):
                ambiguous.append(_ambiguous(newest, record))
                break
        else:
            used.append(newest)
            superseded += [Superseded(record, newest) for record in own if record is not newest]
    return tuple(used), tuple(superseded), tuple(ambiguous)


def _are_same(one: Record, other: Record) -> bool:
    """Whether two results have the same figures, apart from the rounding of floating-point numbers."""
    return all(
        a.keys() == b.keys() and all(math.isclose(a[key], b[key], rel_tol=_NOISE, abs_tol=1e-12) for key in a)
        for a, b in ((one.metrics, other.metrics), (one.stderrs, other.stderrs))
    )


def _ambiguous(one: Record, other: Record) -> ResultsError:
    return ResultsError(
        f"{one.path} and {other.path} have different figures for {one.name}, and neither is newer",
        code="results-ambiguous",
        hint="keep one of them in the folder, or pass single files; other cells do not need them",
        paths=(one.path, other.path),
    )


def _entry(data: Mapping[str, Any], key: str, task: str) -> Any:
    by_task = data.get(key)
    return by_task.get(task) if isinstance(by_task, Mapping) else None


def _mapping(data: Mapping[str, Any], key: str, task: str) -> Mapping[str, Any]:
    entry = _entry(data, key, task)
    return entry if isinstance(entry, Mapping) else {}


def _whole(value: object) -> int | Unknown:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else UNKNOWN


def _malformed(path: Path, what: str) -> ResultsError:
    message = f"{path}: not an lm-eval results file: {what}"
    return ResultsError(message, code="lm-eval-file-malformed", hint="evaluate again, or omit the file", path=path)
