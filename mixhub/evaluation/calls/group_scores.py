"""lm-eval's scores of groups, from the cells of their tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError
from mixhub.evaluation.calls.selection import TaskGroup
from mixhub.files import read_json, write_text
from mixhub.workspace.cells import GROUP_SUFFIX, Cell

_SHARED = (
    "config", "transformers_version", "lm_eval_version", "model_source", "model_name", "model_name_sanitized",
    "system_instruction", "system_instruction_sha", "chat_template", "chat_template_sha", "fewshot_as_multiturn",
)  # fmt: skip
"""Keys of a cell that hold for its group."""


@dataclass(frozen=True)
class GroupScore:
    """What lm-eval makes of the figures of a group's tasks."""

    group: TaskGroup
    figures: Mapping[str, Any]
    """lm-eval's entry: each aggregated metric with its standard error, and the number of documents."""
    path: Path
    """Its file, in the layout of lm-eval's results."""

    @property
    def metrics(self) -> dict[str, float]:
        """The aggregated metrics, with their filter."""
        return {key: value for key, value in self.figures.items() if "," in key and "_stderr," not in key}

    def stderr(self, metric: str) -> float | None:
        """Return the standard error of a metric; None if lm-eval has none."""
        name, _, kind = metric.partition(",")
        value = self.figures.get(f"{name}_stderr,{kind}")
        return value if isinstance(value, float) else None


def write_group_scores(groups: Sequence[TaskGroup], cells: Sequence[Cell], results: Path) -> list[GroupScore]:
    """Aggregate each group whose cells are all there as lm-eval does, and write a file for each.

    Groups that define no aggregation have no score.
    """
    by_name = {(cell.task, cell.num_fewshot): cell for cell in cells}
    scores = []
    for group in groups:
        own = [by_name.get(name) for name in group.shots.items()]
        if group.config.get("aggregate_metric_list") and own and None not in own:
            scores.append(_write(group, [cell for cell in own if cell is not None], results))
    return scores


def _write(group: TaskGroup, cells: Sequence[Cell], results: Path) -> GroupScore:
    from mixhub.evaluation.lm_eval_private import aggregated, quiet

    data = {cell.task: read_json(cell.path, ResultsError) for cell in cells}
    by_task = {task: one["results"][task] for task, one in data.items()}
    with quiet():
        figures = aggregated(group.config, group.tasks, by_task)
    newest = max(data.values(), key=lambda one: one["date"])
    count, name = group.num_fewshot, group.name
    metadata = group.config.get("metadata")
    record = {
        "results": {name: figures},
        "groups": {name: figures},
        "group_subtasks": {name: list(group.children)},
        "configs": {},
        "versions": {name: str(metadata.get("version", "N/A")) if isinstance(metadata, Mapping) else "N/A"},
        "n-shot": {**({} if count is None else {name: count}), **group.shots},
        "n-samples": {task: one["n-samples"][task] for task, one in data.items()},
        **{key: newest[key] for key in _SHARED if key in newest},
        "date": newest["date"],
    }
    shots = "" if count is None else f".{count}shot"
    path = results / f"{name}{shots}{GROUP_SUFFIX}"
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return GroupScore(group, figures, path)
