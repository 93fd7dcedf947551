"""Seeds and documents crossed: every seed answers every document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixhub.analysis.statistics.documents import cluster_codes, count_units, variances_of_means
from mixhub.analysis.statistics.student import Interval, Part, student, total
from mixhub.analysis.statistics.values import largest, mean_and_variance, require_share, without_rounding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from mixhub.analysis.statistics.values import Array


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Two families' values of one task on the same documents; ValueError if the shapes do not fit or a value is not
    finite."""

    a: Array
    """(S_A, D), the value of each document for each seed of family A."""
    b: Array
    """(S_B, D), the same documents in the same order for family B."""
    clusters: NDArray[np.int64] | None = None
    """(D,), documents with the same number share a passage and vary together; None where each stands alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", _seeds_by_documents(self.a))
        object.__setattr__(self, "b", _seeds_by_documents(self.b))
        if self.a.shape[1] != self.b.shape[1]:
            raise ValueError(f"a has {self.a.shape[1]} documents and b {self.b.shape[1]}: they must be the same")
        object.__setattr__(self, "clusters", cluster_codes(self.clusters, self.a.shape[1]))


@dataclass(frozen=True)
class TwoLevel:
    """The difference of two families' averages over tasks, with seeds and documents as what varies."""

    difference: float
    """Average of A minus average of B, in the unit of the values."""
    stderr: float
    """Standard error of the difference over new seeds and new documents, in the unit of the values: the root of the
    sum of squares of `seed_stderr` and `document_stderr`, or the error over documents alone where both are 0."""
    df: float
    """Welch-Satterthwaite degrees of freedom."""
    low: float
    """Lower end of the interval of the difference."""
    high: float
    """Upper end of the interval of the difference."""
    p: float
    """Two-sided p-value of no difference, 0 to 1."""
    seed_stderr: float
    """What the spread between seeds gives, as in Welch's test."""
    document_stderr: float
    """What other documents would add, beyond what the spread between seeds already holds; 0 where the estimate is
    negative."""


@dataclass(frozen=True)
class SeedNoise:
    """How far the seeds of one family differ on one task, and how far they would on documents alone."""

    seed_sd: float
    """Sample standard deviation of the seeds' means, in the unit of the values."""
    document_sd: float
    """The standard deviation that independent noise of each document would give the seeds' means, their shared
    difficulty cancelled; in the unit of the values."""
    ratio: float | None
    """seed_sd / document_sd: near 1, documents explain the spread between seeds; None where document_sd is 0."""


def two_level(tasks: Sequence[PairedScores], *, confidence: float = 0.95) -> TwoLevel | None:
    """The difference of two families' averages, with an interval over new seeds and new documents.

    The average is the plain mean over tasks of the task means. Seeds and documents are crossed: every seed answers
    every document,

        value[f, s, d] = mean[f] + seed[f, s] + document[d] + taste[f, d] + noise[f, s, d],

    with family f, seed s and document d. The variance of the difference of averages is then

    - between seeds: sample variance of the seeds' averages / S of each family, as in Welch's test. A seed trains
      once for all tasks, so the averages keep what it does to several tasks at once. `taste` is common to a family's
      seeds and cancels here; `noise` is in it.
    - between documents: variance over documents of the mean difference / D of each task (by cluster where there are
      clusters), which `document` is not in, for it cancels. It holds `taste`, and `noise` once more, so the
      interaction mean square of each family / (S D) comes off. Where that leaves less than 0 it is 0.

    These are the moment estimates of crossed random effects (Searle, Casella & McCulloch 1992, chapter 5), and the
    interval is Student's with degrees of freedom by Satterthwaite 1946: Welch's where documents add nothing. Where
    both parts come out as 0 although answers vary (few seeds that happen to score alike), the error is that of
    `documents_only`.

    Nothing is resampled. Resampling seeds and documents at once counts `noise` three times (Owen 2007), and n seeds
    resampled are too narrow by (n - 1) / n and by normal tails. A residual bootstrap that corrects both (Carpenter,
    Goldstein & Rasbash 2003) tends to exactly the variance above, since an average is linear in what is resampled.

    Args:
        tasks: the same seeds in the same order in each; documents of different tasks are independent.
        confidence: of the interval of the difference.

    Returns:
        Difference, interval, p-value and both parts of the error; None where a family has fewer than two seeds, or a
        task fewer than two documents or clusters.

    Raises:
        ValueError: no tasks, tasks with other numbers of seeds, or a confidence outside (0, 1).
    """
    require_share("confidence", confidence)
    seeds_a, seeds_b = _numbers_of_seeds(tasks)
    if min(seeds_a, seeds_b, *(count_units(task.clusters, task.a.shape[1]) for task in tasks)) < 2:
        return None
    averages_a = [float(value) for value in sum(task.a.mean(axis=1) for task in tasks) / len(tasks)]
    averages_b = [float(value) for value in sum(task.b.mean(axis=1) for task in tasks) / len(tasks)]
    (mean_a, variance_a), (mean_b, variance_b) = mean_and_variance(averages_a), mean_and_variance(averages_b)
    between_seeds = [((variance_a or 0.0) / seeds_a, seeds_a - 1), ((variance_b or 0.0) / seeds_b, seeds_b - 1)]
    between_documents = [*_difference_parts(tasks), *_held_parts(tasks)]
    magnitude = largest([*averages_a, *averages_b])
    found = student(mean_a - mean_b, between_seeds, magnitude, confidence, truncated=between_documents)
    if found.stderr == 0:
        found = student(mean_a - mean_b, _difference_parts(tasks), magnitude, confidence)
    return TwoLevel(
        difference=found.estimate,
        stderr=found.stderr,
        df=found.df,
        low=found.low,
        high=found.high,
        p=found.p,
        seed_stderr=math.sqrt(total(between_seeds)),
        document_stderr=math.sqrt(max(0.0, total(between_documents))),
    )


