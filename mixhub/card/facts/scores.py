"""Scores as a card shows them, each table with its standing: measured here, imported, or published elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from mixhub.analysis.building import measured_table, published_scores
from mixhub.analysis.comparison import Comparison, compare
from mixhub.analysis.evidence import Evidence, family_columns
from mixhub.analysis.published.table import published_table
from mixhub.analysis.samples import NO_SAMPLES, SampleSummary
from mixhub.analysis.scores import SCORE, Score
from mixhub.analysis.tables import AVERAGE, ScoreTable, Standing
from mixhub.card.facts.runs import RunFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, branches, code, listed, without_empty_columns
from mixhub.spec.family import Family
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

_DECIMALS = 2


@dataclass(frozen=True)
class Scores:
    """A table of scores, and how its figures are shown."""

    table: ScoreTable
    numbers: Mapping[str, int]
    """Seed or index, by revision."""
    runs: int
    """How many runs were looked for, whether they have cells or not."""
    chance: Mapping[str, float]
    """By task, percent: what guessing scores."""
    documents: Mapping[str, int]
    """By task: documents of the whole split, where the specification knows."""
    decimals: int = _DECIMALS
    """Digits behind the point."""

    @property
    def standing(self) -> Standing:
        """Whether it was measured here, is another's, or was only printed."""
        return self.table.standing

    @property
    def kind(self) -> str:
        """What varies over the rows: `seed` or `index`."""
        return self.table.kind

    @property
    def spread_shown(self) -> bool:
        """Whether there is a mean over seeds."""
        return any(over.spread for over in self.table.over_seeds.values())

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the intervals over seeds."""
        return len(self.table.rows) - 1

    @property
    def leaves_range(self) -> bool:
        """Whether an interval over seeds goes below 0 or above 100."""
        found = [over.interval for over in self.table.over_seeds.values() if over.interval]
        return any(interval.low < 0 or interval.high > 100 for interval in found)

    @property
    def no_mean(self) -> Mapping[str, str]:
        """Why columns of several rows have no mean over seeds, by title; those for which the table itself tells it are
        left out."""
        if self.kind != "seed" or len(self.table.rows) < 2:
            return {}
        return {
            self.table.headings[task]: over.reason
            for task, over in self.table.over_seeds.items()
            if over.reason and over.reason.endswith(("not mix", "same weights")) and task != AVERAGE
        }

    def by_run(self) -> Table:
        """A line per revision, and below them the mean and sd over seeds, and chance."""
        headings = self.table.headings
        rows = [
            (str(self.numbers[row.revision]), *(self._shown(self.table.score(row, column)) for column in headings))
            for row in self.table.rows
        ]
        if self.spread_shown:
            rows.append(("mean ± sd", *map(self.mean_shown, headings)))
        if self.chance:
            rows.append(("chance", *(self._figure(self._chance(column)) for column in headings)))
        titles = (self.kind.capitalize(), *headings.values())
        return Table(titles, tuple(rows), frozenset(range(1, len(titles))))

    def by_task(self) -> Table:
        """A line per task: what was measured and on how much, its interval over seeds, and its sampling error."""
        rows: list[tuple[str, ...]] = [
            (
                title,
                code(column),
                *self._measured_with(column),
                self._interval(column),
                self._stderr(column),
                self._figure(self._chance(column)),
                self._constant(column),
            )
            for column, title in self.table.headings.items()
            if column != AVERAGE
        ]
        rows.append(("Average", *([figures.ABSENT] * 5), *self._of_average()))
        headers = (
            "Task",
            "Name in lm-eval",
            "Version",
            "Metric",
            "Documents",
            "Cells",
            "95 % for the mean over seeds",
            "Standard error over documents",
            "Chance",
            "Best constant answer",
        )
        return without_empty_columns(Table(headers, tuple(rows), frozenset(range(4, len(headers)))), figures.ABSENT)

    def _of_average(self) -> tuple[str, ...]:
        return (
            self._interval(AVERAGE),
            self._stderr(AVERAGE),
            self._figure(self._chance(AVERAGE)),
            figures.ABSENT,
        )

    def _measured_with(self, task: str) -> tuple[str, str, str, str]:
        """Version, metric, documents and cells."""
        records = [record for own in self.table.records.values() for record in own if record.task == task]
        if not records:
            known = self.documents.get(task)
            return figures.ABSENT, figures.ABSENT, f"{known:,}" if known else figures.ABSENT, figures.ABSENT
        shots = next(column.num_fewshot for column in self.table.columns if column.task == task)
        expected = self.runs * len(shots)
        return (
            _joined(record.task_version for record in records),
            _joined(SCORE.metric(record) or figures.ABSENT for record in records),
            _joined(f"{r.documents:,}" if isinstance(r.documents, int) else UNKNOWN for r in records),
            f"{len(records)} of {expected}",
        )

    def _shown(self, score: Score) -> str:
        if score.value is None:
            return f"{figures.ABSENT} ({score.reason})" if self.standing != "published" else figures.ABSENT
        return self._figure(score.value)

    def _figure(self, value: float | None) -> str:
        return figures.ABSENT if value is None else f"{value:.{self.decimals}f}"

    def mean_shown(self, column: str) -> str:
        """Mean and sd over seeds of a column, as `65.54 ± 0.68`."""
        spread = self.table.over_seeds[column].spread
        if spread is None or spread.sd is None:
            return figures.ABSENT
        return _whole(f"{spread.mean:.{self.decimals}f} ± {spread.sd:.{self.decimals}f}")

    def _interval(self, column: str) -> str:
        interval = self.table.over_seeds[column].interval
        if interval is None:
            return figures.ABSENT
        return _whole(f"{interval.low:.{self.decimals}f} to {interval.high:.{self.decimals}f}")

    def _stderr(self, column: str) -> str:
        stderr, is_bound = self.table.stderr(column)
        if stderr is None:
            return figures.ABSENT
        return f"{'at most ' if is_bound else ''}{stderr:.{self.decimals}f}"

    def _chance(self, column: str) -> float | None:
        if column != AVERAGE:
            return self.chance.get(column)
        tasks = [task for task in self.table.headings if task != AVERAGE]
        known = [self.chance[task] for task in tasks if task in self.chance]
        return sum(known) / len(known) if len(known) == len(tasks) else None

    def _constant(self, task: str) -> str:
        baseline = self.table.baselines.get(task)
        return self._figure(baseline.constant if baseline else None)


@dataclass(frozen=True)
class Measurement:
    """How scores came about that were made of cells."""

    cells: int
    """Cells of the suite that are there: whole, and with the shots that the family asks for."""
    expected: int
    """Cells that make all scores whole."""
    others: int
    """Further cells, which no score counts: other shots or tasks, or only the first documents."""
    unevaluated: Markdown | None
    """The revisions that have no cell; None when all have."""
    harness: Markdown
    """Versions of lm-eval."""
    conditions: Markdown
    """Dtypes, devices and backends, as `float32 on cpu by mixhub's backend`."""
    mixed: bool
    """Whether rows were computed in different dtypes, so that no mean goes over them."""
    has_stderr: bool
    """Whether a standard error over documents is known."""
    has_bound: bool
    """Whether a standard error is only the most that it can be."""
    unknown: Markdown | None
    """What is not known of some cells."""


@dataclass(frozen=True)
class SideBySide:
    """Families beside each other: their scores of one standing, and the differences of their averages."""

    standing: Standing
    table: Table | None
    """A line per task, a column per family: mean and sd over seeds. None where no other was measured alike."""
    differences: tuple[str, ...]
    """A sentence for each other family."""


def published(family: Family, runs: Sequence[RunFacts]) -> Scores | None:
    """The published scores of the given runs; None where there are none."""
    printed = published_table(family)
    if printed is None:
        return None
    own = {facts.run.revision for facts in runs}
    rows = tuple(row for row in printed.rows if row.label in own)
    averages_only = family.published_scores.average if family.published_scores else {}
    if not rows and not own & set(averages_only):
        return None
    table = published_scores(_evidence(family, {}, replace(printed, rows=rows)))
    assert table is not None
    decimals = max((f.decimals for row in rows for f in row.figures.values()), default=_DECIMALS)
    return _scores(family, table, [facts.run.revision for facts in runs], runs, decimals)


def measured(family: Family, runs: Sequence[RunFacts], samples: SampleSummary = NO_SAMPLES) -> Scores | None:
    """The scores of the runs that have cells; None where none has.

    Raises:
        ResultsError: a cell has neither acc nor acc_norm, or cells of a run were made with different weights.
    """
    records = {facts.run.revision: facts.cells for facts in runs if facts.cells}
    return _of_cells(family, runs, records, "measured", samples)


def imported(family: Family, runs: Sequence[RunFacts]) -> Scores | None:
    """The scores of what another measured; None where there is none. Raises ResultsError as `measured` does."""
    records = {facts.run.revision: facts.imported for facts in runs if facts.imported}
    return _of_cells(family, runs, records, "imported", NO_SAMPLES)


def measurement(family: Family, runs: Sequence[RunFacts], scores: Scores) -> Measurement:
    """How the measured or imported scores of the given runs came about."""
    by_run = {f.run.revision: f.cells if scores.standing == "measured" else f.imported for f in runs}
    everything = [record for own in by_run.values() for record in own]
    counted = sum(len(own) for own in scores.table.records.values())
    without = [revision for revision, own in by_run.items() if not own]
    return Measurement(
        cells=counted,
        expected=len(runs) * len(family.evaluation.tasks) * len(family.evaluation.num_fewshot),
        others=len(everything) - counted,
        unevaluated=branches(without),
        harness=listed(_distinct(record.harness for record in everything)),
        conditions=listed(_distinct(map(_conditions, everything))),
        mixed=len({record.dtype for own in scores.table.records.values() for record in own} - {UNKNOWN}) > 1,
        has_stderr=any(scores.table.stderr(column)[0] is not None for column in scores.table.headings),
        has_bound=any(scores.table.stderr(column)[1] for column in scores.table.headings),
        unknown=_unknown(everything),
    )


def side_by_side(own: Scores, others: Sequence[tuple[str, Scores]], name: str) -> SideBySide | None:
    """The family beside others whose scores have the same standing and tasks; None where there are none.

    Args:
        own: scores of the family.
        others: name and scores of each other.
        name: of the family.
    """
    tasks = own.table.headings
    alike = [(title, scores) for title, scores in others if scores.table.headings.keys() == tasks.keys()]
    if not alike or own.kind != "seed":
        return None
    shown = [(name, own), *((title, scores) for title, scores in alike if _why_not(own, scores) is None)]
    rows = [(title, *(scores.mean_shown(task) for _, scores in shown)) for task, title in tasks.items()]
    table = Table(("Task", *(title for title, _ in shown)), tuple(rows), frozenset(range(1, len(shown) + 1)))
    differences = [found for title, scores in alike if (found := _difference_sentence(name, own, title, scores))]
    if len(shown) == 1:
        return SideBySide(own.standing, None, tuple(differences))
    return SideBySide(own.standing, table, tuple(differences))


def comparison(own: Scores, other: Scores) -> Comparison | None:
    """Two families compared; None where their rows are no seeds, or they have no spread."""
    if own.kind != "seed" or other.kind != "seed" or not (own.spread_shown and other.spread_shown):
        return None
    return compare(own.table, other.table)


def _why_not(own: Scores, other: Scores) -> str | None:
    """Why the averages of two families do not belong into one table; None where they do."""
    return compare(own.table, other.table).primary.reason or None


def _difference_sentence(name: str, own: Scores, other_name: str, other: Scores) -> str | None:
    """The difference of two averages in words, with its interval over seeds."""
    if reason := _why_not(own, other):
        return f"{name} and {other_name} are not compared: {reason}."
    compared = comparison(own, other)
    if compared is None:
        return None
    primary = compared.primary
    if primary.difference is None or primary.interval is None:
        return None
    low, high = primary.interval.low, primary.interval.high
    reaches = "reaches zero" if low <= 0 <= high else "does not reach zero"
    return (
        f"{name} less {other_name}: {primary.difference:+.2f} points of the average; the 95 % interval over seeds, "
        f"{low:+.2f} to {high:+.2f}, {reaches}."
    )


def _of_cells(
    family: Family,
    runs: Sequence[RunFacts],
    records: Mapping[str, Sequence[Record]],
    standing: Literal["measured", "imported"],
    samples: SampleSummary,
) -> Scores | None:
    if not records:
        return None
    evidence, columns = family_columns(family.evaluation, _evidence(family, records, None, standing))
    table = measured_table(evidence, columns, samples=samples, standing=standing)
    return _scores(family, table, list(records), runs, _DECIMALS)


def _evidence(
    family: Family, records: Mapping[str, Sequence[Record]], printed: Any, standing: Standing = "measured"
) -> Evidence:
    """Imported cells are of no family here: other tools do not say the seed of their shots, so it is not asked for."""
    return Evidence(
        name=family.name,
        kind=family.revisions.kind,
        family=family if standing == "measured" else None,
        records=MappingProxyType({revision: tuple(own) for revision, own in records.items()}),
        published=printed,
    )


def _scores(
    family: Family, table: ScoreTable, revisions: Sequence[str], runs: Sequence[RunFacts], decimals: int
) -> Scores:
    tasks = family.evaluation.tasks
    chance = {task.name: task.chance for task in tasks if task.chance is not None}
    for task, baseline in table.baselines.items():
        if baseline.chance is not None:
            chance[task] = baseline.chance
    return Scores(
        table=table,
        numbers={facts.run.revision: facts.run.number for facts in runs if facts.run.revision in revisions},
        runs=len(runs),
        chance=chance,
        documents={task.name: task.documents for task in tasks if task.documents is not None},
        decimals=decimals,
    )


def _whole(text: str) -> Markdown:
    """With spaces at which no page breaks the line, so that columns are no narrower than their figures."""
    return Markdown(text.replace(" ", "\N{NO-BREAK SPACE}"))


def _conditions(record: Record) -> str:
    if not isinstance(record, Cell):
        return f"{record.dtype} on {record.device}" if record.dtype != UNKNOWN else "a dtype that is not known"
    scored = "mixhub's backend" if record.provenance.backend == "mixhub" else "lm-eval's own backend"
    return f"{record.dtype} on {record.provenance.device} by {scored}"


def _unknown(records: Sequence[Record]) -> Markdown | None:
    what = {
        "the weights": "weights_sha256",
        "the dtype": "dtype",
        "the version of lm-eval": "harness",
        "the number of documents": "documents",
        "the prompts' hash": "task_hash",
    }
    named = [said for said, key in what.items() if any(getattr(record, key) == UNKNOWN for record in records)]
    return listed(named) if named else None


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))


def _joined(values: Iterable[str]) -> str:
    return ", ".join(_distinct(values)) or figures.ABSENT
