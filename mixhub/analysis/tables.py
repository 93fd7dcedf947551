"""The score table: revisions × tasks, with spread over seeds, standard errors and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from mixhub.analysis.lm_eval_files import Superseded
from mixhub.analysis.pairs import Origin
from mixhub.analysis.samples import NO_DOCUMENTS, Baseline, DocumentScores
from mixhub.analysis.scores import SCORE, Column, Measure, Score, ScoreRow, Standing
from mixhub.analysis.statistics.seeds import Interval, Spread
from mixhub.phrases import listed
from mixhub.workspace.records import Record

if TYPE_CHECKING:
    import pandas


AVERAGE = "average"
"""Key of the average among the names of tasks."""


@dataclass(frozen=True)
class OverSeeds:
    """One column over its seeds."""

    spread: Spread | None
    """Mean and sd; None if undefined."""
    interval: Interval | None
    """95 % for the mean over seeds, by Student's t; None without a spread."""
    reason: str = ""
    """Why there is no mean, or no interval for it."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Scores of the revisions of one family or model."""

    name: str
    """Of the family or model."""
    standing: Standing
    """Origin of the scores."""
    source: str = ""
    """Address or file of published scores; empty for measured ones."""
    measure: Measure = SCORE
    """The measure of the figures."""
    kind: str
    """What varies over the rows: `seed`, `index` or `revision`."""
    columns: tuple[Column, ...]
    """The tasks."""
    rows: tuple[ScoreRow, ...]
    """One per revision."""
    over_seeds: Mapping[str, OverSeeds]
    """By task, and for the average."""
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    """By task, if its documents are known."""
    records: Mapping[str, tuple[Record, ...]] = field(default_factory=dict)
    """The cells, by revision."""
    documents: DocumentScores = NO_DOCUMENTS
    """The values of the documents, if samples were read."""
    notes: tuple[str, ...]
    """Notes for a reader, a sentence each."""
    superseded: tuple[Superseded, ...] = ()
    """Cells that are not used because they were measured again later."""
    steps: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """Of losses: the steps of the figures by domain; None for unknown ones."""
    text: Mapping[str, str] = field(default_factory=dict)
    """Of losses: what they depend on apart from the model, such as the tokenizer."""
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """By revision, what it may share with a run of another family."""

    def score(self, row: ScoreRow, column: str) -> Score:
        """The score of a task in a row, or the row's average."""
        return row.average if column == AVERAGE else row.scores[column]

    @property
    def headings(self) -> dict[str, str]:
        """Title by task, and that of the average, in order."""
        return {**{column.task: column.title for column in self.columns}, AVERAGE: "Average"}

    def values(self, column: str) -> list[float]:
        """The complete figures of a column, in the order of the rows."""
        scores = [self.score(row, column) for row in self.rows]
        return [score.value for score in scores if score.complete and score.value is not None]

    def chances(self, given: Mapping[str, float]) -> dict[str, float]:
        """The score of guessing by task, percent, and of the average if all tasks have one; empty for other measures.

        Args:
            given: percent by task, for tasks whose documents do not show it.
        """
        if self.measure.name != "score":
            return {}
        measured = {task: one.chance for task, one in self.baselines.items() if one.chance is not None}
        by_task = {**given, **measured}
        chances = {column.task: by_task[column.task] for column in self.columns if column.task in by_task}
        if chances and len(chances) == len(self.columns):
            chances[AVERAGE] = fmean(chances.values())
        return chances

    def frame(self) -> pandas.DataFrame:
        """Revisions × tasks: (R, T + 1) float64, columns the titles and `Average`; NaN for no value.

        `attrs` holds name, standing, source, measure and notes.
        """
        import pandas as pd

        values = [[self.score(row, column).value for column in self.headings] for row in self.rows]
        index = pd.Index([row.revision for row in self.rows], name="revision")
        frame = pd.DataFrame(values, index=index, columns=list(self.headings.values()), dtype="float64")
        frame.attrs = {
            "name": self.name,
            "standing": self.standing,
            "source": self.source,
            "measure": self.measure.name,
            "notes": list(self.notes),
        }
        return frame

    def scores_frame(self) -> pandas.DataFrame:
        """A row per figure: revision, task, title, and the fields of its `Score`."""
        import pandas as pd

        fields = ("metric", "value", "stderr", "stderr_is_bound", "present", "expected", "reason")
        lines = []
        for row in self.rows:
            for column, title in self.headings.items():
                score = self.score(row, column)
                line = {"revision": row.revision, "task": column, "title": title}
                lines.append(line | {field: getattr(score, field) for field in fields})
        return pd.DataFrame(lines)

    def spread_frame(self) -> pandas.DataFrame:
        """A row per column: task, title, n, mean, sd, low, high (95 % over seeds), stderr (median over the rows),
        stderr_is_bound, chance, constant, reason."""
        import pandas as pd

        lines = [{"task": column, "title": title, **self.summary(column)} for column, title in self.headings.items()]
        return pd.DataFrame(lines)

    def summary(self, column: str) -> dict[str, Any]:
        """A column over its seeds, its standard error over documents, and its baselines."""
        over, (stderr, is_bound) = self.over_seeds[column], self.stderr(column)
        summary: dict[str, Any] = {"n": len(self.values(column)), "mean": None, "sd": None, "low": None, "high": None}
        for part in (over.spread, over.interval):
            summary |= vars(part) if part else {}
        summary |= {"stderr": stderr, "stderr_is_bound": is_bound}
        return summary | vars(self.baselines.get(column, Baseline(None, None))) | {"reason": over.reason}

    def stderr(self, column: str) -> tuple[float | None, bool]:
        """The median over the rows of the standard error over documents, and whether it is only a bound.

        An error of 0, from all answers right or all wrong, does not count.
        """
        known = [score for row in self.rows if (score := self.score(row, column)).stderr]
        if not known:
            return None, False
        return median(score.stderr or 0.0 for score in known), any(score.stderr_is_bound for score in known)

    def cells_frame(self) -> pandas.DataFrame:
        """A row per cell, as `cells_frame`."""
        return cells_frame(self.records)


def cells_frame(records: Mapping[str, Sequence[Record]]) -> pandas.DataFrame:
    """A row per cell: all of its record, with a column per metric, standard error and measure."""
    import pandas as pd

    return pd.DataFrame([_cell(record) for own in records.values() for record in own])


def _cell(record: Record) -> dict[str, Any]:
    parts = ("metrics", "stderrs", "measures", "path", "samples", "provenance")
    cell = {name: value for name, value in vars(record).items() if name not in parts} | dict(record.metrics)
    cell |= {f"{name}_stderr": value for name, value in record.stderrs.items()}
    return {**cell, **record.measures, "path": str(record.path)}


def mixed_steps(steps: Sequence[int | None]) -> str:
    """Why losses of these steps are not put together; empty for one step. Unknown steps agree with everything."""
    known = sorted({step for step in steps if step is not None})
    shown = listed([f"{step:,}" for step in known], most=4)
    return f"losses of steps {shown} cannot be mixed; choose a step with --step" if len(known) > 1 else ""
