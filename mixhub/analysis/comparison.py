"""Two families compared by their seeds and documents.

The average is the primary endpoint, tasks are exploratory. Seeds are what varies over mixtures, so a statement on
mixtures needs seeds; an interval over documents alone holds for the checkpoints at hand only, and is named so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mixhub.analysis.samples import Documents
from mixhub.analysis.scores import Column, column_reason
from mixhub.analysis.statistics import (
    Interval,
    PairedScores,
    Permutation,
    Spread,
    TwoLevel,
    Welch,
    detectable_difference,
    documents_only,
    holm,
    permutation,
    spread,
    two_level,
    welch,
)
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UsageError

if TYPE_CHECKING:
    import numpy
    import pandas

POWER = 0.8
"""What counts as detectable is found in so many of such experiments."""
ALPHA = 0.05
"""Level of tests; intervals have one minus it."""


@dataclass(frozen=True)
class Contrast:
    """One figure of family A less that of family B."""

    column: str
    """lm-eval's name of the task, or `average`."""
    title: str
    """Heading."""
    a: Spread | None
    """Over A's seeds; None if undefined."""
    b: Spread | None
    """Over B's seeds."""
    reason: str = ""
    """Why the two are not compared; empty where they are."""
    detectable: float | None = None
    """The least true difference that so many seeds, with such sds, find in 80 of 100 experiments."""
    welch: Welch | None = None
    """Over seeds; None with a single seed on a side."""
    permutation: Permutation | None = None
    """Over seeds."""
    p_holm: float | None = None
    """Welch's p after Holm over all tasks; of the average, which stands alone, None."""
    two_level: TwoLevel | None = None
    """Over seeds and documents; None without samples."""
    these_checkpoints: Interval | None = None
    """Over documents alone: no statement on mixtures. None without samples."""

    @property
    def difference(self) -> float | None:
        """Mean of A less mean of B."""
        return None if self.a is None or self.b is None or self.reason else self.a.mean - self.b.mean

    @property
    def interval(self) -> Interval | None:
        """What decides: over seeds and documents, else over seeds."""
        found = self.two_level or self.welch
        return Interval(found.low, found.high) if found else None


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
        """A line a contrast, the average first; columns are the fields of `Contrast`, spread out."""
        import pandas as pd

        return pd.DataFrame([_line(contrast) for contrast in (self.primary, *self.tasks)])


def compare(a: ScoreTable, b: ScoreTable) -> Comparison:
    """Two families by their seeds, and by their documents where samples were read.

    Args:
        a: scores of the one family, a row per seed.
        b: scores of the other, in the same measure.

    Returns:
        The difference of the averages, and of each task that both have, with Holm's p-values over the tasks.

    Raises:
        UsageError: the rows are not known to be seeds, or one is measured and the other published.
        ResultsError: they have no task in common.
        ValueError: they are of different measures.
    """
    require_comparable([a, b])
    in_both = shared_columns(a, b)
    if not in_both:
        raise ResultsError(
            f"{a.name} and {b.name} have no task in common",
            code="tasks-disjoint",
            hint="name the suite: --suite NAME; or evaluate both",
            names=(a.name, b.name),
        )
    tasks = [contrast(a, b, column.task, column.title, [column]) for column in in_both]
    tested = [contrast for contrast in tasks if contrast.welch is not None]
    adjusted = holm([contrast.welch.p for contrast in tested if contrast.welch])
    by_task = {contrast.column: p for contrast, p in zip(tested, adjusted, strict=True)}
    primary = contrast(a, b, AVERAGE, "Average", in_both)
    return Comparison(a, b, primary, tuple(replace(one, p_holm=by_task.get(one.column)) for one in tasks))


def contrast(a: ScoreTable, b: ScoreTable, column: str, title: str, columns: Sequence[Column]) -> Contrast:
    """One figure of A less that of B.

    Args:
        a: scores of the one family.
        b: scores of the other.
        column: the task, or `average`.
        title: its heading.
        columns: the tasks that the figure is made of.

    Returns:
        The difference with its tests; if the two were measured differently, only the spreads and the reason.
    """
    own, other = a.over_seeds[column], b.over_seeds[column]
    x, y = a.values(column), b.values(column)
    whole = len(x) == len(a.rows) > 0 and len(y) == len(b.rows) > 0
    reason = "" if whole else f"{len(x)} of {len(a.rows)} and {len(y)} of {len(b.rows)} seeds are whole"
    reason = reason or difference_in_measuring((a, b), columns) or (other_tasks((a, b)) if column == AVERAGE else "")
    spreads = own.spread or _lone(x), other.spread or _lone(y)
    if reason:
        return Contrast(column, title, *spreads, reason)
    paired = [found for found in (_paired(a, b, one.task) for one in columns) if found is not None]
    has_documents = len(paired) == len(columns)
    return Contrast(
        column=column,
        title=title,
        a=spreads[0],
        b=spreads[1],
        detectable=_detectable(*spreads),
        welch=welch(x, y),
        permutation=permutation(x, y) if min(len(x), len(y)) > 1 else None,
        two_level=two_level(paired) if has_documents else None,
        these_checkpoints=documents_only(paired) if has_documents else None,
    )


