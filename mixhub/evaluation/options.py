"""What is to be measured, and how: options, the cells that they ask for, and one shard of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.suite import SuiteTask, resolve
from mixhub.phrases import listed
from mixhub.spec import Evaluation, Task
from mixhub.workspace.cells import cell_path

BACKENDS = ("mixhub", "stock")
"""What scores: this package's, or lm-eval's own Hugging Face backend."""
Backend = Literal["mixhub", "stock"]

_DOCUMENTS = 1000
"""What a task is taken to have, for sharing out cells, where the family does not say."""


@dataclass(frozen=True)
class Options:
    """How cells are measured."""

    tasks: Sequence[str] | None = None
    """Names; None: all of the suite's."""
    num_fewshot: Sequence[int] | None = None
    """Shot counts; None: all of the suite's."""
    limit: int | None = None
    """Only the first so many documents of each task."""
    device: str | None = None
    """`cpu`, `cuda` or `cuda:N`; None: the best there is."""
    dtype: str | None = None
    """None: float32 on CPU and bfloat16 on CUDA."""
    backend: Backend = "mixhub"
    """`stock`: lm-eval's own scoring of one request after the other."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): the i-th of n parts of the cells, counted from 1. Parts have no cell in common, and each cell is the same
    whatever n is."""


DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Storage:
    """Where tasks, documents and built requests are."""

    datasets: Datasets
    """Dataset repos."""
    requests: Path | None = None
    """Built requests, for all checkpoints; None: each call builds them again."""
    task_configs: Mapping[str, Path] = field(default_factory=dict)
    """By task, the YAML of each task that is not lm-eval's."""


@dataclass(frozen=True)
class CellKey:
    """Which cell: a task at a shot count, to be measured."""

    task: SuiteTask
    num_fewshot: int

    @property
    def names(self) -> tuple[str, int]:
        """Task and shots."""
        return self.task.name, self.num_fewshot

    def path(self, results: Path) -> Path:
        """Where the cell lies in a results folder."""
        return cell_path(results, *self.names)

    def __str__(self) -> str:
        return f"{self.task.name} {self.num_fewshot}-shot"


def requested_cells(
    evaluation: Evaluation, options: Options, task_configs: Mapping[str, Path], where: str
) -> list[CellKey]:
    """The cells of a suite that options ask for, task by task, then by shots; no dataset is opened.

    Args:
        evaluation: the suite.
        options: which of its tasks and shot counts.
        task_configs: by task, the YAML of each task that is not lm-eval's.
        where: the suite in words, for the error of an unknown task.

    Raises:
        UsageError: an option is out of range.
        UnknownNameError: no such task in the suite, or in lm-eval.
        ResultsError: a task fixes its shots at 0.
    """
    _require_in_range(options)
    shots = _shots(evaluation, options.num_fewshot)
    tasks = resolve(_tasks(evaluation, options.tasks, where), task_configs)
    # lm-eval keeps such a task at 0 shots whatever is asked, so its figure would stand under another shot count.
    for task in tasks:
        if task.config.get("num_fewshot") == 0 and any(shots):
            raise ResultsError(
                f"task {task.name}: {task.source} fixes num_fewshot at 0, so there is no {max(shots)}-shot cell",
                code="shots-fixed",
                hint="set evaluation.num_fewshot to [0], or give the task a YAML of its own without num_fewshot",
                task=task.name,
                num_fewshot=max(shots),
            )
    return [CellKey(task, count) for task in tasks for count in shots]


def _require_in_range(options: Options) -> None:
    if options.limit is not None and options.limit < 1:
        raise UsageError(
            f"limit = {options.limit}: must be at least 1 document",
            code="option-value",
            option="--limit",
            value=options.limit,
        )
    if options.backend not in BACKENDS:
        raise UsageError(
            f"backend = {options.backend!r}: must be one of {listed(BACKENDS)}",
            code="option-value",
            option="--backend",
            value=options.backend,
        )
    number, count = options.shard
    if not 1 <= number <= count:
        raise UsageError(
            f"--shard = {number}/{count}: must be i/n with i from 1 to n",
            code="option-value",
            hint="of eight, the first is 1/8",
            option="--shard",
            value=options.shard,
        )


def _tasks(evaluation: Evaluation, names: Sequence[str] | None, where: str) -> list[Task]:
    by_name = {task.name: task for task in evaluation.tasks}
    for name in names or ():
        if name not in by_name:
            raise UnknownNameError("task", name, by_name, where=where)
    return [task for name, task in by_name.items() if names is None or name in names]


def _shots(evaluation: Evaluation, counts: Sequence[int] | None) -> list[int]:
    if counts is None:
        return list(evaluation.num_fewshot)
    for count in counts:
        if count < 0:
            raise UsageError(
                f"num_fewshot = {count}: must not be negative",
                code="option-value",
                option="--num-fewshot",
                value=count,
            )
        if count not in evaluation.num_fewshot:
            raise UsageError(
                f"num_fewshot = {count}: must be one of the suite's shot counts: {listed(evaluation.num_fewshot)}",
                code="option-value",
                hint="leave it out to measure all of them, or add it to evaluation.num_fewshot of the family",
                option="--num-fewshot",
                value=count,
            )
    return sorted(set(counts))


def shard_of(cells: Sequence[CellKey], evaluation: Evaluation, shard: tuple[int, int]) -> list[CellKey]:
    """One of n parts of about the same work, as far as documents and shots show: the largest cells are dealt first."""
    number, count = shard
    documents = {task.name: task.documents or _DOCUMENTS for task in evaluation.tasks}
    work = [documents[cell.task.name] * (1 + cell.num_fewshot) for cell in cells]
    loads = [0] * count
    owner = [0] * len(cells)
    for position in sorted(range(len(cells)), key=lambda position: (-work[position], position)):
        owner[position] = min(range(count), key=loads.__getitem__)
        loads[owner[position]] += work[position]
    return [cell for position, cell in enumerate(cells) if owner[position] == number - 1]
