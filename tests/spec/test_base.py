"""Specs: every problem at once, with file, key, value and rule."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.errors import SpecError
from mixhub.spec import catalog
from mixhub.spec.base import parse_yaml, to_yaml, validated
from mixhub.spec.family import Family, extend
from mixhub.spec.mixture import Mixture


def human() -> dict:
    return catalog.data("human-1b")


def problems(data: object) -> list[str]:
    with pytest.raises(SpecError) as caught:
        Family.from_data(data, "f.yaml")
    return str(caught.value).splitlines()


def test_every_problem_is_reported_at_once_with_file_key_value_and_rule():
    data = human()
    data["training"]["learning_rat"] = 1
    data["training"]["steps"] = "28e9"
    data["training"]["learning_rate"] = "1e-4"
    data["mixture"]["train_the_pile_arxiv"] = math.nan
    data["mixture"]["train_the_pile_freelaw"] = -1
    data["mixture"]["train_the_pile_github"] = "a"
    del data["card"]["license"]
    data["evaluation"]["tasks"][0]["titl"] = "x"
    assert sorted(problems(data)) == sorted(
        [
            "f.yaml: mixture.train_the_pile_arxiv = nan: must be a finite number",
            "f.yaml: mixture.train_the_pile_freelaw = -1: must be at least 0.0",
            "f.yaml: mixture.train_the_pile_github = 'a': must be a number, not text",
            "f.yaml: training.learning_rat = 1: unknown key; did you mean learning_rate?",
            "f.yaml: training.steps = '28e9': must be a number; YAML reads '28e9' as text: write 28000000000",
            "f.yaml: training.learning_rate = '1e-4': must be a number; YAML reads '1e-4' as text: write 0.0001",
            "f.yaml: card.license: is required",
            "f.yaml: evaluation.tasks.0.titl = 'x': unknown key; did you mean title?",
        ]
    )


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("revisions", {"pattern": "seed"}, "must hold {seed} once"),
        ("revisions", {"pattern": "a/{seed}"}, "without /"),
        ("revisions", {"seeds": [1, 1]}, "each must stand once"),
        ("revisions", {"indices": [1]}, "give either seeds or indices"),
        ("architecture", {"hidden_size": 2047}, "multiple of 16 heads"),
        ("architecture", {"vocab_size": 100}, "tokenizer.vocab_size = 50277: must be at most architecture.vocab_size"),
        ("training", {"micro_batch_size": 3}, "multiple of micro_batch_size"),
        ("training", {"min_learning_rate": 1.0}, "must be at most learning_rate"),
        ("training", {"warmup_steps": 25001}, "must be at most steps"),
        ("training", {"seed": 1}, "the revisions are seeds"),
        ("training", {"origins": {"learning_rte": "chosen"}}, "nearest: learning_rate"),
        ("training", {"schedule": "linear"}, "must be one of 'cosine' or 'constant'"),
        ("training", {"sequence_length": 4096}, "must be at most architecture.max_position_embeddings"),
        ("evaluation", {"num_fewshot": []}, "must not be empty"),
        ("card", {"arxiv": "x"}, "must match"),
        ("revisions", {"seeds": "5-1"}, "is empty; write 1-5"),
        ("revisions", {"seeds": "1-1000000000"}, "revisions.seeds = '1-1000000000': must be a list"),
        ("revisions", {"seeds": "1-100000"}, "must hold at most 10,000 numbers"),
        ("revisions", {"step_pattern": "{revision}{step}"}, "between {revision} and {step}"),
        ("evaluation", {"tasks": [{"name": "a", "title": "x"}, {"name": "b", "title": "x"}]}, "each must stand once"),
        ("evaluation", {"tasks": [{"name": "a", "title": "Average"}]}, "is the column of the average"),
        (
            "evaluation",
            {"tasks": [{"name": "a", "title": "A", "config": "../x"}]},
            "must be a path below the workspace",
        ),
        ("published_scores", {"average": {"seed-9": 1.0}}, "no such revision"),
        ("published_scores", {"average": {"seed-1": math.nan}}, "average.seed-1 = nan: must be a finite number"),
    ],
)
def test_rules_of_the_parts(part, change, said):
    data = human()
    data[part] |= change
    assert any(said in line for line in problems(data))


def test_a_domain_must_have_the_prefix():
    data = human()
    data["mixture"]["arxiv"] = 0.1
    assert problems(data) == [
        "f.yaml: mixture.arxiv = 0.1: a domain key must be 'train_the_pile_' (data.train_prefix) and a domain"
    ]


@pytest.mark.parametrize("mixture", [{}, {"train_a": 0.0}, {"train_a": 0, "train_b": 0.0}])
def test_a_mixture_that_samples_nothing_is_refused(mixture):
    with pytest.raises(SpecError, match="at least one domain weight must be above 0"):
        validated(Mixture, mixture, "m.yaml")


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, "0.5", True, None])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(SpecError, match=r"m\.yaml: train_b = "):
        validated(Mixture, {"train_a": 1.0, "train_b": weight}, "m.yaml")


def test_zero_means_not_sampled():
    mixture = validated(Mixture, {"a": 3, "b": 0.0, "c": 1}, "m.yaml")
    assert mixture.shares == {"a": 0.75, "c": 0.25}
    assert dict(mixture.domain_weights) == {"a": 3, "b": 0.0, "c": 1}


@pytest.mark.parametrize("repo_id", ["a", "a/b/c", "a/b--c", "a/b.git", "-a/b", "a/b..c", "a./b", "a/" + "b" * 96])
def test_a_repo_id_follows_the_rules_of_the_hub(repo_id):
    assert problems(human() | {"repo_id": repo_id})[0].startswith("f.yaml: repo_id = ")


def test_huge_weights_do_not_overflow():
    assert validated(Mixture, {"a": 1e308, "b": 1e308}, "m.yaml").shares == {"a": 0.5, "b": 0.5}


def test_specs_do_not_change():
    family = catalog.get("human-1b")
    with pytest.raises(Exception, match="frozen"):
        family.name = "x"
    with pytest.raises(TypeError):
        family.mixture.domain_weights["train_the_pile_arxiv"] = 1.0
    with pytest.raises(TypeError):
        family.training.origins["steps"] = "chosen"


@pytest.mark.parametrize("name", catalog.names())
def test_yaml_out_and_in_is_the_same_family(name):
    family = catalog.get(name)
    again = Family.from_data(parse_yaml(to_yaml(family.to_data()), "again.yaml"), "again.yaml")
    assert again == family
    assert again.sha256() == family.sha256()


def test_the_hash_does_not_depend_on_the_order_of_keys():
    data = human()
    turned = {key: data[key] for key in reversed(data)}
    assert Family.from_data(turned, "f").sha256() == catalog.get("human-1b").sha256()
    turned["training"]["steps"] += 1
    assert Family.from_data(turned, "f").sha256() != catalog.get("human-1b").sha256()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [", "f.yaml:3:1: not valid YAML"),
        ("a: 1\na: 2", "the key 'a' stands twice"),
        ("m: {x: 1, x: 2}", "the key 'x' stands twice"),
        ("? [a]\n: 1", "a key must be text or a number"),
    ],
)
def test_yaml_that_is_none_names_the_place(text, said):
    with pytest.raises(SpecError, match=said.replace("[", r"\[")):
        parse_yaml(text, "f.yaml")


@pytest.mark.parametrize("data", [None, "text", [1], 3])
def test_a_file_that_is_no_mapping(data):
    assert problems(data)[0].startswith("f.yaml: must be a mapping of keys to values, not ")


def test_extends_takes_the_recipe_and_not_the_mixture():
    own = {"name": "mine", "repo_id": "me/mine", "mixture": {"train_the_pile_arxiv": 1.0}}
    own |= {"card": {"title": "t", "summary": "s", "license": "mit"}, "training": {"steps": 10, "warmup_steps": 1}}
    family = Family.from_data(extend(human(), own), "mine.yaml")
    assert family.architecture == catalog.get("human-1b").architecture
    assert family.mixture.shares == {"train_the_pile_arxiv": 1.0}
    assert family.published_scores is None
    assert family.training.steps == 10
    assert family.training.origin("steps") == "chosen"
    assert family.training.origin("learning_rate") == "published"
    own |= {"architecture": {"num_hidden_layers": 2}, "tokenizer": {"name": "mine", "vocab_size": 100}}
    family = Family.from_data(extend(human(), own), "mine.yaml")
    assert family.architecture.origin == "chosen"
    assert family.tokenizer.repo_id is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_nothing_but_a_spec_error_comes_of_any_data(data):
    with pytest.raises(SpecError):
        Family.from_data(data, "f.yaml")


@given(
    st.sampled_from(sorted(catalog.data("human-1b"))),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
)
def test_a_part_of_another_type_is_a_spec_error_that_names_it(part, value):
    data = human()
    data[part] = value
    if value is None and part == "published_scores":
        assert Family.from_data(data, "f.yaml").published_scores is None
    elif isinstance(value, str) and part in ("name", "repo_id"):
        with suppress(SpecError):
            assert getattr(Family.from_data(data, "f.yaml"), part) == value
    else:
        assert any(part in problem for problem in problems(data))
