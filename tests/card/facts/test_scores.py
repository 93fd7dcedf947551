"""What a card tells of how its scores came about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.scores import Scores, find_scores
from mixhub.spec.family import Family
from tests.card import making


def of(family: Family, runs: list[RunFacts]) -> Scores:
    scores = find_scores(FamilyFacts(family, tuple(runs)), "measured")
    assert scores is not None
    return scores


def test_errors_over_documents_are_told_where_there_are_any() -> None:
    family = making.family()
    runs = [making.evaluated(family, run) for run in family.runs()]
    how = of(family, runs).how
    assert (how["has_stderr"], how["has_bound"]) == (True, True)
    never = dict.fromkeys(making.VALUES, 0.0)  # where all answers are wrong, an error of 0 says nothing
    cells = [
        replace(facts, cells=tuple(making.cell(family, facts.run, *key, value) for key, value in never.items()))
        for facts in runs
    ]
    how = of(family, cells).how
    assert (how["has_stderr"], how["has_bound"]) == (False, False)


def test_cells_are_counted() -> None:
    family = making.family()
    first, second = (making.evaluated(family, run) for run in family.runs())
    part = making.cell(family, first.run, "sums", 2, 0.5, limit=4)
    how = of(family, [replace(first, cells=(*first.cells[:3], part)), RunFacts(second.run)]).how
    assert (how["cells"], how["expected"], how["others"]) == (3, 8, 1)
    assert how["unevaluated"] == "`seed-2`"
    assert (how["harness"], how["conditions"]) == ("0.4.13", "float32 on cpu by mixhub's backend")
    assert (how["mixed"], how["unknown"]) == (False, None)
    how = of(family, [first, second]).how
    assert (how["cells"], how["others"], how["unevaluated"]) == (8, 0, None)


def test_what_is_not_known_of_some_cells_is_named() -> None:
    family = making.family()
    first, second = (making.evaluated(family, run) for run in family.runs())
    cells = (replace(first.cells[0], task_hash="unknown"), replace(first.cells[1], dtype="unknown"), *first.cells[2:])
    how = of(family, [replace(first, cells=cells), second]).how
    assert how["unknown"] == "the dtype and the prompts' hash"
    assert not how["mixed"], "an unknown dtype is no other dtype"


@pytest.mark.parametrize(("low", "leaves"), [(0.25, False), (0.0, True), (0.984375, True)])
def test_an_interval_that_leaves_the_range_of_a_score_is_told(low: float, leaves: bool) -> None:
    family = making.family()
    runs = [
        replace(
            making.evaluated(family, run),
            cells=tuple(making.cell(family, run, *key, low + at / 64) for key in making.VALUES),
        )
        for at, run in enumerate(family.runs())
    ]
    scores = of(family, runs)
    assert scores.leaves_range is leaves
