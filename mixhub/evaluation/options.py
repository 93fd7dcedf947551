"""What to measure, and how: options, the cells that they ask for, and one shard of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mixhub.errors import CellsFailedError, ResultsError, UnknownNameError, UsageError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.suite import SuiteTask, TaskSource, resolve
from mixhub.phrases import listed, ranges
from mixhub.spec import Evaluation, Task
from mixhub.workspace.cells import cell_path

BACKENDS = ("mixhub", "stock")
"""Backends that score: this package's, or lm-eval's own for Hugging Face models."""
Backend = Literal["mixhub", "stock"]

_DOCUMENTS = 1000
"""Documents of a task whose number the family does not give, for dividing cells into shards."""


@dataclass(frozen=True)
class Prompting:
    """Settings around the text of prompts, as in lm-eval."""

    chat_template: str | None = None
    """The name of a chat template of the tokenizer, `default` if it has one only; None: plain text."""
    system_instruction: str | None = None
    """Text at the start of every prompt."""
    fewshot_as_multiturn: bool = True
    """With a chat template: each shot is a turn of its own."""

    @property
    def is_plain(self) -> bool:
        """Whether prompts are the task's text alone."""
        return self.chat_template is None and self.system_instruction is None


PLAIN = Prompting()


@dataclass(frozen=True)
class Options:
    """Options for measuring cells."""

    tasks: Sequence[str] | None = None
    """Names or patterns; None: all tasks of the suite. With a MODEL also groups, tags and YAMLs."""
    include_path: Sequence[Path] = ()
    """With a MODEL, more folders of task YAMLs."""
    num_fewshot: Sequence[int] | None = None
    """Shot counts; None: all shot counts of the suite."""
    limit: int | None = None
    """Use only the first N documents of each task."""
    device: str | None = None
    """`cpu`, `cuda` or `cuda:N`; None: `cuda` if available."""
    dtype: str | None = None
    """None: float32 on CPU and bfloat16 on CUDA."""
    backend: Backend = "mixhub"
    """`stock`: lm-eval's own scoring of one request after the other."""
    prompting: Prompting = PLAIN
    """Chat template and system instruction."""
    device_map: str | None = None
    """How Transformers spreads a model over devices, such as `auto`; None: on `device`."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): the i-th of n parts of the cells, counted from 1. Parts do not overlap; a cell does not depend on n."""


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Storage:
    """Locations of tasks, documents and built requests."""

    datasets: Datasets
    """Dataset repos."""
    requests: Path | None = None
    """Built requests, for all checkpoints; None: each call builds them again."""
    task_sources: Mapping[str, TaskSource] = field(default_factory=dict)
    """By task, the YAML of each task that is not found in lm-eval by its name."""


@dataclass(frozen=True, eq=False)
class CellKey:
    """A cell to measure: a task at a shot count."""

    task: SuiteTask
    num_fewshot: int

    @property
    def names(self) -> tuple[str, int]:
        """Task and shots."""
        return self.task.name, self.num_fewshot

    def path(self, results: Path) -> Path:
        """Return the file of the cell in a results folder."""
        return cell_path(results, *self.names)

    def __str__(self) -> str:
        return f"{self.task.name} {self.num_fewshot}-shot"


@dataclass
class Failures:
    """The cells of a call that could not be measured; a task that fails does not stop the others."""

    errors: dict[CellKey, ResultsError] = field(default_factory=dict)

    def add(self, cell: CellKey, error: ResultsError) -> None:
        """Keep the error of a cell."""
        self.errors[cell] = error

    @contextmanager
    def catch(self, cell: CellKey) -> Iterator[None]:
        """Keep the error of a cell in the block."""
        try:
            yield
        except ResultsError as error:
            self.add(cell, error)

    def without(self, cells: Sequence[CellKey]) -> list[CellKey]:
        """Return the cells that have not failed."""
        names = {cell.names for cell in self.errors}
        return [cell for cell in cells if cell.names not in names]

    def report(self, evaluated: object = None) -> None:
        """Raise one error with all reasons, if there are any, and with what was measured.

        Raises:
            CellsFailedError: there are failures.
        """
        shots: dict[tuple[str, str], set[int]] = {}
        for cell, error in self.errors.items():
            shots.setdefault((cell.task.name, error.message), set()).add(cell.num_fewshot)
        reasons: dict[tuple[str, str], ResultsError] = {}
        for cell, error in self.errors.items():
            key = cell.task.name, error.message
            where = (
                ""
                if error.message.startswith("task ")
                else f"cell {cell.task.name} {ranges(sorted(shots[key]))}-shot: "
            )
            message, fields = f"{where}{error.message}", {"task": cell.task.name, **error.fields}
            reasons.setdefault(key, ResultsError(message, code=error.code, hint=error.hint, **fields))
        if reasons:
            raise CellsFailedError(list(reasons.values()), evaluated) from next(iter(self.errors.values()))


