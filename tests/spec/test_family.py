"""Families: runs, revisions, and what the catalog ships."""

import math
import subprocess
import sys

import pytest

from mixhub import spec
from mixhub.errors import SpecError, UnknownNameError, UsageError
from mixhub.spec import catalog
from mixhub.spec.base import data_sha256, parse_yaml, to_yaml
from mixhub.spec.family import extend
from mixhub.spec.parts import PublishedScores
from mixhub.spec.schedule import learning_rate
from tests.refusals import refused
from tests.tiny import tiny_family

PILE = 17


def test_the_catalog_ships_five_families():
    assert catalog.published() == ["human-1b", "doremi-1b", "pile-cc-1b", "regmix-1b", "random-1b"]
    assert [catalog.get(name).repo_id for name in catalog.published()] == [
        f"sail/data-mixture-{name}" for name in catalog.published()
    ]
    assert [len(catalog.get(name).runs()) for name in catalog.published()] == [5, 5, 5, 5, 64]
    assert {run.seed for name in catalog.published() for run in catalog.get(name).runs()} == {None}


@pytest.mark.parametrize(
    ("name", "parameters", "layers", "indices", "arxiv"),
    [
        ("proxies-1m", 27_133_184, 2, 512, (0.0, 0.902)),
        ("proxies-1m-test", 27_133_184, 2, 256, (0.08, 0.031)),
        ("proxies-60m", 136_462_080, 10, 256, (0.08, 0.031)),
    ],
)
def test_the_proxies_have_a_mixture_per_index(name, parameters, layers, indices, arxiv):
    family = catalog.get(name)
    runs = family.runs()
    assert (family.architecture.parameters, family.architecture.num_hidden_layers) == (parameters, layers)
    assert [run.label for run in runs] == list(range(1, indices + 1))
    assert {(run.init_seed, run.order_seed) for run in runs} == {(3406, 3406)}
    assert tuple(runs[at].mixture.domain_weights["train_the_pile_arxiv"] for at in (0, -1)) == arxiv
    assert all(0.995 < math.fsum(run.mixture.domain_weights.values()) < 1.004 for run in runs)
    assert {len(run.mixture.domain_weights) for run in runs} == {len(family.validation.shares)} == {PILE}
    assert family.training.steps == 1001
    assert family.training.loader.to_data() == {"ranks": 1, "micro_batch_size": 16, "chunk_sequences": 256}
    assert learning_rate(1000, family.training) == learning_rate(100, family.training) == 4e-4
    assert family.repo_id.startswith("local/")


@pytest.mark.parametrize("name", catalog.published())
def test_the_recipe_is_that_of_the_original_runs(name):
    family = catalog.get(name)
    assert family.architecture.parameters == 1_337_026_560
    assert family.training.global_batch_size * family.training.sequence_length == 1_048_576
    assert family.training.tokens == 26_214_400_000
    assert family.training.warmup_steps / family.training.steps == 0.04
    stated = {name for name in type(family.training).model_fields if getattr(family.training, name) is not None}
    assert stated - {"origins"} <= set(family.training.origins), "every field of a shipped recipe says where it is from"


@pytest.mark.parametrize(
    ("name", "total", "largest"),
    [
        ("human-1b", 0.7868, ("train_the_pile_pile_cc", 0.1121)),
        ("doremi-1b", 0.8148, ("train_the_pile_pile_cc", 0.6057)),
        ("regmix-1b", 1.0, ("train_the_pile_pile_cc", 0.8701291419934237)),
        ("pile-cc-1b", 1.0, ("train_the_pile_pile_cc", 1.0)),
    ],
)
def test_mixtures_are_the_published_ones(name, total, largest):
    mixture = catalog.get(name).mixture
    assert math.isclose(math.fsum(mixture.domain_weights.values()), total, abs_tol=1e-9)
    assert max(mixture.domain_weights.items(), key=lambda item: item[1]) == largest
    assert math.isclose(math.fsum(mixture.shares.values()), 1.0, abs_tol=1e-12)


def test_random_mixtures_have_one_per_index():
    family = catalog.get("random-1b")
    assert [run.revision for run in family.runs()] == [f"model-index-{index}" for index in range(1, 65)]
    assert family.run(index=1).mixture.domain_weights["train_the_pile_arxiv"] == 0.123
    assert family.run(index=64).seed is None
    for run in family.runs():
        assert len(run.mixture.domain_weights) == PILE
        assert 0.99 < math.fsum(run.mixture.domain_weights.values()) < 1.01
    assert len({tuple(run.mixture.domain_weights.values()) for run in family.runs()}) == 64


