"""Seeds and documents crossed: every seed answers every document.

Documents may vary together in clusters, as questions on one passage do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mixhub.analysis.statistics import seeds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from mixhub.analysis.statistics.seeds import Array


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Two families' values of one task on the same documents."""

    a: Array
    """(S_A, D), the value of each document for each seed of family A."""
    b: Array
    """(S_B, D), the same documents in the same order for family B."""
    clusters: NDArray[np.int64] | None = None
    """(D,), documents with the same number share a passage and vary together; None if each varies alone."""

    def __post_init__(self) -> None:
        import numpy as np

        object.__setattr__(self, "a", np.asarray(self.a, dtype=float))
        object.__setattr__(self, "b", np.asarray(self.b, dtype=float))
        object.__setattr__(self, "clusters", _cluster_codes(self.clusters))

    @property
    def units(self) -> int:
        """Documents or clusters that vary independently."""
        return _count_units(self.clusters, self.a.shape[1])


@dataclass(frozen=True)
class TwoLevel(seeds.Estimate):
    """The difference of two families' averages over tasks, with seeds and documents as what varies.

    Its standard error is the root of the sum of squares of `seed_stderr` and `document_stderr`, or the error over
    documents alone if both are 0.
    """

    seed_stderr: float
    """What the spread between seeds gives, as in Welch's test."""
    document_stderr: float
    """What other documents would add to the spread between seeds; 0 if the estimate is negative."""


@dataclass(frozen=True)
class SeedNoise:
    """How far the seeds of one family differ on one task, and how far they would on documents alone."""

    seed_sd: float
    """Sample standard deviation of the seeds' means, in the unit of the values."""
    document_sd: float
    """The standard deviation that independent noise of each document would give the seeds' means, their shared
    difficulty cancelled; in the unit of the values."""
    ratio: float | None
    """seed_sd / document_sd: near 1, documents explain the spread between seeds; None if document_sd is 0."""


def two_level(tasks: Sequence[PairedScores]) -> TwoLevel | None:
    """The difference of two families' averages, with an interval over new seeds and new documents.

    The average is the plain mean over tasks of the task means. Seeds and documents are crossed: every seed answers
    every document,

        value[f, s, d] = mean[f] + seed[f, s] + document[d] + taste[f, d] + noise[f, s, d],

    with family f, seed s and document d. The variance of the difference of averages is then

    - between seeds: sample variance of the seeds' averages / S of each family, as in Welch's test. A seed trains
      once for all tasks, so the averages keep what it does to several tasks at once. `taste` is common to a family's
      seeds and cancels here; `noise` is in it.
    - between documents: variance over documents of the mean difference / D of each task (by cluster if there are
      clusters), which `document` is not in, for it cancels. It holds `taste`, and `noise` once more, so the
      interaction mean square of each family / (S D) comes off. If that is below 0, it is 0.

    These are the moment estimates of crossed random effects (Searle, Casella & McCulloch 1992, chapter 5), and the
    interval is Student's with degrees of freedom by Satterthwaite 1946: Welch's if documents add nothing. If
    both parts come out as 0 although answers vary (few seeds with equal scores by chance), the error is that of
    `documents_only`.

    Nothing is resampled. Resampling seeds and documents at once counts `noise` three times (Owen 2007), and n seeds
    resampled are too narrow by (n - 1) / n and by normal tails. A residual bootstrap that corrects both (Carpenter,
    Goldstein & Rasbash 2003) tends to exactly the variance above, since an average is linear in what is resampled.

    Args:
        tasks: the same seeds in the same order in each; documents of different tasks are independent.

    Returns:
        Difference, interval, p-value and both parts of the error; None if a family has fewer than two seeds, or a
        task fewer than two documents or clusters.
    """
    seeds_a, seeds_b = len(tasks[0].a), len(tasks[0].b)
    if min(seeds_a, seeds_b, *(task.units for task in tasks)) < 2:
        return None
    averages_a = [float(value) for value in sum(task.a.mean(axis=1) for task in tasks) / len(tasks)]
    averages_b = [float(value) for value in sum(task.b.mean(axis=1) for task in tasks) / len(tasks)]
    (mean_a, variance_a), (mean_b, variance_b) = (
        seeds.mean_and_variance(averages_a),
        seeds.mean_and_variance(averages_b),
    )
    between_seeds = [((variance_a or 0.0) / seeds_a, seeds_a - 1), ((variance_b or 0.0) / seeds_b, seeds_b - 1)]
    between_documents = [*_difference_parts(tasks), *_seed_noise_parts(tasks)]
    magnitude = seeds.largest([*averages_a, *averages_b])
    estimate = seeds.student(mean_a - mean_b, between_seeds, magnitude, truncated=between_documents)
    if estimate.stderr == 0:
        estimate = seeds.student(mean_a - mean_b, _difference_parts(tasks), magnitude)
    return TwoLevel(
        **vars(estimate),
        seed_stderr=math.sqrt(seeds.total(between_seeds)),
        document_stderr=math.sqrt(max(0.0, seeds.total(between_documents))),
    )


