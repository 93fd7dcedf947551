"""Cells as they lie on disk, and the scores that follow from them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from mixhub.errors import ResultsError, SpecError
from mixhub.family import Family, Run
from mixhub.files import read_json
from mixhub.lineage import UNKNOWN, Number, Sha256, Unknown
from mixhub.spec import FrozenMap, Spec, data_sha256

if TYPE_CHECKING:
    import pandas

PROVENANCE_KEY = "mixhub"
"""The key of a result under which its provenance stands."""
MEASURES_KEY = "mixhub_measures"
"""The key of results and samples under which our measures stand, apart from lm-eval's metrics."""
_CELL_FILE = re.compile(r"(?P<task>.+)\.(?P<shots>\d+)shot\.json")


class Dataset(Spec):
    """The data that a cell was measured on."""

    path: str
    """`dataset_path` of the task: a repo, or the kind of its files."""
    name: str | None = None
    """`dataset_name` of the task."""
    fingerprint: str
    """Commit of the dataset's repo, hash of its local files, or `unknown`."""


class Provenance(Spec):
    """What a cell was made from. It holds no path of the machine that made it."""

    format: Literal[2] = 2
    """Version of this part's layout."""
    family: str
    """Name of the family; of a model that is no family's, its repo_id or its folder's name."""
    revision: str
    """Branch of the run, or what was asked for of another repo."""
    kind: Literal["seed", "index"] | None = None
    """What varies over the family's runs."""
    number: Number | None = None
    """The seed or the index."""
    step: Number | Unknown
    """Updates made."""
    weights_sha256: Sha256
    """Hash of the weights."""
    tokenizer_sha256: Sha256
    """Hash of `tokenizer.json`."""
    task: str
    """lm-eval's name of the task."""
    task_sha256: Sha256
    """Hash of the task's YAML, with what it includes."""
    num_fewshot: Number
    """Shots in each prompt."""
    fewshot_seed: Number
    """Seed of the choice of shots."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Only so many documents were evaluated; absent: all."""
    dtype: str
    """What the weights were computed in."""
    device: str
    """Kind of device, as `cpu` or `cuda`."""
    backend: Literal["mixhub", "stock"]
    """What scored: this package's backend, or lm-eval's own."""
    scorer: Number | None = None
    """Version of this package's backend."""
    layout: str | None = None
    """Whether inputs shared rows (see `scorer.Layout`)."""
    batch_tokens: Annotated[int, Field(gt=0)] | None = None
    """Tokens per forward pass, of this package's backend."""
    batch_size: Annotated[int, Field(gt=0)] | None = None
    """Requests per forward pass, of lm-eval's."""
    dataset: Dataset
    """The data."""
    stderr: str
    """Which standard errors were computed, and how."""
    samples_sha256: Sha256
    """Hash of the samples beside the result."""
    results_sha256: Sha256
    """Hash of the figures: of lm-eval's `results`, and of ours."""
    versions: FrozenMap[str, str]
    """Versions of the packages that measured."""


