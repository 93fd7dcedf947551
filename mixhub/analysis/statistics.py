"""Statistics, each named by what varies.

A score varies over documents (other questions) and over seeds (another training run). An interval holds for new draws
of what it is computed over and of nothing else, so each function says what varies and what is held fixed.

Numbers that differ by less than 1e-12 of the largest are one number: means of the same answers in another order differ
in the last bit, and neither a tie nor a spread of exactly 0 may hang on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array: TypeAlias = NDArray[np.float64]

ROUNDING = 1e-12
"""Differences below this share of the largest value are rounding."""

MOST_SPLITS = 20_000
"""Up to so many splits a permutation test takes all of them: 8 v 8 seeds have 12,870."""

RANDOM_SPLITS = 9_999
"""Splits drawn where there are more; with the observed one they make 10,000."""

FEWEST_MIXTURES = 15
"""Decision accuracy over fewer mixtures has no interval; `decision_accuracy` says why."""


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one figure over seeds."""

    mean: float
    sd: float | None
    """Sample standard deviation (n - 1); None for fewer than two values."""
    n: int


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of the values."""

    low: float
    """Lower end."""
    high: float
    """Upper end; equal to `low` where the values do not vary."""


@dataclass(frozen=True)
class Welch:
    """The difference of two families' means, with seeds as what varies."""

    difference: float
    """Mean of A minus mean of B, in the unit of the values."""
    stderr: float
    """Standard error of the difference over seeds, in the unit of the values."""
    df: float
    """Welch-Satterthwaite degrees of freedom."""
    low: float
    """Lower end of the interval of the difference."""
    high: float
    """Upper end of the interval of the difference."""
    p: float
    """Two-sided p-value of no difference, 0 to 1."""


@dataclass(frozen=True)
class Permutation:
    """A permutation test of two families' means, with seeds as what varies."""

    p: float
    """Two-sided p-value of no difference, 0 to 1."""
    smallest: float
    """The least p-value that so many seeds can give: above 0.05, no difference however large is significant."""
    permutations: int
    """Splits of the seeds that were tried, the observed one among them."""
    exact: bool
    """Whether these are all splits there are."""


@dataclass(frozen=True, eq=False)
class Paired:
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
        object.__setattr__(self, "clusters", _cluster_codes(self.clusters, self.a.shape[1]))


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


@dataclass(frozen=True)
class VarianceComponent:
    """How much of a figure's variance lies between mixtures, and how much between seeds of one mixture."""

    mixture_sd: float
    """Standard deviation of the mixtures' true means, in the unit of the values; 0 where its estimate is negative."""
    seed_sd: float
    """Standard deviation over seeds of one mixture, pooled, in the unit of the values."""
    share: float
    """Mixture variance over mixture plus seed variance, 0 to 1."""
    low: float
    """Lower end of the share's interval."""
    high: float
    """Upper end of the share's interval."""
    p: float
    """p-value of no variance between mixtures, from the F test."""


@dataclass(frozen=True)
class Agreement:
    """How alike two ways of measuring rank the same mixtures."""

    accuracy: float
    """Share of pairs of mixtures that both rank alike, 0 to 1; a tie in either counts one half."""
    pairs: int
    """Pairs of mixtures."""
    low: float | None
    """Lower end of the accuracy's interval over new mixtures; None for fewer than FEWEST_MIXTURES."""
    high: float | None
    """Upper end of the accuracy's interval over new mixtures; None for fewer than FEWEST_MIXTURES."""
    spearman: float | None
    """Spearman's rank correlation, -1 to 1; None where either is constant."""


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of at least one value; ValueError for none."""
    if not values:
        raise ValueError("no values")
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return Spread(mean, None, len(values))
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, math.sqrt(variance), len(values))


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Interval of a family's mean over new seeds, the documents held fixed (Student 1908).

    Args:
        values: (S,), one figure of each seed.
        confidence: share of such intervals that hold the true mean.

    Returns:
        The interval; None for fewer than two seeds.

    Raises:
        ValueError: no values, one that is not finite, or a confidence outside (0, 1).
    """
    _require_share("confidence", confidence)
    mean, variance = _moments(values)
    if variance is None:
        return None
    found = _student(mean, [(variance / len(values), len(values) - 1)], _magnitude(values), confidence)
    return Interval(found.low, found.high)


