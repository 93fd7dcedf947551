"""The names that lm-eval knows: its tasks, groups and tags. lm-eval's own index makes the list, once per version."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mixhub.errors import MixhubError, ResultsError
from mixhub.files import read_json, write_json

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Version of the stored index."""


@dataclass(frozen=True)
class TaskIndex:
    """The names of tasks, groups and tags in one or more folders."""

    tasks: Mapping[str, Path]
    """By task, its YAML."""
    groups: Mapping[str, Path]
    """By group, its YAML."""
    tags: Mapping[str, Sequence[str]]
    """By tag, its tasks in order."""

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return sorted({*self.tasks, *self.groups, *self.tags})

    def updated(self, other: TaskIndex) -> TaskIndex:
        """Return the names of both; those of `other` take precedence, as in lm-eval's `--include_path`."""
        names = {*other.tasks, *other.groups, *other.tags}

        def merged(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
            return {**{name: value for name, value in mine.items() if name not in names}, **theirs}

        return TaskIndex(
            merged(self.tasks, other.tasks), merged(self.groups, other.groups), merged(self.tags, other.tags)
        )


def user_cache() -> Path:
    """Return mixhub's cache for calls without a workspace."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixhub"


@cache
def builtin_folder() -> Path:
    """Return the folder of lm-eval's own task YAMLs, without importing lm-eval."""
    spec = find_spec("lm_eval")
    if spec is None or spec.origin is None:
        hint = "run pip install 'lm-eval>=0.4.12,<0.5'"
        raise ResultsError("lm-eval is not installed", code="lm-eval-missing", hint=hint)
    return Path(spec.origin).parent / "tasks"


def likely_files(name: str) -> Sequence[Path]:
    """Return lm-eval's YAMLs that are named as a task, or whose folder is: often one of them is the task's."""
    return [Path(file) for file in _files_by_name().get(name, ())]


@cache
def builtin_index() -> TaskIndex:
    """Return lm-eval's index. It takes lm-eval some 20 seconds to build, so it is kept in the user's cache."""
    folder = builtin_folder()
    stored = user_cache() / "lm-eval" / f"index-{_state()}.json"
    with suppress(MixhubError, KeyError, TypeError, AttributeError):
        data = read_json(stored, ResultsError)
        if data["format"] == _FORMAT:
            return TaskIndex(_paths(folder, data["tasks"]), _paths(folder, data["groups"]), data["tags"])
    logger.info("indexing the tasks of lm-eval, once")
    index = _built(None)
    relative = {
        kind: {name: path.relative_to(folder).as_posix() for name, path in paths.items()}
        for kind, paths in (("tasks", index.tasks), ("groups", index.groups))
    }
    with suppress(OSError):  # a cache that cannot be written to
        write_json(stored, {"format": _FORMAT, **relative, "tags": index.tags})
    return index


def index_of(folders: Iterable[Path]) -> TaskIndex:
    """Return the index of the YAMLs in folders, without lm-eval's own."""
    return _built([str(folder.resolve()) for folder in folders])


def _built(folders: list[str] | None) -> TaskIndex:
    from mixhub.evaluation.lm_eval_private import TaskManager, quiet

    with quiet():
        manager = TaskManager(include_defaults=folders is None, include_path=folders)
    entries = manager.task_index
    return TaskIndex(
        {name: entries[name].yaml_path for name in manager.all_subtasks},
        {name: entries[name].yaml_path for name in manager.all_groups},
        {name: sorted(entries[name].tags) for name in manager.all_tags},
    )


def _paths(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    return {name: folder / path for name, path in names.items()}


@cache
def _yaml_files() -> tuple[tuple[str, int, int], ...]:
    """Return path, size and time of each of lm-eval's YAMLs, in order."""
    files: list[tuple[str, int, int]] = []
    folders = [str(builtin_folder())]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                elif entry.name.endswith(".yaml"):
                    state = entry.stat()
                    files.append((entry.path, state.st_size, state.st_mtime_ns))
    return tuple(sorted(files))


@cache
def _files_by_name() -> Mapping[str, list[str]]:
    """Return files by their own name, and by that of their folder."""
    files: dict[str, list[str]] = {}
    for path, _, _ in _yaml_files():
        *_, folder, name = path.split("/")
        for key in {folder, name.removesuffix(".yaml")}:
            files.setdefault(key, []).append(path)
    return files


def _state() -> str:
    """Hash the paths, sizes and times of lm-eval's YAMLs: another version, or a changed file, is indexed again."""
    return hashlib.sha256(repr(_yaml_files()).encode()).hexdigest()[:16]
