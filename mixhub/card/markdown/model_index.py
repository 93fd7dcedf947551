"""The model-index of a card: the scores that the Hub reads from its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from mixhub.card.markdown.figures import is_finite
from mixhub.errors import SpecError
from mixhub.spec.base import rule_error, validated

MODEL_INDEX = "model-index"
"""Its key in the metadata."""
AVERAGE = "Average"
"""The column of the average in tables of scores."""
MEAN = "mean ± sd"
"""The row of the means in tables of scores."""


def _check_value(value: object) -> object:
    if not isinstance(value, str) and not is_finite(value):
        raise rule_error("must be a finite number or text", code="value-type")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow")


class Task(_Part):
    """The kind of task."""

    type: str


class Dataset(_Part):
    """The dataset of an evaluation."""

    type: str
    name: str


class Metric(_Part):
    """A score."""

    type: str
    value: Annotated[Any, AfterValidator(_check_value)]
    name: str | None = None
    args: Any = None


class Source(_Part):
    """Where the scores come from."""

    url: str


class Result(_Part):
    """The scores on a dataset."""

    task: Task
    dataset: Dataset
    metrics: Annotated[list[Metric], Field(min_length=1)]
    source: Source | None = None


class IndexedModel(_Part):
    """The scores of a model."""

    name: str
    results: list[Result]


ModelIndex = Annotated[list[IndexedModel], Field(min_length=1)]
"""The shape that the Hub reads."""


class _Metadata(_Part):
    index: ModelIndex = Field(alias=MODEL_INDEX)


@dataclass(frozen=True)
class IndexEntry:
    """A metric of a result."""

    path: tuple[str, ...]
    """The keys and indices that lead to it in the metadata."""
    result: Result
    metric: Metric

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.result.dataset.name

    @property
    def args(self) -> Mapping[str, Any]:
        """What the metric was computed with, such as seed and num_fewshot; empty if that is not a mapping."""
        return self.metric.args if isinstance(self.metric.args, dict) else {}

    @property
    def column(self) -> str:
        """The column of the score in a table of scores."""
        return AVERAGE if self.result.dataset.type.casefold() == "average" else self.dataset

    @property
    def row(self) -> str | None:
        """The row of the score in a table of scores, such as `seed 3`; None if it has none."""
        run = next(
            (f"{key} {self.args[key]}" for key in ("seed", "index") if isinstance(self.args.get(key), int | str)), None
        )
        return run or (MEAN if "sd" in self.args else None)

    @property
    def label(self) -> str:
        """The score in words, such as `SciQ seed 3` or `SciQ score, mean of 5 seeds`."""
        row = self.row if self.row != MEAN else None
        return f"{self.dataset} {row or self.metric.name or self.metric.type}"


def words_for_seeds(metadata: Mapping[str, Any]) -> frozenset[str]:
    """Return the seeds in the model-index that are words, such as `default`."""
    seeds = (entry.args.get("seed") for entry in read_model_index(metadata) or ())
    return frozenset(seed for seed in seeds if isinstance(seed, str))


def read_model_index(metadata: Mapping[str, Any]) -> tuple[IndexEntry, ...] | None:
    """Return the scores of a card in their order; None if the Hub cannot read the shape of the model-index."""
    if metadata.get(MODEL_INDEX) is None:
        return ()
    try:
        index = validated(_Metadata, metadata, "card").index
    except SpecError:
        return None
    return tuple(
        IndexEntry((MODEL_INDEX, str(at), "results", str(number), "metrics", str(position)), result, metric)
        for at, model in enumerate(index)
        for number, result in enumerate(model.results)
        for position, metric in enumerate(result.metrics)
    )
