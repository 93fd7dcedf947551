"""The lm-eval tasks of a family: found by name or path, and built one by one."""

from __future__ import annotations

import re
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from mixhub.errors import ABSENT, MixhubError, Problem, ResultsError, SpecError, UnknownNameError
from mixhub.evaluation.datasets import Datasets, benchmark_of
from mixhub.evaluation.task_index import builtin_folder, builtin_index, likely_files
from mixhub.spec import Task
from mixhub.spec.base import data_sha256, to_yaml
from mixhub.workspace.cells import Benchmark
from mixhub.workspace.lineage import UNKNOWN, combined_sha256, file_sha256

UNKNOWN_TASK_HINT = (
    "list lm-eval's tasks with: lm_eval ls tasks; for a custom task, give its YAML: evaluation.tasks (config) in "
    "mixhub.yaml; with a MODEL: --tasks ./my.yaml or --include-path DIR"
)
_PATH_KEYS = {"dataset_path", "dataset_kwargs"}
"""Keys whose paths are relative to the YAML that has them."""
_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class TaskSource:
    """Where the configuration of a task comes from, if its name alone does not say it."""

    path: Path
    """Its YAML."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys that a group sets over those of the YAML."""
    num_fewshot: tuple[int, ...] | None = None
    """Its shot counts; None: the suite's."""


@dataclass(frozen=True)
class SuiteTask:
    """One task of a suite, as in its YAML."""

    name: str
    """lm-eval's name of the task."""
    path: Path
    """Its YAML."""
    is_custom: bool
    """Whether the YAML is the workspace's rather than lm-eval's."""
    config: Mapping[str, Any]
    """The YAML with its includes; a function becomes `{"function": name, "sha256": hash of its file}`."""
    folder: Path
    """The folder that its paths are relative to."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys of `config` that do not come from the YAML."""

    @property
    def source(self) -> str:
        """The path of the YAML without the folders of this machine."""
        if self.is_custom:
            return self.path.name
        return f"lm_eval/tasks/{self.path.relative_to(builtin_folder().resolve()).as_posix()}"

    @property
    def dataset(self) -> str:
        """Its dataset, for example `aps/super_glue (copa)`."""
        name = self.config.get("dataset_name")
        return f"{self.dataset_path}" + (f" ({name})" if name else "")

    @property
    def dataset_path(self) -> Any:
        """Its `dataset_path`; of a folder of this machine, only the name."""
        return _without_folders(self.config.get("dataset_path"))

    @property
    def dataset_kwargs(self) -> Any:
        """Its `dataset_kwargs`, without the folders of this machine."""
        return _without_folders(_plain(self._dataset_kwargs)) or None

    @property
    def version(self) -> str:
        """Version of the task in its metadata."""
        metadata = self.config.get("metadata")
        return str(metadata.get("version", UNKNOWN)) if isinstance(metadata, Mapping) else UNKNOWN

    @cached_property
    def sha256(self) -> str:
        """Hash of the YAML's content, with its includes and functions; it does not depend on the file's location."""
        described = {"dataset_path": self.dataset_path, "dataset_kwargs": self.dataset_kwargs}
        return data_sha256({**_plain(self.config), **{key: described[key] for key in described if key in self.config}})

    @cached_property
    def data_files(self) -> tuple[Path, ...]:
        """The local files that it reads; empty if its dataset is a repo.

        Raises:
            ResultsError: a file does not exist.
        """
        if self.local_folder is not None:
            return _files_below(self.local_folder)
        files: list[Path] = []
        if self._reads_files:
            _map_paths(self._dataset_kwargs.get("data_files"), lambda pattern: files.extend(self._matches(pattern)))
            if data_dir := self._dataset_kwargs.get("data_dir"):
                files += _files_below(self.folder / data_dir)
        return tuple(files)

    @cached_property
    def local_folder(self) -> Path | None:
        """The folder in its `dataset_path`: relative to the YAML, or to the working directory as in lm-eval.

        lm-eval's own tasks read repos, even if the working directory has a folder of that name.
        """
        path = str(self.config.get("dataset_path") or "")
        if not path or self._reads_files or "custom_dataset" in self.config:
            return None
        if not self.is_custom and _REPO_ID.fullmatch(path):
            return None
        candidates = (self.folder / path, Path(path))
        return next((folder.resolve() for folder in candidates if folder.is_dir()), None)

    @cached_property
    def data_sha256(self) -> str:
        """Hash of the local files that it reads; `unknown` if they are not all that it reads."""
        urls: list[str] = []
        _map_paths(self._dataset_kwargs.get("data_files"), lambda _: None, urls.append)
        if urls or not self.data_files:
            return UNKNOWN
        root = self.local_folder
        names = [path.relative_to(root).as_posix() if root else path.name for path in self.data_files]
        return combined_sha256((name, file_sha256(path)) for name, path in zip(names, self.data_files, strict=True))

    @property
    def repo_id(self) -> str | None:
        """The dataset repo that it reads; None for local files, folders, and data that a function makes."""
        path = str(self.config.get("dataset_path") or "")
        is_other = self._reads_files or "custom_dataset" in self.config or self.local_folder is not None
        return path if not is_other and _REPO_ID.fullmatch(path) else None

    @property
    def revision(self) -> str | None:
        """The revision of its dataset repo in the YAML."""
        revision = self._dataset_kwargs.get("revision")
        return None if revision is None else str(revision)

    def load_arguments(self, cache: Path) -> dict[str, Any]:
        """Return lm-eval's arguments of `load_dataset`: absolute paths of local files, and the library's cache."""
        kwargs = {"cache_dir": str(cache), **self._dataset_kwargs}
        if self._reads_files:
            for key in kwargs.keys() & {"data_files", "data_dir"}:
                kwargs[key] = _map_paths(kwargs[key], lambda pattern: str(self.folder / pattern))
        if self.repo_id is not None:
            kwargs.pop("revision", None)  # a folder has none
        return kwargs

    @property
    def _dataset_kwargs(self) -> Mapping[str, Any]:
        kwargs = self.config.get("dataset_kwargs")
        return kwargs if isinstance(kwargs, Mapping) else {}

    @property
    def _reads_files(self) -> bool:
        return self.config.get("dataset_path") in _file_builders()

    def _matches(self, pattern: str) -> list[Path]:
        path = self.folder / pattern
        below = Path(Path(pattern).anchor or self.folder)
        files = [path] if path.is_file() else sorted(below.glob(pattern.lstrip("/")))
        if not files:
            message = f"{self.path}: task {self.name} reads {pattern}, but {path} does not exist"
            hint = f"add the file, or correct dataset_kwargs.data_files in {self.path}"
            raise ResultsError(message, code="documents-missing", hint=hint, task=self.name, path=path)
        return files