def bad_option(option: str, value: object, rule: str, hint: str | None = None) -> UsageError:
    """Return the error of an option's value that breaks a rule."""
    value = str(value) if isinstance(value, Path) else value
    text = f"{option} = {value!r}: {rule}"
    return UsageError(text, code="option-value", hint=hint, option=option, value=value)


def requested_cells(
    evaluation: Evaluation, options: Options, sources: Mapping[str, TaskSource], where: str
) -> list[CellKey]:
    """Return the cells of a suite that options ask for, task by task, then by shots; opens no dataset.

    Args:
        evaluation: the suite.
        options: its tasks and shot counts to use.
        sources: by task, the YAML and shots of each task that is not found in lm-eval by its name.
        where: the suite in words, for the error of an unknown task.

    Raises:
        UsageError: an option is out of range.
        UnknownNameError: the suite, or lm-eval, does not have a task.
        ResultsError: a task fixes its shots at 0.
    """
    number, count = options.shard
    shots, suite_shots = options.num_fewshot, evaluation.num_fewshot
    if options.limit is not None and options.limit < 1:
        raise bad_option("--limit", options.limit, "must be at least 1 document")
    if options.backend not in BACKENDS:
        raise bad_option("--backend", options.backend, f"must be one of {listed(BACKENDS)}")
    if not 1 <= number <= count:
        raise bad_option("--shard", f"{number}/{count}", "must be i/n with i from 1 to n")
    for shot_count in shots or ():
        if shot_count < 0 or shot_count not in suite_shots:
            rule = f"must be one of the suite's shot counts: {listed(suite_shots)}"
            hint = "omit it to measure all of them, or add it to evaluation.num_fewshot of the family"
            raise bad_option("--num-fewshot", shot_count, rule, hint)
    by_name = {task.name: task for task in evaluation.tasks}
    names = _matching(by_name, options.tasks, where)
    tasks = resolve([by_name[name] for name in names], sources)
    counts = tuple(sorted(set(shots))) if shots is not None else suite_shots
    cells = []
    for task in tasks:
        source = sources.get(task.name)
        own = (source.num_fewshot if source else None) or counts
        # lm-eval keeps such a task at 0 shots whatever is requested, so its figure would be labelled wrongly.
        if task.config.get("num_fewshot") == 0 and any(own):
            message = f"task {task.name}: {task.source} fixes num_fewshot at 0, so it has no {max(own)}-shot cell"
            hint = "set evaluation.num_fewshot to [0], or give the task a custom YAML without num_fewshot"
            raise ResultsError(message, code="shots-fixed", hint=hint, task=task.name, num_fewshot=max(own))
        cells += [CellKey(task, count) for count in own]
    return cells


def requested_names(evaluation: Evaluation, options: Options) -> list[tuple[str, int]]:
    """Return task and shots of the cells of a suite that options ask for, without reading a YAML."""
    names = _matching({task.name: task for task in evaluation.tasks}, options.tasks, "the suite")
    counts = sorted(set(options.num_fewshot)) if options.num_fewshot is not None else evaluation.num_fewshot
    return [(name, count) for name in names for count in counts]


def _matching(known: Mapping[str, Task], specs: Sequence[str] | None, where: str) -> list[str]:
    """Return the tasks of a suite that names and patterns ask for, in the order of the suite."""
    matching = set(known) if specs is None else set()
    for spec in specs or ():
        found = fnmatch.filter(known, spec)
        if not found:
            hint = f"it has: {listed(list(known), most=20)}; for others: mixhub evaluate MODEL --tasks {spec}"
            raise UnknownNameError("task", spec, known, where=where, hint=hint)
        matching.update(found)
    return [name for name in known if name in matching]


def shard_of(cells: Sequence[CellKey], evaluation: Evaluation, shard: tuple[int, int]) -> list[CellKey]:
    """Return one of n parts of about equal work, estimated from documents and shots; the largest cells go first."""
    number, count = shard
    documents = {task.name: task.documents or _DOCUMENTS for task in evaluation.tasks}
    work = [documents[cell.task.name] * (1 + cell.num_fewshot) for cell in cells]
    loads = [0] * count
    owner = [0] * len(cells)
    for position in sorted(range(len(cells)), key=lambda position: (-work[position], position)):
        owner[position] = min(range(count), key=loads.__getitem__)
        loads[owner[position]] += work[position]
    return [cell for position, cell in enumerate(cells) if owner[position] == number - 1]
