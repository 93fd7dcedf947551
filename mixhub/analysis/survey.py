"""Several mixtures compared: their ranks, which measurements rank them the same way, and what distinguishes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING

from mixhub.analysis import comparison
from mixhub.analysis.scores import LOSS, score_row
from mixhub.analysis.statistics import crossed
from mixhub.analysis.statistics.mixtures import (
    Agreement,
    VarianceComponent,
    decision_accuracy,
    seed_agreement,
    variance_component,
)
from mixhub.analysis.statistics.seeds import Spread, spread
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UsageError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Ranked:
    """A mixture and its rank."""

    rank: int
    """1 is best; equal averages share the better rank."""
    name: str
    """The family, or the family and the index."""
    spread: Spread
    """Of the average over its seeds."""


@dataclass(frozen=True)
class Signal:
    """How well one column distinguishes mixtures."""

    column: str
    """lm-eval's name of the task, or `average`."""
    title: str
    """Heading."""
    component: VarianceComponent | None
    """Mixtures against seeds; None if no mixture has two seeds."""
    noise: crossed.SeedNoise | None
    """Seeds against documents, median over the families; None without samples."""


@dataclass(frozen=True)
class Survey:
    """Several mixtures, compared."""

    tables: tuple[ScoreTable, ...]
    ranking: tuple[Ranked, ...]
    """Best first."""
    agreements: Mapping[str, Agreement]
    """How two measurements rank mixtures, by name, such as `0-shot and 5-shot`: between shot counts, and between these
    families and those of `against`."""
    seeds: float | None
    """How often one seed of each mixture ranks two mixtures as the mean of its other seeds does; None if a mixture has
    one seed."""
    signals: tuple[Signal, ...]
    """The average, then the tasks."""
    pairs: tuple[comparison.Contrast, ...]
    """The average of each pair of families, Holm over all pairs; empty for mixtures of one seed."""

    def frame(self) -> pandas.DataFrame:
        """A row per column of scores: how well it distinguishes mixtures."""
        import pandas as pd

        lines = []
        for one in self.signals:
            line = {"task": one.column, "title": one.title}
            lines.append(line | comparison.prefixed("mixture", one.component) | comparison.prefixed("noise", one.noise))
        return pd.DataFrame(lines)

    def ranking_frame(self) -> pandas.DataFrame:
        """A row per mixture, best first: rank, name, mean, sd, n."""
        import pandas as pd

        return pd.DataFrame([{"rank": one.rank, "name": one.name, **vars(one.spread)} for one in self.ranking])

    def agreements_frame(self) -> pandas.DataFrame:
        """A row per pair of ways to measure: accuracy, pairs, interval, Spearman."""
        import pandas as pd

        return pd.DataFrame([{"what": what, **vars(agreement)} for what, agreement in self.agreements.items()])


def survey(tables: Sequence[ScoreTable], against: Sequence[ScoreTable] = (), *, paired: bool = False) -> Survey:
    """Compare several families by their seeds, or the mixtures of families over indices.

    Args:
        tables: the mixtures.
        against: the same mixtures at another size, in the same order (families over indices: with the same revisions).
        paired: as for `comparison.compare`.

    Raises:
        UsageError: there are fewer than two mixtures, or `against` does not match.
        ResultsError: a mixture has an incomplete average, or tables were measured differently.
    """
    comparison.require_comparable([*tables, *against], seeds_only=False)
    for side in (tables, against):
        _require_same_measuring(side)
    mixtures = _mixtures(tables)
    if len(mixtures) < 2:
        message = f"{', '.join(table.name for table in tables)}: nothing to compare with"
        raise UsageError(message, code="mixtures-too-few", hint="name at least two families")
    averages = [mixture.values(AVERAGE) for mixture in mixtures]
    better = 1 if tables[0].measure.higher_is_better else -1
    spreads = sorted(
        ((mixture.name, spread(values)) for mixture, values in zip(mixtures, averages, strict=True)),
        key=lambda named: -better * named[1].mean,
    )
    means = [one.mean for _, one in spreads]
    headings = {AVERAGE: "Average"} | {
        column.task: column.title for column in tables[0].columns if all(column.task in t.headings for t in tables)
    }
    return Survey(
        tables=tuple(tables),
        ranking=tuple(Ranked(1 + means.index(one.mean), name, one) for name, one in spreads),
        agreements={**_shot_agreements(mixtures), **_size_agreements(tables, mixtures, against)},
        seeds=seed_agreement(averages) if all(len(values) > 1 for values in averages) else None,
        signals=tuple(_signal(tables, mixtures, column, title) for column, title in headings.items()),
        pairs=_pairs(tables, paired),
    )


def _require_same_measuring(tables: Sequence[ScoreTable]) -> None:
    if not tables:
        return
    reason = comparison.tasks_difference(tables) or comparison.measuring_difference(tables, tables[0].columns)
    if reason:
        message = f"{', '.join(table.name for table in tables)} are not ranked together: {reason}"
        raise ResultsError(message, code="measurements-differ", hint="omit those that differ", reason=reason)


