"""Mixtures as a card shows them: weights, shares and tokens, each from exact values."""

from __future__ import annotations

from mixhub.card.facts.runs import FamilyFacts
from mixhub.card.markdown import figures
from mixhub.card.markdown.text import Markdown, Table, block, code, without_empty_columns
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.mixture import sequences_per_domain


def mixture_yaml(facts: FamilyFacts, run: Run) -> Markdown:
    """Return the mixture of a run, in RegMix's keys of `train_config.yaml`."""
    keys = ("train", "valid", "model_name") if facts.is_confirmed else ("train",)
    config = facts.family.train_config(run)
    return block(to_yaml({key: value for key, value in config.items() if key in keys}), "yaml")


def shares_table(facts: FamilyFacts, run: Run) -> Table:
    """Return share and expected tokens of each domain of a run; tokens in the shards and epochs, if known."""
    training, shares = facts.family.training, run.mixture.shares
    counts = sequences_per_domain(list(shares.values()), training.tokens, training.sequence_length)
    rows = []
    for (key, share), count in zip(shares.items(), counts, strict=True):
        domain, expected = key.removeprefix(facts.family.data.train_prefix), count * training.sequence_length
        packed = (facts.domain_tokens or {}).get(domain)
        tokens = figures.count(expected) if facts.has_tokens else figures.ABSENT
        size = figures.ABSENT if packed is None else figures.count(packed)
        epochs = figures.epochs(expected / packed) if packed and facts.has_tokens else figures.ABSENT
        rows.append((code(domain), figures.percent(share), tokens, size, epochs))
    headers = ("Domain", "Share", "Expected tokens", "Tokens in the shards", "Expected epochs")
    return without_empty_columns(Table(headers, tuple(rows), frozenset({1, 2, 3, 4})), figures.ABSENT)


def mixtures_table(family: Family) -> Table:
    """Return the weights of a family with one mixture for each index, a row for each."""
    mixtures = {run.label: run.mixture.domain_weights for run in family.runs()}
    keys = list(dict.fromkeys(key for weights in mixtures.values() for key in weights))
    rows = [(str(index), *(f"{weights.get(key, 0):.12g}" for key in keys)) for index, weights in mixtures.items()]
    headers = ("Index", *(key.removeprefix(family.data.train_prefix) for key in keys))
    return Table(headers, tuple(rows), frozenset(range(len(headers))))