@dataclass(frozen=True)
class Cell:
    """One task at one num_fewshot for one revision, as measured."""

    path: Path
    """lm-eval's JSON."""
    provenance: Provenance
    """What it was made from."""
    metrics: Mapping[str, float]
    """Values by metric, as lm-eval names and scales them; a filter other than `none` stands behind a comma."""
    stderrs: Mapping[str, float]
    """Standard errors over documents, of the metrics that have one."""
    measures: Mapping[str, float]
    """What lm-eval has no metric for: `bits_per_byte` and `answer_probability`, where the task allows them, each with
    its `_stderr` and the number of its `_documents`."""
    higher_is_better: Mapping[str, bool]
    """By metric, where lm-eval says it."""
    documents: int
    """Documents that were evaluated."""
    documents_in_split: int
    """Documents that the evaluated split has."""
    task_version: str
    """Version of the task."""
    task_hash: str
    """lm-eval's hash of all documents, prompts and targets."""
    seconds: float
    """Time that the measurement took."""

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.provenance.family

    @property
    def revision(self) -> str:
        """Branch of the run."""
        return self.provenance.revision

    @property
    def task(self) -> str:
        """lm-eval's name of the task."""
        return self.provenance.task

    @property
    def num_fewshot(self) -> int:
        """Shots in each prompt."""
        return self.provenance.num_fewshot

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights."""
        return self.provenance.weights_sha256

    @property
    def dtype(self) -> str:
        """What the weights were computed in."""
        return self.provenance.dtype

    @property
    def limit(self) -> int | None:
        """Only so many documents were evaluated; None: all."""
        return self.provenance.limit

    @property
    def samples(self) -> Path:
        """The samples beside it, one line a document."""
        return samples_path(self.path)

    @property
    def metric(self) -> str:
        """What its score is made of: `acc_norm`, else `acc`; raises ResultsError when it has neither."""
        for name in ("acc_norm", "acc"):
            if name in self.metrics:
                return name
        raise ResultsError(
            f"{self.path}: task {self.task} has neither acc_norm nor acc, so it has no score",
            hint="leave the task out of the family's evaluation",
            path=self.path,
        )


class Counted(NamedTuple):
    """How much of a run is evaluated."""

    present: int
    """Cells that count."""
    expected: int
    """Cells of the family's suite."""


@dataclass(frozen=True)
class Score:
    """A score, or how far it is from being one."""

    value: float | None
    """Percent; None while anything is missing."""
    present: int
    """Cells that count (of an average: tasks with a score)."""
    expected: int
    """Cells that it takes (of an average: tasks)."""
    reason: str = ""
    """Why there is no value, in a few words."""
    metric: str | None = None
    """`acc_norm` or `acc`; None for an average."""

    @property
    def complete(self) -> bool:
        """Whether there is a value."""
        return self.value is not None


@dataclass(frozen=True)
class ScoreRow:
    """A revision's scores."""

    revision: str
    """Branch of the run."""
    scores: Mapping[str, Score]
    """By task name, in the order of the family's suite."""
    average: Score
    """Plain mean of the tasks; only when each has its score."""


def cell_path(results: Path, task: str, num_fewshot: int) -> Path:
    """Where a cell lies in a results folder."""
    return results / f"{task}.{num_fewshot}shot.json"


def samples_path(cell: Path) -> Path:
    """Where the samples of a cell lie."""
    return cell.with_suffix(".samples.jsonl")


def read_cells(folder: Path) -> list[Cell]:
    """All cells in a results folder, by task and shots; none when there is no such folder.

    Raises:
        ResultsError: a file is not a cell of ours, or two cells were made with different weights; names the files.
    """
    cells = cells_in(folder)
    first: dict[str, Cell] = {}
    for cell in cells:
        other = first.setdefault(cell.revision, cell)
        if other.weights_sha256 != cell.weights_sha256:
            raise ResultsError(
                f"{other.path} and {cell.path} were made with different weights of {cell.revision}",
                hint="measure the older one anew (mixhub evaluate), or delete it",
                paths=(other.path, cell.path),
            )
    return cells


def cells_in(folder: Path) -> list[Cell]:
    """All cells in a results folder, whatever weights they were made with; raises ResultsError as `read_cells` does."""
    named = sorted(
        (match["task"], int(match["shots"]), path)
        for path in (folder.iterdir() if folder.is_dir() else ())
        if (match := _CELL_FILE.fullmatch(path.name)) and not path.name.startswith(".")
    )
    return [read_cell(path) for _, _, path in named]


