"""Scores: what cells make together, and what keeps them apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from mixhub.errors import ResultsError, UnknownNameError
from mixhub.spec import Evaluation, Family, Run
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import ANSWER_PROBABILITY, BITS_PER_BYTE, Record

AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class Measure:
    """What a table is of."""

    name: str
    """As `--measure` takes it."""
    title: str
    """With its unit."""
    scale: float
    """What the values of cells are multiplied with."""
    higher_is_better: bool
    """Which way is better."""

    def metric(self, record: Record) -> str | None:
        """The name of the figure of `record` that counts: for scores `acc_norm`, else `acc`; None where it has none."""
        names = ("acc_norm", "acc") if self is SCORE else (self.name,)
        return next((name for name in names if name in self.figures(record)), None)

    def figures(self, record: Record) -> Mapping[str, float]:
        """The figures of `record` among which it lies."""
        return record.metrics if self is SCORE else record.measures

    def stderr(self, record: Record, metric: str) -> float | None:
        """The standard error over documents of that figure, scaled; None where it is not known."""
        found = record.stderrs.get(metric) if self is SCORE else record.measures.get(f"{metric}_stderr")
        return None if found is None else self.scale * found


SCORE = Measure("score", "scores in percent", 100.0, True)
MEASURES = (
    SCORE,
    Measure(BITS_PER_BYTE, "bits per byte of the right answer, lower is better", 1.0, False),
    Measure(ANSWER_PROBABILITY, "probability of the right answer among the choices, percent", 100.0, True),
)


def measure_named(name: str) -> Measure:
    """The measure of that name; raises UnknownNameError, naming the nearest."""
    for measure in MEASURES:
        if measure.name == name:
            return measure
    raise UnknownNameError("measure", name, [measure.name for measure in MEASURES])


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
"""By task, the field of a document that several documents share, so that they are no independent draws: their standard
error takes samples."""


class Counted(NamedTuple):
    """How much of a run is evaluated."""

    present: int
    """Cells that count."""
    expected: int
    """Cells of the family's suite."""


class Column(NamedTuple):
    """One task of a table, and the cells that its score is the mean of."""

    task: str
    """lm-eval's name."""
    title: str
    """Heading."""
    num_fewshot: tuple[int, ...]
    """Shot counts."""


@dataclass(frozen=True)
class Score:
    """A score, or how far it is from being one."""

    value: float | None
    """In the unit of its measure, percent for scores; None while anything is missing."""
    present: int
    """Cells that count (of an average: tasks with a whole score)."""
    expected: int
    """Cells that it takes (of an average: tasks)."""
    reason: str = ""
    """Why there is no value, or why it is not whole, in a few words."""
    metric: str | None = None
    """`acc_norm` or `acc`; None for an average."""
    stderr: float | None = None
    """Standard error over documents, in the unit of the value; None where it is not known."""
    stderr_is_bound: bool = False
    """Whether it is the most that it can be, since without samples nobody knows how the shot counts, which share their
    documents, go together. (Of tasks whose documents share a passage, nothing is known without samples.)"""

    @property
    def complete(self) -> bool:
        """Whether there is a value, made of all that it takes."""
        return self.value is not None and self.present == self.expected


@dataclass(frozen=True)
class ScoreRow:
    """A revision's scores."""

    revision: str
    """Branch of the run."""
    scores: Mapping[str, Score]
    """By task name, in the order of the suite."""
    average: Score
    """Plain mean of the tasks; only when each has its score."""


def columns_of(evaluation: Evaluation) -> tuple[Column, ...]:
    """The columns of a family's table."""
    return tuple(Column(task.name, task.title, evaluation.num_fewshot) for task in evaluation.tasks)


def counted(family: Family, run: Run, records: Iterable[Record], weights_sha256: str | None) -> Counted:
    """How many cells of the family's suite were measured whole on these weights of this run; none without weights."""
    present = {
        (record.task, record.num_fewshot)
        for record in of_suite(family, records)
        if (record.model, record.revision, record.weights_sha256) == (run.family, run.revision, weights_sha256)
    }
    return Counted(len(present), len(family.evaluation.tasks) * len(family.evaluation.num_fewshot))


def of_suite(family: Family, records: Iterable[AnyRecord]) -> list[AnyRecord]:
    """The cells that the family's scores are made of: its tasks, shots and shots seed, on all documents."""
    tasks = {task.name for task in family.evaluation.tasks}
    return [
        record
        for record in records
        if record.task in tasks
        and record.num_fewshot in family.evaluation.num_fewshot
        and record.fewshot_seed == family.evaluation.fewshot_seed
        and record.limit is None
    ]


