"""Statistics, each named by what varies.

A score varies over documents (other questions) and over seeds (another training run). An interval holds for new draws
of what it is computed over and of nothing else, so each function says what varies and what is held fixed. Intervals
are for 95 %.

    seeds     one family, or two, over seeds: t_interval, welch, permutation, holm, detectable_difference
    crossed   seeds and documents crossed: clustered_stderr, two_level, documents_only, seed_noise
    mixtures  several mixtures: variance_component, decision_accuracy, seed_agreement

Numbers that differ by less than 1e-12 of the largest count as equal: means of the same answers in another order differ
in the last bit, and neither a tie nor a spread of exactly 0 may depend on that.
"""
