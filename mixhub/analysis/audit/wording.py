"""What audits assume, a sentence each, and how they name many things."""

from __future__ import annotations

from collections.abc import Sequence

from mixhub import phrases

ROUNDED = "figures are rounded to the digits that are printed, not cut; halves go up or down"
MEANS = (
    "a score is the plain mean of the accuracies of some runs, each of which is a whole number of right answers over "
    "all documents of its task"
)
PLAIN_AVERAGE = "an average is the plain mean of its row's figures, of which each counts the same"
INDEPENDENT = "runs are independent, so their figures are equal by chance only"
BINOMIAL = (
    "a document is right or wrong, so an accuracy p over n documents has the standard error sqrt(p(1-p)/(n-1)), "
    "as lm-eval computes it"
)

_NAMED = 6
"""So many figures are named in a message; of more, only the number is said."""


def listed(names: Sequence[str], last: str = "and") -> str:
    """`a, b and c`; of many only the first."""
    shown = list(names) if len(names) <= _NAMED + 1 else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return phrases.listed(shown, last=last)