def score(
    records: Iterable[Record],
    task: str,
    num_fewshot: Sequence[int],
    measure: Measure = SCORE,
    *,
    allow_incomplete: bool = False,
) -> Score:
    """The mean over shot counts of `acc_norm`, else `acc`, in percent; no value unless every shot count is there.

    Cells that were cut short by a limit do not count, and cells that were measured differently do not mix.

    Args:
        records: cells of one revision.
        task: lm-eval's name.
        num_fewshot: the shot counts that the score is the mean over.
        measure: what is averaged, when it is not the score.
        allow_incomplete: give the mean over the shot counts that are there; `present` says how many.

    Raises:
        ResultsError: a cell lacks the metric, or two cells were made with different weights.
    """
    used = cells_of(records, task, num_fewshot)
    require_same_weights(used)
    present, expected = len(used), len(num_fewshot)
    metrics = sorted({_required_metric(record, measure) for record in used})
    metric = metrics[0] if len(metrics) == 1 else None
    missing = "" if present == expected else f"{present} of {expected} shot counts"
    if not used or (missing and not allow_incomplete):
        return Score(None, present, expected, missing, metric)
    if mixed := " and ".join(metrics) + " do not mix" if metric is None else disagreement(used):
        return Score(None, present, expected, mixed, metric)
    assert metric is not None
    value = measure.scale * math.fsum(measure.figures(record)[metric] for record in used) / present
    stderrs = [measure.stderr(record, metric) for record in used]
    known = [stderr for stderr in stderrs if stderr is not None]
    bound = math.fsum(known) / present if len(known) == present and task not in SHARED else None
    is_bound = bound is not None and present > 1
    return Score(value, present, expected, missing, metric, bound, stderr_is_bound=is_bound)


def cells_of(records: Iterable[AnyRecord], task: str, num_fewshot: Sequence[int]) -> list[AnyRecord]:
    """The cells of one revision that a score is made of, in the order of the shot counts, as far as they are there.

    Raises:
        ResultsError: two cells have the same shot count, as with different seeds of the shots or dtypes; names both
            files.
    """
    by_shots: dict[object, AnyRecord] = {}
    for record in records:
        if record.task == task and record.limit is None and record.num_fewshot in num_fewshot:
            other = by_shots.setdefault(record.num_fewshot, record)
            if other is not record:
                fields = ("fewshot_seed", "dtype", "prompting")
                differ = [field for field in fields if getattr(other, field) != getattr(record, field)]
                said = " and ".join(f"{name} {getattr(other, name)} and {getattr(record, name)}" for name in differ)
                raise ResultsError(
                    f"{other.path} and {record.path} both hold {record.name}, with {said}: they do not mix",
                    code="settings-mixed",
                    hint="give the results of one kind, or put the others elsewhere",
                    paths=(other.path, record.path),
                    differ=tuple(differ),
                )
    return [by_shots[shots] for shots in num_fewshot if shots in by_shots]


def average(scores: Sequence[Score], records: Iterable[Record], *, allow_incomplete: bool) -> Score:
    """The plain mean of the tasks' scores, of one revision; no value unless every task has its score.

    Its standard error takes the documents of different tasks as independent.

    Args:
        scores: one per task.
        records: the cells that they are made of.
        allow_incomplete: give the mean of the scores that have a value; `present` says how many are whole.
    """
    values = [found.value for found in scores if found.value is not None]
    present, expected = sum(found.complete for found in scores), len(scores)
    missing = "" if present == expected else f"{present} of {expected} tasks" + (" whole" if allow_incomplete else "")
    dtypes = sorted({record.dtype for record in records} - {UNKNOWN})
    if not values or (missing and not allow_incomplete):
        return Score(None, present, expected, missing)
    if len(dtypes) > 1:
        return Score(None, present, expected, f"{' and '.join(dtypes)} do not mix")
    used = [found for found in scores if found.value is not None]
    stderrs = [found.stderr for found in used if found.stderr is not None]
    stderr = math.sqrt(math.fsum(one**2 for one in stderrs)) / len(used) if len(stderrs) == len(used) else None
    bound = any(found.stderr_is_bound for found in used)
    return Score(math.fsum(values) / len(values), present, expected, missing, None, stderr, bound)


