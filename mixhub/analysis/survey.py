"""Several mixtures compared: their ranks, what ranks them alike, and how far seeds and documents tell them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

from mixhub.analysis.comparison import (
    Contrast,
    aligned_documents,
    contrast,
    difference_in_measuring,
    other_tasks,
    prefixed,
    require_comparable,
    shared_columns,
)
from mixhub.analysis.scores import score_row
from mixhub.analysis.statistics import (
    Agreement,
    SeedNoise,
    Spread,
    VarianceComponent,
    decision_accuracy,
    holm,
    seed_agreement,
    seed_noise,
    spread,
    variance_component,
)
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UsageError

if TYPE_CHECKING:
    import pandas


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
                    **(prefixed("mixture", vars(signal.component)) if signal.component else {}),
                    **(prefixed("noise", vars(signal.noise)) if signal.noise else {}),
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


def survey(tables: Sequence[ScoreTable], against: Sequence[ScoreTable] = ()) -> Survey:
    """Several families by their seeds, or the mixtures of families over indices.

    Args:
        tables: the mixtures.
        against: the same mixtures at another size, in the same order (families over indices: with the same revisions).

    Raises:
        UsageError: there are fewer than two mixtures, or `against` does not match.
        ResultsError: a mixture has no whole average.
    """
    require_comparable([*tables, *against], seeds_only=False)
    for side in (tables, against):
        _require_alike(side)
    mixtures = _mixtures(tables)
    if len(mixtures) < 2:
        raise UsageError(
            "one mixture has nothing to be compared with", code="mixtures-too-few", hint="name two families or more"
        )
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


def _require_alike(tables: Sequence[ScoreTable]) -> None:
    """Raises ResultsError, with the reason, where what is ranked together was not measured alike."""
    if not tables:
        return
    if reason := other_tasks(tables) or difference_in_measuring(tables, tables[0].columns):
        raise ResultsError(
            f"{', '.join(table.name for table in tables)} are not ranked together: {reason}",
            code="measurements-differ",
            hint="measure them alike, or leave out what differs",
            names=tuple(table.name for table in tables),
            reason=reason,
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
                        code="score-incomplete",
                        hint="measure what is missing: mixhub evaluate; or leave the family out",
                        name=self.table.name,
                        revision=row.revision,
                        column=column,
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
            f"--against names {len(sides[1])} families for {len(sides[0])}",
            code="option-value",
            hint="name one for each, in the same order",
            option="--against",
            value=sides[1],
        )
    place = [{name: number for number, name in enumerate(side)} for side in sides]
    keys = [
        [(place[side][one.table.name], one.revisions[0] if one.table.kind == "index" else "") for one in given]
        for side, given in enumerate((mixtures, others))
    ]
    by_key = dict(zip(keys[1], others, strict=True))
    pairs = [(one, by_key[key]) for key, one in zip(keys[0], mixtures, strict=True) if key in by_key]
    if len(pairs) < 2:
        raise UsageError(
            "--against: fewer than two mixtures are in both",
            code="mixtures-too-few",
            hint="revisions are matched by name",
            option="--against",
        )
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
    values = aligned_documents([table], column)
    return seed_noise(values[0], table.documents.clusters.get((table.rows[0].revision, column))) if values else None


def _pairs(tables: Sequence[ScoreTable]) -> tuple[Contrast, ...]:
    if any(table.kind != "seed" for table in tables):
        return ()
    found = [
        contrast(a, b, AVERAGE, f"{a.name} and {b.name}", shared_columns(a, b)) for a, b in combinations(tables, 2)
    ]
    adjusted = iter(holm([one.welch.p for one in found if one.welch]))
    return tuple(replace(one, p_holm=next(adjusted)) if one.welch else one for one in found)


def _headings(tables: Sequence[ScoreTable]) -> list[tuple[str, str]]:
    in_all = [column for column in tables[0].columns if all(column.task in table.headings for table in tables)]
    return [(AVERAGE, "Average"), *((column.task, column.title) for column in in_all)]
