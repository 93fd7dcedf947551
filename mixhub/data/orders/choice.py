"""The order that a recipe asks for."""

from __future__ import annotations

from mixhub.data.orders.base import Order
from mixhub.data.orders.iid import IidOrder
from mixhub.data.orders.quota import QuotaOrder
from mixhub.data.orders.regmix import RegmixOrder
from mixhub.errors import RunError
from mixhub.spec import Family, Run, catalog
from mixhub.workspace.manifest import Manifest


def order_of(family: Family, run: Run, manifest: Manifest) -> Order:
    """Return the order of a run's samples.

    Args:
        family: has the kind of order and the number of samples.
        run: has the mixture and the order seed.
        manifest: has the tokens of each domain.

    Raises:
        RunError: the run has no order seed.
        CorpusError: a domain is smaller than a sequence; or with `regmix`, no domain has enough chunks, or a domain was
            packed by a version that did not count the tokens of each file.
    """
    if run.order_seed is None:
        raise seedless(run, "order_seed")
    training, shares = family.training, run.mixture.shares
    samples = training.steps * training.global_batch_size
    names = {key: key.removeprefix(family.data.train_prefix) for key in shares}
    if training.order == "regmix":
        domains = {key: manifest.train[name] for key, name in names.items()}
        return RegmixOrder(run.mixture.domain_weights, domains, training, run.order_seed, samples)
    length = training.sequence_length
    sequences = {key: manifest.sequences("train", name, length) for key, name in names.items()}
    kind = QuotaOrder if training.order == "quota" else IidOrder
    return kind(shares, sequences, length, run.order_seed, samples)


def seedless(run: Run, field: str) -> RunError:
    """Return the error for a run whose seed was not published."""
    message = f"{run.family}, {run.revision}: its {field} is unknown, so it cannot be trained"
    hint = f"choose a seed for each run: revisions.chosen_seeds in mixhub.yaml, such as {{{run.label}: 1}}"
    if run.family in catalog.names():
        hint = f"train a replication, with its own seeds: mixhub init DIR --family {run.family} --namespace NAME"
    return RunError(message, code="seed-unpublished", hint=hint, family=run.family, revision=run.revision, field=field)