@dataclass(frozen=True)
class _Mixture:
    """One mixture: a family over seeds, or one revision of a family over indices."""

    name: str
    key: tuple[int, str]
    """Position of its family, and revision of a family over indices."""
    table: ScoreTable
    revisions: tuple[str, ...]
    """Its seeds."""

    @property
    def mean(self) -> float:
        """The average, over its seeds."""
        return spread(self.values(AVERAGE)).mean

    def values(self, column: str) -> list[float]:
        """A column of its seeds; ResultsError if one is incomplete."""
        values = []
        for row in (row for row in self.table.rows if row.revision in self.revisions):
            score = self.table.score(row, column)
            if not score.complete or score.value is None:
                raise ResultsError(
                    f"{self.table.name} {row.revision}: its {column} is incomplete: {score.reason}",
                    code="score-incomplete",
                    hint="run mixhub evaluate --all, or omit the family"
                    if self.table.measure is not LOSS
                    else "train the run to this step, or omit the family",
                    name=self.table.name,
                    revision=row.revision,
                    column=column,
                )
            values.append(score.value)
        return values

    def at_shots(self, shots: int) -> float | None:
        """The mean over its seeds of the average at one shot count; None if a cell is missing."""
        columns = [column._replace(num_fewshot=(shots,)) for column in self.table.columns]
        averages = [
            score_row(revision, columns, self.table.records.get(revision, ()), self.table.measure).average
            for revision in self.revisions
        ]
        values = [average.value for average in averages if average.complete and average.value is not None]
        return spread(values).mean if len(values) == len(averages) else None


def _mixtures(tables: Sequence[ScoreTable]) -> list[_Mixture]:
    mixtures = []
    for number, table in enumerate(tables):
        revisions = tuple(row.revision for row in table.rows)
        if table.kind == "index":
            prefix = f"{table.name} " if len(tables) > 1 else ""
            mixtures += [_Mixture(prefix + one, (number, one), table, (one,)) for one in revisions]
        else:
            mixtures.append(_Mixture(table.name, (number, ""), table, revisions))
    return mixtures


def _shot_agreements(mixtures: Sequence[_Mixture]) -> dict[str, Agreement]:
    """Between each pair of shot counts that every task of every mixture has, and between one and the mean of all."""
    shots = [set(column.num_fewshot) for mixture in mixtures for column in mixture.table.columns]
    at = {}
    for count in sorted(set.intersection(*shots)) if shots else ():
        values = [mean for mixture in mixtures if (mean := mixture.at_shots(count)) is not None]
        if len(values) == len(mixtures):
            at[count] = values
    if len(at) < 2:
        return {}
    means = [mixture.mean for mixture in mixtures]
    with_mean = {f"{count}-shot and the mean over shots": decision_accuracy(own, means) for count, own in at.items()}
    return with_mean | {
        f"{one}-shot and {other}-shot": decision_accuracy(at[one], at[other]) for one, other in combinations(at, 2)
    }


def _size_agreements(
    tables: Sequence[ScoreTable], mixtures: Sequence[_Mixture], against: Sequence[ScoreTable]
) -> dict[str, Agreement]:
    if not against:
        return {}
    if len(against) != len(tables):
        raise UsageError(
            f"--against names {len(against)} families for {len(tables)}",
            code="option-value",
            hint="name one for each, in the same order",
            option="--against",
            value=[table.name for table in against],
        )
    others = {other.key: other for other in _mixtures(against)}
    pairs = [(one, others[one.key]) for one in mixtures if one.key in others]
    if len(pairs) < 2:
        message = "--against: fewer than two mixtures are in both"
        hint = "name families whose revisions have the same names"
        raise UsageError(message, code="mixtures-too-few", hint=hint, option="--against")
    sides = list(zip(*pairs, strict=True))
    names = [", ".join(dict.fromkeys(mixture.table.name for mixture in side)) for side in sides]
    a, b = ([mixture.mean for mixture in side] for side in sides)
    return {f"({names[0]}) and ({names[1]})": decision_accuracy(a, b)}


def _signal(tables: Sequence[ScoreTable], mixtures: Sequence[_Mixture], column: str, title: str) -> Signal:
    noises = [noise for table in tables if (noise := _noise(table, column)) is not None]
    noise = None
    if noises:
        seed_sd, document_sd = median(one.seed_sd for one in noises), median(one.document_sd for one in noises)
        noise = crossed.SeedNoise(seed_sd, document_sd, seed_sd / document_sd if document_sd else None)
    return Signal(column, title, variance_component([mixture.values(column) for mixture in mixtures]), noise)


def _noise(table: ScoreTable, column: str) -> crossed.SeedNoise | None:
    """Seeds against documents, for one task of a family over seeds."""
    if table.kind != "seed" or column == AVERAGE:
        return None
    values = comparison.aligned_documents([table], column)
    return crossed.seed_noise(values[0], comparison.passages(table, column)) if values else None


def _pairs(tables: Sequence[ScoreTable], paired: bool) -> tuple[comparison.Contrast, ...]:
    if any(table.kind != "seed" for table in tables):
        return ()
    pairs = []
    for a, b in combinations(tables, 2):
        columns = comparison.shared_columns(a, b)
        of_seeds = comparison.pairs_of(a, b, paired=paired)
        pairs.append(comparison.contrast(a, b, AVERAGE, f"{a.name} and {b.name}", columns, of_seeds))
    return comparison.with_holm(pairs)
