"""Two families compared by their seeds and documents.

The average is the primary endpoint; tasks are exploratory. Mixtures vary over seeds, so a claim about mixtures needs
seeds. An interval over documents alone holds for the given checkpoints only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mixhub.analysis.pairs import Pairs, find_pairs, named_pairs
from mixhub.analysis.samples import Documents
from mixhub.analysis.scores import Column, column_reason
from mixhub.analysis.statistics import crossed, seeds
from mixhub.analysis.tables import AVERAGE, ScoreTable, mixed_steps
from mixhub.errors import ResultsError, UsageError
from mixhub.workspace.lineage import UNKNOWN

if TYPE_CHECKING:
    import numpy
    import pandas

Ranged = TypeVar("Ranged", seeds.Interval, seeds.Estimate, crossed.TwoLevel)


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
    """Over seeds; None with a single seed on one side, or if no seed differs from another."""
    paired: seeds.Estimate | None = None
    """Over pairs of seeds; None unless seeds are pairs that differ by different amounts."""
    detectable_paired: float | None = None
    """As `detectable`, by the paired test."""
    permutation: seeds.Permutation | None = None
    """Over seeds."""
    p_holm: float | None = None
    """The p over seeds, paired if they are pairs, adjusted by Holm over all tasks; None for the average, which is a
    single test."""
    two_level: crossed.TwoLevel | None = None
    """Over seeds and documents, in pairs if seeds are pairs; None without samples."""
    these_checkpoints: seeds.Interval | None = None
    """Over documents alone: no claim about mixtures. None without samples."""

    @property
    def difference(self) -> float | None:
        """Mean of A minus mean of B."""
        return None if self.a is None or self.b is None or self.reason else self.a.mean - self.b.mean

    @property
    def over_seeds(self) -> seeds.Estimate | None:
        """The test over seeds that decides: the paired one, if seeds are pairs."""
        return self.paired or self.welch

    @property
    def interval(self) -> seeds.Interval | None:
        """The interval that decides: over seeds and documents, else over seeds."""
        estimate = self.two_level or self.over_seeds
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
    pairs: Pairs | None = None
    """The seeds of both families that belong together."""

    def frame(self) -> pandas.DataFrame:
        """A row per contrast, the average first; columns are the fields of `Contrast`, spread out."""
        import pandas as pd

        return pd.DataFrame([_line(contrast) for contrast in (self.primary, *self.tasks)])


def compare(a: ScoreTable, b: ScoreTable, *, paired: bool = False) -> Comparison:
    """Compare two families by their seeds, and by their documents if samples were read.

    Seeds that share their initial weights or the seed of the data order are pairs, and are compared as such too.

    Args:
        a: scores of one family, a row per seed.
        b: scores of the other, in the same measure.
        paired: whether rows with the same name, or else at the same place, are pairs, whatever their origins.

    Returns:
        The difference of the averages and of each common task, with Holm's p-values over the tasks.

    Raises:
        UsageError: the rows are not known to be seeds, one is measured and the other published, or no two rows can
            be paired.
        ResultsError: they have no task in common.
    """
    require_comparable([a, b])
    columns = shared_columns(a, b)
    if not columns:
        what = a.measure.columns
        message = f"{a.name} and {b.name} have no {what} in common"
        hint = (
            "choose a suite with --suite NAME"
            if what == "task"
            else "compare runs that were validated on the same text"
        )
        raise ResultsError(message, code="tasks-disjoint", hint=hint, names=(a.name, b.name))
    pairs = pairs_of(a, b, paired=paired)
    tasks = with_holm([contrast(a, b, column.task, column.title, [column], pairs) for column in columns])
    return Comparison(a, b, contrast(a, b, AVERAGE, "Average", columns, pairs), tasks, pairs)


def pairs_of(a: ScoreTable, b: ScoreTable, *, paired: bool = False) -> Pairs | None:
    """The seeds of two families that are pairs: by their names or places if `paired`, else by their origins.

    Raises:
        UsageError: with `paired`, there are not two rows with the same names, nor equally many.
    """
    if not paired:
        return find_pairs(a.origins, b.origins)
    names = [[row.revision for row in table.rows] for table in (a, b)]
    if (pairs := named_pairs(*names)) is None:
        message = f"--paired: {a.name} and {b.name} have no two rows with the same names, or at the same places"
        hint = "pass as many seeds of both, in the same order, or omit --paired"
        raise UsageError(message, code="option-value", hint=hint, option="--paired", value=True)
    return pairs


def with_holm(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """The contrasts with the p-values over seeds adjusted for their number."""
    adjusted = iter(seeds.holm([one.over_seeds.p for one in contrasts if one.over_seeds]))
    return tuple(replace(one, p_holm=next(adjusted)) if one.over_seeds else one for one in contrasts)


def contrast(
    a: ScoreTable, b: ScoreTable, column: str, title: str, columns: Sequence[Column], pairs: Pairs | None = None
) -> Contrast:
    """Compare one figure of two families.

    Args:
        a: scores of one family.
        b: scores of the other.
        column: the task, or `average`.
        title: its heading.
        columns: the tasks behind the figure.
        pairs: the seeds that belong together.

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
    documents = [own for own in (_on_documents(a, b, one.task) for one in columns) if own is not None]
    has_documents = bool(documents) and len(documents) == len(columns)
    paired = seeds.paired(*_paired_values(a, b, column, pairs)) if pairs else None
    two_level = None
    if has_documents:
        two_level = crossed.two_level([_differences(a, b, one, pairs) for one in documents] if pairs else documents)
    return Contrast(
        column=column,
        title=title,
        a=spread_a,
        b=spread_b,
        detectable=detectable,
        welch=with_width(seeds.welch(x, y)),
        paired=with_width(paired),
        detectable_paired=seeds.detectable(paired.stderr, paired.df) if paired and paired.stderr else None,
        permutation=seeds.permutation(x, y) if min(len(x), len(y)) > 1 else None,
        two_level=with_width(two_level),
        these_checkpoints=with_width(crossed.documents_only(documents)) if has_documents else None,
    )


