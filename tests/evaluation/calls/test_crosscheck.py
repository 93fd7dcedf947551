"""A check scores what is on disk again, by lm-eval's own backend."""

from __future__ import annotations

import json
from collections.abc import Callable

from mixhub.errors import ResultsError, UsageError
from mixhub.evaluation.calls.crosscheck import crosscheck
from mixhub.evaluation.options import Options
from mixhub.workspace.cells import read_cells
from mixhub.workspace.lineage import file_sha256
from tests.evaluation.making import DOCUMENTS, Place
from tests.refusals import refused

CPU = Options(device="cpu")


def test_cells_agree_with_lm_evals_own_backend(measured: Place):
    found = crosscheck(measured.export, read_cells(measured.results), 50, CPU, seed=1)
    assert (found.requests, found.cells, found.flips) == (50, 6, 0)
    assert 0 <= found.largest < 1e-4
    assert "shot, document" in found.where


def test_no_more_is_drawn_than_there_is(measured: Place):
    assert crosscheck(measured.export, read_cells(measured.results), 10_000, CPU).requests == 6 * DOCUMENTS


def test_a_figure_that_is_not_the_models_is_found(copied: Callable[..., Place]):
    place = copied()
    cells = [cell for cell in read_cells(place.results) if cell.task == "demo_arithmetic"]
    for cell in cells:
        lines = [json.loads(line) for line in cell.samples.read_text().splitlines()]
        for line in lines:
            line["resps"] = [[[str(float(answer[0][0]) + 0.01), answer[0][1]]] for answer in line["resps"]]
        cell.samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert file_sha256(cell.samples) != cell.provenance.samples_sha256
    with refused("crosscheck-differs", ResultsError) as caught:
        crosscheck(place.export, cells, 5, CPU)
    assert caught.value.fields["path"] in [cell.path for cell in cells]


def test_there_must_be_something_to_check(measured: Place):
    with refused("option-value", UsageError, option="--check", value=0):
        crosscheck(measured.export, read_cells(measured.results), 0)
    with refused("crosscheck-empty", ResultsError):
        crosscheck(measured.export, [], 5)
