"""Scores: means of cells, and which cells cannot be mixed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeVar

from mixhub.errors import ResultsError, UnknownNameError
from mixhub.spec import Evaluation, Family, Run
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import (
    ACCURACIES,
    ANSWER_PROBABILITY,
    BITS_PER_BYTE,
    Record,
    is_share,
    main_metric,
    require_same_weights,
)

AnyRecord = TypeVar("AnyRecord", bound=Record)

Standing = Literal["measured", "imported", "published"]
"""`measured`: from mixhub's cells. `imported`: from other lm-eval files. `published`: printed, not measured again."""


@dataclass(frozen=True)
class Measure:
    """The kind of figures in a table."""

    name: str
    """Value of `--measure`."""
    title: str
    """Description with the unit."""
    scale: float
    """Factor for the values of cells."""
    higher_is_better: bool
    columns: str = "task"
    """What a column of a table is of."""

    def metric(self, record: Record) -> str | None:
        """The name of the figure that counts: for scores `acc_norm`, else `acc`, else the task's own main metric."""
        if self is SCORE:
            return main_metric(record.metrics)
        return self.name if self.name in record.measures else None

    def require_metric(self, record: Record) -> str:
        """The same; ResultsError if the record has neither."""
        metric = self.metric(record)
        if metric is None:
            raise ResultsError(
                f"{record.path}: task {record.task} has no {self.name}",
                code="score-missing",
                hint="omit the task; measures other than the score need results of mixhub evaluate",
                path=record.path,
                task=record.task,
            )
        return metric

    def figures(self, record: Record) -> Mapping[str, float]:
        """The figures of `record` that include it."""
        return record.metrics if self is SCORE else record.measures

    def stderr(self, record: Record, metric: str) -> float | None:
        """The standard error over documents of that figure; None if unknown."""
        return record.stderrs.get(metric) if self is SCORE else record.measures.get(f"{metric}_stderr")


SCORE = Measure("score", "scores in percent", 100.0, True)
LOSS = Measure("loss", "validation loss in nats per token, lower is better", 1.0, False, "domain")
"""From the logs of runs, not from cells."""
OVERALL, ALL_TEXT = "loss", "All text"
"""Name and title of the column of a loss over all validation text."""
MEASURES = (
    SCORE,
    Measure(BITS_PER_BYTE, "bits per byte of the right answer, lower is better", 1.0, False),
    Measure(ANSWER_PROBABILITY, "probability of the right answer among the choices, percent", 100.0, True),
    LOSS,
)


def measure_named(name: str) -> Measure:
    """The measure with that name; UnknownNameError if there is none."""
    by_name = {measure.name: measure for measure in MEASURES}
    if name not in by_name:
        raise UnknownNameError("measure", name, list(by_name))
    return by_name[name]


SHARED = MappingProxyType(
    {
        "multirc": "paragraph",
        "race": "article",
        "social_iqa": "context",
        "boolq": "passage",
        "record": "passage",
        "squadv2": "context",
        "drop": "passage",
    }
)
"""By task, the field that several documents share, so that they are not independent: their standard error needs
samples."""


class Counted(NamedTuple):
    """Number of cells of a family's suite that were evaluated for a run."""

    present: int
    expected: int


class Column(NamedTuple):
    """One task of a table."""

    task: str
    """lm-eval's name."""
    title: str
    """Heading."""
    num_fewshot: tuple[int, ...]
    """Shot counts that its score is the mean over."""
    metric: str = ""
    """The metric, if it is not an accuracy."""
    scale: float = 100.0
    """Factor for the values of cells; 1 for metrics that are not shares, such as perplexities."""
    group: str = ""
    """The group whose score includes the task, so that it is shown only on request."""

    @property
    def is_averaged(self) -> bool:
        """Whether its score counts for the average."""
        return self.scale == SCORE.scale

    def scale_of(self, measure: Measure) -> float:
        """Factor for the values of cells in a table of that measure."""
        return self.scale if measure is SCORE else measure.scale


