"""Tables of scores, revisions × tasks, each with its standing: measured here, or published elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from mixhub.card import figures
from mixhub.card.facts import RunFacts
from mixhub.card.text import Markdown, Table, code, listed
from mixhub.evaluate.results import Cell
from mixhub.evaluate.scores import Score, of_suite, score_table
from mixhub.family import Family, Run
from mixhub.lineage import UNKNOWN
from mixhub.statistics import Spread, spread

Standing = Literal["published", "measured"]
"""`published`: printed elsewhere and not measured again. `measured`: from cells of the weights that the card is of."""

_HARNESS = "lm_eval"
_NAMED = 12
"""So many revisions are named one by one; of more, only the number is said."""


@dataclass(frozen=True)
class Row:
    """The scores of one revision, in the order of the tasks, and their average."""

    revision: str
    number: int
    """Its seed or index."""
    values: tuple[float | None, ...]
    """Percent; the last is the average. None where there is no figure."""
    shown: tuple[str, ...]
    """The values as the table shows them; where there is none, what is missing."""


@dataclass(frozen=True)
class Scores:
    """A table of scores."""

    standing: Standing
    kind: Literal["seed", "index"]
    """What varies over the rows."""
    tasks: tuple[str, ...]
    """lm-eval's names."""
    titles: tuple[str, ...]
    """Columns."""
    metrics: tuple[str, ...]
    """By task: `acc_norm` or `acc`, or `accuracy` where it is not known which."""
    rows: tuple[Row, ...]
    spreads: tuple[Spread | None, ...]
    """Mean and sd over seeds, of each column and of the average. None where a row has no figure, where there are fewer
    than two, and where it is not the seed that varies."""

    @property
    def spread_shown(self) -> bool:
        """Whether the table has a line of mean ± sd."""
        return any(self.spreads)

    def table(self) -> Table:
        """A line per revision, and where seeds vary a last one with mean ± sd."""
        rows = [(str(row.number), *row.shown) for row in self.rows]
        if self.spread_shown:
            rows.append(("mean ± sd", *map(_shown_spread, self.spreads)))
        headers = (self.kind.capitalize(), *self.titles, "Average")
        return Table(headers, tuple(rows), frozenset(range(1, len(headers))))


@dataclass(frozen=True)
class Evidence:
    """How measured scores came about."""

    cells: int
    """Cells of the suite that are there: whole, and with the shots that the family asks for."""
    expected: int
    """Cells that make all scores whole."""
    others: int
    """Further cells, which no score counts: other shots, or only the first documents."""
    unevaluated: Markdown | None
    """The revisions that have no cell; None when all have."""
    harness: Markdown
    """Versions of lm-eval."""
    conditions: Markdown
    """Dtypes, devices and backends, as `float32 on cpu by mixhub's backend`."""
    mixed: bool
    """Whether rows were computed in different dtypes, so that no mean goes over them."""
    tasks: Table
    """Version, metric, documents and cells of each task."""
    stderr: str | None
    """Median over the cells of the standard error of the metric over documents, percent; None where none has one."""


def published(family: Family, runs: Sequence[Run]) -> Scores | None:
    """The published scores of the given runs; None where there are none."""
    printed = family.published_scores
    if printed is None:
        return None
    rows = []
    for run in runs:
        if run.revision in printed.scores or run.revision in printed.average:
            by_task = printed.scores.get(run.revision, {})
            values = (*(by_task.get(t.name) for t in family.evaluation.tasks), printed.average.get(run.revision))
            rows.append(Row(run.revision, run.number, values, tuple(map(figures.score, values))))
    metrics = ["accuracy"] * len(family.evaluation.tasks)
    return _scores("published", family, metrics, rows, mean=True) if rows else None


