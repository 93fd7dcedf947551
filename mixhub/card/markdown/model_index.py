"""The model-index of a card: the scores that the Hub reads from its metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MODEL_INDEX = "model-index"
"""Its key in the metadata."""
Path = tuple[str | int, ...]
"""Keys and indices that lead to a value of the metadata."""


@dataclass(frozen=True)
class IndexEntry:
    """One score: a metric of a result of a model."""

    path: Path
    """Where the metric stands."""
    model: Mapping[str, Any]
    """What is said of the model: its name."""
    result: Mapping[str, Any]
    """What is said of the result beside its metrics: task, dataset and source."""
    metric: Mapping[str, Any]
    """All that is said of the metric: type, name, value, args, verified and more."""
    dataset: str
    """Name of the dataset."""
    metric_type: str
    """As `acc`."""
    args: Mapping[str, Any]
    """What the metric was computed with, as seed and num_fewshot; empty if it is no mapping."""

    @property
    def value(self) -> Any:
        """The score, as it is written; None if there is none."""
        return self.metric.get("value")

    @property
    def metric_name(self) -> str:
        """As `score, seed 1`; the type of a metric without a name."""
        return str(self.metric.get("name", self.metric_type))

    @property
    def is_average(self) -> bool:
        """Whether it is the average over the tasks of a card of ours."""
        return str(self.result["dataset"].get("type")).casefold() == "average"

    @property
    def run(self) -> tuple[str, int] | None:
        """`seed` or `index`, and which; None for a score of several models."""
        for kind in ("seed", "index"):
            number = self.args.get(kind)
            if isinstance(number, int):
                return kind, number
        return None


def read_model_index(metadata: Mapping[str, Any]) -> tuple[IndexEntry, ...] | None:
    """The scores of a card, in their order.

    Args:
        metadata: of the card, as `read_card` gives it.

    Returns:
        The entries; none if the card has no model-index. None if it does not have the shape that the Hub reads.
    """
    index = metadata.get(MODEL_INDEX)
    try:
        return tuple(_entries(index)) if index is not None else ()
    except (TypeError, KeyError, AttributeError):
        return None


def _entries(index: Any) -> Iterator[IndexEntry]:
    for place, model in enumerate(index):
        for number, result in enumerate(model["results"]):
            for at, metric in enumerate(result["metrics"]):
                args = metric.get("args")
                yield IndexEntry(
                    path=(MODEL_INDEX, place, "results", number, "metrics", at),
                    model={key: value for key, value in model.items() if key != "results"},
                    result={key: value for key, value in result.items() if key != "metrics"},
                    metric=metric,
                    dataset=str(_mapping(result["dataset"])["name"]),
                    metric_type=str(metric["type"]),
                    args=args if isinstance(args, dict) else {},
                )


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value