def welch(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Welch | None:
    """Welch's test of two families' means over new seeds, the documents held fixed (Welch 1947).

    Where no seed differs from another of its family, p is 1 for equal means and 0 for others, and df is that of
    the pooled test.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.
        confidence: of the interval of the difference.

    Returns:
        Difference, interval and p-value; None where a family has fewer than two seeds.

    Raises:
        ValueError: an empty family, a value that is not finite, or a confidence outside (0, 1).
    """
    _require_share("confidence", confidence)
    (mean_a, variance_a), (mean_b, variance_b) = _moments(a), _moments(b)
    if variance_a is None or variance_b is None:
        return None
    parts = [(variance_a / len(a), len(a) - 1), (variance_b / len(b), len(b) - 1)]
    found = _student(mean_a - mean_b, parts, _magnitude([*a, *b]), confidence)
    return Welch(found.estimate, found.stderr, found.df, found.low, found.high, found.p)


def permutation(a: Sequence[float], b: Sequence[float]) -> Permutation:
    """Permutation test of two families' means: seeds of one mixture could have swapped names (Fisher 1935).

    Two-sided as scipy.stats.permutation_test: twice the smaller of both one-sided p-values. All splits where there
    are at most MOST_SPLITS; else RANDOM_SPLITS of them, always the same, and the observed one counts as one more
    (Phipson & Smyth 2010), so that P(p <= alpha) <= alpha with no difference either way.

    Args:
        a: (S_A,), one figure of each seed of family A.
        b: (S_B,), the same of family B.

    Raises:
        ValueError: an empty family, or a value that is not finite.
    """
    import numpy as np

    _require_values(a)
    _require_values(b)
    pooled = np.sort(np.array([*a, *b], dtype=float))
    pooled -= pooled.mean()
    # With the total fixed, the sum of one side orders the splits as the difference of means does.
    observed = math.fsum(a) - len(a) * math.fsum([*a, *b]) / len(pooled)
    exact = math.comb(len(pooled), len(a)) <= MOST_SPLITS
    sums = _all_sums(pooled, len(a)) if exact else np.append(_random_sums(pooled, len(a)), observed)
    slack = ROUNDING * len(pooled) * _magnitude([*a, *b])
    fewer = min(np.count_nonzero(sums <= observed + slack), np.count_nonzero(sums >= observed - slack))
    count = len(sums)
    return Permutation(min(1.0, 2 * int(fewer) / count), min(1.0, 2 / count), count, exact)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for having made several comparisons, in the order given (Holm 1979).

    A comparison is significant at alpha over the family of comparisons where its adjusted value is at most alpha.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    if any(not 0 <= p <= 1 for p in ps):
        raise ValueError(f"p-values lie in [0, 1], got {list(ps)}")
    adjusted = [0.0] * len(ps)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        least = max(least, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = least
    return adjusted


def detectable_difference(
    sd_a: float, n_a: int, sd_b: float, n_b: int, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """The smallest true difference that a two-sided Welch test finds with the given power.

    Welch's statistic is taken as noncentral t with Welch-Satterthwaite degrees of freedom (Cohen 1988, chapter 2, for
    equal sds), and the noncentrality solved for numerically.

    Args:
        sd_a: sample standard deviation over seeds of family A.
        n_a: seeds of family A.
        sd_b: sample standard deviation over seeds of family B.
        n_b: seeds of family B.
        power: probability of p <= alpha where the difference is as large.
        alpha: level of the test.

    Returns:
        The difference, in the unit of the sds; None where a family has fewer than two seeds.

    Raises:
        ValueError: a negative sd, or not 0 < alpha < power < 1.
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1 is needed, got alpha {alpha} and power {power}")
    if not (0 <= sd_a < math.inf and 0 <= sd_b < math.inf):
        raise ValueError(f"standard deviations are not negative, got {sd_a} and {sd_b}")
    if min(n_a, n_b) < 2:
        return None
    stderr, df = _satterthwaite([(sd_a**2 / n_a, n_a - 1), (sd_b**2 / n_b, n_b - 1)])
    critical = t.isf(alpha / 2, df)

    def excess(noncentrality: float) -> float:
        # The other tail mirrored, since nct.cdf is NaN far out.
        return float(nct.sf(critical, df, noncentrality) + nct.sf(critical, df, -noncentrality)) - power

    most = critical
    while excess(most) < 0:
        most *= 2
    return stderr * float(brentq(excess, 0.0, most))


def clustered_stderr(values: ArrayLike, clusters: ArrayLike | None = None) -> float | None:
    """Standard error of a mean over documents: this checkpoint on other documents.

    Without clusters sd / sqrt(D); with them the cluster-robust error of Miller 2024 (arXiv 2411.00640, section 2.2),
    sqrt(sum over clusters of the square of summed deviations) / D, times the root of G / (G - 1), without which few
    clusters are too sure of themselves. Clusters of one document each give the former.

    Args:
        values: (D,), the value of each document.
        clusters: (D,), documents with the same number vary together.

    Returns:
        The standard error; None for fewer than two documents or clusters.

    Raises:
        ValueError: shapes that do not fit, or a value that is not finite.
    """
    rows = _require_values(values)[None]
    codes = _cluster_codes(clusters, rows.shape[1])
    if _units(codes, rows.shape[1]) < 2:
        return None
    deviations = _without_rounding(rows - rows.mean(), rows)
    return math.sqrt(_variances_of_means(deviations, codes)[0])


def two_level(tasks: Sequence[Paired], *, confidence: float = 0.95) -> TwoLevel | None:
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
    resampled are too narrow by (n - 1) / n and by normal tails. A residual bootstrap that mends both (Carpenter,
    Goldstein & Rasbash 2003) has exactly the variance above as its limit, since an average is linear in what is
    resampled, and would only add an error of its own.

    Args:
        tasks: the same seeds in the same order in each; documents of different tasks are independent.
        confidence: of the interval of the difference.

    Returns:
        Difference, interval, p-value and both parts of the error; None where a family has fewer than two seeds, or a
        task fewer than two documents or clusters.

    Raises:
        ValueError: no tasks, tasks with other numbers of seeds, or a confidence outside (0, 1).
    """
    _require_share("confidence", confidence)
    seeds_a, seeds_b = _numbers_of_seeds(tasks)
    if min(seeds_a, seeds_b, *(_units(task.clusters, task.a.shape[1]) for task in tasks)) < 2:
        return None
    averages_a = [float(value) for value in sum(task.a.mean(axis=1) for task in tasks) / len(tasks)]
    averages_b = [float(value) for value in sum(task.b.mean(axis=1) for task in tasks) / len(tasks)]
    (mean_a, variance_a), (mean_b, variance_b) = _moments(averages_a), _moments(averages_b)
    between_seeds = [((variance_a or 0.0) / seeds_a, seeds_a - 1), ((variance_b or 0.0) / seeds_b, seeds_b - 1)]
    between_documents = [*_difference_parts(tasks), *_held_parts(tasks)]
    magnitude = _magnitude([*averages_a, *averages_b])
    found = _student(mean_a - mean_b, between_seeds, magnitude, confidence, truncated=between_documents)
    if found.stderr == 0:
        found = _student(mean_a - mean_b, _difference_parts(tasks), magnitude, confidence)
    return TwoLevel(
        difference=found.estimate,
        stderr=found.stderr,
        df=found.df,
        low=found.low,
        high=found.high,
        p=found.p,
        seed_stderr=math.sqrt(_total(between_seeds)),
        document_stderr=math.sqrt(max(0.0, _total(between_documents))),
    )


def documents_only(tasks: Sequence[Paired], *, confidence: float = 0.95) -> Interval:
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
    _require_share("confidence", confidence)
    if not tasks:
        raise ValueError("no tasks")
    if min(_units(task.clusters, task.a.shape[1]) for task in tasks) < 2:
        raise ValueError("an interval over documents needs two documents, or two clusters, in each task")
    differences = [float(task.a.mean() - task.b.mean()) for task in tasks]
    magnitude = max(_magnitude(side) for task in tasks for side in (task.a, task.b))
    found = _student(math.fsum(differences) / len(tasks), _difference_parts(tasks), magnitude, confidence)
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
    codes = _cluster_codes(clusters, rows.shape[1])
    _, variance = _moments([float(mean) for mean in rows.mean(axis=1)])
    if variance is None or _units(codes, rows.shape[1]) < 2:
        return None
    seed_sd, document_sd = math.sqrt(variance), math.sqrt(_interaction(rows, codes))
    return SeedNoise(seed_sd, document_sd, seed_sd / document_sd if document_sd else None)


def variance_component(groups: Sequence[Sequence[float]], confidence: float = 0.95) -> VarianceComponent | None:
    """How much of a figure's variance lies between mixtures: one-way random effects of mixtures over seeds.

    The mixture variance is the ANOVA estimate, truncated at 0 (Searle, Casella & McCulloch 1992, chapter 3). The
    interval of the share is Wald's (1940), exact for normal values and any numbers of seeds: it may be 0 to 0 where
    mixtures differ less than their seeds would make them. Where no value differs from another nothing is known: the
    share is 0, from 0 to 1.

    Args:
        groups: one sequence per mixture, of one figure of each seed; some may have one seed.
        confidence: of the interval of the share.

    Returns:
        Both standard deviations, the share with its interval, and the F test; None for fewer than two mixtures, or
        where none has two seeds.

    Raises:
        ValueError: an empty group, a value that is not finite, or a confidence outside (0, 1).
    """
    import numpy as np
    from scipy.special import fdtrc

    _require_share("confidence", confidence)
    moments = [_moments(group) for group in groups]
    sizes = np.array([len(group) for group in groups], dtype=float)  # (K,)
    df_between, df_within = len(groups) - 1, int(sizes.sum()) - len(groups)
    if df_between < 1 or df_within < 1:
        return None
    means = np.array([mean for mean, _ in moments])  # (K,)
    within = math.fsum((variance or 0.0) * (size - 1) for (_, variance), size in zip(moments, sizes, strict=True))
    within /= df_within
    between = _between(means, sizes)
    if within == 0:
        share = float(between > 0)
        return VarianceComponent(math.sqrt(between), 0.0, share, share, 1.0, 1.0 - share)
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / df_between
    mixture = max(0.0, (between - within) / float(typical))
    low, high = _share_interval(means, sizes, within, confidence)
    p = float(fdtrc(df_between, df_within, between / within))
    return VarianceComponent(math.sqrt(mixture), math.sqrt(within), mixture / (mixture + within), low, high, p)


def decision_accuracy(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Agreement | None:
    """How often two ways of measuring choose the same of two mixtures (decision accuracy of DataDecide 2025).

    The pairs of M mixtures are not independent, so the interval is over new mixtures: Student's with M - 1 degrees of
    freedom around the jackknife over mixtures (Arvesen 1969, for U-statistics), cut to [0, 1]; where all pairs agree
    the jackknife is blind, and it is Wilson's (1927) of as many pairs.

    From FEWEST_MIXTURES on it covers 95 % within 93 to 97 % in simulations of accuracies 0.5 to 0.94, of normal,
    heavy-tailed and clustered values (tests/benchmarks/coverage.py), and 92 to 100 % above; where a quarter of the
    mixtures is ranked at random 92 %. With 8 to 12 mixtures it is 91 to 100 %, by whether all pairs happen to agree,
    so there is none. A percentile bootstrap over mixtures, pairs of a mixture with itself left out, leaves 93 to
    97 % more often at high accuracies, and has a random part.

    Args:
        a: (M,), a value of each mixture.
        b: (M,), a value of the same mixtures measured in another way.
        confidence: of the interval of the accuracy.

    Returns:
        Accuracy, interval and Spearman's correlation; None for fewer than two mixtures.

    Raises:
        ValueError: lengths that differ, a value that is not finite, or a confidence outside (0, 1).
    """
    import numpy as np

    _require_share("confidence", confidence)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} mixtures and b {len(b)}: they must be the same")
    if len(a) < 2:
        return None
    signs = _signs(_require_values(a)) * _signs(_require_values(b))  # (M, M)
    pairs = math.comb(len(a), 2)
    agreeing = (signs + 1) / 2
    np.fill_diagonal(agreeing, 0)
    interval = _jackknifed(agreeing, confidence) if len(a) >= FEWEST_MIXTURES else None
    return Agreement(
        accuracy=float(agreeing.sum()) / (2 * pairs),
        pairs=pairs,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        spearman=_spearman(a, b),
    )


def seed_agreement(groups: Sequence[Sequence[float]]) -> float | None:
    """How often one seed of each mixture ranks two mixtures as the mean of their other seeds does.

    Ranks mixtures by one seed of each, and by the mean of each one's other seeds; the mean of both rankings' decision
    accuracy over every choice of the seeds. Since a pair of mixtures only knows its own two seeds, that is the mean
    over pairs of mixtures of the share of their S_i S_j choices in which both means order the pair alike (ties one
    half). The other seeds are noisy too, so one
    seed agrees with the truth more often than that.

    Args:
        groups: one sequence per mixture, of one figure of each seed.

    Returns:
        The accuracy, 0 to 1; None for fewer than two mixtures, or where one has fewer than two seeds.

    Raises:
        ValueError: a value that is not finite.
    """
    import numpy as np

    if len(groups) < 2 or min(map(len, groups)) < 2:
        return None
    ones = [_require_values(group) for group in groups]
    others = [(one.sum() - one) / (len(one) - 1) for one in ones]
    magnitude = _magnitude(np.concatenate(ones))
    shares = [
        np.mean(_signs(ones[i], ones[j], magnitude) * _signs(others[i], others[j], magnitude))
        for i in range(len(groups))
        for j in range(i)
    ]
    return (1 + math.fsum(shares) / len(shares)) / 2


class _Estimate(NamedTuple):
    estimate: float
    stderr: float
    df: float
    low: float
    high: float
    p: float


_Part: TypeAlias = tuple[float, float]
"""A variance and its degrees of freedom."""


def _student(
    estimate: float,
    parts: Sequence[_Part],
    magnitude: float,
    confidence: float,
    truncated: Sequence[_Part] = (),
) -> _Estimate:
    """Interval and p-value of an estimate whose variance is the sum of `parts`, and of `truncated` where above 0."""
    from scipy.special import stdtr, stdtrit

    stderr, df = _satterthwaite(parts, truncated)
    if abs(estimate) <= ROUNDING * magnitude:
        estimate = 0.0
    if stderr == 0:
        return _Estimate(estimate, 0.0, df, estimate, estimate, float(estimate == 0))
    half = float(stdtrit(df, (1 + confidence) / 2)) * stderr
    p = 2 * float(stdtr(df, -abs(estimate) / stderr))
    return _Estimate(estimate, stderr, df, estimate - half, estimate + half, p)


def _satterthwaite(parts: Sequence[_Part], truncated: Sequence[_Part] = ()) -> tuple[float, float]:
    """Standard error and degrees of freedom; those of the pooled test where nothing varies."""
    variance = _total(parts) + max(0.0, _total(truncated))
    if variance == 0:
        return 0.0, math.fsum(df for _, df in parts)
    # Shares first: the square of a small variance underflows.
    df = 1 / math.fsum((part / variance) ** 2 / df for part, df in (*parts, *truncated))
    # Never below the least of the parts' own, which only parts that cancel could bring about.
    return math.sqrt(variance), max(df, min(df for _, df in parts))


def _total(parts: Sequence[_Part]) -> float:
    return math.fsum(variance for variance, _ in parts)


def _moments(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample variance, None for one value, exactly 0 for equal ones."""
    array = _require_values(values)
    found = spread(array.tolist())
    if found.sd is None:
        return found.mean, None
    constant = array.max() - array.min() <= ROUNDING * _magnitude(array)
    return found.mean, 0.0 if constant else found.sd**2


def _magnitude(values: ArrayLike) -> float:
    import numpy as np

    return float(np.abs(np.asarray(values)).max())


def _require_values(values: ArrayLike) -> Array:
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"a row of values is needed, got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"values are finite, got {array.tolist()}")
    return array


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} lies between 0 and 1, got {value}")


def _all_sums(pooled: Array, size: int) -> Array:
    """(splits,), the sum of one side for each way to choose it."""
    from itertools import combinations

    import numpy as np

    chosen = np.array(list(combinations(range(len(pooled)), size)))  # (splits, size)
    sums: Array = pooled[chosen].sum(axis=1)
    return sums


def _random_sums(pooled: Array, size: int) -> Array:
    """(RANDOM_SPLITS,), the sum of one side for random choices, always the same."""
    import numpy as np

    draw = np.random.default_rng(0)
    return np.array([draw.permutation(pooled)[:size].sum() for _ in range(RANDOM_SPLITS)])


def _seeds_by_documents(values: ArrayLike) -> Array:
    import numpy as np

    array = np.asarray(values, dtype=float)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"values are (seeds, documents), got the shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a value is not finite")
    return array


def _cluster_codes(clusters: ArrayLike | None, documents: int) -> NDArray[np.int64] | None:
    """(D,), the clusters numbered from 0."""
    import numpy as np

    if clusters is None:
        return None
    array = np.asarray(clusters)
    if array.shape != (documents,):
        raise ValueError(f"{documents} documents need as many cluster numbers, got the shape {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _units(codes: NDArray[np.int64] | None, documents: int) -> int:
    """What varies independently: clusters where there are any, else documents."""
    return documents if codes is None else int(codes.max()) + 1


def _without_rounding(deviations: Array, *values: Array) -> Array:
    """The deviations, in place, with 0 for what is rounding of the values that they come from."""
    deviations[abs(deviations) <= ROUNDING * max(map(_magnitude, values))] = 0
    return deviations


def _variances_of_means(deviations: Array, codes: NDArray[np.int64] | None) -> list[float]:
    """The variance of each row's mean over documents (or clusters) from its deviations from that mean.

    Args:
        deviations: (R, D), each row sums to 0.
        codes: (D,), from `_cluster_codes`.
    """
    import numpy as np

    units = _units(codes, deviations.shape[1])
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
    return math.fsum(_variances_of_means(_without_rounding(deviations, values), codes)) / (len(values) - 1)


def _difference_parts(tasks: Sequence[Paired]) -> list[_Part]:
    """What each task gives the variance of the average difference over documents, these checkpoints held fixed."""
    parts: list[_Part] = []
    for task in tasks:
        difference = task.a.mean(axis=0) - task.b.mean(axis=0)  # (D,)
        deviations = _without_rounding(difference - difference.mean(), task.a, task.b)
        variance = _variances_of_means(deviations[None], task.clusters)[0]
        parts.append((variance / len(tasks) ** 2, _units(task.clusters, len(difference)) - 1))
    return parts


def _held_parts(tasks: Sequence[Paired]) -> list[_Part]:
    """What of that is noise of single seeds, which the spread between seeds holds already; negative."""
    return [
        (
            -_interaction(side, task.clusters) / len(side) / len(tasks) ** 2,
            (len(side) - 1) * (_units(task.clusters, side.shape[1]) - 1),
        )
        for task in tasks
        for side in (task.a, task.b)
    ]


def _numbers_of_seeds(tasks: Sequence[Paired]) -> tuple[int, int]:
    numbers = {(len(task.a), len(task.b)) for task in tasks}
    if len(numbers) != 1:
        raise ValueError(f"all tasks have the same seeds of A and of B, got the numbers {sorted(numbers) or 'of none'}")
    return numbers.pop()


def _between(means: Array, weights: Array) -> float:
    """The weighted mean square of the mixtures' means."""
    deviations = _without_rounding(means - (weights * means).sum() / weights.sum(), means)
    return float((weights * deviations**2).sum()) / (len(means) - 1)


def _share_interval(means: Array, sizes: Array, within: float, confidence: float) -> tuple[float, float]:
    """Wald's interval of the share of the mixture variance."""
    from scipy.optimize import brentq
    from scipy.special import fdtri

    df_between, df_within = len(means) - 1, int(sizes.sum()) - len(means)

    def statistic(share: float) -> float:
        """F-distributed at the true share, and falling in it to 0 at 1: a mean has the variance
        (share + (1 - share) / size) of the total."""
        return (1 - share) * _between(means, sizes / (share * sizes + 1 - share)) / within

    def share_at(quantile: float) -> float:
        target = float(fdtri(df_between, df_within, quantile))
        return float(brentq(lambda share: statistic(share) - target, 0.0, 1.0)) if statistic(0.0) > target else 0.0

    return share_at((1 + confidence) / 2), share_at((1 - confidence) / 2)


def _signs(rows: Array, columns: Array | None = None, magnitude: float | None = None) -> Array:
    """(R, C), 1 where a row's value is above a column's, -1 below, 0 for ties."""
    import numpy as np

    columns = rows if columns is None else columns
    slack = ROUNDING * (_magnitude(rows) if magnitude is None else magnitude)
    gaps = rows[:, None] - columns
    return np.where(abs(gaps) <= slack, 0.0, np.sign(gaps))


def _jackknifed(agreeing: Array, confidence: float) -> Interval:
    """The interval of decision accuracy over new mixtures.

    Args:
        agreeing: (M, M), 1 for a pair ranked alike, 0 on the diagonal.
    """
    import numpy as np
    from scipy.special import ndtri, stdtrit

    m = len(agreeing)
    accuracy = float(agreeing.sum()) / (m * (m - 1))
    without = (agreeing.sum() - 2 * agreeing.sum(axis=1)) / ((m - 1) * (m - 2))  # (M,)
    variance = float(np.var(without)) * (m - 1)
    if variance > ROUNDING**2:
        centre, half = accuracy, float(stdtrit(m - 1, (1 + confidence) / 2)) * math.sqrt(variance)
    else:
        z, pairs = float(ndtri((1 + confidence) / 2)), math.comb(m, 2)
        centre = (accuracy + z**2 / (2 * pairs)) / (1 + z**2 / pairs)
        half = z / (1 + z**2 / pairs) * math.sqrt(accuracy * (1 - accuracy) / pairs + z**2 / (4 * pairs**2))
    return Interval(min(accuracy, max(0.0, centre - half)), max(accuracy, min(1.0, centre + half)))


def _spearman(a: Sequence[float], b: Sequence[float]) -> float | None:
    import numpy as np
    from scipy.stats import rankdata

    if min(a) == max(a) or min(b) == max(b):
        return None
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
