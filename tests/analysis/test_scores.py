"""Scores: what cells make together, and what keeps them apart."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from mixhub.analysis.scores import counted, score, score_table
from mixhub.errors import ResultsError
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import weights_sha256
from tests.evaluation.making import Place
from tests.refusals import refused


@pytest.fixture
def cells(measured: Place) -> list[Cell]:
    return read_cells(measured.results)


def _with(cell: Cell, metrics: dict[str, float] | None = None, **changes: Any) -> Cell:
    changed = replace(cell, **changes)
    return changed if metrics is None else replace(changed, metrics=MappingProxyType(metrics))


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
    assert (mixed.value, mixed.reason) == (None, "bfloat16 and float32 cannot be mixed")
    metrics = score([first, _with(second, {"acc": 0.5})], "demo_continuation", [0, 2])
    assert (metrics.value, metrics.reason) == (None, "acc and acc_norm cannot be mixed")
    with refused("results-weights-differ", ResultsError, paths=(first.path, second.path)):
        score([first, _with(second, weights_sha256="0" * 64)], "demo_continuation", [0, 2])
    metrics = score([_with(first, {"perplexity": 3.0}), second], "demo_continuation", [0, 2])
    assert (metrics.value, metrics.reason) == (None, "acc_norm and perplexity cannot be mixed")
    alone = score([_with(first, {"perplexity": 3.0})], "demo_continuation", [0])
    assert (alone.value, alone.reason) == (None, "perplexity is not a share")


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
    assert (row.average.value, row.average.reason) == (None, "bfloat16 and float32 cannot be mixed")


def test_only_whole_cells_of_these_weights_count(cells: list[Cell], measured: Place):
    weights = weights_sha256(measured.export)
    assert counted(measured.family, measured.run, cells, weights) == (6, 6)
    assert counted(measured.family, measured.run, cells[1:], weights) == (5, 6)
    assert counted(measured.family, measured.run, cells, "0" * 64) == (0, 6)
    assert counted(measured.family, measured.run, cells, None) == (0, 6)
    assert counted(measured.family, measured.family.runs()[1], cells, weights) == (0, 6)
    changed = [_with(cells[0], limit=5), _with(cells[1], fewshot_seed=7), _with(cells[2], num_fewshot=4), *cells[3:]]
    assert counted(measured.family, measured.run, changed, weights) == (3, 6)
