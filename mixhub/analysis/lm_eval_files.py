"""Results of lm-eval, of any version and in any layout of folders, as one record a cell.

Read are the files of lm-eval 0.2 and 0.3 (`{"results": {"piqa": {"acc": …}}, "versions": …, "config": …}`), of 0.4
(`acc,none`), and mixhub's own cells. What a version did not write is unknown, and stays so.
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
from mixhub.workspace.cells import PROVENANCE_KEY, read_cell
from mixhub.workspace.lineage import UNKNOWN, Unknown
from mixhub.workspace.records import PLAIN, Entries, Record

_OLD = "0.3"
"""What stands for the version of lm-eval in files of the form that ended with 0.3."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?")
_SEED = re.compile(r"(?P<model>.*?)[/_.-]*(?<![A-Za-z])seed[-_]?(?P<number>\d+)(?P<rest>/.*)?")
_NOT_FIGURES = frozenset({"alias", "name", "sample_len", "sample_count", "samples", " ", ""})
"""Keys of lm-eval's results that stand among the figures and are none."""


@dataclass(frozen=True)
class Superseded:
    """A cell that was measured again later, so that it is not used."""

    record: Record
    """The older one."""
    by: Record
    """The one that is used."""


@dataclass(frozen=True)
class Outputs:
    """What was read."""

    records: tuple[Record, ...]
    """One a cell, the newest."""
    superseded: tuple[Superseded, ...]
    """Older ones of the same cells."""
    skipped: tuple[Path, ...]
    """JSON files in the folders that are no results."""


