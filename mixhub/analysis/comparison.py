"""Two families compared by their seeds and documents.

The average is the primary endpoint; tasks are exploratory. Mixtures vary over seeds, so a claim about mixtures needs
seeds. An interval over documents alone holds for the given checkpoints only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mixhub.analysis.samples import Documents
from mixhub.analysis.scores import Column, column_reason
from mixhub.analysis.statistics import crossed, seeds
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UsageError

if TYPE_CHECKING:
    import numpy
    import pandas


@dataclass(frozen=True)
class Contrast:
    """One figure of family A minus that of family B."""

    column: str
    """lm-eval's name of the task, or `average`."""
    title: str
    """Heading."""
    a: seeds.Spread | None
    """Over A's seeds; None if undefined."""
    b: seeds.Spread | None
    """Over B's seeds."""
    reason: str = ""
    """Why the two are not compared; empty if they are."""
    detectable: float | None = None
    """The smallest true difference that this many seeds, with these sds, find in 80 of 100 experiments."""
    welch: seeds.Estimate | None = None
    """Over seeds; None with a single seed on one side."""
    permutation: seeds.Permutation | None = None
    """Over seeds."""
    p_holm: float | None = None
    """Welch's p adjusted by Holm over all tasks; None for the average, which is a single test."""
    two_level: crossed.TwoLevel | None = None
    """Over seeds and documents; None without samples."""
    these_checkpoints: seeds.Interval | None = None
    """Over documents alone: no claim about mixtures. None without samples."""

    @property
    def difference(self) -> float | None:
        """Mean of A minus mean of B."""
        return None if self.a is None or self.b is None or self.reason else self.a.mean - self.b.mean

    @property
    def interval(self) -> seeds.Interval | None:
        """The interval that decides: over seeds and documents, else over seeds."""
        estimate = self.two_level or self.welch
        return seeds.Interval(estimate.low, estimate.high) if estimate else None


@dataclass(frozen=True)
class Comparison:
    """Two families, compared."""

    a: ScoreTable
    b: ScoreTable
    primary: Contrast
    """The average."""
    tasks: tuple[Contrast, ...]
    """Exploratory."""

    def frame(self) -> pandas.DataFrame:
        """A row per contrast, the average first; columns are the fields of `Contrast`, spread out."""
        import pandas as pd

        return pd.DataFrame([_line(contrast) for contrast in (self.primary, *self.tasks)])


def compare(a: ScoreTable, b: ScoreTable) -> Comparison:
    """Compare two families by their seeds, and by their documents if samples were read.

    Args:
        a: scores of one family, a row per seed.
        b: scores of the other, in the same measure.

    Returns:
        The difference of the averages and of each common task, with Holm's p-values over the tasks.

    Raises:
        UsageError: the rows are not known to be seeds, or one is measured and the other published.
        ResultsError: they have no task in common.
    """
    require_comparable([a, b])
    columns = shared_columns(a, b)
    if not columns:
        message = f"{a.name} and {b.name} have no task in common"
        raise ResultsError(
            message, code="tasks-disjoint", hint="choose a suite with --suite NAME", names=(a.name, b.name)
        )
    tasks = with_holm([contrast(a, b, column.task, column.title, [column]) for column in columns])
    return Comparison(a, b, contrast(a, b, AVERAGE, "Average", columns), tasks)