def with_width(found: Ranged | None) -> Ranged | None:
    """The interval; None if it has no width, which would read as certainty."""
    return None if found is None or found.low == found.high else found


def _paired_values(a: ScoreTable, b: ScoreTable, column: str, pairs: Pairs) -> tuple[list[float], list[float]]:
    """The figures of both families, in the order of the pairs; those of all rows are complete."""
    sides: tuple[list[float], list[float]] = ([], [])
    for at, table in enumerate((a, b)):
        by_revision = {row.revision: table.score(row, column).value for row in table.rows}
        sides[at].extend(value for pair in pairs.rows if (value := by_revision[pair[at]]) is not None)
    return sides


def _differences(a: ScoreTable, b: ScoreTable, documents: crossed.PairedScores, pairs: Pairs) -> crossed.PairedScores:
    """The differences of pairs of seeds on each document, against 0: what varies is then what pairs do not share."""
    import numpy as np

    at = [{row.revision: number for number, row in enumerate(table.rows)} for table in (a, b)]
    rows_a, rows_b = ([own[pair[side]] for pair in pairs.rows] for side, own in enumerate(at))
    differences = documents.a[rows_a] - documents.b[rows_b]  # (P, D)
    return crossed.PairedScores(differences, np.zeros_like(differences), documents.clusters)


def require_comparable(tables: Sequence[ScoreTable], *, seeds_only: bool = True) -> None:
    """Check that tables all have cells, their own or imported ones, or are all published; and that all are over seeds,
    or all over indices.

    Raises:
        UsageError: they are not; names the families.
    """
    if len({table.standing == "published" for table in tables}) > 1:
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
        reason = column_reason(records, tables[0].measure) or _steps_difference(tables, column)
        if reason or len(contents) > 1:
            return f"{column.title}: {reason or 'different documents cannot be mixed'}"
    for what in sorted({what for table in tables for what in table.text}):
        if len({table.text.get(what, UNKNOWN) for table in tables} - {UNKNOWN}) > 1:
            return f"losses with different {what} cannot be mixed"
    return ""


def _steps_difference(tables: Sequence[ScoreTable], column: Column) -> str:
    """Why losses of a domain are not compared; empty if they are of one step."""
    steps = dict.fromkeys(step for table in tables for step in table.steps.get(column.task, ()))
    return mixed_steps(list(steps))


def tasks_difference(tables: Sequence[ScoreTable]) -> str:
    """Why the averages of several families are not compared; empty if they are."""
    tasks = {frozenset(column.task for column in table.columns) for table in tables}
    return "" if len(tasks) == 1 else f"the averages cover different {tables[0].measure.columns}s"


def _documents(table: ScoreTable, task: str) -> list[Documents]:
    """The documents of a task, of each row whose samples were read."""
    documents = (table.documents.values.get((row.revision, task)) for row in table.rows)
    return [one for one in documents if one is not None]


def _on_documents(a: ScoreTable, b: ScoreTable, task: str) -> crossed.PairedScores | None:
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
    line |= {"detectable": contrast.detectable, "detectable_paired": contrast.detectable_paired}
    line |= {"p_holm": contrast.p_holm, "reason": contrast.reason}
    for name in ("a", "b", "welch", "paired", "permutation", "two_level", "these_checkpoints"):
        line |= prefixed(name, getattr(contrast, name))
    return line


def prefixed(prefix: str, part: object) -> dict[str, Any]:
    """The fields of a part as columns of a frame, such as `welch_p`; empty for None."""
    return {} if part is None else {f"{prefix}_{name}": value for name, value in vars(part).items()}
