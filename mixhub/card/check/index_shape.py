"""The shape that the Hub reads a model-index in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mixhub.card.markdown.figures import is_finite
from mixhub.card.markdown.model_index import MODEL_INDEX, Path
from mixhub.card.markdown.text import yaml_line

_RANGE = re.compile(r"\d+(?:\s*-\s*\d+)?(?:,\s*\d+(?:\s*-\s*\d+)?)*")


class Fault(NamedTuple):
    """A part of the model-index that has not its shape."""

    code: str
    path: Path
    rule: str


def shape_faults(metadata: Mapping[str, Any]) -> Iterator[Fault]:
    """What is missing in the model-index of a card, or is not of the kind that the Hub reads."""
    index = metadata.get(MODEL_INDEX)
    if index is not None:
        yield from _faults(index)


def _faults(index: object) -> Iterator[Fault]:
    if not isinstance(index, list) or not index:
        yield Fault("model-index-malformed", (MODEL_INDEX,), "must be a list with an entry per model")
        return
    for at, model in enumerate(index):
        path: Path = (MODEL_INDEX, at)
        if not isinstance(model, dict):
            yield Fault("model-index-malformed", path, "must be a mapping with name and results")
            continue
        yield from _text_faults(path, model, "name")
        results = model.get("results")
        if not isinstance(results, list):
            yield Fault("model-index-malformed", (*path, "results"), "must be a list")
            continue
        for number, result in enumerate(results):
            yield from _result_faults((*path, "results", number), result)


def _result_faults(path: Path, result: object) -> Iterator[Fault]:
    if not isinstance(result, dict):
        yield Fault("model-index-malformed", path, "must be a mapping with task, dataset and metrics")
        return
    for part, keys in {"task": ("type",), "dataset": ("type", "name")}.items():
        inner = result.get(part)
        if not isinstance(inner, dict):
            yield Fault("model-index-malformed", (*path, part), f"must be a mapping with {' and '.join(keys)}")
            continue
        for key in keys:
            yield from _text_faults((*path, part), inner, key)
    if "source" in result:
        yield from _source_faults((*path, "source"), result["source"])
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield Fault("model-index-malformed", (*path, "metrics"), "must be a list with an entry per figure")
        return
    for at, metric in enumerate(metrics):
        yield from _metric_faults((*path, "metrics", at), metric)


def _source_faults(path: Path, of: object) -> Iterator[Fault]:
    if not isinstance(of, dict):
        yield Fault("model-index-malformed", path, "must be a mapping with url, and name if need be")
    elif not isinstance(of.get("url"), str):
        yield Fault("model-index-key-missing", (*path, "url"), "is required, and must be text")


def _metric_faults(path: Path, metric: object) -> Iterator[Fault]:
    if not isinstance(metric, dict):
        yield Fault("model-index-malformed", path, "must be a mapping with type and value")
        return
    yield from _text_faults(path, metric, "type")
    if "name" in metric:
        yield from _text_faults(path, metric, "name")
    value = metric.get("value")
    if value is None:
        yield Fault("model-index-key-missing", (*path, "value"), "is required")
    elif not (isinstance(value, str) or is_finite(value)):
        rule = f"must be a finite number or text, not {yaml_line(value)}"
        yield Fault("model-index-malformed", (*path, "value"), rule)
    args = metric.get("args")
    if not isinstance(args, dict):
        return
    for key in ("seed", "index", "num_fewshot"):
        if key in args and not _is_count(args[key], is_range=key == "num_fewshot"):
            rule = "must be a whole number" + (", a list of them, or a range as 0-5" if key == "num_fewshot" else "")
            yield Fault("model-index-malformed", (*path, "args", key), f"{rule}, not {yaml_line(args[key])}")


def _text_faults(path: Path, mapping: Mapping[str, Any], key: str) -> Iterator[Fault]:
    value = mapping.get(key)
    if value is None:
        yield Fault("model-index-key-missing", (*path, key), "is required")
    elif not isinstance(value, str):
        yield Fault("model-index-malformed", (*path, key), f"must be text, not {yaml_line(value)}")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object, *, is_range: bool) -> bool:
    if isinstance(value, list) and is_range:
        return all(_is_whole(item) for item in value)
    return _is_whole(value) or (is_range and isinstance(value, str) and bool(_RANGE.fullmatch(value)))
