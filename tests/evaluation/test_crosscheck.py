"""A check scores what is on disk again, by lm-eval's own backend."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from mixhub.errors import ResultsError, UsageError
from mixhub.evaluation.crosscheck import check
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import file_sha256
from tests.evaluation.making import DOCUMENTS, Place


def test_cells_agree_with_lm_evals_own_backend(measured: Place):
    found = check(measured.export, read_cells(measured.results), 50, device="cpu", seed=1)
    assert (found.requests, found.cells, found.flips) == (50, 6, 0)
    assert 0 <= found.largest < 1e-4
    assert "shot, document" in found.where


def test_no_more_is_drawn_than_there_is(measured: Place):
    assert check(measured.export, read_cells(measured.results), 10_000, device="cpu").requests == 6 * DOCUMENTS


def test_a_figure_that_is_not_the_models_is_found(copied: Callable[..., Place]):
    place = copied()
    cells = [cell for cell in read_cells(place.results) if cell.task == "demo_arithmetic"]
    for cell in cells:
        lines = [json.loads(line) for line in cell.samples.read_text().splitlines()]
        for line in lines:
            line["resps"] = [[[str(float(answer[0][0]) + 0.01), answer[0][1]]] for answer in line["resps"]]
        cell.samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert file_sha256(cell.samples) != cell.provenance.samples_sha256
    with pytest.raises(ResultsError, match=r"demo_arithmetic\.\dshot\.json: demo_arithmetic \d-shot, document"):
        check(place.export, cells, 5, device="cpu")


def test_there_must_be_something_to_check(measured: Place):
    with pytest.raises(UsageError, match="check = 0"):
        check(measured.export, read_cells(measured.results), 0)
    with pytest.raises(ResultsError, match="no log-likelihood to check"):
        check(measured.export, [], 5)
