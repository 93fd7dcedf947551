"""Which lm-eval tasks a family is evaluated on: found by name or by path, and built without lm-eval's whole index."""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from mixhub.errors import ABSENT, Problem, ResultsError, SpecError, UnknownNameError
from mixhub.evaluation.datasets import Datasets
from mixhub.spec import Task
from mixhub.spec.base import data_sha256, to_yaml
from mixhub.workspace.lineage import UNKNOWN, combined_sha256, file_sha256

_TASK_LINE = re.compile(rb"^task:[ \t]*[\"']?([^\s\"'\[#]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_FILE_BUILDERS = {"arrow", "csv", "json", "parquet", "text"}
"""Values of `dataset_path` that mean local files, named by `data_files`."""
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite, as its YAML says it."""

    name: str
    """lm-eval's name of the task."""
    path: Path
    """Its YAML."""
    is_custom: bool
    """Whether the YAML is the workspace's rather than lm-eval's."""
    config: Mapping[str, Any]
    """The YAML with what it includes; functions stand as `{"function": name, "sha256": hash of their file}`."""
    folder: Path
    """Where its `data_files` are."""

    @property
    def source(self) -> str:
        """Where the YAML is, without naming this machine's folders."""
        return (
            self.path.name
            if self.is_custom
            else f"lm_eval/tasks/{self.path.relative_to(builtin_folder().resolve()).as_posix()}"
        )

    @property
    def dataset(self) -> str:
        """Its dataset, as `aps/super_glue (copa)`."""
        name = self.config.get("dataset_name")
        return f"{self.config.get('dataset_path')}" + (f" ({name})" if name else "")

    @property
    def version(self) -> str:
        """Version of the task, as its metadata says."""
        metadata = self.config.get("metadata")
        return str(metadata.get("version", UNKNOWN)) if isinstance(metadata, Mapping) else UNKNOWN

    @cached_property
    def sha256(self) -> str:
        """Hash of the YAML's content, with its includes and functions; the same wherever the file is."""
        return data_sha256(_plain(self.config))

    @cached_property
    def data_files(self) -> tuple[Path, ...]:
        """The local files that it reads; empty when its dataset is a repo.

        Raises:
            ResultsError: one of them is not there.
        """
        return tuple(
            path
            for pattern in _leaves(self._dataset_kwargs.get("data_files") if self._reads_files else None)
            for path in self._matches(pattern)
        )

    @cached_property
    def data_sha256(self) -> str:
        """Hash of the local files that it reads; `unknown` when its dataset is a repo."""
        if not self.data_files:
            return UNKNOWN
        return combined_sha256((path.name, file_sha256(path)) for path in self.data_files)

    @property
    def repo_id(self) -> str | None:
        """The dataset repo that it reads; None for local files, folders, and data that a function makes."""
        path = str(self.config.get("dataset_path") or "")
        is_local = self._reads_files or "custom_dataset" in self.config or Path(path).is_dir()
        return path if not is_local and _REPO_ID.fullmatch(path) else None

    @property
    def revision(self) -> str | None:
        """The revision of its dataset repo that the YAML names."""
        revision = self._dataset_kwargs.get("revision")
        return None if revision is None else str(revision)

    def dataset_kwargs(self, cache: Path) -> dict[str, Any]:
        """What lm-eval gives to `load_dataset`: local files by absolute path, and datasets' cache in `cache`."""
        kwargs = dict(self._dataset_kwargs)
        if self._reads_files and "data_files" in kwargs:
            kwargs["data_files"] = _mapped(kwargs["data_files"], lambda pattern: str(self.folder / pattern))
        if self.repo_id is not None:
            kwargs.pop("revision", None)  # a folder has none
        kwargs.setdefault("cache_dir", str(cache))
        return kwargs

    @property
    def _dataset_kwargs(self) -> Mapping[str, Any]:
        kwargs = self.config.get("dataset_kwargs") or {}
        return kwargs if isinstance(kwargs, Mapping) else {}

    @property
    def _reads_files(self) -> bool:
        return self.config.get("dataset_path") in _FILE_BUILDERS

    def _matches(self, pattern: str) -> list[Path]:
        if "://" in pattern:
            return []
        path = self.folder / pattern
        files = [path] if path.is_file() else sorted(self.folder.glob(pattern)) if not path.is_absolute() else []
        if not files:
            raise ResultsError(
                f"{self.path}: task {self.name} reads {pattern}, and {path} is not there",
                code="documents-missing",
                hint=f"put it there, or correct dataset_kwargs.data_files in {self.path}",
                task=self.name,
                path=path,
            )
        return files


def resolve(tasks: Sequence[Task], configs: Mapping[str, Path]) -> list[SuiteTask]:
    """The YAMLs of a suite, read.

    Args:
        tasks: tasks of a family.
        configs: by task, the YAML of each task that is not lm-eval's.

    Raises:
        UnknownNameError: lm-eval has no task of that name; names the nearest that it has.
        ResultsError: a YAML in `configs` does not exist.
        SpecError: a YAML in `configs` is not a task of that name.
    """
    return [_resolved(task, configs) for task in tasks]


def _resolved(task: Task, configs: Mapping[str, Path]) -> SuiteTask:
    is_custom = task.name in configs
    path = (configs[task.name] if is_custom else find_builtin(task.name)).resolve()
    if not path.is_file():
        raise ResultsError(
            f"{path}: task {task.name} has its YAML there, and it is not there",
            code="file-missing",
            hint="write the YAML, or correct evaluation.tasks in the family",
            task=task.name,
            path=path,
        )
    config, folder = read_config(path)
    if config.get("task") != task.name:
        rule = f"must be {task.name}, as the family calls it"
        raise SpecError(str(path), [Problem("task", config.get("task", ABSENT), rule, code="task-misnamed")])
    return SuiteTask(task.name, path, is_custom, config, folder)


def known_fingerprint(task: SuiteTask, datasets: Datasets) -> str:
    """What names the data that a task would read now; `unknown` if the data is not there yet."""
    if task.repo_id is not None:
        return datasets.commit(task.repo_id, task.config.get("dataset_name"), task.revision) or UNKNOWN
    return task.data_sha256


@dataclass(frozen=True)
class BuiltTask:
    """A task with its dataset loaded."""

    suite: SuiteTask
    """Its YAML."""
    task: Any
    """lm-eval's task."""
    fingerprint: str
    """What names the data: the commit of its dataset repo, the hash of its local files, or `unknown`."""


def build(task: SuiteTask, datasets: Datasets) -> BuiltTask:
    """The lm-eval task with its dataset loaded.

    Raises:
        ResultsError: its dataset cannot be loaded, or lm-eval refuses the YAML; names task and dataset.
    """
    from mixhub.evaluation.lm_eval_private import TaskManager, seeded, without_download_counts

    fingerprint = task.data_sha256
    derived: dict[str, Any] = {"include": str(task.path), "task": task.name}
    cache = datasets.prepared
    if task.repo_id is not None:
        config = task.config.get("dataset_name")
        try:
            fetched, fingerprint = datasets.get(task.repo_id, config, task.revision)
        except ResultsError as error:
            raise ResultsError(
                f"task {task.name}: {error.message}", code=error.code, hint=error.hint, task=task.name, **error.fields
            ) from error
        derived["dataset_path"] = str(fetched)
        cache = datasets.prepared_of(task.repo_id, config, fingerprint)
    derived["dataset_kwargs"] = task.dataset_kwargs(cache)
    with tempfile.TemporaryDirectory(prefix="mixhub-task-") as folder:
        Path(folder, "task.yaml").write_text(to_yaml(derived), encoding="utf-8")
        manager = TaskManager(include_defaults=False, include_path=folder)
        try:
            with seeded(), without_download_counts():
                built = manager.load([task.name])["tasks"][task.name]
        except Exception as error:
            raise _unbuilt(task, error) from error
    # What lm-eval writes into each result: without the folders of this machine.
    built.set_config("dataset_path", task.config.get("dataset_path"))
    built.set_config("dataset_kwargs", _plain(task._dataset_kwargs) or None)
    built.config.metadata["config_source"] = task.source
    return BuiltTask(task, built, fingerprint)


def _unbuilt(task: SuiteTask, error: Exception) -> ResultsError:
    kind, reason = type(error).__name__, textwrap.shorten(first_line(error), 300, placeholder=" ...")
    hint = f"correct {task.path}"
    if task.repo_id is not None:
        hint = f"is {task.repo_id} whole, and in the form that lm-eval's task reads? fetch it again: --prefetch"
    return ResultsError(
        f"task {task.name}: its dataset {task.dataset} cannot be loaded: {kind}: {reason}",
        code="dataset-unloadable",
        hint=hint,
        task=task.name,
        dataset=task.dataset,
    )


@cache
def builtin_folder() -> Path:
    """Where lm-eval's own task YAMLs lie; found without importing it."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        raise ResultsError(
            "lm-eval is not installed", code="lm-eval-missing", hint="pip install 'lm-eval>=0.4.12,<0.5'"
        )
    return Path(spec.origin).parent / "tasks"


@cache
def find_builtin(name: str) -> Path:
    """The YAML of one of lm-eval's tasks; raises UnknownNameError, naming the nearest, when it has none.

    lm-eval's own index parses every YAML that it ships, for seconds; this reads lines, likely files first.
    """
    files = _builtin_files()
    likely = [file for file in files if f"/{name}/" in file or file.endswith(f"/{name}.yaml")]
    for file in (*likely, *files):
        if _declared_task(file) == name:
            return Path(file)
    raise UnknownNameError(
        "task",
        name,
        sorted({declared for file in files if (declared := _declared_task(file))}),
        where="lm-eval",
        hint="lm-eval lists its own: lm_eval ls tasks; a family's evaluation.tasks may give a YAML of yours (config)",
    )


@cache
def _builtin_files() -> tuple[str, ...]:
    """Paths of the YAMLs, those nearest to the root first: the families of hundreds of variants lie deep."""
    files = [
        f"{folder}/{name}" for folder, _, names in os.walk(builtin_folder()) for name in names if name.endswith(".yaml")
    ]
    return tuple(sorted(files, key=lambda file: (file.count("/"), file)))


@cache
def _declared_task(file: str) -> str | None:
    with open(file, "rb") as opened:  # noqa: PTH123 - thousands of files, and a Path costs as much as reading one
        match = _TASK_LINE.search(opened.read())
    return match[1].decode() if match else None


def read_config(path: Path) -> tuple[dict[str, Any], Path]:
    """A task YAML with what it includes, and the folder of the file that says what data it reads.

    Raises:
        SpecError: it is not YAML or no mapping, or files include each other in a circle; names the file.
    """
    return _read_config(path.resolve(), ())


def _read_config(path: Path, including: tuple[Path, ...]) -> tuple[dict[str, Any], Path]:
    if path in including:
        raise SpecError(str(path), [Problem("include", str(path), "includes itself", code="task-include-circular")])
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(path.parent))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        rule = f"cannot be read as YAML: {first_line(error)}"
        raise SpecError(str(path), [Problem("", None, rule, code="file-malformed")]) from None
    if not isinstance(config, dict):
        raise SpecError(str(path), [Problem("", config, "must be a mapping of keys to values", code="file-malformed")])
    includes = config.pop("include", [])
    merged: dict[str, Any] = {}
    folder = path.parent
    for include in includes if isinstance(includes, list) else [includes]:
        included, included_folder = _read_config((path.parent / str(include)).resolve(), (*including, path))
        merged |= included
        if "dataset_kwargs" in included:
            folder = included_folder
    if "dataset_kwargs" in config:
        folder = path.parent
    return merged | config, folder


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """A loader that leaves functions unresolved, as name and hash of the file that has them."""

    class Loader(yaml.SafeLoader):
        pass

    def function(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, str]:
        assert isinstance(node, yaml.ScalarNode)
        name = str(loader.construct_scalar(node))
        source = folder / f"{name.rpartition('.')[0].replace('.', '/')}.py"
        return {"function": name, "sha256": file_sha256(source) if source.is_file() else UNKNOWN}

    Loader.add_constructor("!function", function)
    return Loader


def first_line(error: Exception) -> str:
    """The first line of a vendor's message that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None:
        yield str(value)


def _mapped(value: object, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, change) for inner in value]
    return value if "://" in str(value) else change(str(value))
