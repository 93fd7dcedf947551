"""Reading a model-index, also of other authors; None if it has another shape."""

from __future__ import annotations

from typing import Any

import pytest

from mixhub.card.markdown.model_index import MODEL_INDEX, read_model_index
from mixhub.card.markdown.parse import read_card
from mixhub.card.page.render import render_catalog

RESULT: dict[str, Any] = {
    "task": {"type": "text-generation"},
    "dataset": {"type": "sciq", "name": "SciQ"},
    "metrics": [
        {"type": "acc", "name": "score, seed 3", "value": 82.48, "args": {"seed": 3}, "verified": True},
        {"type": "acc", "value": "0.5", "args": [1, 2]},
    ],
    "source": {"url": "https://example.org"},
}


def index(*results: Any, **model: Any) -> dict[str, Any]:
    return {MODEL_INDEX: [{"name": "m", "results": list(results), **model}]}


def test_each_metric_is_an_entry_with_its_dataset_and_path() -> None:
    entries = read_model_index(index({**RESULT, "metrics": RESULT["metrics"][1:]}, RESULT))
    assert entries is not None
    assert [entry.path[1:] for entry in entries] == [
        ("0", "results", "0", "metrics", "0"),
        ("0", "results", "1", "metrics", "0"),
        ("0", "results", "1", "metrics", "1"),
    ]
    _, first, second = entries
    assert (first.dataset, first.metric.type, first.metric.value) == ("SciQ", "acc", 82.48)
    assert (first.args, first.row, first.label) == ({"seed": 3}, "seed 3", "SciQ seed 3")
    assert (second.label, second.metric.value, second.args, second.row) == ("SciQ acc", "0.5", {}, None)
    assert first.metric.model_dump()["verified"] is True


@pytest.mark.parametrize(
    ("args", "row"),
    [
        ({"seed": 0}, "seed 0"),
        ({"index": 7}, "index 7"),
        ({"seed": 1, "index": 7}, "seed 1"),
        ({"seeds": [1, 2]}, None),
        ({"seeds": [1, 2], "sd": 0.5}, "mean ± sd"),
        ({"seed": "default"}, "seed default"),
    ],
)
def test_the_row_of_a_score(args: dict[str, Any], row: str | None) -> None:
    entries = read_model_index(index({**RESULT, "metrics": [{"type": "acc", "value": 1, "args": args}]}))
    assert entries is not None
    assert entries[0].row == row


@pytest.mark.parametrize(
    ("kind", "column"), [("average", "Average"), ("Average", "Average"), ("sciq", "Average of 13 tasks")]
)
def test_the_type_of_the_dataset_marks_an_average(kind: str, column: str) -> None:
    entries = read_model_index(index({**RESULT, "dataset": {"name": "Average of 13 tasks", "type": kind}}))
    assert entries is not None
    assert entries[0].column == column


def test_a_card_without_a_model_index_has_no_entries() -> None:
    assert read_model_index({}) == ()
    assert read_model_index({MODEL_INDEX: None}) == ()
    assert read_model_index(index()) == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {MODEL_INDEX: 3},
        {MODEL_INDEX: 0},
        {MODEL_INDEX: "abc"},
        {MODEL_INDEX: {"name": "m"}},
        {MODEL_INDEX: [{"name": "m"}]},
        index({**RESULT, "dataset": "SciQ"}),
        index({**RESULT, "dataset": {"type": "sciq"}}),
        index({**RESULT, "metrics": [{"value": 1}]}),
        index({**RESULT, "metrics": None}),
        index("a result"),
        index({**RESULT, "metrics": [{"type": "acc"}]}),
    ],
)
def test_another_shape_is_none(metadata: dict[str, Any]) -> None:
    assert read_model_index(metadata) is None


def test_all_scores_of_our_card_are_read() -> None:
    entries = read_model_index(read_card(render_catalog("human-1b").text).metadata)
    assert entries is not None
    assert len(entries) == 84
    assert len({(entry.dataset, entry.row) for entry in entries}) == 84
    assert sum(entry.column == "Average" for entry in entries) == 6