@dataclass(frozen=True)
class Score:
    """A score, or why there is none."""

    value: float | None
    """In the unit of its measure, percent for scores; None if anything is missing."""
    present: int
    """Cells that count; for an average, tasks with a complete score."""
    expected: int
    """Cells that are needed; for an average, tasks."""
    reason: str = ""
    """Why there is no value, or why it is incomplete, in a few words."""
    metric: str | None = None
    """`acc_norm` or `acc`; None for an average."""
    stderr: float | None = None
    """Standard error over documents, in the unit of the value; None if unknown."""
    stderr_is_bound: bool = False
    """Whether `stderr` is an upper bound: without samples, the correlation of the shot counts, which share their
    documents, is unknown. For tasks whose documents share a passage, there is not even a bound."""
    is_limited: bool = False
    """Whether it is from cells that a limit cut short; such a value counts for no average."""

    @property
    def complete(self) -> bool:
        """Whether there is a value with all cells that it needs."""
        return self.value is not None and self.present == self.expected


@dataclass(frozen=True)
class ScoreRow:
    """A revision's scores."""

    revision: str
    """Branch of the run."""
    scores: Mapping[str, Score]
    """By task name, in the order of the suite."""
    average: Score
    """Plain mean of the tasks; only if each has its score."""


def columns_of(evaluation: Evaluation) -> tuple[Column, ...]:
    """The columns of a family's table."""
    return tuple(Column(task.name, task.title, evaluation.num_fewshot) for task in evaluation.tasks)


def counted(family: Family, run: Run, records: Iterable[Record], weights_sha256: str | None) -> Counted:
    """How many cells of the family's suite were evaluated on all documents, with these weights of this run."""
    present = {
        (record.task, record.num_fewshot)
        for record in of_suite(family, records)
        if (record.model, record.revision, record.weights_sha256) == (run.family, run.revision, weights_sha256)
    }
    return Counted(len(present), len(family.evaluation.tasks) * len(family.evaluation.num_fewshot))


def of_suite(family: Family, records: Iterable[AnyRecord]) -> list[AnyRecord]:
    """The cells that count for the family's scores: its tasks, shots and seed of the shots, on all documents."""
    seed = family.evaluation.fewshot_seed
    return [one for one in records if is_of_suite(family.evaluation, one) and one.fewshot_seed == seed]


def is_of_suite(evaluation: Evaluation, record: Record, *, limited: bool = False) -> bool:
    """Whether a cell has a task and shot count of a suite, on all documents, or with `limited` on any."""
    is_of_task = any(record.task == task.name for task in evaluation.tasks)
    return is_of_task and record.num_fewshot in evaluation.num_fewshot and (limited or record.limit is None)


def with_metrics(columns: Sequence[Column], *records: Mapping[str, Sequence[Record]]) -> tuple[Column, ...]:
    """The columns with the metrics that their cells have, in the titles if they are not accuracies."""
    by_task: dict[str, list[Record]] = {}
    for record in (record for by_revision in records for own in by_revision.values() for record in own):
        by_task.setdefault(record.task, []).append(record)
    return tuple(_with_metric(column, by_task.get(column.task, ())) for column in columns)


def _with_metric(column: Column, records: Sequence[Record]) -> Column:
    figures = [(metric, record.metrics[metric]) for record in records if (metric := SCORE.metric(record)) is not None]
    metrics = sorted({metric for metric, _ in figures})
    if not metrics or not {*metrics}.isdisjoint(ACCURACIES):
        return column
    name = " and ".join(metrics)
    scale = SCORE.scale if all(is_share(*figure) for figure in figures) else 1.0
    return column._replace(title=f"{column.title} ({name})", metric=name, scale=scale)


