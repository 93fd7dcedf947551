"""What differs between the metadata of two cards."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from mixhub.card.diff.change import Change
from mixhub.card.markdown.model_index import MEAN, MODEL_INDEX, IndexEntry, read_model_index

_MAX_SCORES = 12
"""Scores of the model-index that are listed one by one."""


def metadata_changes(old: Mapping[str, Any], new: Mapping[str, Any], shown: Container[str]) -> Iterator[Change]:
    """Yield what differs in the metadata.

    Args:
        old: the metadata of the old card.
        new: that of the new one.
        shown: names of scores, such as `SciQ seed 3`, that a change of a table shows already.
    """
    old_index, new_index = read_model_index(old), read_model_index(new)
    if old_index is None or new_index is None:  # compared as a whole
        old_index = new_index = ()
    yield from value_changes(_facts(old, old_index), _facts(new, new_index))
    before, after = _scores(old_index), _scores(new_index)
    changed = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    names = [name for name in changed if name not in shown]
    if len(names) > _MAX_SCORES:
        was, now = (
            ", ".join(f"{name} {scores[name]}" for name in names if name in scores) for scores in (before, after)
        )
        yield Change(f"{MODEL_INDEX}, {len(names)} scores", was or None, now or None)
    else:
        yield from (Change(f"{MODEL_INDEX}, {name}", before.get(name), after.get(name)) for name in names)


def value_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yield what differs between values by key; values that differ in their types alone are shown as JSON."""
    for key in dict.fromkeys((*old, *new)):
        was, now = (_exact(data[key]) if key in data else None for data in (old, new))
        if was != now:
            before, after = (_text(data[key]) if key in data else None for data in (old, new))
            yield Change(key, before, after) if before != after else Change(key, was, now)


def flatten(data: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings and lists by dotted key; lists of plain values are one value."""
    if isinstance(data, Mapping) and (data or not path):
        for key, value in data.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and any(isinstance(item, (Mapping, list)) for item in data):
        for at, item in enumerate(data):
            yield from flatten(item, f"{path}.{at}")
    else:
        yield path, data


def _facts(metadata: Mapping[str, Any], index: Sequence[IndexEntry]) -> dict[str, Any]:
    """The metadata by key; of the model-index the different values of each field, or all of it if it has no scores."""
    facts = dict(flatten({key: value for key, value in metadata.items() if key != MODEL_INDEX}))
    if not index and MODEL_INDEX in metadata:
        return facts | {MODEL_INDEX: metadata[MODEL_INDEX]}
    fields: dict[str, dict[str, Any]] = {}
    for entry in index:
        data = entry.result.model_dump(exclude={"metrics"}, exclude_unset=True)
        data |= entry.metric.model_dump(exclude={"name", "value"}, exclude_unset=True)
        for key, value in flatten(data):
            if key not in ("args.sd", "args.seed", "args.index"):
                fields.setdefault(f"{MODEL_INDEX}, {key}", {})[_exact(value)] = value
    return facts | {field: [*values.values()] for field, values in fields.items()}


def _scores(index: Sequence[IndexEntry]) -> dict[str, str]:
    """The scores by name, as the tables of a card name them."""
    return {
        f"{entry.column} {entry.row}" if entry.row else entry.label: _exact(entry.metric.value)
        + (f" ± {_exact(entry.args['sd'])}" if entry.row == MEAN else "")
        for entry in index
    }


def _text(value: object) -> str:
    if isinstance(value, list) and not any(isinstance(item, Mapping) for item in value):
        return ", ".join(map(_text, value))
    return str(value) if isinstance(value, (str, date)) else json.dumps(value, ensure_ascii=False, default=str)


def _exact(value: object) -> str:
    """The JSON of a value, which is equal only for the same value of the same type."""
    return json.dumps(value, ensure_ascii=False, default=repr)