@contextmanager
def naming(where: str, **fields: object) -> Iterator[None]:
    """Name a task or cell in errors that do not name it."""
    try:
        yield
    except ResultsError as error:
        message, fields = f"{where}: {error.message}", {**error.fields, **fields}
        raise ResultsError(message, code=error.code, hint=error.hint, **fields) from error


def resolve(tasks: Sequence[Task], sources: Mapping[str, TaskSource]) -> list[SuiteTask]:
    """Read the YAMLs of a suite.

    Args:
        tasks: tasks of a family.
        sources: by task, the YAML of each task that is not found in lm-eval by its name.

    Raises:
        UnknownNameError: lm-eval has no task of that name; suggests the nearest.
        ResultsError: a YAML in `sources` does not exist.
        SpecError: a YAML in `sources` is not a task of that name.
    """
    return [resolve_one(task.name, sources.get(task.name)) for task in tasks]


def resolve_one(name: str, source: TaskSource | None) -> SuiteTask:
    """Read the YAML of one task as `resolve` does."""
    path = (source.path if source else find_builtin(name)).resolve()
    if not path.is_file():
        message = f"{path}: the YAML of task {name} does not exist"
        hint = "write the YAML, or correct evaluation.tasks in the family"
        raise ResultsError(message, code="file-missing", hint=hint, task=name, path=path)
    config, folder = read_config(path)
    if config.get("task") != name:
        rule = f"must be {name}, its name in the family"
        raise SpecError(str(path), [Problem("task", config.get("task", ABSENT), rule, code="task-misnamed")])
    overrides = source.overrides if source else {}
    is_custom = not path.is_relative_to(builtin_folder().resolve())
    return SuiteTask(name, path, is_custom, {**config, **overrides}, folder, overrides)


