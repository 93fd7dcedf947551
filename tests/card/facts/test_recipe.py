"""What a card tells of a recipe, and of whose runs it may tell it."""

from __future__ import annotations

from typing import Any

import pytest

from mixhub.card.facts.recipe import architecture, hyperparameters, seeds
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.markdown.text import Table
from mixhub.spec import catalog
from mixhub.spec.family import Family
from tests.card import making

ADOPTED = dict.fromkeys(("init_seed", "order_seed", "steps"), "unknown")


def facts(family: Family, *lineages: dict[str, Any] | None) -> FamilyFacts:
    """A run for each lineage, trained with these changes of it; None: not trained."""
    runs = [
        RunFacts(run, None if changes is None else making.lineage(family, run, **changes))
        for run, changes in zip(family.runs(), lineages, strict=False)
    ]
    return FamilyFacts(family, tuple(runs))


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
    assert facts(family, *lineages).is_confirmed is confirmed
    shipped = catalog.get("human-1b")
    assert facts(shipped, *lineages).is_confirmed, "its publishers tell it"


def test_of_adopted_runs_only_what_the_family_states_itself_is_told() -> None:
    family = making.family(training={"origins": {"steps": "published", "weight_decay": "inferred"}})
    told, not_stated = hyperparameters(facts(family, {}))
    assert told is not None
    assert not_stated == ()
    assert len(told.rows) == 12
    own, missing = hyperparameters(facts(family, ADOPTED))
    assert own is not None
    assert own.headers == ("Hyperparameter", "Value")
    assert set(missing) == {"Warmup Ratio", "Total Tokens", "Weight Decay"}
    assert {row[0] for row in own.rows} == {row[0] for row in told.rows} - {
        *missing,
        "Initialisation",
        "Order of Samples",
    }
    assert not facts(family, ADOPTED).has_tokens
    assert facts(making.family(), ADOPTED).has_tokens


def test_what_decays_and_is_rounded_is_told_where_a_recipe_sets_it() -> None:
    plain, _ = hyperparameters(facts(making.family(), {}))
    recipe = {"decay": "matrices", "rope_tables": "bfloat16", "gradient_reduction": "bfloat16"}
    changed, _ = hyperparameters(facts(making.family(training=recipe), {}))
    assert plain is not None
    assert changed is not None
    rows = [{row[0]: row[1] for row in table.rows} for table in (plain, changed)]
    assert [row["Weight Decay"].partition(", ")[2] for row in rows] == [
        "on all parameters",
        "on all parameters but the norms",
    ]
    assert [row.get("Rotary Tables") for row in rows] == [None, "rounded to bfloat16"]
    assert [row.get("Gradient Reduction") for row in rows] == [None, "bfloat16 between processes"]


def test_a_row_says_which_of_its_fields_are_from_elsewhere() -> None:
    origins = {
        "global_batch_size": "published",
        "sequence_length": "inferred",
        "beta1": "published",
        "beta2": "inferred",
    }
    told, _ = hyperparameters(facts(making.family(training={"origins": origins}), {}))
    assert told is not None
    rows = {row[0]: row[2] for row in told.rows}
    assert rows["Batch Size"] == "published; sequence length inferred"
    assert rows["Optimizer"] == "published; optimizer chosen, β₂ inferred, ε chosen"
    assert rows["Precision"] == "chosen"


def test_heads_that_share_keys_are_told() -> None:
    rows = dict(architecture(FamilyFacts(making.family(), ())).rows)
    assert (rows["Attention Heads"], rows["Embedding and Head"]) == ("2", "two matrices")
    changes = {"num_key_value_heads": 1, "tie_word_embeddings": True}
    rows = dict(architecture(FamilyFacts(making.family(architecture=changes), ())).rows)
    assert (rows["Attention Heads"], rows["Embedding and Head"]) == ("2, sharing 1 keys and values", "one matrix")


@pytest.mark.parametrize(
    ("lineages", "expected"),
    [
        (({}, {}), "number"),
        ((None, None), "number"),
        (({"init_seed": 7}, {"init_seed": 7}), [("1", "7", "1"), ("2", "7", "2")]),
        (({"init_seed": 7, "order_seed": 8}, {"init_seed": 7, "order_seed": 8}), [("7", "8")]),
        (({"init_seed": 7, "order_seed": 8}, None), [("1", "7", "8")]),
        ((ADOPTED, ADOPTED), "unknown"),
        ((ADOPTED, {}), [("1", "unknown", "unknown"), ("2", "2", "2")]),
    ],
)
def test_seeds_are_shown_unless_they_are_the_numbers_of_the_runs(
    lineages: tuple[dict[str, Any] | None, ...], expected: str | list[tuple[str, ...]]
) -> None:
    family = making.family()
    found = seeds(facts(family, *lineages))
    if isinstance(found, Table):
        assert found.numeric == set(range(len(found.headers)))
        assert list(found.rows) == expected
    else:
        assert found == expected


def test_seeds_of_models_that_others_made_are_unknown_without_a_lineage() -> None:
    family = catalog.get("human-1b")
    assert seeds(facts(family, None)) == "unknown"