def read_cell(path: Path) -> Cell:
    """Parses one cell; raises ResultsError, naming the file, when it is not a whole one of ours, or not as measured.

    Its figures must have the hash that its provenance names. That finds accidents and edits by hand; it is no
    signature, since whoever changes the figures on purpose can write the hash anew.
    """
    data = read_json(path, ResultsError)
    if not isinstance(data, Mapping) or PROVENANCE_KEY not in data:
        raise _malformed(path, f"{PROVENANCE_KEY}: is required, since it says what the result was made from")
    try:
        provenance = Provenance.from_data(data[PROVENANCE_KEY], str(path))
    except SpecError as error:
        raise ResultsError(error.message, hint=_HINT, path=path) from None
    if path.name != cell_path(path.parent, provenance.task, provenance.num_fewshot).name:
        raise _malformed(path, f"holds {provenance.task} at {provenance.num_fewshot} shots")
    part = _Reader(path, data, provenance.task)
    metrics, stderrs = _metrics(part)
    measures = part.mapping(MEASURES_KEY)
    _require_as_measured(path, figures_sha256(data["results"], data[MEASURES_KEY]), provenance)
    counts = part.mapping("n-samples")
    documents, in_split = counts.get("effective"), counts.get("original")
    if not isinstance(documents, int) or not isinstance(in_split, int):
        raise _malformed(path, f"n-samples.{provenance.task}: must hold the numbers original and effective")
    return Cell(
        path=path,
        provenance=provenance,
        metrics=MappingProxyType(metrics),
        stderrs=MappingProxyType(stderrs),
        measures=MappingProxyType({str(name): float(value) for name, value in measures.items()}),
        higher_is_better=MappingProxyType(
            {str(name): bool(value) for name, value in part.mapping("higher_is_better").items() if value is not None}
        ),
        documents=documents,
        documents_in_split=in_split,
        task_version=str(part.entry("versions")),
        task_hash=str(part.entry("task_hashes")),
        seconds=part.seconds(),
    )


_HINT = "delete it, and measure it anew: mixhub evaluate"


@dataclass(frozen=True)
class _Reader:
    """lm-eval's keys of one file, each by task."""

    path: Path
    data: Mapping[str, Any]
    task: str

    def entry(self, key: str) -> Any:
        by_task = self.data.get(key)
        if not isinstance(by_task, Mapping) or self.task not in by_task:
            raise _malformed(self.path, f"{key}.{self.task}: is required")
        return by_task[self.task]

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.entry(key)
        if not isinstance(value, Mapping):
            raise _malformed(self.path, f"{key}.{self.task}: must be a mapping")
        return value

    def seconds(self) -> float:
        try:
            return float(self.data.get("total_evaluation_time_seconds", ""))
        except (TypeError, ValueError):
            raise _malformed(self.path, "total_evaluation_time_seconds: must be a number") from None


