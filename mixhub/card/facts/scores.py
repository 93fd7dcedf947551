"""Scores as a card shows them, each table with its standing: measured here, imported, or published elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from mixhub.analysis.building import measured_table, published_scores
from mixhub.analysis.evidence import Evidence, family_columns
from mixhub.analysis.published.table import published_table
from mixhub.analysis.samples import NO_SAMPLES
from mixhub.analysis.scores import SCORE, Score, Standing
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, branches, code, listed, without_empty_columns
from mixhub.spec.values import Label
from mixhub.workspace.cells import Cell
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

_FIELDS = {
    "weights_sha256": "the weights",
    "dtype": "the dtype",
    "harness": "the version of lm-eval",
    "documents": "the number of documents",
    "task_hash": "the prompts' hash",
}
"""Decides the text of a cell."""


@dataclass(frozen=True)
class Scores:
    """A table of scores, and how its figures are shown."""

    facts: FamilyFacts
    """The family and its runs."""
    table: ScoreTable
    records: Mapping[str, tuple[Record, ...]]
    """All cells by revision, whether a score counts them or not; empty for published scores."""
    decimals: int = 2

    @property
    def standing(self) -> Standing:
        """Whether it was measured here, imported, or published."""
        return self.table.standing

    @cached_property
    def labels(self) -> Mapping[str, Label]:
        """Seed or index, by revision."""
        return {one.run.revision: one.run.label for one in self.facts.runs}

    @cached_property
    def chance(self) -> Mapping[str, float]:
        """Score of guessing by task, in percent; of the average too, if all tasks have one."""
        tasks = self.facts.family.evaluation.tasks
        return self.table.chances({task.name: task.chance for task in tasks if task.chance is not None})

    @property
    def spread_shown(self) -> bool:
        """Whether any column has a mean over seeds."""
        return any(over.spread for over in self.table.over_seeds.values())

    @property
    def leaves_range(self) -> bool:
        """Whether an interval over seeds goes below 0 or above 100."""
        intervals = [over.interval for over in self.table.over_seeds.values() if over.interval]
        return any(interval.low < 0 or interval.high > 100 for interval in intervals)

    @property
    def no_mean(self) -> Mapping[str, str]:
        """Reasons, by title, why a column has no mean over seeds, unless the table shows why."""
        if self.table.kind != "seed" or len(self.table.rows) < 2:
            return {}
        return {
            self.table.headings[task]: over.reason
            for task, over in self.table.over_seeds.items()
            if over.reason and over.reason.endswith(("be mixed", "same weights")) and task != AVERAGE
        }

    @property
    def without_spread(self) -> Markdown:
        """The columns in which all seeds have the same score, so that it is not known how much others vary."""
        over = self.table.over_seeds
        return listed([title for task, title in self.table.headings.items() if over[task].spread and over[task].reason])

    @cached_property
    def how(self) -> dict[str, Any]:
        """How scores were measured or imported, for the sentences below their table."""
        suite, runs = self.facts.family.evaluation, len(self.facts.runs)
        records = [record for own in self.records.values() for record in own]
        counted = [record for own in self.table.records.values() for record in own]
        stderrs = [self.table.stderr(column) for column in self.table.headings]
        missing = [name for key, name in _FIELDS.items() if any(getattr(one, key) == UNKNOWN for one in records)]
        return {
            "cells": len(counted),  # of the suite, complete, and with its shots
            "expected": runs * len(suite.tasks) * len(suite.num_fewshot),
            "others": len(records) - len(counted),
            "unevaluated": branches([revision for revision, own in self.records.items() if not own]),
            "harness": listed(_distinct(record.harness for record in records)),
            "conditions": listed(_distinct(map(_conditions, records))),
            "mixed": len({record.dtype for record in counted} - {UNKNOWN}) > 1,  # so that rows have no mean
            "has_stderr": any(stderr is not None for stderr, _ in stderrs),
            "has_bound": any(is_bound for _, is_bound in stderrs),
            "unknown": listed(missing) if missing else None,
        }

    def by_run(self) -> Table:
        """Return a row for each revision, and below them the mean and sd over seeds, and chance."""
        headings = {AVERAGE: self.table.headings[AVERAGE], **self.table.headings}  # in sight on a narrow page
        rows = [
            (str(self.labels[row.revision]), *(self._score(self.table.score(row, column)) for column in headings))
            for row in self.table.rows
        ]
        if self.spread_shown:
            rows.append(("mean ± sd", *map(self.mean, headings)))
        if self.chance:
            rows.append(("chance", *(self._figure(self.chance.get(column)) for column in headings)))
        titles = (self.table.kind.capitalize(), *headings.values())
        return Table(titles, tuple(rows), frozenset(range(1, len(titles))))

    def by_task(self) -> Table:
        """Return a row for each task: what was measured, its interval over seeds, its sampling error and baselines."""
        rows = []
        for column, title in self.table.headings.items():
            baseline = self.table.baselines.get(column)
            interval = self.table.over_seeds[column].interval
            stderr, is_bound = self.table.stderr(column)
            measured = (figures.ABSENT,) * 5 if column == AVERAGE else (code(column), *self._measured(column))
            mean = figures.ABSENT if interval is None else self._pair(interval.low, "to", interval.high)
            error = ("at most " if is_bound else "") + self._figure(stderr)
            constant = self._figure(baseline.constant if baseline else None)
            rows.append((title, *measured, mean, error, self._figure(self.chance.get(column)), constant))
        measured_as = ("Name in lm-eval", "Version", "Metric", "Documents", "Cells")
        figures_of = ("95 % interval over seeds", "Standard error over documents", "Chance", "Best constant answer")
        headers = ("Task", *measured_as, *figures_of)
        return without_empty_columns(Table(headers, tuple(rows), frozenset(range(4, len(headers)))), figures.ABSENT)

    def mean(self, column: str) -> str:
        """Return mean and sd over seeds of a column, such as `65.54 ± 0.68`; without an sd if the seeds are equal."""
        over = self.table.over_seeds[column]
        if over.spread is None or over.spread.sd is None:
            return figures.ABSENT
        if over.interval is None:
            return self._figure(over.spread.mean)
        return self._pair(over.spread.mean, "±", over.spread.sd)

    def _measured(self, task: str) -> tuple[str, str, str, str]:
        """Return version, metric, documents and cells."""
        records = [record for own in self.table.records.values() for record in own if record.task == task]
        suite = self.facts.family.evaluation
        if not records:
            documents = next((one.documents for one in suite.tasks if one.name == task), None)
            return figures.ABSENT, figures.ABSENT, f"{documents:,}" if documents else figures.ABSENT, figures.ABSENT
        return (
            ", ".join(_distinct(record.task_version for record in records)),
            ", ".join(_distinct(SCORE.metric(record) or figures.ABSENT for record in records)),
            ", ".join(_distinct(figures.whole(record.documents) for record in records)),
            f"{len(records)} of {len(self.facts.runs) * len(suite.num_fewshot)}".replace(" ", "\N{NO-BREAK SPACE}"),
        )

    def _score(self, score: Score) -> str:
        reason = f" ({score.reason})" if score.value is None and self.standing != "published" else ""
        return self._figure(score.value) + reason

    def _figure(self, value: float | None) -> str:
        return figures.ABSENT if value is None else f"{value:.{self.decimals}f}"

    def _pair(self, first: float, word: str, second: float) -> Markdown:
        """Return two figures, with spaces at which a page does not break the line."""
        return Markdown(f"{self._figure(first)}\N{NO-BREAK SPACE}{word}\N{NO-BREAK SPACE}{self._figure(second)}")


def find_scores(facts: FamilyFacts, standing: Standing) -> Scores | None:
    """Return the scores of this standing; None if there are none.

    Raises:
        ResultsError: a cell has neither acc nor acc_norm, or cells of a run were made with different weights.
    """
    if standing == "published":
        return _published(facts)
    family, is_ours = facts.family, standing == "measured"
    records: dict[str, tuple[Record, ...]] = {
        one.run.revision: one.cells if is_ours else one.imported for one in facts.runs
    }
    found = {revision: own for revision, own in records.items() if own}
    if not found:
        return None
    cells = MappingProxyType(found)
    evidence = Evidence(family.name, family.revisions.kind, family, cells, None, standing=standing)
    evidence, columns = family_columns(family.evaluation, evidence)
    samples = facts.samples if is_ours else NO_SAMPLES
    return Scores(facts, measured_table(evidence, columns, samples=samples, standing=standing), records)


def best_scores(facts: FamilyFacts) -> Scores | None:
    """Return the scores that are known best: measured here, else imported, else published; raises as `find_scores`."""
    return find_scores(facts, "measured") or find_scores(facts, "imported") or find_scores(facts, "published")


def _published(facts: FamilyFacts) -> Scores | None:
    family = facts.family
    printed = published_table(family)
    revisions = {one.run.revision for one in facts.runs}
    rows = tuple(row for row in printed.rows if row.label in revisions) if printed else ()
    averages = family.published_scores.average if family.published_scores else {}
    if printed is None or not (rows or revisions & set(averages)):
        return None
    printed = replace(printed, rows=rows)
    evidence = Evidence(family.name, family.revisions.kind, family, MappingProxyType({}), printed)
    table = published_scores(evidence)
    assert table is not None
    decimals = max((one.decimals for row in rows for one in row.figures.values()), default=2)
    return Scores(facts, table, {}, decimals)


def _conditions(record: Record) -> str:
    if not isinstance(record, Cell):
        return f"{record.dtype} on {record.device}" if record.dtype != UNKNOWN else "an unknown dtype"
    scored = "mixhub's backend" if record.provenance.backend == "mixhub" else "lm-eval's own backend"
    return f"{record.dtype} on {record.provenance.device} by {scored}"


def _distinct(values: Iterable[str]) -> Sequence[str]:
    return sorted(set(values))
