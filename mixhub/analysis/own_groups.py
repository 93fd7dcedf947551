"""The scores of groups that `mixhub evaluate` writes beside the cells of their tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixhub.errors import ResultsError
from mixhub.files import read_json
from mixhub.workspace.cells import GROUP_SUFFIX, Cell
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

_OF_CELLS = (
    "model", "revision", "fewshot_seed", "prompting", "weights_sha256", "dtype", "device", "harness", "date",
)  # fmt: skip
"""Fields that the score of a group has from its cells."""


def with_groups(records: Iterable[Record]) -> list[Record]:
    """The records, with the groups of mixhub's cells joined to the cells in the same folder.

    The score of a group has the model and the settings of its cells, and the cells name their outermost group. A group
    of which a cell is missing, or newer than its score, is omitted.
    """
    folders: dict[object, list[Record]] = {}
    for record in records:
        folders.setdefault(record.path.parent, []).append(record)
    return [record for own in folders.values() for record in _joined(own)]


@dataclass(frozen=True)
class _Group:
    """The score of a group, with its cells."""

    record: Record
    cells: frozenset[tuple[str, Any]]
    """Task and shots of each."""
    children: tuple[str, ...]
    """Tasks and groups directly in it."""

    def has(self, other: _Group) -> bool:
        """Whether another group is in this one."""
        return other.record.task in self.children or other.cells < self.cells


def _joined(records: Sequence[Record]) -> list[Record]:
    files = [one for one in records if one.is_group and one.path.name.endswith(GROUP_SUFFIX)]
    if not files:
        return list(records)
    cells = {(one.task, one.num_fewshot): one for one in records if isinstance(one, Cell)}
    groups = [group for record in files if (group := _group(record, cells)) is not None]
    groups.sort(key=lambda group: -len(group.cells))
    joined = []
    for record in records:
        outer = next((group for group in groups if (record.task, record.num_fewshot) in group.cells), None)
        if record not in files:
            joined.append(replace(record, group=outer.record.task) if outer and isinstance(record, Cell) else record)
    for group in groups:
        outer = next((other for other in groups if other is not group and other.has(group)), None)
        joined.append(replace(group.record, group=outer.record.task) if outer else group.record)
    return joined


def _group(record: Record, cells: Mapping[tuple[str, Any], Cell]) -> _Group | None:
    data = read_json(record.path, ResultsError)
    by_task, inside = data.get("n-shot"), data.get("group_subtasks")
    if not isinstance(by_task, Mapping) or not isinstance(inside, Mapping):
        return None
    shots = {task: count for task, count in by_task.items() if task != record.task and isinstance(count, int)}
    own = [cells.get(name) for name in shots.items()]
    found = [cell for cell in own if cell is not None]
    if not found or len(found) < len(own) or any(cell.date > (record.date or 0) for cell in found):
        return None
    newest = max(found, key=lambda cell: cell.date)
    fields: dict[str, Any] = {field: getattr(newest, field) for field in _OF_CELLS}
    for field in ("documents", "documents_in_split"):
        fields[field] = sum(getattr(cell, field) for cell in found)
    fields["limit"] = fields["documents"] if any(cell.limit is not None for cell in found) else None
    if record.num_fewshot == UNKNOWN:  # of tasks with different shots: as in lm-eval's own files, those of the first
        fields["num_fewshot"] = found[0].num_fewshot
    return _Group(replace(record, **fields), frozenset(shots.items()), tuple(inside.get(record.task) or ()))