def test_the_published_scores_of_human_1b_average_to_the_last_digit():
    published = catalog.get("human-1b").published_scores
    assert list(published.scores) == [f"seed-{seed}" for seed in range(1, 6)]
    for revision, row in published.scores.items():
        assert len(row) == 13
        assert round(math.fsum(row.values()) / 13, 2) == published.average[revision]
    assert all(catalog.get(name).published_scores is None for name in catalog.names()[1:])


def branch(name, step=None, **label):
    """The branch of a run of a family in the catalog."""
    family = catalog.get(name)
    return family.branch(family.run(**label), step)


def test_revisions_follow_the_pattern():
    assert branch("human-1b", seed=4) == "seed-4"
    assert branch("human-1b", 5000, seed=4) == "seed-4-step-5000"
    assert branch("random-1b", index=12) == "model-index-12"


def test_an_unknown_seed_names_the_nearest_and_all():
    with refused("unknown-seed", UnknownNameError, kind="seed", name=6, known=("1", "2", "3", "4", "5")) as caught:
        catalog.get("human-1b").run(seed=6)
    assert caught.value.nearest == "5"
    assert caught.value.hint is not None
    assert "1-5" in caught.value.hint
    with refused("unknown-index", UnknownNameError, name=65) as caught:
        catalog.get("random-1b").run(index=65)
    assert caught.value.nearest == "64"


@pytest.mark.parametrize(
    ("given", "code", "fields"),
    [
        ({}, "option-missing", {"option": "seed"}),
        ({"index": 1}, "run-kind", {"kind": "seed"}),
        ({"seed": 1, "index": 1}, "run-kind", {"kind": "seed"}),
        ({"seed": "1"}, "option-value", {"option": "seed", "value": "1"}),
        ({"seed": True}, "option-value", {"option": "seed", "value": True}),
    ],
)
def test_a_run_needs_its_seed(given, code, fields):
    with refused(code, UsageError, **fields):
        catalog.get("human-1b").run(**given)


def test_an_unknown_family_names_the_nearest():
    with refused("unknown-family", UnknownNameError, name="humn-1b") as caught:
        catalog.get("humn-1b")
    assert caught.value.nearest == "human-1b"


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("mixhub.spec", ["pydantic", "yaml", "difflib", "importlib.resources", "inspect"]),
        ("mixhub.spec.family", ["yaml", "difflib", "mixhub.spec.fields", "mixhub.spec.strict_yaml"]),
    ],
)
def test_an_import_loads_only_what_it_needs(name, unused):
    code = f"import sys, {name}; print([name for name in {unused} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names_are_those_of_the_modules():
    for name in spec.__all__:
        assert getattr(spec, name).__name__ == name
    assert spec.Family is type(catalog.get("human-1b"))
    assert not hasattr(spec, "Nothing")


def test_train_config_keeps_the_keys_of_regmix():
    family = catalog.get("human-1b")
    config = parse_yaml(to_yaml(family.train_config(family.run(seed=3))), "train_config.yaml")
    assert list(config) == ["train", "valid", "model_name", "mixhub"]
    assert config["train"] == dict(family.mixture.domain_weights)
    assert config["valid"] == {"valid_the_pile_pile_cc": 1.0}
    assert config["model_name"] == "tinyllama_1_1b"
    assert config["mixhub"]["seed"] == 3
    assert config["mixhub"]["init_seed"] is None, "not published"


@pytest.mark.parametrize(
    ("written", "numbers", "shown"),
    [
        ("7-7", (7,), [7]),
        ("3-4", (3, 4), [3, 4]),
        ("1-5", (1, 2, 3, 4, 5), "1-5"),
        ([1, 2, 3, 5], (1, 2, 3, 5), [1, 2, 3, 5]),
        ([2, 1, 3], (2, 1, 3), [2, 1, 3]),
        ("0-9999", tuple(range(10_000)), "0-9999"),
    ],
)
def test_numbers_are_read_and_written_as_ranges(written, numbers, shown):
    revisions = tiny_family(revisions={"seeds": written}).revisions
    assert revisions.seeds == numbers
    assert revisions.to_data()["seeds"] == shown