def with_holm(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """The contrasts with Welch's p-values adjusted for their number."""
    adjusted = iter(seeds.holm([one.welch.p for one in contrasts if one.welch]))
    return tuple(replace(one, p_holm=next(adjusted)) if one.welch else one for one in contrasts)


def contrast(a: ScoreTable, b: ScoreTable, column: str, title: str, columns: Sequence[Column]) -> Contrast:
    """Compare one figure of two families.

    Args:
        a: scores of one family.
        b: scores of the other.
        column: the task, or `average`.
        title: its heading.
        columns: the tasks behind the figure.

    Returns:
        The difference with its tests; if the two were measured differently, only the spreads and the reason.
    """
    x, y = a.values(column), b.values(column)
    is_whole = len(x) == len(a.rows) > 0 and len(y) == len(b.rows) > 0
    reason = "" if is_whole else f"{len(x)} of {len(a.rows)} and {len(y)} of {len(b.rows)} seeds are complete"
    reason = reason or measuring_difference((a, b), columns) or (tasks_difference((a, b)) if column == AVERAGE else "")
    spread_a = a.over_seeds[column].spread or (seeds.spread(x) if len(x) == 1 else None)
    spread_b = b.over_seeds[column].spread or (seeds.spread(y) if len(y) == 1 else None)
    if reason:
        return Contrast(column, title, spread_a, spread_b, reason)
    detectable = None
    if spread_a and spread_b and spread_a.sd and spread_b.sd:  # seeds without any spread say nothing about others
        detectable = seeds.detectable_difference(spread_a.sd, spread_a.n, spread_b.sd, spread_b.n)
    paired = [pair for pair in (_paired(a, b, one.task) for one in columns) if pair is not None]
    has_documents = len(paired) == len(columns)
    return Contrast(
        column=column,
        title=title,
        a=spread_a,
        b=spread_b,
        detectable=detectable,
        welch=seeds.welch(x, y),
        permutation=seeds.permutation(x, y) if min(len(x), len(y)) > 1 else None,
        two_level=crossed.two_level(paired) if has_documents else None,
        these_checkpoints=crossed.documents_only(paired) if has_documents else None,
    )


def require_comparable(tables: Sequence[ScoreTable], *, seeds_only: bool = True) -> None:
    """Check that tables are all measured or all published, and all over seeds or all over indices.

    Raises:
        UsageError: they are not; names the families.
    """
    if len({table.standing for table in tables}) > 1:
        standings = ", ".join(f"{table.name} is {table.standing}" for table in tables)
        message = f"published and measured scores are not compared: {standings}"
        raise UsageError(
            message, code="scores-mixed", hint="pass --published", names=tuple(table.name for table in tables)
        )
    for table in tables:
        if table.kind == "revision" or (seeds_only and table.kind != "seed"):
            shown = ", ".join(row.revision for row in table.rows[:3])
            message = f"{table.name}: its rows are not seeds ({shown})"
            raise UsageError(
                message, code="seeds-unknown", hint="pass --seeds if they are seeds of one recipe", name=table.name
            )


def shared_columns(a: ScoreTable, b: ScoreTable) -> list[Column]:
    """The columns of A whose tasks B also has."""
    return [column for column in a.columns if column.task in b.headings]


def measuring_difference(tables: Sequence[ScoreTable], columns: Sequence[Column]) -> str:
    """Why the cells of several families are not compared, task by task; empty if they are."""
    shots = [{column.task: column.num_fewshot for column in table.columns} for table in tables]
    for column in columns:
        if len({own[column.task] for own in shots}) > 1:
            return f"{column.title}: different shot counts cannot be mixed"
        records = [r for table in tables for own in table.records.values() for r in own if r.task == column.task]
        contents = {documents.content for table in tables for documents in _documents(table, column.task)} - {""}
        reason = column_reason(records, tables[0].measure)
        if reason or len(contents) > 1:
            return f"{column.title}: {reason or 'different documents cannot be mixed'}"
    return ""


def tasks_difference(tables: Sequence[ScoreTable]) -> str:
    """Why the averages of several families are not compared; empty if they are."""
    tasks = {frozenset(column.task for column in table.columns) for table in tables}
    return "" if len(tasks) == 1 else "the averages cover different tasks"


def _documents(table: ScoreTable, task: str) -> list[Documents]:
    """The documents of a task, of each row whose samples were read."""
    documents = (table.documents.values.get((row.revision, task)) for row in table.rows)
    return [one for one in documents if one is not None]


def _paired(a: ScoreTable, b: ScoreTable, task: str) -> crossed.PairedScores | None:
    values = aligned_documents([a, b], task)
    return crossed.PairedScores(values[0], values[1], passages(a, task)) if values else None


def passages(table: ScoreTable, task: str) -> numpy.ndarray | None:
    """(D,) the passage of each document of a task, if documents share passages."""
    return table.documents.clusters.get((table.rows[0].revision, task))


def aligned_documents(tables: Sequence[ScoreTable], task: str) -> list[numpy.ndarray] | None:
    """For each table (S, D) values of the same documents; None if samples are missing or the documents differ."""
    import numpy as np

    by_table = [_documents(table, task) for table in tables]
    everything = [documents for rows in by_table for documents in rows]
    if not everything or len(everything) < sum(len(table.rows) for table in tables):
        return None
    first = everything[0]
    if not first.content:  # documents without a hash cannot be known to be the same
        return None
    if any(one.content != first.content or not np.array_equal(one.ids, first.ids) for one in everything):
        return None
    return [np.stack([documents.values for documents in rows]) for rows in by_table]


def _line(contrast: Contrast) -> dict[str, Any]:
    line: dict[str, Any] = {"task": contrast.column, "title": contrast.title, "difference": contrast.difference}
    line |= {"detectable": contrast.detectable, "p_holm": contrast.p_holm, "reason": contrast.reason}
    for name in ("a", "b", "welch", "permutation", "two_level", "these_checkpoints"):
        line |= prefixed(name, getattr(contrast, name))
    return line


def prefixed(prefix: str, part: object) -> dict[str, Any]:
    """The fields of a part as columns of a frame, such as `welch_p`; empty for None."""
    return {} if part is None else {f"{prefix}_{name}": value for name, value in vars(part).items()}
