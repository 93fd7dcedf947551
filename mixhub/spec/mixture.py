"""Domains, their shares of the training tokens, and the resulting numbers of sequences."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from pydantic import RootModel, model_validator

from mixhub.errors import ABSENT, Problem
from mixhub.spec.base import CONFIG, FrozenMap, problems_error
from mixhub.spec.values import NonNegativeFloat

_DOMAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Mixture(RootModel[FrozenMap[str, NonNegativeFloat]]):
    """Domain weights: the relative share of training tokens of each domain.

    Weights are normalised: they need not sum to 1. A domain of weight zero is not sampled. In YAML a mixture is a plain
    mapping of domain keys to weights.
    """

    model_config = CONFIG

    @model_validator(mode="after")
    def _check(self) -> Mixture:
        problems = [
            Problem(key, weight, f"a domain key must match {_DOMAIN_KEY.pattern}", code="domain-malformed")
            for key, weight in self.root.items()
            if not _DOMAIN_KEY.fullmatch(key) or key.endswith(".")
        ]
        if not any(weight > 0 for weight in self.root.values()):
            rule = "at least one domain weight must be above 0"
            problems.append(Problem("", ABSENT, rule, code="mixture-empty"))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def domain_weights(self) -> Mapping[str, float]:
        """The weights as given, including zeros."""
        return self.root

    @property
    def shares(self) -> dict[str, float]:
        """The sampled domains and their shares of the training tokens, which sum to 1."""
        largest = max(self.root.values())
        relative = {domain: weight / largest for domain, weight in self.root.items()}  # sums of huge weights overflow
        total = math.fsum(relative.values())
        return {domain: weight / total for domain, weight in relative.items() if weight > 0}


def sequences_per_domain(weights: Sequence[float], total_tokens: int, sequence_length: int) -> list[int]:
    """Split a token budget into whole sequences, one count per domain.

    Largest-remainder rounding: the counts sum to the budget, each within one sequence of its share.

    Args:
        weights: (D,), relative shares, at least one above zero.
        total_tokens: tokens; a tail shorter than `sequence_length` is dropped.
        sequence_length: tokens per sequence.

    Returns:
        (D,), sequences, in the order of `weights`.
    """
    total = total_tokens // sequence_length
    largest = max(weights)
    norm = math.fsum(weight / largest for weight in weights)
    quotas = [weight / largest / norm * total for weight in weights]
    counts = [math.floor(quota) for quota in quotas]
    by_remainder = sorted(range(len(weights)), key=lambda d: counts[d] - quotas[d])  # stable: ties go to the first
    for d in by_remainder[: total - sum(counts)]:
        counts[d] += 1
    return counts
