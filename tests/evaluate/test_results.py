"""Cells as read, and the scores that they make."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mixhub.errors import ResultsError
from mixhub.evaluate.results import Cell, counted, read_cell, read_cells, score, score_frame, score_table
from mixhub.lineage import weights_sha256
from tests.evaluate.making import SHOTS, TASKS, Place


@pytest.fixture
def cells(measured: Place) -> list[Cell]:
    return read_cells(measured.results)


def _with(cell: Cell, metrics: dict[str, float] | None = None, **provenance: Any) -> Cell:
    changed = replace(cell, provenance=cell.provenance.model_copy(update=provenance))
    return changed if metrics is None else replace(changed, metrics=MappingProxyType(metrics))


def test_cells_are_read_by_task_and_shots(cells: list[Cell], measured: Place):
    assert [(cell.task, cell.num_fewshot) for cell in cells] == sorted((task, k) for task in TASKS for k in SHOTS)
    data = json.loads(cells[0].path.read_text())["results"]["demo_arithmetic"]
    assert cells[0].metrics == {"acc": data["acc,none"]}
    assert cells[0].stderrs == {"acc": data["acc_stderr,none"]}
    assert cells[0].samples.is_file()


def test_no_folder_has_no_cells(tmp_path: Path):
    assert read_cells(tmp_path / "nothing") == []


def _changed(path: Path, keys: tuple[str, ...], value: object) -> None:
    data = json.loads(path.read_text())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    if value is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("mixhub",), None, "mixhub: is required"),
        (("mixhub", "weights_sha256"), "abc", "mixhub|weights_sha256 = 'abc'"),
        (("mixhub", "format"), 1, "format = 1"),
        (("mixhub", "colour"), "red", "colour"),
        (("mixhub", "num_fewshot"), 1, "holds demo_arithmetic at 1 shots"),
        (("results", "demo_arithmetic", "acc,none"), math.nan, "acc,none = nan: must be a finite number"),
        (("results", "demo_arithmetic", "acc,none"), "0.5", "acc,none = 0.5: must be a finite number"),
        (("results", "demo_arithmetic"), {"alias": "x"}, "has no metric"),
        (("results",), {"piqa": {"acc": 0.5}}, r"results\.demo_arithmetic: is required"),
        (("mixhub_measures",), None, r"mixhub_measures\.demo_arithmetic: is required"),
        (("n-samples", "demo_arithmetic"), {}, "n-samples"),
        (("total_evaluation_time_seconds",), "soon", "must be a number"),
    ],
)
def test_what_is_not_a_cell_of_ours_is_refused_by_name(measured: Place, tmp_path: Path, keys, value, message):
    path = tmp_path / "demo_arithmetic.0shot.json"
    shutil.copy(measured.results / path.name, path)
    _changed(path, keys, value)
    with pytest.raises(ResultsError, match=message) as caught:
        read_cells(tmp_path)
    assert path.name in caught.value.message


@pytest.mark.parametrize("text", ["", '{"results": {"pi', "[]", '{"results": {"piqa": {"acc": 0.5}}, "versions": {}}'])
def test_truncated_and_foreign_files_are_refused_by_name(tmp_path: Path, text: str):
    path = tmp_path / "piqa.0shot.json"
    path.write_text(text)
    with pytest.raises(ResultsError, match=r"piqa\.0shot\.json"):
        read_cell(path)


def test_a_score_is_the_mean_over_shots_in_percent(cells: list[Cell]):
    some = [cell for cell in cells if cell.task == "demo_continuation"]
    both = [_with(some[0], {"acc": 0.1, "acc_norm": 0.5}), _with(some[1], {"acc": 0.1, "acc_norm": 0.25})]
    found = score(both, "demo_continuation", [0, 2])
    assert (found.value, found.metric, found.present, found.expected, found.complete) == (37.5, "acc_norm", 2, 2, True)
    plain = [_with(cell, {"acc": 0.5, "perplexity": 9.0}) for cell in some]
    assert (score(plain, "demo_continuation", [0, 2]).value, score(plain, "demo_continuation", [2]).metric) == (
        50,
        "acc",
    )


def test_an_average_over_missing_shots_is_refused(cells: list[Cell]):
    found = score(cells, "demo_continuation", [0, 1, 2])
    assert (found.value, found.present, found.expected, found.reason) == (None, 2, 3, "2 of 3 shot counts")
    assert score([], "demo_continuation", [0]).value is None
    assert score([_with(cell, limit=5) for cell in cells], "demo_continuation", [0, 2]).present == 0


def test_what_does_not_mix_is_not_averaged(cells: list[Cell]):
    first, second = (cell for cell in cells if cell.task == "demo_continuation")
    mixed = score([first, _with(second, dtype="bfloat16")], "demo_continuation", [0, 2])
    assert (mixed.value, mixed.reason) == (None, "bfloat16 and float32 do not mix")
    metrics = score([first, _with(second, {"acc": 0.5})], "demo_continuation", [0, 2])
    assert (metrics.value, metrics.reason) == (None, "acc and acc_norm do not mix")
    with pytest.raises(ResultsError, match="different weights"):
        score([first, _with(second, weights_sha256="0" * 64)], "demo_continuation", [0, 2])
    with pytest.raises(ResultsError, match="neither acc_norm nor acc"):
        score([_with(first, {"perplexity": 3.0}), second], "demo_continuation", [0, 2])


def test_the_table_has_an_average_only_when_every_task_is_whole(cells: list[Cell], measured: Place):
    family, runs = measured.family, measured.family.runs()
    fewer = [cell for cell in cells if (cell.task, cell.num_fewshot) != ("demo_last_word", 2)]
    whole, missing, nothing = score_table(family, runs, {"seed-1": cells, "seed-2": fewer})
    values = [found.value for found in whole.scores.values()]
    assert whole.average.value == pytest.approx(sum(values) / 3)
    assert [found.present for found in missing.scores.values()] == [0, 0, 0], "cells of seed-1 are not seed-2's"
    assert nothing.average.reason == "0 of 3 tasks"
    own = [_with(cell, revision="seed-2") for cell in fewer]
    (row,) = score_table(family, runs[1:2], {"seed-2": own})
    assert (row.average.value, row.average.present, row.average.expected) == (None, 2, 3)
    assert row.scores["demo_last_word"].reason == "1 of 2 shot counts"


def test_tasks_in_different_dtypes_have_no_average(cells: list[Cell], measured: Place):
    mixed = [_with(cell, dtype="bfloat16") if cell.task == "demo_last_word" else cell for cell in cells]
    (row,) = score_table(measured.family, [measured.run], {"seed-1": mixed})
    assert all(found.complete for found in row.scores.values())
    assert (row.average.value, row.average.reason) == (None, "bfloat16 and float32 do not mix")


def test_the_frame_has_no_number_where_there_is_no_score(cells: list[Cell], measured: Place):
    rows = score_table(measured.family, measured.family.runs()[:2], {"seed-1": cells})
    frame = score_frame(measured.family, rows)
    assert list(frame.columns) == [*TASKS, "Average"]
    assert list(frame.index) == ["seed-1", "seed-2"]
    assert frame.loc["seed-1"].notna().all()
    assert frame.loc["seed-2"].isna().all()


def test_only_whole_cells_of_these_weights_count(cells: list[Cell], measured: Place):
    weights = weights_sha256(measured.export)
    assert counted(measured.family, measured.run, cells, weights) == (6, 6)
    assert counted(measured.family, measured.run, cells[1:], weights) == (5, 6)
    assert counted(measured.family, measured.run, cells, "0" * 64) == (0, 6)
    assert counted(measured.family, measured.run, cells, None) == (0, 6)
    assert counted(measured.family, measured.family.runs()[1], cells, weights) == (0, 6)
    changed = [_with(cells[0], limit=5), _with(cells[1], fewshot_seed=7), _with(cells[2], num_fewshot=4), *cells[3:]]
    assert counted(measured.family, measured.run, changed, weights) == (3, 6)


def test_figures_that_were_changed_after_they_were_measured_are_refused(measured: Place, tmp_path: Path):
    path = tmp_path / "demo_arithmetic.0shot.json"
    shutil.copy(measured.results / path.name, path)
    assert read_cell(path).provenance.results_sha256
    _changed(path, ("results", "demo_arithmetic", "acc,none"), 0.99)
    with pytest.raises(
        ResultsError, match=r"demo_arithmetic\.0shot\.json: was changed after it was measured"
    ) as caught:
        read_cell(path)
    assert caught.value.hint is not None
    assert "mixhub evaluate" in caught.value.hint
    _changed(path, ("results", "demo_arithmetic", "other"), math.nan)
    with pytest.raises(ResultsError, match="was changed after it was measured"):
        read_cell(path)
    shutil.copy(measured.results / path.name, path)
    _changed(path, ("mixhub_measures", "demo_arithmetic", "bits_per_byte"), 0.5)
    with pytest.raises(ResultsError, match="was changed after it was measured"):
        read_cell(path)