def require_comparable(tables: Sequence[ScoreTable], *, seeds_only: bool = True) -> None:
    """Checks that tables may be compared: all measured or all published, over seeds, or over indices.

    Raises:
        UsageError: they may not; names the families.
        ValueError: they are of different measures.
    """
    if len({table.standing for table in tables}) > 1:
        said = ", ".join(f"{table.name} is {table.standing}" for table in tables)
        raise UsageError(
            f"published and measured scores are not compared: {said}",
            code="scores-mixed",
            hint="compare published with published: --published",
            names=tuple(table.name for table in tables),
        )
    for table in tables:
        if table.kind == "revision" or (seeds_only and table.kind != "seed"):
            shown = ", ".join(row.revision for row in table.rows[:3])
            raise UsageError(
                f"{table.name}: its rows are no seeds ({shown})",
                code="seeds-unknown",
                hint="if they are seeds of one recipe, say so: --seeds",
                name=table.name,
            )
    if len({table.measure.name for table in tables}) > 1:
        raise ValueError("tables of different measures")


def shared_columns(a: ScoreTable, b: ScoreTable) -> list[Column]:
    """The columns of A whose tasks B has too."""
    return [column for column in a.columns if column.task in b.headings]


def _lone(values: Sequence[float]) -> Spread | None:
    """What stands for the spread of a single seed."""
    return spread(values) if len(values) == 1 else None


def _detectable(a: Spread | None, b: Spread | None) -> float | None:
    if a is None or b is None or not a.sd or not b.sd:  # seeds without any spread tell nothing of others
        return None
    return detectable_difference(a.sd, a.n, b.sd, b.n, power=POWER, alpha=ALPHA)


def difference_in_measuring(tables: Sequence[ScoreTable], columns: Sequence[Column]) -> str:
    """Why the cells of several families are not compared, task by task; empty where they are."""
    shots = [{column.task: column.num_fewshot for column in table.columns} for table in tables]
    for column in columns:
        if len({own[column.task] for own in shots}) > 1:
            return f"{column.title}: different shot counts do not mix"
        records = [r for table in tables for own in table.records.values() for r in own if r.task == column.task]
        seen = {found.content for table in tables for found in _documents(table, column.task)} - {""}
        reason = column_reason(records, tables[0].measure)
        if reason or len(seen) > 1:
            return f"{column.title}: {reason or 'different documents do not mix'}"
    return ""


def other_tasks(tables: Sequence[ScoreTable]) -> str:
    """Why the averages of several families are not compared; empty where they are."""
    tasks = {frozenset(column.task for column in table.columns) for table in tables}
    return "" if len(tasks) == 1 else "the averages are of different tasks"


def _documents(table: ScoreTable, task: str) -> list[Documents]:
    """What the documents of a task contributed, of the rows whose samples were read."""
    found = (table.documents.values.get((row.revision, task)) for row in table.rows)
    return [documents for documents in found if documents is not None]


def _paired(a: ScoreTable, b: ScoreTable, task: str) -> PairedScores | None:
    values = aligned_documents([a, b], task)
    return PairedScores(values[0], values[1], a.documents.clusters.get((a.rows[0].revision, task))) if values else None


def aligned_documents(tables: Sequence[ScoreTable], task: str) -> list[numpy.ndarray] | None:
    """For each table (S, D) values of the same documents; None if samples are missing or saw other documents."""
    import numpy as np

    found = [_documents(table, task) for table in tables]
    everything = [documents for rows in found for documents in rows]
    if not everything or len(everything) < sum(len(table.rows) for table in tables):
        return None
    first = everything[0]
    if not first.content:  # what is not known cannot be known to be the same
        return None
    if any(one.content != first.content or not np.array_equal(one.ids, first.ids) for one in everything):
        return None
    return [np.stack([documents.values for documents in rows]) for rows in found]


def _line(contrast: Contrast) -> dict[str, Any]:
    parts: dict[str, Any] = {
        name: getattr(contrast, name) for name in ("a", "b", "welch", "permutation", "two_level", "these_checkpoints")
    }
    line: dict[str, Any] = {"task": contrast.column, "title": contrast.title, "difference": contrast.difference}
    line |= {"detectable": contrast.detectable, "p_holm": contrast.p_holm, "reason": contrast.reason}
    for name, part in parts.items():
        line |= prefixed(name, vars(part)) if part is not None else {}
    return line


def prefixed(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as columns of a frame, as `welch_p`."""
    return {f"{prefix}_{name}": value for name, value in fields.items()}