def _metrics(part: _Reader) -> tuple[dict[str, float], dict[str, float]]:
    """Values and standard errors. lm-eval's keys are `<metric>,<filter>` and `<metric>_stderr,<filter>`."""
    metrics: dict[str, float] = {}
    stderrs: dict[str, float] = {}
    for key, value in part.mapping("results").items():
        name, comma, kind = str(key).partition(",")
        is_stderr = name.endswith("_stderr")
        if not comma or (is_stderr and value == "N/A"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _malformed(part.path, f"results.{part.task}.{key} = {value}: must be a finite number")
        shown = name.removesuffix("_stderr") + ("" if kind == "none" else f",{kind}")
        (stderrs if is_stderr else metrics)[shown] = float(value)
    if not metrics:
        raise _malformed(part.path, f"results.{part.task}: has no metric")
    return metrics, stderrs


def figures_sha256(results: object, measures: object) -> str:
    """Hash of lm-eval's figures and ours; `unknown` where one is not finite, which no cell of ours is."""
    try:
        return data_sha256({"results": results, MEASURES_KEY: measures})
    except ValueError:
        return UNKNOWN


def _require_as_measured(path: Path, actual: str, provenance: Provenance) -> None:
    if actual != provenance.results_sha256:
        raise ResultsError(
            f"{path}: was changed after it was measured: the sha256 of its figures is {actual[:12]}, and "
            f"{PROVENANCE_KEY}.results_sha256 is {provenance.results_sha256[:12]}",
            hint="delete it, and evaluate again: mixhub evaluate",
            path=path,
        )


def _malformed(path: Path, what: str) -> ResultsError:
    return ResultsError(f"{path}: not a cell of ours: {what}", hint=_HINT, path=path)


def counted(family: Family, run: Run, cells: Iterable[Cell], weights_sha256: str | None) -> Counted:
    """How many cells of the family's suite were measured whole on these weights of this run; none without weights."""
    present = {
        (cell.task, cell.num_fewshot)
        for cell in of_suite(family, cells)
        if (cell.family, cell.revision, cell.weights_sha256) == (run.family, run.revision, weights_sha256)
    }
    return Counted(len(present), len(family.evaluation.tasks) * len(family.evaluation.num_fewshot))


def of_suite(family: Family, cells: Iterable[Cell]) -> list[Cell]:
    """The cells that the family's scores are made of: its tasks, shots and shots seed, on all documents."""
    tasks = {task.name for task in family.evaluation.tasks}
    return [
        cell
        for cell in cells
        if cell.task in tasks
        and cell.num_fewshot in family.evaluation.num_fewshot
        and cell.provenance.fewshot_seed == family.evaluation.fewshot_seed
        and cell.limit is None
    ]


def score(cells: Iterable[Cell], task: str, num_fewshot: Sequence[int]) -> Score:
    """The mean over shot counts of `acc_norm`, else `acc`, in percent; no value unless every shot count is there.

    Cells that were cut short by a limit do not count, and cells in different dtypes do not mix.

    Raises:
        ResultsError: a cell has neither metric, or two cells were made with different weights.
    """
    by_shots = {cell.num_fewshot: cell for cell in cells if cell.task == task and cell.limit is None}
    used = [by_shots[shots] for shots in num_fewshot if shots in by_shots]
    if len({cell.weights_sha256 for cell in used}) > 1:
        files = " and ".join(str(cell.path) for cell in used)
        raise ResultsError(f"{files} were made with different weights", hint="measure them anew: mixhub evaluate")
    present, expected = len(used), len(num_fewshot)
    metrics, dtypes = {cell.metric for cell in used}, {cell.dtype for cell in used}
    metric = metrics.pop() if len(metrics) == 1 else None
    if present < expected:
        return Score(None, present, expected, f"{present} of {expected} shot counts", metric)
    if metric is None or len(dtypes) > 1:
        mixed = " and ".join(sorted(dtypes if len(dtypes) > 1 else {cell.metric for cell in used}))
        return Score(None, present, expected, f"{mixed} do not mix", metric)
    return Score(100 * math.fsum(cell.metrics[metric] for cell in used) / expected, present, expected, "", metric)


def score_table(family: Family, runs: Sequence[Run], cells_by_revision: Mapping[str, Sequence[Cell]]) -> list[ScoreRow]:
    """A row a run: the score of each task of the suite, and their average when every one of them is there."""
    return [_score_row(family, run, cells_by_revision.get(run.revision, ())) for run in runs]


def _score_row(family: Family, run: Run, cells: Sequence[Cell]) -> ScoreRow:
    suite = [cell for cell in of_suite(family, cells) if (cell.family, cell.revision) == (run.family, run.revision)]
    shots = family.evaluation.num_fewshot
    scores = {task.name: score(suite, task.name, shots) for task in family.evaluation.tasks}
    values = [found.value for found in scores.values() if found.value is not None]
    present, expected = len(values), len(scores)
    dtypes = sorted({cell.dtype for cell in suite})
    if present < expected:
        average = Score(None, present, expected, f"{present} of {expected} tasks")
    elif len(dtypes) > 1:
        average = Score(None, present, expected, f"{' and '.join(dtypes)} do not mix")
    else:
        average = Score(math.fsum(values) / expected, present, expected)
    return ScoreRow(run.revision, MappingProxyType(scores), average)


def score_frame(family: Family, rows: Sequence[ScoreRow]) -> pandas.DataFrame:
    """The table as a frame of percents: a row a revision, a column a task title and `Average`; NaN for no value."""
    import pandas as pd

    titles = [task.title for task in family.evaluation.tasks]
    values = [[*(found.value for found in row.scores.values()), row.average.value] for row in rows]
    index = pd.Index([row.revision for row in rows], name="revision")
    return pd.DataFrame(values, index=index, columns=[*titles, "Average"], dtype="float64")
