"""Mixtures compared: two families by their seeds and documents, several by rank, agreement and variance.

The average is the primary endpoint, tasks are exploratory. Seeds are what varies over mixtures, so a statement on
mixtures needs seeds; an interval over documents alone holds for the checkpoints at hand only, and is named so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any

from mixhub.analysis.samples import Documents
from mixhub.analysis.scores import Column, score_row
from mixhub.analysis.statistics import (
    Agreement,
    Interval,
    PairedScores,
    Permutation,
    SeedNoise,
    Spread,
    TwoLevel,
    VarianceComponent,
    Welch,
    decision_accuracy,
    detectable_difference,
    documents_only,
    holm,
    permutation,
    seed_agreement,
    seed_noise,
    spread,
    two_level,
    variance_component,
    welch,
)
from mixhub.analysis.tables import AVERAGE, ScoreTable, column_reason
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
    """Over A's seeds; None where there is no saying."""
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


@dataclass(frozen=True)
class Ranked:
    """A mixture and its place."""

    rank: int
    """1 is best; equal averages share the better place."""
    name: str
    """Of the family, or of the family and the index."""
    spread: Spread
    """Of the average over its seeds."""


@dataclass(frozen=True)
class Agreeing:
    """How two ways of measuring agree on mixtures."""

    what: str
    """As `0-shot and 5-shot`."""
    agreement: Agreement
    """Of all pairs of mixtures."""


@dataclass(frozen=True)
class Signal:
    """What one column tells of mixtures."""

    column: str
    """lm-eval's name of the task, or `average`."""
    title: str
    """Heading."""
    component: VarianceComponent | None
    """Mixtures against seeds; None where no mixture has two seeds."""
    noise: SeedNoise | None
    """Seeds against documents, median over the families; None without samples."""


