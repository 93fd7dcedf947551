"""What `--tasks` names: tasks, and lm-eval's groups, tags, patterns and YAMLs of tasks."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mixhub.errors import ABSENT, Problem, ResultsError, SpecError, UnknownNameError, UsageError
from mixhub.evaluation.suite import (
    UNKNOWN_TASK_HINT,
    TaskSource,
    find_builtin,
    first_line,
    likely_builtin,
    read_config,
    resolve_one,
)
from mixhub.evaluation.task_index import TaskIndex, builtin_index, index_of

_GROUP_KEYS = ("aggregate_metric_list", "group", "group_alias", "metadata", "task")
"""Keys of a group itself; its other keys are set over those of its tasks."""
_LABELS = ("group", "group_alias", "tag", "task", "task_alias")
"""Keys of a member that change no request and no figure."""


@dataclass(frozen=True)
class TaskGroup:
    """A group of lm-eval, with the shots at which its tasks are measured."""

    name: str
    """Its name; of a group that another one defines, `outer::inner`."""
    config: Mapping[str, Any]
    """Its own keys in the YAML: alias, aggregation, metadata."""
    children: tuple[str, ...]
    """Its tasks and groups."""
    tasks: tuple[str, ...]
    """Its tasks and those of the groups in it, as often as lm-eval counts them."""
    shots: Mapping[str, int]
    """By task, the shots."""

    @property
    def num_fewshot(self) -> int | None:
        """The shots of all its tasks; None if they differ."""
        counts = set(self.shots.values())
        return counts.pop() if len(counts) == 1 else None


@dataclass(frozen=True)
class Selection:
    """The tasks and groups that were asked for."""

    sources: Mapping[str, TaskSource]
    """By task, in order, its YAML and shots."""
    groups: tuple[TaskGroup, ...]
    """Each group at each shot count."""


def select(
    specs: Sequence[str],
    suite: Mapping[str, TaskSource | None],
    suite_shots: Sequence[int],
    *,
    folders: Sequence[Path] = (),
    num_fewshot: Sequence[int] | None = None,
) -> Selection:
    """Find what `--tasks` names.

    A task of the suite has the suite's shots. Another one, and each task of a group, has those of its YAML, or 0 if
    the YAML has none: lm-eval's rule. With `num_fewshot` each has these shots, except that tasks of a group whose YAML
    fixes the shots at 0 stay at 0, as in lm-eval.

    Args:
        specs: names of tasks, groups or tags; patterns such as `mmlu_*`; YAMLs, or folders of YAMLs.
        suite: by task of the suite, its YAML; None if it is lm-eval's.
        suite_shots: shot counts of the suite.
        folders: more folders of YAMLs, whose names take precedence over lm-eval's.
        num_fewshot: shot counts; None: as described.

    Raises:
        UnknownNameError: a name or pattern matches nothing; suggests the nearest name.
        UsageError: a folder does not exist.
        ResultsError: a YAML does not exist, a group contains itself or tasks without a YAML, or one task is asked for
            with two configurations.
        SpecError: a YAML is malformed.
    """
    for folder in folders:
        if not folder.is_dir():
            message = f"--include-path = {str(folder)!r}: must be a folder of task YAMLs"
            raise UsageError(message, code="option-value", option="--include-path", value=str(folder))
    selector = _Selector(suite, tuple(suite_shots), tuple(folders), tuple(num_fewshot or ()))
    for spec in specs:
        selector.add(spec)
    return Selection(selector.sources, tuple(selector.requested_groups()))


@dataclass(frozen=True)
class _Group:
    """A group before the shots are chosen."""

    name: str
    config: Mapping[str, Any]
    children: Mapping[str, _Group | None]
    """By name; None for a task."""

    def tasks(self) -> Iterator[str]:
        for name, child in self.children.items():
            yield from [name] if child is None else child.tasks()

    def groups(self) -> Iterator[_Group]:
        """Yield the group and those in it."""
        yield self
        for child in self.children.values():
            yield from child.groups() if child is not None else ()


@dataclass
class _Selector:
    suite: Mapping[str, TaskSource | None]
    suite_shots: tuple[int, ...]
    folders: tuple[Path, ...]
    num_fewshot: tuple[int, ...]
    """Requested shot counts; empty: none were requested."""
    sources: dict[str, TaskSource] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    own_shots: dict[str, int | None] = field(default_factory=dict)
    """By task, the shots of its YAML."""

    @cached_property
    def included(self) -> TaskIndex:
        return index_of(self.folders) if self.folders else TaskIndex({}, {}, {})

    @cached_property
    def index(self) -> TaskIndex:
        return builtin_index().updated(self.included)

    def add(self, spec: str) -> None:
        """Add what one spec names."""
        if spec in self.suite and spec not in self.included.tasks:
            source = self.suite[spec] or TaskSource(find_builtin(spec))
            self._add_task(spec, source.path, {}, self.num_fewshot or self.suite_shots)
        elif (path := self._task_path(spec)) is not None:
            self._add_task(spec, path, {}, self.num_fewshot)
        elif _is_path(spec) or (Path(spec).is_dir() and spec not in self.index.names):
            for file in _yaml_files(spec):
                self._add_file(file)
        elif names := fnmatch.filter(self.index.names, spec):
            for name in names:
                self._add_name(name)
        else:
            raise UnknownNameError("task", spec, self.index.names, where="lm-eval", hint=UNKNOWN_TASK_HINT)

    def requested_groups(self) -> Iterator[TaskGroup]:
        """Yield each group at each shot count."""
        from mixhub.evaluation.lm_eval_private import aggregated

        for group in self.groups.values():
            tasks = tuple(group.tasks())
            try:
                aggregated(group.config, tasks, {})
            except (AttributeError, TypeError, ValueError) as error:
                message = f"group {group.name}: lm-eval refuses its aggregate_metric_list: {first_line(error)}"
                hint = "correct the YAML of the group"
                raise ResultsError(message, code="group-malformed", hint=hint, group=group.name) from error
            for count in self.num_fewshot or (None,):
                shots = {name: self._shots(name, count) for name in tasks}
                yield TaskGroup(group.name, group.config, tuple(group.children), tasks, shots)

    def _task_path(self, name: str) -> Path | None:
        """Return the YAML of a task if it can be found without lm-eval's whole index."""
        return self.included.tasks.get(name) or likely_builtin(name)

    def _add_name(self, name: str) -> None:
        """Add a task, a group, or the tasks of a tag."""
        if name in self.index.groups:
            self._add_group(self._group(name, read_config(self.index.groups[name])[0], {}))
        for task in self._tasks_of(name):
            self._add_task(task, self.index.tasks[task], {}, self.num_fewshot)

    def _tasks_of(self, name: str) -> Sequence[str]:
        return self.index.tags.get(name) or ([name] if name in self.index.tasks else [])

    def _add_file(self, path: Path) -> None:
        config = read_config(path)[0]
        name = config.get("group", config.get("task"))
        if not isinstance(name, str):
            value = ABSENT if name is None else name
            raise SpecError(str(path), [Problem("task", value, "must be a name", code="value-type")])
        if "group" in config:
            self._add_group(self._group(name, config, {}))
        else:
            self._add_task(name, path, {}, self.num_fewshot)

    def _add_group(self, group: _Group) -> None:
        self.groups |= {one.name: one for one in group.groups()}

    def _group(
        self, name: str, config: Mapping[str, Any], overrides: Mapping[str, Any], outer: tuple[str, ...] = ()
    ) -> _Group:
        """Return a group with the groups in it, and add its tasks."""
        if name in outer:
            message = f"group {name}: contains itself: {' > '.join((*outer, name))}"
            hint = "remove it from the task list of one of these groups"
            raise ResultsError(message, code="task-include-circular", hint=hint, group=name)
        mine = {**{key: value for key, value in config.items() if key not in (*_GROUP_KEYS, *_LABELS)}, **overrides}
        members = config.get("task") or []
        children: dict[str, _Group | None] = {}
        for member in [members] if isinstance(members, str) else members:
            item: Mapping[str, Any] = member if isinstance(member, Mapping) else {"task": member}
            changes = {**mine, **{key: value for key, value in item.items() if key not in _LABELS}}
            known = str(item.get("group", item.get("task")))
            if known in self.index.groups:
                inner = read_config(self.index.groups[known])[0]
                children[known] = self._group(known, inner, changes, (*outer, name))
            elif "group" in item:
                children[f"{name}::{known}"] = self._group(f"{name}::{known}", item, mine, (*outer, name))
            else:
                for task in self._tasks_of(known) or [known]:
                    self._add_member(name, task, changes)
                    children[task] = None
        own = {key: config[key] for key in _GROUP_KEYS if key in config and key != "task"}
        return _Group(name, {**own, "group": name}, children)

    def _add_member(self, group: str, task: str, overrides: Mapping[str, Any]) -> None:
        has_code = any(isinstance(value, Mapping) and "function" in value for value in overrides.values())
        if task not in self.index.tasks or has_code:
            message = f"group {group}: defines its task {task} in its own YAML"
            hint = "name the other groups and tasks that you need; each needs a YAML of its own"
            raise ResultsError(message, code="task-inline", hint=hint, group=group, task=task)
        path = self.index.tasks[task]
        self._remember_shots(task, path, overrides)
        self._add_task(task, path, overrides, tuple(self._shots(task, count) for count in self.num_fewshot or (None,)))

    def _remember_shots(self, name: str, path: Path, overrides: Mapping[str, Any]) -> None:
        self.own_shots[name] = resolve_one(name, TaskSource(path, overrides)).config.get("num_fewshot")

    def _add_task(self, name: str, path: Path, overrides: Mapping[str, Any], counts: tuple[int, ...]) -> None:
        """Add a task at shot counts; without any, at the shots of its YAML."""
        path, before = path.resolve(), self.sources.get(name)
        if before is not None and (before.path, before.overrides) != (path, overrides):
            message = f"task {name}: is asked for twice, with different configurations"
            hint = "evaluate them one after the other, with one --output each"
            raise ResultsError(message, code="task-ambiguous", hint=hint, task=name)
        if not counts:
            self._remember_shots(name, path, overrides)
            counts = (self._shots(name, None),)
        already = (before.num_fewshot or ()) if before is not None else ()
        self.sources[name] = TaskSource(path, overrides, tuple(sorted({*counts, *already})))

    def _shots(self, name: str, count: int | None) -> int:
        own = self.own_shots.get(name)
        return own or 0 if count is None or own == 0 else count


def _is_path(spec: str) -> bool:
    """Whether a spec can only be a path: no name of lm-eval looks so."""
    return spec.endswith((".yaml", ".yml")) or "/" in spec


def _yaml_files(spec: str) -> list[Path]:
    """Return the YAMLs that a path, a pattern of paths or a folder names; raises ResultsError if there are none."""
    pattern = f"{spec}/*.yaml" if Path(spec).is_dir() else spec
    files = [Path(file) for file in sorted(glob.glob(pattern)) if Path(file).is_file()]  # noqa: PTH207 - also absolute
    if not files:
        message = f"{spec}: no such YAML of a task"
        hint = "pass the path of a YAML, or of a folder of them; lm-eval's own tasks have names: lm_eval ls tasks"
        raise ResultsError(message, code="file-missing", hint=hint, path=spec)
    return files