@pytest.mark.parametrize("tied", [False, True])
def test_parameters_are_those_of_transformers(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    architecture = tiny_family(architecture={"num_key_value_heads": 1, "tie_word_embeddings": tied}).architecture
    model = LlamaForCausalLM(LlamaConfig(**architecture.config))
    assert architecture.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_a_tokenizer_with_another_token_keeps_its_repo():
    base = {"tokenizer": {"name": "neox", "repo_id": "org/neox", "vocab_size": 10, "eos_token": "a"}}
    assert extend(base, {"tokenizer": {"eos_token": "b"}})["tokenizer"]["repo_id"] == "org/neox"
    assert extend(base, {"tokenizer": {"vocab_size": 11}})["tokenizer"]["repo_id"] is None
    assert extend(base, {"data": {"name": "x"}}) == base | {"data": {"name": "x"}}


def test_default_mappings_are_frozen():
    published = PublishedScores.from_data({"source": "a", "rule": "b", "scores": {}}, "m.yaml")
    with pytest.raises(TypeError):
        published.average["seed-1"] = 1.0


@pytest.mark.parametrize("field", [{"decay": "all"}, {"rope_tables": "float32"}, {"gradient_reduction": "float32"}])
def test_writing_a_default_of_a_newer_field_does_not_make_another_recipe(field):
    assert tiny_family(training=field).training == tiny_family().training
    assert not field.keys() & tiny_family(training=field).training.to_data().keys()


def test_the_order_of_regmix_has_the_sizes_of_its_loader():
    training = catalog.get("human-1b").training
    assert training.order == "regmix"
    assert training.loader.to_data() == {"ranks": 8, "micro_batch_size": 4, "chunk_sequences": 256}
    other = tiny_family(training={"order": "regmix", "loader": {"ranks": 2}})
    assert other.training.to_data()["loader"] == {"ranks": 2, "micro_batch_size": 4, "chunk_sequences": 256}
    assert tiny_family().training.loader is None
    assert "loader" not in tiny_family().training.to_data(), "recipes without it keep their hash"


def test_original_is_the_old_name_of_the_order_of_regmix():
    old = tiny_family(training={"order": "original", "global_batch_size": 32})
    new = tiny_family(training={"order": "regmix", "global_batch_size": 32})
    assert old == new
    assert old.sha256() == new.sha256()


@pytest.mark.parametrize(
    ("training", "key", "code"),
    [
        ({"order": "shuffled"}, "training.order", "value-choice"),
        ({"order": ["iid"]}, "training.order", "value-choice"),
        ({"loader": {"ranks": 2}}, "training.loader", "keys-conflict"),
        ({"validation_order": "regmix"}, "training.validation_order", "keys-conflict"),
        ({"decay": "norms"}, "training.decay", "value-choice"),
        ({"rope_tables": "float16"}, "training.rope_tables", "value-choice"),
        ({"order": "regmix", "loader": {"ranks": 0}}, "training.loader.ranks", "value-range"),
        ({"order": "regmix", "loader": {"rank": 2}}, "training.loader.rank", "key-unknown"),
        ({"order": "regmix"}, "training.global_batch_size", "keys-conflict"),
        (
            {"order": "regmix", "loader": {"ranks": 1, "micro_batch_size": 3}},
            "training.global_batch_size",
            "keys-conflict",
        ),
    ],
)
def test_orders_that_cannot_be(training, key, code):
    with refused("spec-invalid", SpecError) as caught:
        tiny_family(training=training)
    assert [(problem.key, problem.code) for problem in caught.value.problems] == [(key, code)]


def test_a_family_with_another_order_inherits_neither_the_loader_nor_its_validation():
    origins = {"loader": "published", "validation_order": "published"}
    training = {"order": "regmix", "loader": {"ranks": 2}, "validation_order": "regmix", "origins": origins}
    base = {"name": "base", "training": training}
    assert extend(base, {"training": {"order": "quota"}})["training"] == {
        "order": "quota",
        "loader": None,
        "validation_order": None,
        "origins": {},
    }
    assert extend(base, {"training": {"steps": 3}})["training"]["loader"] == {"ranks": 2}
    own = extend(base, {"training": {"loader": {"ranks": 4}}})["training"]
    assert (own["loader"], own["origins"]) == ({"ranks": 4}, {"validation_order": "published"})


def test_the_train_config_of_the_order_of_regmix_holds_the_order_of_the_domains():
    mixture = {"train_b": 1.0, "train_c": 0.0, "train_a": 1.0}
    training = {"order": "regmix", "loader": {"ranks": 2}}
    family = tiny_family(mixture=mixture, training=training)
    turned = tiny_family(mixture=dict(reversed(mixture.items())), training=training)
    configs = [one.train_config(one.run(seed=1)) for one in (family, turned)]
    assert configs[0]["mixhub"]["domains"] == ["train_b", "train_c", "train_a"]
    assert data_sha256(configs[0]) != data_sha256(configs[1])
    assert "domains" not in tiny_family().train_config(tiny_family().run(seed=1))["mixhub"]