def documents_only(tasks: Sequence[PairedScores]) -> seeds.Interval | None:
    """Interval of the difference of averages over new documents, for these checkpoints only.

    It says whether these very checkpoints would differ on other questions, and nothing about the mixtures that they
    were trained on: two families of one mixture differ by their seeds, and with seeds as far apart as the published
    human-1b's it leaves 0 out in half of such cases on LAMBADA and in nine tenths on QQP
    (tests/benchmarks/coverage.py). For mixtures ask `two_level` or `welch`.

    Args:
        tasks: documents of different tasks are independent.

    Returns:
        The interval; None if a task has fewer than two documents or clusters.
    """
    if min(task.units for task in tasks) < 2:
        return None
    differences = [float(task.a.mean() - task.b.mean()) for task in tasks]
    magnitude = max(seeds.largest(side) for task in tasks for side in (task.a, task.b))
    estimate = seeds.student(math.fsum(differences) / len(tasks), _difference_parts(tasks), magnitude)
    return seeds.Interval(estimate.low, estimate.high)


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
    """
    import numpy as np

    rows, codes = np.asarray(values, dtype=float), _cluster_codes(clusters)
    _, variance = seeds.mean_and_variance(rows.mean(axis=1).tolist())
    if variance is None or _count_units(codes, rows.shape[1]) < 2:
        return None
    seed_sd, document_sd = math.sqrt(variance), math.sqrt(_interaction(rows, codes))
    return SeedNoise(seed_sd, document_sd, seed_sd / document_sd if document_sd else None)


def clustered_stderr(values: ArrayLike, clusters: ArrayLike | None = None) -> float | None:
    """Standard error of a mean over documents: this checkpoint on other documents.

    Without clusters sd / sqrt(D); with them the cluster-robust error of Miller 2024 (arXiv 2411.00640, section 2.2),
    sqrt(sum over clusters of the square of summed deviations) / D, times the root of G / (G - 1), without which the
    error is too small for few clusters. Clusters of one document each give the former.

    Args:
        values: (D,), the value of each document.
        clusters: (D,), documents with the same number vary together.

    Returns:
        The standard error; None for fewer than two documents or clusters.
    """
    import numpy as np

    rows, codes = np.asarray(values, dtype=float)[None], _cluster_codes(clusters)
    if _count_units(codes, rows.shape[1]) < 2:
        return None
    return math.sqrt(_variances_of_means(seeds.without_rounding(rows - rows.mean(), rows), codes)[0])


def _cluster_codes(clusters: ArrayLike | None) -> NDArray[np.int64] | None:
    """(D,), the clusters numbered from 0."""
    import numpy as np

    return None if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)


def _count_units(codes: NDArray[np.int64] | None, documents: int) -> int:
    """What varies independently: clusters if there are any, else documents."""
    return documents if codes is None else int(codes.max()) + 1


def _variances_of_means(deviations: Array, codes: NDArray[np.int64] | None) -> list[float]:
    """The variance of each row's mean over documents (or clusters) from its deviations from that mean.

    Args:
        deviations: (R, D), each row sums to 0.
        codes: (D,), from `_cluster_codes`.
    """
    import numpy as np

    units = _count_units(codes, deviations.shape[1])
    factor = units / (units - 1) / deviations.shape[1] ** 2
    sums = deviations if codes is None else [np.bincount(codes, row) for row in deviations]
    return [factor * float(np.dot(row, row)) for row in sums]


def _interaction(values: Array, codes: NDArray[np.int64] | None) -> float:
    """The noise variance of one seed's mean that is each document's own: interaction mean square / D.

    Args:
        values: (S, D).
        codes: (D,), from `_cluster_codes`.
    """
    deviations = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    return math.fsum(_variances_of_means(seeds.without_rounding(deviations, values), codes)) / (len(values) - 1)


def _difference_parts(tasks: Sequence[PairedScores]) -> list[seeds.Part]:
    """What each task gives the variance of the average difference over documents, these checkpoints held fixed."""
    parts: list[seeds.Part] = []
    for task in tasks:
        difference = task.a.mean(axis=0) - task.b.mean(axis=0)  # (D,)
        deviations = seeds.without_rounding(difference - difference.mean(), task.a, task.b)
        variance = _variances_of_means(deviations[None], task.clusters)[0]
        parts.append((variance / len(tasks) ** 2, task.units - 1))
    return parts


def _seed_noise_parts(tasks: Sequence[PairedScores]) -> list[seeds.Part]:
    """What of that is noise of single seeds, which the spread between seeds holds already; negative."""
    return [
        (-_interaction(side, task.clusters) / len(side) / len(tasks) ** 2, (len(side) - 1) * (task.units - 1))
        for task in tasks
        for side in (task.a, task.b)
    ]
