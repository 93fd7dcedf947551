"""What a card tells of a recipe, and of whose runs it may tell it."""

from __future__ import annotations

from typing import Any

import pytest

from mixhub.card.facts.recipe import architecture, hyperparameters, is_confirmed, seeds, states_tokens
from mixhub.card.facts.runs import RunFacts
from mixhub.spec import catalog
from mixhub.spec.family import Family
from tests.card import making

ADOPTED = dict.fromkeys(("init_seed", "order_seed", "steps"), "unknown")


def facts(family: Family, *lineages: dict[str, Any] | None) -> list[RunFacts]:
    """A run for each lineage, trained with these changes of it; None: not trained."""
    return [
        RunFacts(run, None if changes is None else making.lineage(family, run, **changes))
        for run, changes in zip(family.runs(), lineages, strict=False)
    ]


@pytest.mark.parametrize(
    ("lineages", "confirmed"),
    [
        ((None, None), True),
        (({}, {}), True),
        ((ADOPTED, {}), True),
        ((ADOPTED, None), False),
        ((ADOPTED, ADOPTED), False),
    ],
)
def test_a_recipe_is_told_unless_all_that_is_trained_was_trained_elsewhere(
    lineages: tuple[dict[str, Any] | None, ...], confirmed: bool
) -> None:
    family = making.family()
    assert is_confirmed(family, facts(family, *lineages)) is confirmed
    shipped = catalog.get("human-1b")
    assert is_confirmed(shipped, facts(shipped, *lineages)), "its publishers tell it"


def test_of_adopted_runs_only_what_the_family_states_itself_is_told() -> None:
    family = making.family(training={"origins": {"steps": "published", "weight_decay": "inferred"}})
    told, not_stated = hyperparameters(family, confirmed=True)
    assert told is not None
    assert not_stated == ()
    assert len(told.rows) == 12
    own, missing = hyperparameters(family, confirmed=False)
    assert own is not None
    assert own.headers == ("Hyperparameter", "Value")
    assert set(missing) == {"Warmup Ratio", "Total Tokens", "Weight Decay"}
    assert {row[0] for row in own.rows} == {row[0] for row in told.rows} - {
        *missing,
        "Initialisation",
        "Order of Samples",
    }
    assert not states_tokens(family)
    assert states_tokens(making.family())


def test_a_row_says_which_of_its_fields_are_from_elsewhere() -> None:
    origins = {
        "global_batch_size": "published",
        "sequence_length": "inferred",
        "beta1": "published",
        "beta2": "inferred",
    }
    told, _ = hyperparameters(making.family(training={"origins": origins}), confirmed=True)
    assert told is not None
    rows = {row[0]: row[2] for row in told.rows}
    assert rows["Batch Size"] == "published; sequence length inferred"
    assert rows["Optimizer"] == "published; optimizer chosen, β₂ inferred, ε chosen"
    assert rows["Precision"] == "chosen"


def test_heads_that_share_keys_are_told() -> None:
    rows = dict(architecture(making.family()).rows)
    assert (rows["Attention Heads"], rows["Embedding and Head"]) == ("2", "two matrices")
    changes = {"num_key_value_heads": 1, "tie_word_embeddings": True}
    rows = dict(architecture(making.family(architecture=changes)).rows)
    assert (rows["Attention Heads"], rows["Embedding and Head"]) == ("2, sharing 1 keys and values", "one matrix")


@pytest.mark.parametrize(
    ("lineages", "known", "rows"),
    [
        (({}, {}), True, None),
        ((None, None), True, None),
        (({"init_seed": 7}, {"init_seed": 7}), True, [("1", "7", "1"), ("2", "7", "2")]),
        (({"init_seed": 7, "order_seed": 8}, {"init_seed": 7, "order_seed": 8}), True, [("7", "8")]),
        (({"init_seed": 7, "order_seed": 8}, None), True, [("1", "7", "8")]),
        ((ADOPTED, ADOPTED), False, None),
        ((ADOPTED, {}), True, [("1", "unknown", "unknown"), ("2", "2", "2")]),
    ],
)
def test_seeds_are_shown_where_they_are_not_the_numbers_of_the_runs(
    lineages: tuple[dict[str, Any] | None, ...], known: bool, rows: list[tuple[str, ...]] | None
) -> None:
    family = making.family()
    found = seeds(family, facts(family, *lineages))
    assert found.known is known
    assert (None if found.table is None else list(found.table.rows)) == rows
    assert found.table is None or found.table.numeric == set(range(len(found.table.headers)))


def test_seeds_of_models_that_others_made_are_not_known_until_a_lineage_tells() -> None:
    family = catalog.get("human-1b")
    assert not seeds(family, [RunFacts(run) for run in family.runs()]).known