def fingerprint(task: SuiteTask, datasets: Datasets) -> str:
    """Return what identifies the documents that a task reads now, as in `BuiltTask`.

    Raises:
        ResultsError: they cannot be loaded.
    """
    if task.repo_id is not None:
        return datasets.get(task.repo_id, task.config.get("dataset_name"), task.revision)[1]
    if task.data_sha256 != UNKNOWN:
        return task.data_sha256
    from mixhub.evaluation.lm_eval_private import quiet

    with quiet():
        return build(task, datasets).fingerprint


@dataclass(frozen=True)
class BuiltTask:
    """A task with its dataset loaded."""

    suite: SuiteTask
    """Its YAML."""
    task: Any
    """lm-eval's task."""
    fingerprint: str
    """What identifies the data: the commit of its dataset repo, the hash of its local files or of its documents, or
    `unknown`."""
    benchmark: Benchmark | None = None
    """The benchmark that the dataset repo defines for it."""


def build(task: SuiteTask, datasets: Datasets) -> BuiltTask:
    """Return the lm-eval task with its dataset loaded.

    Raises:
        ResultsError: its dataset cannot be loaded, or lm-eval refuses the YAML; names task and dataset.
    """
    from mixhub.evaluation.lm_eval_private import TaskManager, seeded, tuned

    fingerprint = task.data_sha256
    derived: dict[str, Any] = {"include": str(task.path), **_plain(task.overrides), "task": task.name}
    if task.repo_id is not None:
        with naming(f"task {task.name}", task=task.name):
            folder, fingerprint = datasets.get(task.repo_id, task.config.get("dataset_name"), task.revision)
        derived["dataset_path"] = str(folder)
    elif task.local_folder is not None:
        derived["dataset_path"] = str(task.local_folder)
    derived["dataset_kwargs"] = task.load_arguments(datasets.prepared(task.dataset, fingerprint))
    with tempfile.TemporaryDirectory(prefix="mixhub-task-") as include:
        Path(include, "task.yaml").write_text(to_yaml(derived), encoding="utf-8")
        manager = TaskManager(include_defaults=False, include_path=include)
        try:
            with seeded(), tuned():
                built = manager.load([task.name])["tasks"][task.name]
        except Exception as error:
            raise _not_built(task, error) from error
    # What lm-eval writes into each result: without the folders of this machine.
    built.set_config("dataset_path", task.dataset_path)
    built.set_config("dataset_kwargs", task.dataset_kwargs)
    built.config.metadata["config_source"] = task.source
    benchmark = _benchmark(task, built, Path(derived["dataset_path"])) if task.repo_id is not None else None
    return BuiltTask(task, built, fingerprint if fingerprint != UNKNOWN else _documents_sha256(built), benchmark)


def _benchmark(task: SuiteTask, built: Any, folder: Path) -> Benchmark | None:
    """Return the benchmark whose documents the task evaluates, all of them."""
    split = built.config.test_split if built.has_test_docs() else built.config.validation_split
    found = benchmark_of(folder, task.config.get("dataset_name"), str(split))
    return found if found is not None and len(built.eval_docs) == len(built.dataset[split]) else None


def _documents_sha256(task: Any) -> str:
    """Hash the documents of all splits; `unknown` if they are not all text and numbers."""
    splits: Mapping[str, Any] = task.dataset
    try:
        return combined_sha256((str(split), data_sha256(list(splits[split]))) for split in splits)
    except (MixhubError, TypeError):
        return UNKNOWN


def _not_built(task: SuiteTask, error: Exception) -> ResultsError:
    from mixhub.evaluation.lm_eval_private import failing_task, task_error

    if (loaded := failing_task(error)) is not None:
        problem = task_error(loaded, error)
        message, fields = f"task {task.name}: {problem.message}", {**problem.fields, "task": task.name}
        return ResultsError(message, code=problem.code, hint=problem.hint, **fields)
    if empty := next((path for path in task.data_files if not path.stat().st_size), None):
        message = f"task {task.name}: {empty} has no documents"
        hint = "add documents, or omit the task"
        return ResultsError(message, code="documents-empty", hint=hint, task=task.name, path=empty)
    reason = textwrap.shorten(first_line(error), 300, placeholder=" ...")
    message = f"task {task.name}: its dataset {task.dataset} cannot be loaded: {type(error).__name__}: {reason}"
    hint = f"correct {task.path}"
    if task.repo_id is not None:
        hint = f"check that {task.repo_id} is complete and fits the task; download it again with --prefetch"
    return ResultsError(message, code="dataset-unloadable", hint=hint, task=task.name, dataset=task.dataset)


