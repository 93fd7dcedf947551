"""What differs between the metadata of two cards; what their tables tell already is not told again."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mixhub.card.diff.change import Change
from mixhub.card.markdown.model_index import MODEL_INDEX, IndexEntry, read_model_index

Scores = Mapping[tuple[str, str], Sequence[str]]
"""Cells of the tables with a line per model, by column and row."""
Difference = tuple[str, str | None, str | None]
"""Where, and the old and the new value; None where there is none."""

_FEW = 3
"""So many entries with the same change are told one by one."""
_MANY = 12
"""So many entries with changes of one field are told one by one."""


def metadata_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], old_scores: Scores, new_scores: Scores
) -> tuple[bool, list[Change]]:
    """What differs in the metadata.

    Args:
        old: the metadata of the old card.
        new: that of the new one.
        old_scores: what the tables of the old card say.
        new_scores: what those of the new one say; a figure of the model-index that a changed cell repeats is left out.

    Returns:
        Whether anything differs but the order of keys and the way they are written, and what is not left out.
    """
    indices = [_by_label(metadata) for metadata in (old, new)]
    if None not in indices:
        old, new = ({key: value for key, value in data.items() if key != MODEL_INDEX} for data in (old, new))
    changes = [Change("metadata", *difference) for difference in data_changes(old, new)]
    before, after = (index or {} for index in indices)
    differing = list(_differing(before, after)) if None not in indices else []
    left = [field for field in differing if not _is_told(field, old_scores, new_scores)]
    return bool(changes or differing), [*changes, *_index_changes(left)]


def data_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """What differs between two mappings, by dotted key; lists of plain values item by item."""
    was, now = dict(_leaves(old)), dict(_leaves(new))
    for path in dict.fromkeys((*was, *now)):
        where = ".".join(path)
        if path not in was or path not in now:
            yield where, _shown(was[path]) if path in was else None, _shown(now[path]) if path in now else None
        elif isinstance(was[path], list) and isinstance(now[path], list):
            yield from _item_changes(where, was[path], now[path])
        elif _text(was[path]) != _text(now[path]):
            yield where, *_told_apart(was[path], now[path])


def _item_changes(where: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Difference]:
    texts = {_text(item): _shown(item) for item in (*old, *new)}
    was, now = ([_text(item) for item in items] for items in (old, new))
    for text in (Counter(was) - Counter(now)).elements():
        yield where, texts[text], None
    for text in (Counter(now) - Counter(was)).elements():
        yield where, None, texts[text]
    if was != now and Counter(was) == Counter(now):
        yield f"{where}, order", _shown(old), _shown(new)


def _leaves(data: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Values by path; a list of plain values is a value."""
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(data, list) and any(isinstance(item, (Mapping, list)) for item in data):
        for at, value in enumerate(data):
            yield from _leaves(value, (*path, str(at)))
    elif path:
        yield path, data


@dataclass(frozen=True)
class _Entry:
    """A score of the model-index."""

    dataset: str
    name: str
    column: str
    """Header of the column that says the same in a table of the card."""
    row: str
    fields: Mapping[str, Any]
    """All that it holds, by dotted key."""

    @classmethod
    def of(cls, entry: IndexEntry) -> _Entry:
        number = entry.args.get("seed", entry.args.get("index"))
        return cls(
            dataset=entry.dataset,
            name=entry.metric_name,
            column="Average" if entry.is_average else entry.dataset,
            row="mean ± sd" if number is None else str(number),
            fields={
                ".".join(path): value for path, value in _leaves({"model": entry.model, **entry.result, **entry.metric})
            },
        )

    @property
    def label(self) -> str:
        return f"{self.dataset}, {self.name}"


@dataclass(frozen=True)
class _Field:
    """What differs in one field of an entry; an entry that is new or gone differs in its value alone."""

    entry: _Entry
    key: str
    old: Any
    """Of an entry that is new or gone the only value; so is `new`."""
    new: Any
    verb: str
    """`new`, `gone` or `changed`: what became of the entry."""