def documents_only(tasks: Sequence[PairedScores], *, confidence: float = 0.95) -> Interval:
    """Interval of the difference of averages over new documents, for these checkpoints only.

    It says whether these very checkpoints would differ on other questions, and nothing about the mixtures that they
    were trained on: two families of one mixture differ by their seeds, and with seeds as far apart as the published
    human-1b's it leaves 0 out in half of such cases on LAMBADA and in nine tenths on QQP
    (tests/benchmarks/coverage.py). For mixtures ask `two_level` or `welch`.

    Args:
        tasks: documents of different tasks are independent.
        confidence: of the interval of the difference.

    Raises:
        ValueError: no tasks, a task with fewer than two documents or clusters, or a confidence outside (0, 1).
    """
    require_share("confidence", confidence)
    if not tasks:
        raise ValueError("no tasks")
    if min(count_units(task.clusters, task.a.shape[1]) for task in tasks) < 2:
        raise ValueError("an interval over documents needs two documents, or two clusters, in each task")
    differences = [float(task.a.mean() - task.b.mean()) for task in tasks]
    magnitude = max(largest(side) for task in tasks for side in (task.a, task.b))
    found = student(math.fsum(differences) / len(tasks), _difference_parts(tasks), magnitude, confidence)
    return Interval(found.low, found.high)


def seed_noise(values: ArrayLike, clusters: ArrayLike | None = None) -> SeedNoise | None:
    """The spread between the seeds of one family on one task, against what documents alone would give.

    Seeds answer the same documents, so a hard document lowers all and cancels. What remains of document noise in a
    seed's mean is the interaction mean square of seeds and documents / D (Scheffé 1959, chapter 4), by cluster where
    there are clusters. The square of `ratio` is the F of seeds against that interaction.

    Args:
        values: (S, D), the value of each document for each seed.
        clusters: (D,), documents with the same number vary together.

    Returns:
        Both standard deviations and their ratio; None for fewer than two seeds, documents or clusters.

    Raises:
        ValueError: shapes that do not fit, or a value that is not finite.
    """
    rows = _seeds_by_documents(values)
    codes = cluster_codes(clusters, rows.shape[1])
    _, variance = mean_and_variance([float(mean) for mean in rows.mean(axis=1)])
    if variance is None or count_units(codes, rows.shape[1]) < 2:
        return None
    seed_sd, document_sd = math.sqrt(variance), math.sqrt(_interaction(rows, codes))
    return SeedNoise(seed_sd, document_sd, seed_sd / document_sd if document_sd else None)


def _seeds_by_documents(values: ArrayLike) -> Array:
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"values are (seeds, documents), got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a value is not finite")
    return array


def _interaction(values: Array, codes: NDArray[np.int64] | None) -> float:
    """The noise variance of one seed's mean that is each document's own: interaction mean square / D.

    Args:
        values: (S, D).
        codes: (D,), from `cluster_codes`.
    """
    deviations = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return math.fsum(variances_of_means(without_rounding(deviations, values), codes)) / (len(values) - 1)


def _difference_parts(tasks: Sequence[PairedScores]) -> list[Part]:
    """What each task gives the variance of the average difference over documents, these checkpoints held fixed."""
    parts: list[Part] = []
    for task in tasks:
        difference = task.a.mean(axis=0) - task.b.mean(axis=0)  # (D,)
        deviations = without_rounding(difference - difference.mean(), task.a, task.b)
        variance = variances_of_means(deviations[None], task.clusters)[0]
        parts.append((variance / len(tasks) ** 2, count_units(task.clusters, len(difference)) - 1))
    return parts


def _held_parts(tasks: Sequence[PairedScores]) -> list[Part]:
    """What of that is noise of single seeds, which the spread between seeds holds already; negative."""
    return [
        (
            -_interaction(side, task.clusters) / len(side) / len(tasks) ** 2,
            (len(side) - 1) * (count_units(task.clusters, side.shape[1]) - 1),
        )
        for task in tasks
        for side in (task.a, task.b)
    ]


def _numbers_of_seeds(tasks: Sequence[PairedScores]) -> tuple[int, int]:
    numbers = {(len(task.a), len(task.b)) for task in tasks}
    if len(numbers) != 1:
        raise ValueError(f"all tasks have the same seeds of A and of B, got the numbers {sorted(numbers) or 'of none'}")
    return numbers.pop()
