"""Statistics, each named by what varies.

A score varies over documents (other questions) and over seeds (another training run). An interval holds for new draws
of what it is computed over and of nothing else, so each function says what varies and what is held fixed.

    t_interval, clustered_stderr             one family over seeds, one checkpoint over documents
    welch, permutation, holm,                two families over seeds
        detectable_difference
    two_level, documents_only, seed_noise    seeds and documents crossed
    variance_component,                      several mixtures
        decision_accuracy, seed_agreement

Numbers that differ by less than 1e-12 of the largest are one number: means of the same answers in another order differ
in the last bit, and neither a tie nor a spread of exactly 0 may hang on it.
"""

from mixhub.analysis.statistics.crossed import (
    PairedScores,
    SeedNoise,
    TwoLevel,
    documents_only,
    seed_noise,
    two_level,
)
from mixhub.analysis.statistics.documents import clustered_stderr
from mixhub.analysis.statistics.means import (
    Permutation,
    Welch,
    detectable_difference,
    holm,
    permutation,
    welch,
)
from mixhub.analysis.statistics.mixtures import (
    MIN_MIXTURES,
    Agreement,
    VarianceComponent,
    decision_accuracy,
    seed_agreement,
    variance_component,
)
from mixhub.analysis.statistics.student import Interval, t_interval
from mixhub.analysis.statistics.values import Spread, spread

__all__ = [
    "MIN_MIXTURES",
    "Agreement",
    "Interval",
    "PairedScores",
    "Permutation",
    "SeedNoise",
    "Spread",
    "TwoLevel",
    "VarianceComponent",
    "Welch",
    "clustered_stderr",
    "decision_accuracy",
    "detectable_difference",
    "documents_only",
    "holm",
    "permutation",
    "seed_agreement",
    "seed_noise",
    "spread",
    "t_interval",
    "two_level",
    "variance_component",
    "welch",
]