@dataclass(frozen=True)
class Survey:
    """Several mixtures, compared."""

    tables: tuple[ScoreTable, ...]
    ranking: tuple[Ranked, ...]
    """Best first."""
    agreements: tuple[Agreeing, ...]
    """Between shot counts, and with the families that were named against these."""
    seeds: float | None
    """How often one seed of each mixture ranks two mixtures as the mean of its other seeds does: what seeds alone make
    of a ranking. None where a mixture has one seed."""
    signals: tuple[Signal, ...]
    """The average, then the tasks."""
    pairs: tuple[Contrast, ...]
    """The average of each two families, Holm over all pairs; empty for mixtures of one seed."""

    def frame(self) -> pandas.DataFrame:
        """A line a column: what it tells of mixtures."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "task": signal.column,
                    "title": signal.title,
                    **(_prefixed("mixture", vars(signal.component)) if signal.component else {}),
                    **(_prefixed("noise", vars(signal.noise)) if signal.noise else {}),
                }
                for signal in self.signals
            ]
        )

    def ranking_frame(self) -> pandas.DataFrame:
        """A line a mixture, best first: rank, name, mean, sd, n."""
        import pandas as pd

        return pd.DataFrame([{"rank": one.rank, "name": one.name, **vars(one.spread)} for one in self.ranking])

    def agreements_frame(self) -> pandas.DataFrame:
        """A line a pair of ways to measure: accuracy, pairs, interval, Spearman."""
        import pandas as pd

        return pd.DataFrame([{"what": one.what, **vars(one.agreement)} for one in self.agreements])


def compare(a: ScoreTable, b: ScoreTable) -> Comparison:
    """Two families by their seeds, and by their documents where samples were read.

    Raises:
        UsageError: rows are no seeds, or one is measured and the other published.
        ResultsError: they have no task in common.
    """
    _require_comparable([a, b])
    in_both = [column for column in a.columns if column.task in b.headings]
    if not in_both:
        raise ResultsError(
            f"{a.name} and {b.name} have no task in common", hint="name the suite: --suite NAME; or evaluate both"
        )
    tasks = [_contrast(a, b, column.task, column.title, [column]) for column in in_both]
    tested = [contrast for contrast in tasks if contrast.welch is not None]
    adjusted = holm([contrast.welch.p for contrast in tested if contrast.welch])
    by_task = {contrast.column: p for contrast, p in zip(tested, adjusted, strict=True)}
    primary = _contrast(a, b, AVERAGE, "Average", in_both)
    return Comparison(a, b, primary, tuple(replace(one, p_holm=by_task.get(one.column)) for one in tasks))


def survey(tables: Sequence[ScoreTable], against: Sequence[ScoreTable] = ()) -> Survey:
    """Several families by their seeds, or the mixtures of families over indices.

    Args:
        tables: the mixtures.
        against: the same mixtures at another size, in the same order (families over indices: with the same revisions).

    Raises:
        UsageError: there are fewer than two mixtures, or `against` does not match.
        ResultsError: a mixture has no whole average.
    """
    _require_comparable([*tables, *against], seeds_only=False)
    for side in (tables, against):
        _require_alike(side)
    mixtures = _mixtures(tables)
    if len(mixtures) < 2:
        raise UsageError("one mixture has nothing to be compared with", hint="name two families or more")
    averages = {mixture.name: mixture.averages() for mixture in mixtures}
    better = 1 if tables[0].measure.higher_is_better else -1
    order = sorted(mixtures, key=lambda mixture: -better * spread(averages[mixture.name]).mean)
    means = [spread(averages[mixture.name]) for mixture in order]
    ranking = [
        Ranked(1 + next(i for i, other in enumerate(means) if other.mean == own.mean), mixture.name, own)
        for mixture, own in zip(order, means, strict=True)
    ]
    agreements = [*_shot_agreements(mixtures), *_size_agreements(mixtures, _mixtures(against))]
    return Survey(
        tables=tuple(tables),
        ranking=tuple(ranking),
        agreements=tuple(agreements),
        seeds=seed_agreement(list(averages.values())) if all(len(own) > 1 for own in averages.values()) else None,
        signals=tuple(_signal(tables, mixtures, column, title) for column, title in _headings(tables)),
        pairs=_pairs(tables),
    )


@dataclass(frozen=True)
class _Mixture:
    """One mixture: a family over seeds, or one revision of a family over indices."""

    name: str
    table: ScoreTable
    revisions: tuple[str, ...]
    """Its seeds."""

    def averages(self) -> list[float]:
        """The averages of its seeds; raises ResultsError, saying what is missing, when one is not whole."""
        return self.values(AVERAGE)

    def values(self, column: str) -> list[float]:
        """A column of its seeds."""
        found = []
        for row in self.table.rows:
            if row.revision in self.revisions:
                score = self.table.score(row, column)
                if not score.complete or score.value is None:
                    raise ResultsError(
                        f"{self.table.name} {row.revision}: its {column} is not whole: {score.reason}",
                        hint="measure what is missing: mixhub evaluate; or leave the family out",
                    )
                found.append(score.value)
        return found

    def at_shots(self, shots: int) -> float | None:
        """The mean over its seeds of the average at one shot count; None where a cell is missing."""
        columns = [column._replace(num_fewshot=(shots,)) for column in self.table.columns]
        averages = [
            score_row(revision, columns, self.table.records.get(revision, ()), self.table.measure).average
            for revision in self.revisions
        ]
        values = [found.value for found in averages if found.complete and found.value is not None]
        return spread(values).mean if len(values) == len(averages) else None


def _mixtures(tables: Sequence[ScoreTable]) -> list[_Mixture]:
    found = []
    for table in tables:
        revisions = tuple(row.revision for row in table.rows)
        if table.kind == "index":
            several = len(tables) > 1
            found += [_Mixture(f"{table.name} {one}" if several else one, table, (one,)) for one in revisions]
        else:
            found.append(_Mixture(table.name, table, revisions))
    return found


def _shot_agreements(mixtures: Sequence[_Mixture]) -> list[Agreeing]:
    """Between each two shot counts that every task of every mixture has, and between one and the mean of all."""
    shots = [set(column.num_fewshot) for mixture in mixtures for column in mixture.table.columns]
    common = sorted(set.intersection(*shots)) if shots else []
    at = {count: [mixture.at_shots(count) for mixture in mixtures] for count in common}
    whole = {count: [v for v in values if v is not None] for count, values in at.items() if None not in values}
    found = []
    if len(whole) > 1:
        means = [spread(mixture.averages()).mean for mixture in mixtures]
        for count, values in whole.items():
            found += _agreeing(f"{count}-shot and the mean over shots", values, means)
        for one, other in combinations(whole, 2):
            found += _agreeing(f"{one}-shot and {other}-shot", whole[one], whole[other])
    return found


def _size_agreements(mixtures: Sequence[_Mixture], others: Sequence[_Mixture]) -> list[Agreeing]:
    if not others:
        return []
    sides = [list(dict.fromkeys(mixture.table.name for mixture in side)) for side in (mixtures, others)]
    if len(sides[0]) != len(sides[1]):
        raise UsageError(
            f"--against names {len(sides[1])} families for {len(sides[0])}", hint="name one for each, in the same order"
        )
    place = [{name: number for number, name in enumerate(side)} for side in sides]
    keys = [
        [(place[side][one.table.name], one.revisions[0] if one.table.kind == "index" else "") for one in given]
        for side, given in enumerate((mixtures, others))
    ]
    by_key = dict(zip(keys[1], others, strict=True))
    pairs = [(one, by_key[key]) for key, one in zip(keys[0], mixtures, strict=True) if key in by_key]
    if len(pairs) < 2:
        raise UsageError("--against: fewer than two mixtures are in both", hint="revisions are matched by name")
    names = [", ".join(dict.fromkeys(mixture.table.name for mixture in side)) for side in zip(*pairs, strict=True)]
    a, b = ([spread(mixture.averages()).mean for mixture in side] for side in zip(*pairs, strict=True))
    return _agreeing(f"({names[0]}) and ({names[1]})", a, b)


def _agreeing(what: str, a: Sequence[float], b: Sequence[float]) -> list[Agreeing]:
    agreement = decision_accuracy(a, b)
    return [Agreeing(what, agreement)] if agreement is not None else []


def _signal(tables: Sequence[ScoreTable], mixtures: Sequence[_Mixture], column: str, title: str) -> Signal:
    noises = [found for table in tables if (found := _noise(table, column)) is not None]
    noise = None
    if noises:
        seed_sd, document_sd = median(one.seed_sd for one in noises), median(one.document_sd for one in noises)
        noise = SeedNoise(seed_sd, document_sd, seed_sd / document_sd if document_sd else None)
    return Signal(column, title, variance_component([mixture.values(column) for mixture in mixtures]), noise)


def _noise(table: ScoreTable, column: str) -> SeedNoise | None:
    """Seeds against documents, of one task of a family over seeds."""
    if table.kind != "seed" or column == AVERAGE:
        return None
    values = _aligned([table], column)
    return seed_noise(values[0], table.documents.clusters.get((table.rows[0].revision, column))) if values else None


def _pairs(tables: Sequence[ScoreTable]) -> tuple[Contrast, ...]:
    if any(table.kind != "seed" for table in tables):
        return ()
    found = [
        _contrast(a, b, AVERAGE, f"{a.name} and {b.name}", _common_columns(a, b)) for a, b in combinations(tables, 2)
    ]
    adjusted = iter(holm([one.welch.p for one in found if one.welch]))
    return tuple(replace(one, p_holm=next(adjusted)) if one.welch else one for one in found)


def _common_columns(a: ScoreTable, b: ScoreTable) -> list[Column]:
    return [column for column in a.columns if column.task in b.headings]


def _headings(tables: Sequence[ScoreTable]) -> list[tuple[str, str]]:
    in_all = [column for column in tables[0].columns if all(column.task in table.headings for table in tables)]
    return [(AVERAGE, "Average"), *((column.task, column.title) for column in in_all)]


def _require_comparable(tables: Sequence[ScoreTable], *, seeds_only: bool = True) -> None:
    if len({table.standing for table in tables}) > 1:
        said = ", ".join(f"{table.name} is {table.standing}" for table in tables)
        raise UsageError(
            f"published and measured scores are not compared: {said}",
            hint="compare published with published: --published",
        )
    for table in tables:
        if table.kind == "revision" or (seeds_only and table.kind != "seed"):
            shown = ", ".join(row.revision for row in table.rows[:3])
            raise UsageError(
                f"{table.name}: its rows are no seeds ({shown})",
                hint="if they are seeds of one recipe, say so: --seeds",
            )
    if len({table.measure.name for table in tables}) > 1:
        raise ValueError("tables of different measures")


def _require_alike(tables: Sequence[ScoreTable]) -> None:
    """Raises ResultsError, with the reason, where what is ranked together was not measured alike."""
    if not tables:
        return
    if reason := _other_tasks(tables) or _different(tables, tables[0].columns):
        raise ResultsError(
            f"{', '.join(table.name for table in tables)} are not ranked together: {reason}",
            hint="measure them alike, or leave out what differs",
        )


def _contrast(a: ScoreTable, b: ScoreTable, column: str, title: str, columns: Sequence[Column]) -> Contrast:
    own, other = a.over_seeds[column], b.over_seeds[column]
    x, y = a.values(column), b.values(column)
    whole = len(x) == len(a.rows) > 0 and len(y) == len(b.rows) > 0
    reason = "" if whole else f"{len(x)} of {len(a.rows)} and {len(y)} of {len(b.rows)} seeds are whole"
    reason = reason or _different((a, b), columns) or (_other_tasks((a, b)) if column == AVERAGE else "")
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


def _lone(values: Sequence[float]) -> Spread | None:
    """What stands for the spread of a single seed."""
    return spread(values) if len(values) == 1 else None


def _detectable(a: Spread | None, b: Spread | None) -> float | None:
    if a is None or b is None or not a.sd or not b.sd:  # seeds without any spread tell nothing of others
        return None
    return detectable_difference(a.sd, a.n, b.sd, b.n, power=POWER, alpha=ALPHA)


def _different(tables: Sequence[ScoreTable], columns: Sequence[Column]) -> str:
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


def _documents(table: ScoreTable, task: str) -> list[Documents]:
    """What the documents of a task contributed, of the rows whose samples were read."""
    found = (table.documents.values.get((row.revision, task)) for row in table.rows)
    return [documents for documents in found if documents is not None]


def _other_tasks(tables: Sequence[ScoreTable]) -> str:
    tasks = {frozenset(column.task for column in table.columns) for table in tables}
    return "" if len(tasks) == 1 else "the averages are of different tasks"


def _paired(a: ScoreTable, b: ScoreTable, task: str) -> PairedScores | None:
    values = _aligned([a, b], task)
    return PairedScores(values[0], values[1], a.documents.clusters.get((a.rows[0].revision, task))) if values else None


def _aligned(tables: Sequence[ScoreTable], task: str) -> list[numpy.ndarray] | None:
    """For each table (S, D) values of the same documents; None where samples lack, or saw other documents."""
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
        line |= _prefixed(name, vars(part)) if part is not None else {}
    return line


def _prefixed(prefix: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for name, value in fields.items()}