def score(
    records: Iterable[Record],
    task: str,
    num_fewshot: Sequence[int],
    measure: Measure = SCORE,
    *,
    scale: float | None = None,
    allow_incomplete: bool = False,
) -> Score:
    """The mean over shot counts of the main metric; no value unless every shot count is present.

    Cells that were cut short by a limit do not count, and cells that were measured differently cannot be mixed.

    Args:
        records: cells of one revision.
        task: lm-eval's name.
        num_fewshot: the shot counts that the score is the mean over.
        measure: what is averaged, if not the score.
        scale: factor for the values; default: the measure's.
        allow_incomplete: return the mean over the shot counts that are present; if none is, over the cells that were
            cut short by a limit.

    Raises:
        ResultsError: a cell lacks the metric, or two cells were made with different weights.
    """
    used = cells_of(records, task, num_fewshot)
    present, expected = len(used), len(num_fewshot)
    is_limited = allow_incomplete and not used
    cells = _limited_cells(records, task, num_fewshot) if is_limited else used
    require_same_weights(cells)
    scale = measure.scale if scale is None else scale
    metrics = sorted({measure.require_metric(record) for record in cells})
    metric = metrics[0] if len(metrics) == 1 else None
    missing = "" if len(cells) == expected else f"{len(cells)} of {expected} shot counts"
    if not cells or (missing and not allow_incomplete):
        return Score(None, present, expected, missing, metric)
    if metric is None:
        return Score(None, present, expected, f"{' and '.join(metrics)} cannot be mixed")
    mixed = disagreement(cells)
    if measure is SCORE and scale == SCORE.scale and metric not in ACCURACIES and not mixed:
        mixed = "" if all(is_share(metric, record.metrics[metric]) for record in cells) else f"{metric} is not a share"
    if mixed:
        return Score(None, present, expected, mixed, metric)
    value = scale * math.fsum(measure.figures(record)[metric] for record in cells) / len(cells)
    if is_limited:
        limits = f"limit {' and '.join(sorted({str(cell.limit) for cell in cells}))}"
        reason = ", ".join(filter(None, (limits, missing)))
        return Score(value, present, expected, reason, metric, is_limited=True)
    stderrs = [scale * stderr for record in used if (stderr := measure.stderr(record, metric)) is not None]
    bound = math.fsum(stderrs) / present if len(stderrs) == present and task not in SHARED else None
    is_bound = bound is not None and present > 1
    return Score(value, present, expected, missing, metric, bound, stderr_is_bound=is_bound)


def _limited_cells(records: Iterable[AnyRecord], task: str, num_fewshot: Sequence[int]) -> list[AnyRecord]:
    """The cells of one revision that a limit cut short, or may have, in the order of the shot counts; of each shot
    count the first."""
    by_shots: dict[object, AnyRecord] = {}
    for record in records:
        if record.task == task and record.limit is not None:
            by_shots.setdefault(record.num_fewshot, record)
    return [by_shots[shots] for shots in num_fewshot if shots in by_shots]


SETTINGS = ("fewshot_seed", "dtype", "prompting")
"""Fields in which two results of a cell cannot be mixed."""


def cells_of(records: Iterable[AnyRecord], task: str, num_fewshot: Sequence[int]) -> list[AnyRecord]:
    """The cells of one revision behind a score that are present, in the order of the shot counts.

    Raises:
        ResultsError: two cells have the same shot count, as with different seeds of the shots or dtypes.
    """
    by_shots: dict[object, AnyRecord] = {}
    for record in records:
        if record.task != task or record.limit is not None or record.num_fewshot not in num_fewshot:
            continue
        other = by_shots.setdefault(record.num_fewshot, record)
        if other is not record:
            values = {name: _values(name, (other, record)) for name in SETTINGS}
            differ = [name for name in SETTINGS if len(values[name]) > 1]
            settings = "; ".join(f"{name} {' and '.join(values[name])}" for name in differ)
            raise ResultsError(
                f"{other.path} and {record.path} both have {record.name}, but differ in {settings}",
                code="settings-mixed",
                hint="pass the results of one setting",
                paths=(other.path, record.path),
                differ=tuple(differ),
            )
    return [by_shots[shots] for shots in num_fewshot if shots in by_shots]


def average(
    scores: Sequence[Score], records: Iterable[Record], *, allow_incomplete: bool, measure: Measure = SCORE
) -> Score:
    """The plain mean of the tasks' scores, for one revision; no value unless every task has its score.

    Its standard error takes the documents of different tasks as independent.

    Args:
        scores: one per task.
        records: the cells behind them.
        allow_incomplete: return the mean of the scores that have a value, without those of cells cut short by a limit.
        measure: what is averaged.
    """
    used = [(score.value, score.stderr) for score in scores if score.value is not None and not score.is_limited]
    present, expected = sum(score.complete for score in scores), len(scores)
    missing = "" if present == expected else f"{present} of {expected} {measure.columns}s"
    if not used or (missing and not allow_incomplete):
        return Score(None, present, expected, missing)
    if mixed := _differ("dtype", records):
        return Score(None, present, expected, mixed)
    stderrs = [stderr for _, stderr in used if stderr is not None]
    stderr = math.hypot(*stderrs) / len(used) if len(stderrs) == len(used) else None
    is_bound = any(score.stderr_is_bound for score in scores)
    return Score(math.fsum(value for value, _ in used) / len(used), present, expected, missing, None, stderr, is_bound)


