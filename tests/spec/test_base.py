"""Specs: every problem at once, with file, key, value and rule."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixhub.codes import all_codes
from mixhub.errors import ResultsError, SpecError
from mixhub.spec import catalog
from mixhub.spec.base import data_sha256, parse_yaml, read_yaml, to_yaml, validated
from mixhub.spec.family import Family, extend
from mixhub.spec.mixture import Mixture
from tests.refusals import broken, refused

KNOWN = set(all_codes())


def human() -> dict:
    return catalog.data("human-1b")


def refusal(data: object) -> SpecError:
    with refused("spec-invalid", SpecError, file="f.yaml") as caught:
        Family.from_data(data, "f.yaml")
    return caught.value


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
    error = refusal(data)
    assert broken(error) == {
        "mixture.train_the_pile_arxiv": "value-range",
        "mixture.train_the_pile_freelaw": "value-range",
        "mixture.train_the_pile_github": "value-type",
        "training.learning_rat": "key-unknown",
        "training.steps": "value-type",
        "training.learning_rate": "value-type",
        "card.license": "key-missing",
        "evaluation.tasks.0.titl": "key-unknown",
    }
    problems = {problem.key: problem for problem in error.problems}
    assert problems["mixture.train_the_pile_freelaw"].value == -1
    assert problems["training.steps"].rule.endswith("write 1.0e-4")
    assert problems["training.learning_rate"].rule.endswith("write 1.0e-4")
    assert problems["training.learning_rat"].rule.endswith("did you mean learning_rate?")
    assert problems["evaluation.tasks.0.titl"].rule.endswith("did you mean title?")
    assert sorted(error.lines()) == sorted(f"f.yaml: {problem}  [{problem.code}]" for problem in error.problems)
    assert "f.yaml: training.learning_rat = 1: unknown key" in error.message


@pytest.mark.parametrize(
    ("part", "value", "key", "shown"),
    [
        ("evaluation", {"num_fewshot": [0], "tasks": ["hellaswag"]}, "evaluation.tasks.0", "name: hellaswag, title: H"),
        ("evaluation", {"num_fewshot": [0], "tasks": ["x"]}, "evaluation.tasks.0", "{name: x, title: x}"),
        ("tokenizer", "bpe", "tokenizer", "{name: bpe, vocab_size: …}"),
        ("card", "A card", "card", "{title: A card, "),
        ("training", 3, "training", "sequence_length, "),
    ],
)
def test_a_value_in_place_of_a_part_shows_the_keys(part, value, key, shown):
    (problem,) = refusal(human() | {part: value}).problems
    assert (problem.key, problem.code) == (key, "value-type")
    assert shown in problem.rule


@pytest.mark.parametrize(
    ("part", "change", "key", "code"),
    [
        ("revisions", {"pattern": "seed"}, "pattern", "pattern-placeholder"),
        ("revisions", {"pattern": "a/{seed}"}, "pattern", "pattern-branch"),
        ("revisions", {"seeds": [1, 1]}, "seeds", "value-repeated"),
        ("revisions", {"seeds": ["Default", "default"]}, "seeds", "value-repeated"),  # one folder, and one repo
        ("revisions", {"seeds": ["a..b"]}, "seeds", "pattern-branch"),
        ("revisions", {"seeds": ["x.lock"], "branch": "of-{seed}-1"}, "seeds", "pattern-branch"),
        ("revisions", {"seeds": ["x."], "pattern": "{seed}-1", "branch": "{seed}/1"}, "seeds", "pattern-branch"),
        ("revisions", {"seeds": ["a", True]}, "seeds.1", "value-format"),
        ("revisions", {"seeds": [None]}, "seeds.0", "value-format"),
        ("revisions", {"seeds": [1.5]}, "seeds.0", "value-format"),
        ("revisions", {"indices": [1]}, "", "keys-conflict"),
        ("revisions", {"main": 6}, "main", "reference-unknown"),
        ("architecture", {"hidden_size": 2047}, "hidden_size", "heads-mismatch"),
        ("architecture", {"hidden_size": 2032}, "hidden_size", "heads-mismatch"),
        ("architecture", {"num_key_value_heads": 3}, "num_key_value_heads", "heads-mismatch"),
        ("architecture", {"vocab_size": 100}, "tokenizer.vocab_size", "keys-conflict"),
        ("training", {"micro_batch_size": 3}, "global_batch_size", "keys-conflict"),
        ("training", {"min_learning_rate": 1.0}, "min_learning_rate", "keys-conflict"),
        ("training", {"warmup_steps": 25001}, "warmup_steps", "keys-conflict"),
        ("training", {"seed": 1}, "seed", "keys-conflict"),
        ("training", {"origins": {"learning_rte": "chosen"}}, "origins.learning_rte", "key-unknown"),
        ("training", {"schedule": "linear"}, "schedule", "value-choice"),
        ("training", {"sequence_length": 4096}, "sequence_length", "keys-conflict"),
        ("evaluation", {"num_fewshot": []}, "num_fewshot", "value-length"),
        ("card", {"arxiv": "x"}, "arxiv", "value-format"),
        ("revisions", {"seeds": "5-1"}, "seeds", "value-range"),
        ("revisions", {"seeds": "1-1000000000"}, "seeds", "value-type"),
        ("revisions", {"seeds": "1-100000"}, "seeds", "value-range"),
        ("revisions", {"step_pattern": "{revision}{step}"}, "step_pattern", "pattern-ambiguous"),
        ("revisions", {"step_pattern": "{step}"}, "step_pattern", "pattern-placeholder"),
        (
            "evaluation",
            {"tasks": [{"name": "a", "title": "x"}, {"name": "b", "title": "x"}]},
            "tasks.title",
            "value-repeated",
        ),
        ("evaluation", {"tasks": [{"name": "a", "title": "Average"}]}, "tasks.title", "title-reserved"),
        ("evaluation", {"tasks": [{"name": "a", "title": "A", "config": "../x"}]}, "tasks.0.config", "path-outside"),
        ("published_scores", {"average": {"seed-9": 1.0}}, "average.seed-9", "reference-unknown"),
        ("published_scores", {"average": {"seed-1": math.nan}}, "average.seed-1", "value-range"),
        ("published_scores", {"scores": {"seed-9": {}}}, "scores.seed-9", "reference-unknown"),
        ("published_scores", {"scores": {"seed-1": {"x": 1.0}}}, "scores.seed-1.x", "reference-unknown"),
    ],
)
def test_rules_of_the_parts(part, change, key, code):
    data = human()
    data[part] |= change
    problems = broken(refusal(data))
    assert code in (problems.get(key), problems.get(f"{part}.{key}".removesuffix(".")))


@pytest.mark.parametrize(
    ("changes", "key", "code"),
    [
        ({"mixture": None, "mixtures": None}, "mixture", "keys-conflict"),
        ({"mixture": None, "mixtures": {1: {"train_the_pile_arxiv": 1.0}}}, "mixtures", "keys-conflict"),
        ({"mixtures": {2: {"train_the_pile_arxiv": 1.0}}}, "mixtures.1", "key-missing"),
        ({"mixtures": {2: {"train_the_pile_arxiv": 1.0}}}, "mixtures.2", "reference-unknown"),
    ],
)
def test_mixtures_and_indices_go_together(changes, key, code):
    data = human() | {"published_scores": None} | changes
    if "mixture" not in changes:
        data |= {"mixture": None, "revisions": {"pattern": "index-{index}", "indices": [1]}}
    assert broken(refusal(data))[key] == code


def test_a_domain_must_have_the_prefix():
    data = human()
    data["mixture"]["arxiv"] = 0.1
    assert broken(refusal(data)) == {"mixture.arxiv": "domain-prefix"}


@pytest.mark.parametrize("mixture", [{}, {"train_a": 0.0}, {"train_a": 0, "train_b": 0.0}])
def test_a_mixture_that_samples_nothing_is_refused(mixture):
    with refused("spec-invalid", SpecError, file="m.yaml") as caught:
        validated(Mixture, mixture, "m.yaml")
    assert broken(caught.value) == {"": "mixture-empty"}


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf, "0.5", True, None])
def test_an_invalid_weight_is_refused(weight):
    with refused("spec-invalid", SpecError, file="m.yaml") as caught:
        validated(Mixture, {"train_a": 1.0, "train_b": weight}, "m.yaml")
    assert broken(caught.value) == {"train_b": "value-range" if isinstance(weight, float) else "value-type"}


@pytest.mark.parametrize("domain", ["", "a b", "a/b", "-a", "a."])
def test_a_domain_is_a_valid_file_name(domain):
    with refused("spec-invalid", SpecError) as caught:
        validated(Mixture, {"train_a": 1.0, domain: 1.0}, "m.yaml")
    assert broken(caught.value) == {domain: "domain-malformed"}


def test_zero_means_not_sampled():
    mixture = validated(Mixture, {"a": 3, "b": 0.0, "c": 1}, "m.yaml")
    assert mixture.shares == {"a": 0.75, "c": 0.25}
    assert dict(mixture.domain_weights) == {"a": 3, "b": 0.0, "c": 1}


@pytest.mark.parametrize("repo_id", ["a", "a/b/c", "a/b--c", "a/b.git", "-a/b", "a/b..c", "a./b", "a/" + "b" * 96])
def test_a_repo_id_follows_the_rules_of_the_hub(repo_id):
    assert broken(refusal(human() | {"repo_id": repo_id})) == {"repo_id": "value-format"}


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
def test_a_family_survives_yaml(name):
    family = catalog.get(name)
    again = Family.from_data(parse_yaml(to_yaml(family.to_data()), "again.yaml"), "again.yaml")
    assert again == family
    assert again.sha256() == family.sha256()


def test_null_is_kept_over_a_default():
    data = human()
    data["training"]["gradient_clip"] = None
    family = Family.from_data(data, "f")
    assert family.training.to_data()["gradient_clip"] is None
    assert Family.from_data(family.to_data(), "f") == family
    assert family.sha256() != catalog.get("human-1b").sha256()


def test_the_hash_does_not_depend_on_the_order_of_keys():
    data = human()
    turned = {key: data[key] for key in reversed(data)}
    assert Family.from_data(turned, "f").sha256() == catalog.get("human-1b").sha256()
    turned["training"]["steps"] += 1
    assert Family.from_data(turned, "f").sha256() != catalog.get("human-1b").sha256()


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: 1\nb: [", "f.yaml:3:1", "yaml-malformed"),
        ("a: 1\na: 2", "f.yaml:2:1", "key-repeated"),
        ("m: {x: 1, x: 2}", "f.yaml:1:11", "key-repeated"),
        ("? [a]\n: 1", "f.yaml:1:3", "yaml-malformed"),
        ("a: 2024-13-01", "f.yaml", "yaml-malformed"),
    ],
)
def test_malformed_yaml_is_an_error_with_its_place(text, place, code):
    with refused("spec-invalid", SpecError, file=place) as caught:
        parse_yaml(text, "f.yaml")
    assert broken(caught.value) == {"": code}


@pytest.mark.parametrize(
    ("content", "code"), [(None, "file-missing"), (b"a: \xff", "file-unreadable"), (b"a: [", "spec-invalid")]
)
def test_an_unreadable_yaml_file_is_an_error_of_the_given_class(tmp_path, content, code):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with refused(code, SpecError if code == "spec-invalid" else ResultsError) as caught:
        read_yaml(path, ResultsError)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("data", [{"a": math.nan}, {"a": {1, 2}}])
def test_data_that_is_not_plain_has_no_hash(data):
    with refused("data-not-plain"):
        data_sha256(data)


@pytest.mark.parametrize("data", [None, "text", [1], 3])
def test_a_file_that_is_not_a_mapping(data):
    assert broken(refusal(data)) == {"": "value-type"}


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
def test_any_data_raises_only_spec_errors(data):
    assert set(broken(refusal(data)).values()) <= KNOWN


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
        problems = broken(refusal(data))
        assert any(key.split(".")[0] == part for key in problems)
        assert set(problems.values()) <= KNOWN
