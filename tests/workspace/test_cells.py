"""Cells as read."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from mixhub.errors import ResultsError
from mixhub.workspace.cells import Cell, read_cell, read_cells
from tests.evaluation.making import SHOTS, TASKS, Place
from tests.refusals import refused


@pytest.fixture
def cells(measured: Place) -> list[Cell]:
    return read_cells(measured.results)


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
    ("keys", "value", "key"),
    [
        (("mixhub",), None, "mixhub"),
        (("mixhub", "weights_sha256"), "abc", "mixhub.weights_sha256"),
        (("mixhub", "format"), 1, "mixhub.format"),
        (("mixhub", "colour"), "red", "mixhub.colour"),
        (("mixhub", "num_fewshot"), 1, "mixhub"),
        (("results", "demo_arithmetic", "acc,none"), math.nan, "results.demo_arithmetic.acc,none"),
        (("results", "demo_arithmetic", "acc,none"), "0.5", "results.demo_arithmetic.acc,none"),
        (("results", "demo_arithmetic"), {"alias": "x"}, "results.demo_arithmetic"),
        (("results",), {"piqa": {"acc": 0.5}}, "results.demo_arithmetic"),
        (("mixhub_measures",), None, "mixhub_measures.demo_arithmetic"),
        (("n-samples", "demo_arithmetic"), {}, "n-samples.demo_arithmetic"),
        (("total_evaluation_time_seconds",), "soon", "total_evaluation_time_seconds"),
    ],
)
def test_what_is_not_a_cell_of_ours_is_refused_by_name(measured: Place, tmp_path: Path, keys, value, key):
    path = tmp_path / "demo_arithmetic.0shot.json"
    shutil.copy(measured.results / path.name, path)
    _changed(path, keys, value)
    with refused("results-malformed", ResultsError, path=path, key=key):
        read_cells(tmp_path)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "file-malformed"),
        ('{"results": {"pi', "file-malformed"),
        ("[]", "results-malformed"),
        ('{"results": {"piqa": {"acc": 0.5}}, "versions": {}}', "results-malformed"),
    ],
)
def test_truncated_and_foreign_files_are_refused_by_name(tmp_path: Path, text: str, code: str):
    path = tmp_path / "piqa.0shot.json"
    path.write_text(text)
    with refused(code, ResultsError, path=path):
        read_cell(path)


def test_figures_that_were_changed_after_they_were_measured_are_refused(measured: Place, tmp_path: Path):
    path = tmp_path / "demo_arithmetic.0shot.json"
    shutil.copy(measured.results / path.name, path)
    assert read_cell(path).provenance.results_sha256
    _changed(path, ("results", "demo_arithmetic", "acc,none"), 0.99)
    with refused("results-changed", ResultsError, path=path) as caught:
        read_cell(path)
    assert caught.value.hint is not None
    assert "mixhub evaluate" in caught.value.hint
    _changed(path, ("results", "demo_arithmetic", "other"), math.nan)
    with refused("results-changed", ResultsError, path=path):
        read_cell(path)
    shutil.copy(measured.results / path.name, path)
    _changed(path, ("mixhub_measures", "demo_arithmetic", "bits_per_byte"), 0.5)
    with refused("results-changed", ResultsError, path=path):
        read_cell(path)


def test_cells_made_with_different_weights_are_refused(measured: Place, tmp_path: Path):
    one, other = tmp_path / "demo_arithmetic.0shot.json", tmp_path / "demo_arithmetic.2shot.json"
    for path in (one, other):
        shutil.copy(measured.results / path.name, path)
    _changed(other, ("mixhub", "weights_sha256"), "0" * 64)
    with refused("results-weights-differ", ResultsError, paths=(one, other), revision="seed-1"):
        read_cells(tmp_path)