def measured(family: Family, runs: Sequence[RunFacts]) -> Scores | None:
    """The scores of the runs that have cells; None where none has."""
    evaluated = [facts for facts in runs if facts.cells]
    cells = {facts.run.revision: facts.cells for facts in evaluated}
    rows, metrics = [], ["accuracy"] * len(family.evaluation.tasks)
    for facts, found in zip(evaluated, score_table(family, [facts.run for facts in evaluated], cells), strict=True):
        scores = [*found.scores.values(), found.average]
        metrics = [score.metric or metric for score, metric in zip(scores, metrics, strict=False)]
        values = tuple(score.value for score in scores)
        rows.append(Row(facts.run.revision, facts.run.number, values, tuple(map(_shown, scores))))
    mean = not _mixed(family, runs)
    return _scores("measured", family, metrics, rows, mean=mean) if rows else None


def evidence(family: Family, runs: Sequence[RunFacts]) -> Evidence | None:
    """How the measured scores came about; None where nothing was measured."""
    everything = [cell for facts in runs for cell in facts.cells]
    if not everything:
        return None
    cells = of_suite(family, everything)
    without = [code(facts.run.revision) for facts in runs if not facts.cells]
    tasks, shots = family.evaluation.tasks, family.evaluation.num_fewshot
    return Evidence(
        cells=len(cells),
        expected=len(runs) * len(tasks) * len(shots),
        others=len(everything) - len(cells),
        unevaluated=(listed(without) if len(without) <= _NAMED else Markdown(f"{len(without)} branches"))
        if without
        else None,
        harness=listed(_distinct(cell.provenance.versions.get(_HARNESS, UNKNOWN) for cell in everything)),
        conditions=listed(_distinct(map(_conditions, everything))),
        mixed=_mixed(family, runs),
        tasks=_tasks(family, cells, len(runs) * len(shots)),
        stderr=_median_stderr(cells),
    )


def _conditions(cell: Cell) -> str:
    scored = "mixhub's backend" if cell.provenance.backend == "mixhub" else "lm-eval's own backend"
    return f"{cell.dtype} on {cell.provenance.device} by {scored}"


def _tasks(family: Family, cells: Sequence[Cell], expected: int) -> Table:
    rows = []
    for task in family.evaluation.tasks:
        own = [cell for cell in cells if cell.task == task.name]
        rows.append(
            (
                task.title,
                code(task.name),
                _joined(cell.task_version for cell in own),
                _joined(cell.metric for cell in own),
                _joined(f"{cell.documents:,}" for cell in own),
                f"{len(own)} of {expected}",
            )
        )
    headers = ("Task", "Name in lm-eval", "Version", "Metric", "Documents", "Cells")
    return Table(headers, tuple(rows), frozenset({4, 5}))


def _median_stderr(cells: Sequence[Cell]) -> str | None:
    stderrs = [cell.stderrs[cell.metric] for cell in cells if cell.metric in cell.stderrs]
    return figures.score(100 * median(stderrs)) if stderrs else None


def _mixed(family: Family, runs: Sequence[RunFacts]) -> bool:
    return len({cell.dtype for facts in runs for cell in of_suite(family, facts.cells)}) > 1


def _scores(standing: Standing, family: Family, metrics: Sequence[str], rows: Sequence[Row], *, mean: bool) -> Scores:
    tasks = family.evaluation.tasks
    kind = family.revisions.kind
    columns = zip(*(row.values for row in rows), strict=True)
    spreads = tuple(_spread(column) if mean and kind == "seed" else None for column in columns)
    names, titles = tuple(task.name for task in tasks), tuple(task.title for task in tasks)
    return Scores(standing, kind, names, titles, tuple(metrics), tuple(rows), spreads)


def _spread(column: Sequence[float | None]) -> Spread | None:
    values = [value for value in column if value is not None]
    return spread(values) if len(values) == len(column) > 1 else None


def _shown(score: Score) -> str:
    return f"{figures.ABSENT} ({score.reason})" if score.value is None else figures.score(score.value)


def _shown_spread(value: Spread | None) -> str:
    if value is None or value.sd is None:
        return figures.ABSENT
    return f"{value.mean:.2f} ± {value.sd:.2f}"


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))


def _joined(values: Iterable[str]) -> str:
    return ", ".join(_distinct(values)) or figures.ABSENT