def score_table(family: Family, runs: Sequence[Run], records: Mapping[str, Sequence[Record]]) -> list[ScoreRow]:
    """A row a run: the score of each task of the suite, and their average when every one of them is there.

    Args:
        family: whose suite it is.
        runs: the rows.
        records: cells, by revision; those of another family or revision do not count.
    """
    rows = []
    for run in runs:
        found = of_suite(family, records.get(run.revision, ()))
        own = [record for record in found if (record.model, record.revision) == (run.family, run.revision)]
        rows.append(score_row(run.revision, columns_of(family.evaluation), own))
    return rows


def score_row(
    revision: str,
    columns: Sequence[Column],
    records: Sequence[Record],
    measure: Measure = SCORE,
    *,
    allow_incomplete: bool = False,
) -> ScoreRow:
    """The row of one revision, of its cells; raises ResultsError as `score` does."""
    require_same_weights(records)
    scores = {
        column.task: score(records, column.task, column.num_fewshot, measure, allow_incomplete=allow_incomplete)
        for column in columns
    }
    whole = average(list(scores.values()), records, allow_incomplete=allow_incomplete)
    return ScoreRow(revision, MappingProxyType(scores), whole)


def require_same_weights(records: Sequence[Record]) -> None:
    """Raises ResultsError, naming two files, when cells of one revision were made with different weights."""
    known = [record for record in records if record.weights_sha256 != UNKNOWN]
    for record in known[1:]:
        if record.weights_sha256 != known[0].weights_sha256:
            raise ResultsError(
                f"{known[0].path} and {record.path} were made with different weights of {record.revision}: "
                f"{known[0].weights_sha256[:12]} and {record.weights_sha256[:12]}",
                code="results-weights-differ",
                hint="measure the older one anew, or put its file elsewhere",
                paths=(known[0].path, record.path),
                revision=record.revision,
            )


def column_reason(records: Sequence[Record], measure: Measure) -> str:
    """Why the cells of one task over several revisions make no mean; empty where they do."""
    by_shots: dict[object, list[Record]] = {}
    for record in records:
        by_shots.setdefault(record.num_fewshot, []).append(record)
    for values in ({record.dtype for record in records} - {UNKNOWN}, {measure.metric(record) for record in records}):
        if len(values) > 1:
            return f"{' and '.join(sorted(map(str, values)))} do not mix"
    return next(filter(None, (disagreement(group) for group in by_shots.values())), "")


def disagreement(records: Sequence[Record]) -> str:
    """Why cells of one task, at different shot counts or of different revisions, are not averaged; empty when they are.

    What is unknown agrees with everything. Where two cells at the same shot count have the same hash of all documents,
    prompts and targets, versions and names of data make no difference between them; where the hashes differ, nothing
    else can make up for it. Different tasks may have been measured with different versions: they are never compared.
    """
    found = _differ("dtype", records)
    if found:
        return found
    by_shots: dict[object, set[str]] = {}
    for record in records:
        by_shots.setdefault(record.num_fewshot, set()).add(record.task_hash)
    if any(len(hashes - {UNKNOWN}) > 1 for hashes in by_shots.values()):
        return "different documents or prompts do not mix"
    same_input = len(by_shots) == 1 and UNKNOWN not in by_shots[next(iter(by_shots))]
    if same_input:
        return ""
    return next(filter(None, (_differ(field, records) for field in _SAME)), "")


_SAME = {
    "task_version": "versions {} of the task do not mix",
    "harness": "lm-eval {} do not mix",
    "dataset": "data {} do not mix",
    "documents": "{} documents do not mix",
    "prompting": "prompts with {} do not mix",
    "fewshot_seed": "seeds {} of the shots do not mix",
}


def _differ(field: str, records: Sequence[Record]) -> str:
    values = sorted({str(getattr(record, field)) for record in records} - {UNKNOWN})
    return _SAME.get(field, "{} do not mix").format(" and ".join(values)) if len(values) > 1 else ""


def _required_metric(record: Record, measure: Measure) -> str:
    if measure is SCORE:
        return record.metric
    metric = measure.metric(record)
    if metric is None:
        raise ResultsError(
            f"{record.path}: task {record.task} has no {measure.name}",
            code="metric-missing",
            hint="mixhub evaluate measures it; other tools' results do not hold it",
            path=record.path,
            metric=measure.name,
        )
    return metric