def _by_label(metadata: Mapping[str, Any]) -> dict[str, _Entry] | None:
    """The scores of a model-index by label, repeated ones numbered; None if it has not the shape that the Hub reads."""
    entries = read_model_index(metadata)
    if entries is None:
        return None
    found: dict[str, _Entry] = {}
    for entry in map(_Entry.of, entries):
        label, times = entry.label, 1
        while label in found:
            times += 1
            label = f"{entry.label} ({times})"
        found[label] = entry
    return found


def _differing(old: Mapping[str, _Entry], new: Mapping[str, _Entry]) -> Iterator[_Field]:
    for label in dict.fromkeys((*old, *new)):
        was, now = old.get(label), new.get(label)
        if was is None or now is None:
            entry = was or now
            assert entry is not None
            value, verb = entry.fields.get("value"), "new" if was is None else "gone"
            yield _Field(entry, "value", value, value, verb)
            continue
        for key in dict.fromkeys((*was.fields, *now.fields)):
            before, after = was.fields.get(key), now.fields.get(key)
            if _text(before) != _text(after):
                yield _Field(now, key, before, after, "changed")


def _is_told(field: _Field, old: Scores, new: Scores) -> bool:
    """Whether a cell of a table changes as the field does."""
    at = (field.entry.column, field.entry.row)
    place = {"value": 0, "args.sd": 1}.get(field.key)
    if place is None or old.get(at) == new.get(at):
        return False
    if field.verb == "gone":
        return True
    return any(_agrees(cell, field.new, place) for cell in new.get(at, ()))


def _agrees(cell: str, value: object, place: int) -> bool:
    """Whether the number at a place of a cell is `value`, as far as the cell says it."""
    numbers = re.findall(r"-?\d+(?:\.\d+)?", cell.replace(",", ""))
    if place >= len(numbers) or not isinstance(value, (int, float)):
        return False
    decimals = len(numbers[place].partition(".")[2])
    return abs(float(numbers[place]) - value) < 0.51 * 10.0**-decimals


def _index_changes(fields: Sequence[_Field]) -> Iterator[Change]:
    """A change for each field, or for all entries of which the same is to say."""
    left = []
    for group in _grouped(fields, lambda field: _same_change(field)):
        if len(group) > _FEW:
            yield _of_many(group)
        else:
            left += group
    for group in _grouped(left, lambda field: (field.key, field.verb)):
        if len(group) > _MANY:
            yield _of_many(group)
            continue
        for one in group:
            where = f"{MODEL_INDEX}, {one.entry.label}" + ("" if one.key == "value" else f", {one.key}")
            yield Change("metadata", where, *_sides([one]))


def _same_change(field: _Field) -> tuple[str, ...]:
    if field.verb != "changed":
        return (field.verb, field.entry.name)
    return (field.verb, field.key, _text(field.old), _text(field.new))


def _grouped(fields: Sequence[_Field], key: Any) -> list[list[_Field]]:
    groups: dict[Any, list[_Field]] = {}
    for field in fields:
        groups.setdefault(key(field), []).append(field)
    return list(groups.values())


def _of_many(group: Sequence[_Field]) -> Change:
    first, names = group[0], {field.entry.name for field in group}
    what = names.pop() if len(names) == 1 else first.key
    return Change("metadata", f"{MODEL_INDEX}, {what}, {len(group)} entries", *_sides(group))


def _sides(group: Sequence[_Field]) -> tuple[str | None, str | None]:
    """The old and the new values of entries; one that all share is said once."""
    verb = group[0].verb
    pairs = [_told_apart(field.old, field.new) for field in group]
    if len(set(pairs)) == 1:
        old, new = pairs[0]
    else:
        old, new = (
            ", ".join(f"{field.entry.dataset} {pair[side]}" for field, pair in zip(group, pairs, strict=True))
            for side in (0, 1)
        )
    return None if verb == "new" else old, None if verb == "gone" else new


def _told_apart(old: object, new: object) -> tuple[str, str]:
    """Both values as text; quoted where they differ in their type alone."""
    was, now = _shown(old), _shown(new)
    return (was, now) if was != now else (_text(old), _text(new))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value) or "[]"
    return value if isinstance(value, str) else _text(value)


def _text(value: object) -> str:
    """What two values must share to be the same: YAML tells 1 from 1.0, and from the text 1."""
    return json.dumps(value, ensure_ascii=False, default=repr)
