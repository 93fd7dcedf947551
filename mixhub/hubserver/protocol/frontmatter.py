"""The YAML metadata at the top of a README: reading it, and the checks that the Hub makes before a commit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_BLOCK = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TEXTS = ("tags", "language", "datasets", "metrics", "license", "base_model")


def read_metadata(readme: str) -> dict[str, Any]:
    """The metadata of a README; empty when there is none or it cannot be read."""
    block = _BLOCK.match(readme)
    if block is None:
        return {}
    try:
        metadata = yaml.safe_load(block[1])
    except (yaml.YAMLError, ValueError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def problems_of(readme: str) -> tuple[list[str], list[str]]:
    """Errors and warnings in the metadata of a README, each one line."""
    block = _BLOCK.match(readme)
    if block is None or not block[1].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        metadata = yaml.safe_load(block[1])
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: a date such as 2025-13-01
        return [f"the metadata is not YAML: {' '.join(str(problem).split())}"], []
    if not isinstance(metadata, dict):
        return [f"the metadata must be a mapping, not {_kind(metadata)}"], []
    return [*_text_problems(metadata), *_index_problems(metadata.get("model-index"))], []


def _text_problems(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in _TEXTS:
        value = metadata.get(key)
        values = value if isinstance(value, list) else [value]
        for item in values:
            if item is not None and not isinstance(item, str):
                yield f'"{key}" must be text or a list of texts, not {_kind(item)}'


def _index_problems(index: object) -> Iterator[str]:
    if index is None:
        return
    if not isinstance(index, list):
        yield f'"model-index" must be a list, not {_kind(index)}'
        return
    for place, model in enumerate(index):
        key = f'"model-index[{place}]'
        if not isinstance(model, Mapping) or not isinstance(model.get("name"), str):
            yield f'{key}.name" is required and must be text'
        elif not isinstance(model.get("results"), list):
            yield f'{key}.results" is required and must be a list'
        else:
            for number, result in enumerate(model["results"]):
                yield from _result_problems(f"{key}.results[{number}]", result)


def _result_problems(key: str, result: object) -> Iterator[str]:
    if not isinstance(result, Mapping):
        yield f'{key}" must be a mapping'
        return
    for part, fields in {"task": ("type",), "dataset": ("type", "name")}.items():
        for field in fields:
            if not _has(result.get(part), field):
                yield f'{key}.{part}.{field}" is required'
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        yield f'{key}.metrics" is required and must be a list'
        return
    for number, metric in enumerate(metrics):
        for field in ("type", "value"):
            if not _has(metric, field):
                yield f'{key}.metrics[{number}].{field}" is required'


def _has(mapping: object, key: str) -> bool:
    return isinstance(mapping, Mapping) and mapping.get(key) is not None


def _kind(value: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}.get(
        type(value), type(value).__name__
    )