def find_builtin(name: str) -> Path:
    """Return the YAML of one of lm-eval's tasks, from the file that is named so, else from lm-eval's index.

    Raises:
        UnknownNameError: lm-eval has no task of that name; suggests the nearest.
    """
    if file := likely_builtin(name):
        return file
    index = builtin_index()
    if name in index.tasks:
        return index.tasks[name]
    if kind := "group" if name in index.groups else "tag" if name in index.tags else "":
        message = f"task {name}: is a {kind} of tasks in lm-eval, and a suite consists of single tasks"
        hint = f"name its tasks; or evaluate a model in a folder or repo: mixhub evaluate MODEL --tasks {name}"
        raise ResultsError(message, code="task-is-group", hint=hint, task=name)
    raise UnknownNameError("task", name, index.names, where="lm-eval", hint=UNKNOWN_TASK_HINT)


def likely_builtin(name: str) -> Path | None:
    """Return the YAML of one of lm-eval's tasks if its file is named so."""
    for file in likely_files(name):
        config = read_config(file)[0]
        if config.get("task") == name and "group" not in config:
            return file
    return None


def read_config(path: Path, including: tuple[Path, ...] = ()) -> tuple[dict[str, Any], Path]:
    """Read a task YAML with its includes, and return the folder of the file that names its data, too.

    Args:
        path: the YAML.
        including: the YAMLs that include it.

    Raises:
        SpecError: a file is not YAML or not a mapping, or files include each other; names the file.
    """
    path = path.resolve()
    if path in including:
        raise SpecError(str(path), [Problem("include", str(path), "includes itself", code="task-include-circular")])
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader(path.parent))
        problem = "" if isinstance(config, dict) else "must be a mapping of keys to values"
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problem = f"cannot be read as YAML: {first_line(error)}"
    if problem:
        raise SpecError(str(path), [Problem("", ABSENT, problem, code="file-malformed")])
    includes = config.pop("include", [])
    merged: dict[str, Any] = {}
    folder = path.parent
    for include in includes if isinstance(includes, list) else [includes]:
        included, included_folder = read_config(path.parent / str(include), (*including, path))
        merged |= included
        if _PATH_KEYS & included.keys():
            folder = included_folder
    return merged | config, path.parent if _PATH_KEYS & config.keys() else folder


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _loader(folder: Path) -> Any:
    """Return a loader that reads a function as its name and the hash of its file."""

    class Loader(_SafeLoader):  # type: ignore[misc]
        pass

    def function(loader: yaml.SafeLoader, node: yaml.Node) -> dict[str, str]:
        assert isinstance(node, yaml.ScalarNode)
        name = str(loader.construct_scalar(node))
        source = folder / f"{name.rpartition('.')[0].replace('.', '/')}.py"
        return {"function": name, "sha256": file_sha256(source) if source.is_file() else UNKNOWN}

    Loader.add_constructor("!function", function)
    return Loader


def first_line(error: Exception) -> str:
    """Return the first line of a vendor's message that is not empty."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")


@cache
def _file_builders() -> frozenset[str]:
    """Return the values of `dataset_path` that mean files in `data_files`, without importing datasets."""
    spec = find_spec("datasets")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "packaged_modules"
    return frozenset(path.name for path in folder.iterdir() if path.name.isidentifier())


def _files_below(folder: Path) -> tuple[Path, ...]:
    """Return the files in a folder, without hidden ones such as the clients' own notes."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _without_folders(value: object) -> Any:
    """Replace each absolute path by its name."""
    if isinstance(value, Mapping):
        return {key: _without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner) for inner in value]
    is_path = isinstance(value, str) and value.startswith(("/", "file:/"))
    return Path(str(value)).name if is_path else value


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _map_paths(value: object, change: Callable[[str], object], on_url: Callable[[str], object] = str) -> Any:
    """Change each path in `data_files`, except URLs."""
    if isinstance(value, Mapping):
        return {key: _map_paths(inner, change, on_url) for key, inner in value.items()}
    if isinstance(value, list):
        return [_map_paths(inner, change, on_url) for inner in value]
    if value is not None and "://" in str(value):
        on_url(str(value))
        return value
    return None if value is None else change(str(value))
