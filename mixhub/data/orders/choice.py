"""The order that a recipe asks for."""

from __future__ import annotations

from collections.abc import Mapping

from mixhub.data.orders.base import Order
from mixhub.data.orders.iid import IidOrder
from mixhub.errors import RunError
from mixhub.spec import Run, Training


def order_of(run: Run, training: Training, sequences: Mapping[str, int]) -> Order:
    """Return the order of a run's samples.

    Args:
        run: has the mixture and the order seed.
        training: has the kind of order and the number of samples.
        sequences: number of sequences by domain key.

    Raises:
        RunError: the order is not implemented yet, or the run has no order seed.
    """
    if training.order != "iid":
        message = f"{run.family}: training.order = {training.order}: this order is not implemented yet"
        hint = "set training.order: iid in a family that extends this one"
        raise RunError(message, code="order-unsupported", hint=hint, family=run.family)
    if run.order_seed is None:
        raise seedless(run, "order_seed")
    shares = run.mixture.shares
    samples = training.steps * training.global_batch_size
    return IidOrder(shares, {key: sequences[key] for key in shares}, training.sequence_length, run.order_seed, samples)


def seedless(run: Run, field: str) -> RunError:
    """Return the error for a run whose seed was not published."""
    message = f"{run.family}, {run.revision}: its {field} is unknown, so it cannot be trained"
    hint = f"train a replication, with seeds of its own: mixhub init DIR --family {run.family} --namespace NAME"
    return RunError(message, code="seed-unpublished", hint=hint, family=run.family, revision=run.revision, field=field)