def read_outputs(paths: Sequence[Path], progress: Progress = SILENT) -> Outputs:
    """All results in files and folders, whatever tool of lm-eval's line wrote them.

    Of a cell that was measured several times the newest is used. The same cell has the same model, revision, task,
    shots, seed of the shots, limit, dtype and prompting; what differs in one of these is another, and does not mix.

    Raises:
        ResultsError: a file is no JSON, is a results file of another tool, holds a figure that is no finite number, or
            nobody can tell which of two results of a cell is newer; names the file. Also when there is no result.
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
        raise ResultsError(
            f"{', '.join(map(str, paths))}: no results of lm-eval",
            code="results-missing",
            hint="give lm-eval's --output_path, or a file that it wrote there",
            paths=tuple(paths),
        )
    used, superseded = _newest(records)
    return Outputs(tuple(used), tuple(superseded), tuple(skipped))


def read_output(path: Path, *, is_named: bool = True) -> list[Record] | None:
    """The cells of one results file.

    Args:
        path: the file.
        is_named: whether the file itself was asked for; else one that is no results file gives None.

    Raises:
        ResultsError: as `read_outputs` does.
    """
    try:
        data = read_json(path, ResultsError)
    except ResultsError:
        if path.suffix.lower() == ".json" or not path.is_file():
            raise
        raise _foreign(path, "it is no JSON") from None
    if isinstance(data, Mapping) and PROVENANCE_KEY in data and "results" in data:
        return [read_cell(path)]
    if not isinstance(data, Mapping) or "results" not in data:
        if is_named:
            raise _foreign(path, "it has no results")
        return None
    return list(_records(path, data))


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    if path.is_file():
        yield path, True
    elif path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
                yield file, False
    else:
        raise UsageError(
            f"{path}: no such file or folder",
            code="file-missing",
            hint="give a folder of results, or a file of lm-eval's",
            path=path,
        )


def _records(path: Path, data: Mapping[str, Any]) -> Iterator[Record]:
    results, config = data["results"], data.get("config")
    if (
        not isinstance(results, Mapping)
        or not isinstance(config, Mapping)
        or not isinstance(data.get("versions"), Mapping)
    ):
        raise _foreign(path, "lm-eval's have results, versions and config, each a mapping")
    if not all(isinstance(entry, Mapping) for entry in results.values()):
        raise _foreign(path, "lm-eval's results are a mapping of figures by task")
    run = _Run.of(path, data, config)
    for task in results:
        if not _is_group(data, task):
            yield run.record(task)


def _is_group(data: Mapping[str, Any], task: str) -> bool:
    """Whether an entry sums up other tasks; before 0.4.3 only its lack of a configuration says so."""
    configs, groups, members = (data.get(key) for key in ("configs", "groups", "group_subtasks"))
    if (isinstance(groups, Mapping) and task in groups) or (isinstance(members, Mapping) and members.get(task)):
        return True
    return isinstance(configs, Mapping) and task not in configs and bool(configs)


@dataclass(frozen=True)
class _Run:
    """What a results file says of all its tasks."""

    path: Path
    data: Mapping[str, Any]
    config: Mapping[str, Any]
    is_old: bool
    model: str
    revision: str
    weights: str
    dtype: str
    prompting: str
    versions: Mapping[str, str]

    @classmethod
    def of(cls, path: Path, data: Mapping[str, Any], config: Mapping[str, Any]) -> _Run:
        arguments = _arguments(config.get("model_args"))
        model, revision = _identity(data, config, arguments)
        dtype = str(config.get("model_dtype") or arguments.get("dtype") or UNKNOWN).removeprefix("torch.")
        dtype = UNKNOWN if dtype == "auto" else _DTYPES.get(dtype, dtype)
        quantised = [key.removeprefix("load_in_") for key in _QUANTISED if str(arguments.get(key)) == "True"]
        return cls(
            path=path,
            data=data,
            config=config,
            is_old=not any("," in str(key) for entry in data["results"].values() for key in entry),
            model=model,
            revision=revision,
            weights=UNKNOWN if any(map(arguments.get, _PARTS)) else str(config.get("model_sha") or UNKNOWN),
            dtype=" ".join([dtype, *quantised]),
            prompting=_prompting(data),
            versions=MappingProxyType(
                {"transformers": str(data["transformers_version"])} if data.get("transformers_version") else {}
            ),
        )

    def record(self, task: str) -> Record:
        """The cell of one task."""
        part = Entries(self.path, self.data, task, _malformed)
        metrics, stderrs = _old_figures(part) if self.is_old else part.figures()
        counts = _entry(self.data, "n-samples", task)
        counts = counts if isinstance(counts, Mapping) else {}
        documents, in_split = _whole(counts.get("effective")), _whole(counts.get("original"))
        return Record(
            path=self.path,
            model=self.model,
            revision=self.revision,
            task=task,
            num_fewshot=self._shots(task),
            metrics=MappingProxyType(metrics),
            stderrs=MappingProxyType(stderrs),
            measures=MappingProxyType({}),
            higher_is_better=MappingProxyType(part.directions() if _entry(self.data, "higher_is_better", task) else {}),
            documents=documents,
            documents_in_split=in_split,
            limit=self._limit(documents, in_split),
            fewshot_seed=_whole(self.config.get("fewshot_seed")),
            task_version=str(_known(_entry(self.data, "versions", task))),
            task_hash=str(_known(_entry(self.data, "task_hashes", task) or None)),
            dataset=self._dataset(task),
            prompting=self.prompting,
            weights_sha256=self.weights,
            dtype=self.dtype,
            device=str(self.config.get("device") or UNKNOWN).partition(":")[0],
            harness=str(self.data.get("lm_eval_version") or (_OLD if self.is_old else UNKNOWN)),
            versions=self.versions,
            date=self._date(),
            seconds=self._seconds(),
            samples=self._samples(task),
        )

    def _shots(self, task: str) -> int | Unknown:
        configured = _entry(self.data, "configs", task)
        given = (
            _entry(self.data, "n-shot", task),
            configured.get("num_fewshot") if isinstance(configured, Mapping) else None,
            self.config.get("num_fewshot"),
        )
        return next((value for value in map(_whole, given) if value != UNKNOWN), UNKNOWN)

    def _limit(self, documents: int | Unknown, in_split: int | Unknown) -> float | Unknown | None:
        if documents != UNKNOWN and in_split != UNKNOWN:
            return documents if documents < in_split else None
        limit = self.config.get("limit", UNKNOWN)
        return limit if limit is None or isinstance(limit, int | float) else UNKNOWN

    def _dataset(self, task: str) -> str:
        configured = _entry(self.data, "configs", task)
        if not isinstance(configured, Mapping) or not configured.get("dataset_path"):
            return UNKNOWN
        return " ".join(str(configured[key]) for key in ("dataset_path", "dataset_name") if configured.get(key))

    def _date(self) -> float | None:
        date = self.data.get("date")
        if isinstance(date, int | float) and not isinstance(date, bool) and math.isfinite(date):
            return float(date)
        if match := _DATE.search(self.path.name):
            day, _, time = match[0].partition("T")
            with suppress(ValueError):
                return datetime.fromisoformat(f"{day}T{time.replace('-', ':')}").timestamp()
        return None

    def _seconds(self) -> float | None:
        try:
            return float(self.data.get("total_evaluation_time_seconds", ""))
        except (TypeError, ValueError):
            return None

    def _samples(self, task: str) -> Path | None:
        """The samples of a task, beside the results: of the same date; before 0.4.3 named by the model's arguments."""
        if match := _DATE.search(self.path.name):
            path = self.path.with_name(f"samples_{task}_{match[0]}.jsonl")
            return path if path.is_file() else None
        arguments = re.sub("/|=", "__", str(self.config.get("model_args", "")))
        path = self.path.with_name(f"{arguments}_{task}.jsonl")
        return path if path.is_file() else None


