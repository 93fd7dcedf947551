"""What differs between the metadata of two cards."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
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
    indices = read_model_index(old), read_model_index(new)
    old_facts, new_facts = (
        _facts(data, index if None not in indices else None) for data, index in zip((old, new), indices, strict=True)
    )
    for key in dict.fromkeys((*old_facts, *new_facts)):
        if old_facts.get(key) != new_facts.get(key):
            yield Change(key, old_facts.get(key), new_facts.get(key))
    before, after = (_scores(index or ()) for index in indices)
    changed = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    names = [name for name in changed if name not in shown]
    if len(names) > _MAX_SCORES:
        was, now = (
            ", ".join(f"{name} {scores[name]}" for name in names if name in scores) for scores in (before, after)
        )
        yield Change(f"{MODEL_INDEX}, {len(names)} scores", was or None, now or None)
    else:
        yield from (Change(f"{MODEL_INDEX}, {name}", before.get(name), after.get(name)) for name in names)


def flatten(data: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the values of nested mappings and lists as text, by dotted key; lists of plain values are one value."""
    if isinstance(data, Mapping) and (data or not path):
        for key, value in data.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and any(isinstance(item, (Mapping, list)) for item in data):
        for at, item in enumerate(data):
            yield from flatten(item, f"{path}.{at}")
    else:
        yield path, ", ".join(map(_text, data)) if isinstance(data, list) else _text(data)


def _facts(metadata: Mapping[str, Any], index: Sequence[IndexEntry] | None) -> dict[str, str]:
    """The metadata by key; of the model-index the different values of each field, or its JSON if it cannot be read."""
    facts = dict(flatten({key: value for key, value in metadata.items() if key != MODEL_INDEX}))
    if index is None:
        return facts | {MODEL_INDEX: _text(metadata.get(MODEL_INDEX))}
    fields: dict[str, dict[str, None]] = {}
    for entry in index:
        data = entry.result.model_dump(exclude={"metrics"}) | entry.metric.model_dump(exclude={"name", "value"})
        for key, text in flatten(data):
            if key not in ("args.sd", "args.seed", "args.index"):
                fields.setdefault(f"{MODEL_INDEX}, {key}", {})[text] = None
    return facts | {field: ", ".join(texts) for field, texts in fields.items()}


def _scores(index: Sequence[IndexEntry]) -> dict[str, str]:
    """The scores by name, as the tables of a card name them."""
    return {
        f"{entry.column} {entry.row}" if entry.row else entry.label: f"{entry.metric.value}"
        + (f" ± {entry.args['sd']}" if entry.row == MEAN else "")
        for entry in index
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
