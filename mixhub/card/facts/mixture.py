"""Mixtures as a card shows them: weights, shares and tokens, each from exact values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mixhub.card.facts.recipe import states_tokens
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, without_empty_columns
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.mixture import Mixture, sequences_per_domain


@dataclass(frozen=True)
class MixtureFacts:
    """One mixture: as it is written, and what it comes to."""

    yaml: Markdown
    """RegMix's keys of `train_config.yaml`."""
    shares: Table
    """Domain, share and expected tokens; tokens that there are of it and epochs, where that is known."""
    has_tokens: bool
    """Whether it is stated how many tokens a run sees."""
    has_epochs: bool
    """Whether it is known how many tokens there are of each domain."""
    is_single: bool
    """Whether all samples are of one domain."""


def mixture_facts(
    family: Family, run: Run, domain_tokens: Mapping[str, int] | None, *, confirmed: bool = True
) -> MixtureFacts:
    """The mixture of a run.

    Args:
        family: the recipe.
        run: whose mixture it is.
        domain_tokens: training tokens that there are of each domain, without prefix; None where nobody knows.
        confirmed: see `is_confirmed`.
    """
    keys = ("train", "valid", "model_name") if confirmed else ("train",)
    config = {key: value for key, value in family.train_config(run).items() if key in keys}
    has_tokens = confirmed or states_tokens(family)
    shares = _shares(family, run.mixture, domain_tokens or {}, has_tokens)
    return MixtureFacts(
        block(to_yaml(config), "yaml"),
        shares,
        has_tokens,
        has_epochs=has_tokens and bool(domain_tokens),
        is_single=len(run.mixture.shares) == 1,
    )


def _shares(family: Family, mixture: Mixture, domain_tokens: Mapping[str, int], has_tokens: bool) -> Table:
    length = family.training.sequence_length
    shares = mixture.shares
    sequences = sequences_per_domain(list(shares.values()), family.training.tokens, length)
    rows = []
    for (key, share), count in zip(shares.items(), sequences, strict=True):
        domain = key.removeprefix(family.data.train_prefix)
        there = domain_tokens.get(domain)
        rows.append(
            (
                code(domain),
                figures.percent(share),
                figures.count(count * length) if has_tokens else figures.ABSENT,
                figures.ABSENT if there is None else figures.count(there),
                figures.epochs(count * length / there) if there and has_tokens else figures.ABSENT,
            )
        )
    headers = ("Domain", "Share", "Tokens, expected", "Tokens in the shards", "Epochs, expected")
    return without_empty_columns(Table(headers, tuple(rows), frozenset({1, 2, 3, 4})), figures.ABSENT)


def mixtures_table(family: Family) -> Table:
    """The weights of a family with one mixture per index: a line per index."""
    assert family.mixtures is not None
    mixtures = {run.number: run.mixture.domain_weights for run in family.runs()}
    keys = list(dict.fromkeys(key for weights in mixtures.values() for key in weights))
    rows = [(str(index), *(f"{weights.get(key, 0):.12g}" for key in keys)) for index, weights in mixtures.items()]
    headers = ("Index", *(key.removeprefix(family.data.train_prefix) for key in keys))
    return Table(headers, tuple(rows), frozenset(range(len(headers))))