_PARTS = ("peft", "delta", "subfolder", "gguf_file")
"""Arguments that make another model of the one that is named."""
_QUANTISED = ("load_in_8bit", "load_in_4bit")
_DTYPES = {"fp32": "float32", "float": "float32", "fp16": "float16", "half": "float16", "bf16": "bfloat16"}


def _arguments(given: object) -> dict[str, Any]:
    """`model_args`, which versions write as `pretrained=a,revision=b` or as a mapping."""
    if isinstance(given, Mapping):
        return dict(given)
    if not isinstance(given, str):
        return {}
    pairs = (part.partition("=") for part in given.split(","))
    return {key.strip(): value.strip() for key, equals, value in pairs if equals}


def _identity(data: Mapping[str, Any], config: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, str]:
    """Model and revision. A name that holds a seed is that of a family and a seed of it, at the revision, if any."""
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
    """What stands around the prompts; before 0.4.3 files do not say it."""
    keys = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
    if not all(key in data for key in keys):
        return UNKNOWN
    given = [f"{key.removesuffix('_sha')} {str(data[key])[:8]}" for key in keys if data[key]]
    return ", ".join(given) or PLAIN


def _old_figures(part: Entries) -> tuple[dict[str, float], dict[str, float]]:
    """Values and standard errors of the form that ended with 0.3: `acc`, `acc_stderr`."""
    metrics: dict[str, float] = {}
    stderrs: dict[str, float] = {}
    for key, value in part.mapping("results").items():
        if key not in _NOT_FIGURES:
            name = str(key).removesuffix("_stderr")
            (metrics if name == key else stderrs)[name] = part.finite(key, value)
    if not metrics:
        raise part.malformed(part.path, f"results.{part.task}: has no metric")
    return metrics, stderrs


def _newest(records: Sequence[Record]) -> tuple[list[Record], list[Superseded]]:
    used: dict[tuple[object, ...], Record] = {}
    superseded: list[tuple[tuple[object, ...], Record]] = []
    for record in records:
        place = (record.model, record.revision, record.task, record.num_fewshot)
        key = (*place, record.fewshot_seed, record.limit, record.dtype, record.prompting)
        other = used.setdefault(key, record)
        if other is not record:
            newer, older = _by_date(other, record)
            used[key] = newer
            superseded.append((key, older))
    return list(used.values()), [Superseded(record, used[key]) for key, record in superseded]


def _by_date(one: Record, other: Record) -> tuple[Record, Record]:
    """The newer and the older of two results of a cell."""
    if one.date is not None and other.date is not None and one.date != other.date:
        return (one, other) if one.date > other.date else (other, one)
    if one.metrics == other.metrics and one.stderrs == other.stderrs:
        return one, other
    raise ResultsError(
        f"{one.path} and {other.path} both hold {one.name}, with different figures, and nothing says which is newer",
        code="results-ambiguous",
        hint="keep one of them in the folder, or give the files one by one",
        paths=(one.path, other.path),
    )


def _entry(data: Mapping[str, Any], key: str, task: str) -> Any:
    by_task = data.get(key)
    return by_task.get(task) if isinstance(by_task, Mapping) else None


def _known(value: object) -> object:
    return UNKNOWN if value is None else value


def _whole(value: object) -> int | Unknown:
    return value if isinstance(value, int) and not isinstance(value, bool) else UNKNOWN


def _foreign(path: Path, what: str) -> ResultsError:
    return ResultsError(
        f"{path}: not a results file of lm-eval: {what}",
        code="lm-eval-file-foreign",
        hint="give lm-eval's own files",
        path=path,
    )


def _malformed(path: Path, what: str) -> ResultsError:
    return ResultsError(
        f"{path}: not a whole results file of lm-eval: {what}",
        code="lm-eval-file-malformed",
        hint="measure it anew, or leave the file out",
        path=path,
    )