def score_table(family: Family, runs: Sequence[Run], records: Mapping[str, Sequence[Record]]) -> list[ScoreRow]:
    """A row per run: the score of each task of the suite, and their average.

    Args:
        family: the family whose suite it is.
        runs: the rows.
        records: cells, by revision; cells of another family or revision do not count.
    """
    rows = []
    for run in runs:
        counting = of_suite(family, records.get(run.revision, ()))
        own = [one for one in counting if (one.model, one.revision) == (run.family, run.revision)]
        rows.append(score_row(run.revision, with_metrics(columns_of(family.evaluation), {run.revision: own}), own))
    return rows


def score_row(
    revision: str,
    columns: Sequence[Column],
    records: Sequence[Record],
    measure: Measure = SCORE,
    *,
    allow_incomplete: bool = False,
) -> ScoreRow:
    """The row of one revision, from its cells; raises ResultsError as `score` does."""
    require_same_weights(records)
    scores = {
        column.task: score(
            records,
            column.task,
            column.num_fewshot,
            measure,
            scale=column.scale_of(measure),
            allow_incomplete=allow_incomplete,
        )
        for column in columns
    }
    mean = average_of(scores, columns, records, allow_incomplete=allow_incomplete)
    return ScoreRow(revision, MappingProxyType(scores), mean)


def average_of(
    scores: Mapping[str, Score], columns: Sequence[Column], records: Iterable[Record], *, allow_incomplete: bool
) -> Score:
    """The average of one row, over the columns that count for it."""
    averaged = [scores[column.task] for column in columns if column.is_averaged]
    return average(averaged, records, allow_incomplete=allow_incomplete)


def column_reason(records: Sequence[Record], measure: Measure) -> str:
    """Why the cells of one task over several revisions are not averaged; empty if they are."""
    by_shots: dict[object, list[Record]] = {}
    for record in records:
        by_shots.setdefault(record.num_fewshot, []).append(record)
    metrics = sorted({str(measure.metric(record)) for record in records})
    reasons = [
        _differ("dtype", records),
        f"{' and '.join(metrics)} cannot be mixed" if len(metrics) > 1 else "",
        *map(disagreement, by_shots.values()),
    ]
    return next(filter(None, reasons), "")


def disagreement(records: Sequence[Record]) -> str:
    """Why cells of one task, at different shot counts or of different revisions, are not averaged; empty if they are.

    Unknown values agree with everything. If cells at the same shot count have the same hash of all documents, prompts
    and targets, other versions and names of the data do not matter; if the hashes differ, the cells cannot be mixed.
    """
    hashes: dict[object, set[str]] = {}
    for record in records:
        hashes.setdefault(record.num_fewshot, set()).add(record.task_hash)
    if mixed := _differ("dtype", records):
        return mixed
    if any(len(own - {UNKNOWN}) > 1 for own in hashes.values()):
        return "different documents or prompts cannot be mixed"
    if len(hashes) == 1 and UNKNOWN not in next(iter(hashes.values())):
        return ""
    return next(filter(None, (_differ(field, records) for field in _SAME)), "")


_SAME = {
    "task_version": "versions {} of the task cannot be mixed",
    "harness": "lm-eval {} cannot be mixed",
    "dataset": "data {} cannot be mixed",
    "documents": "{} documents cannot be mixed",
    "prompting": "prompts with {} cannot be mixed",
    "fewshot_seed": "seeds {} of the shots cannot be mixed",
}


def _differ(field: str, records: Iterable[Record]) -> str:
    values = [value for value in _values(field, records) if value != UNKNOWN]
    return _SAME.get(field, "{} cannot be mixed").format(" and ".join(values)) if len(values) > 1 else ""


def _values(field: str, records: Iterable[Record]) -> list[str]:
    return sorted({str(getattr(record, field)) for record in records})
