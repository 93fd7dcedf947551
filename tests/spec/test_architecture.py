"""Architectures: the sizes of a Llama, or the keys of any other model's config.json."""

import pytest

from mixhub.errors import SpecError, UsageError
from mixhub.spec import Family, catalog
from mixhub.spec.architecture import Architecture, OtherArchitecture
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.spec.family import extend
from tests.refusals import refused
from tests.tiny import tiny_data, tiny_family

NEOX = {"model_type": "gpt_neox", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 320, "rotary_pct": 0.25}
ROPE = {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5}
SCALED = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "rope_parameters": ROPE, "head_dim": None}


def family_of(architecture: object, **changes: object) -> Family:
    return Family.from_data({**tiny_data(**changes), "architecture": architecture}, "tiny.yaml")


@pytest.mark.parametrize("config", [NEOX, SCALED, {"model_type": "mamba2", "limit": [0.0, {"__float__": "Infinity"}]}])
def test_a_config_is_kept_as_it_is(config):
    family = family_of(config)
    architecture = family.architecture
    assert isinstance(architecture, OtherArchitecture)
    assert (architecture.config, architecture.model_name) == (config, config["model_type"])
    again = Family.from_data(parse_yaml(to_yaml(family.to_data()), "again"), "again")
    assert (again, again.sha256()) == (family, family.sha256())
    assert family.train_config(family.runs()[0])["mixhub"]["architecture"]["model_type"] == config["model_type"]


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        (NEOX, (320, None, 32, 2)),
        ({"model_type": "gpt2", "n_positions": 64, "n_embd": 48, "n_layer": 3}, (None, 64, 48, 3)),
        ({"model_type": "mpt", "max_seq_len": 64, "d_model": 16, "n_layers": 1, "vocab_size": 400}, (400, 64, 16, 1)),
        ({"model_type": "own", "hidden_size": "wide", "vocab_size": 0, "n_layer": True}, (None, None, None, None)),
    ],
)
def test_sizes_are_those_that_are_stated(config, sizes):
    a = family_of(config, training={"sequence_length": 16}).architecture
    assert (a.vocab_size, a.context, a.hidden_size, a.layers, a.parameters) == (*sizes, None)


def test_a_llama_keeps_its_checks():
    for own in ({"hiden_size": 32}, {"model_type": "llama", "hidden_act": "gelu"}):
        with refused("spec-invalid", SpecError) as caught:
            tiny_family(architecture=own)
        [problem] = caught.value.problems
        assert problem.code == "key-unknown"
    assert isinstance(tiny_family(architecture={"model_type": "llama"}).architecture, Architecture)


@pytest.mark.parametrize(
    ("architecture", "changes", "key", "code"),
    [
        ({"architectures": ["X"]}, {}, "architecture.model_type", "key-missing"),
        ({"model_type": 5}, {}, "architecture.model_type", "value-type"),
        ({**NEOX, "origin": "guessed"}, {}, "architecture.origin", "value-choice"),
        ({**NEOX, "limit": float("inf")}, {}, "architecture", "data-not-plain"),
        ({**NEOX, "vocab_size": 200}, {}, "tokenizer.vocab_size", "keys-conflict"),
        ({**NEOX, "n_positions": 8}, {}, "training.sequence_length", "keys-conflict"),
    ],
)
def test_what_a_family_cannot_be(architecture, changes, key, code):
    with refused("spec-invalid", SpecError) as caught:
        family_of(architecture, **changes)
    assert (key, code) in [(problem.key, problem.code) for problem in caught.value.problems]


def test_a_model_of_another_type_inherits_nothing_of_a_llama():
    base = catalog.data("human-1b")
    own = {"name": "own", "repo_id": "me/own", "mixture": base["mixture"], "card": base["card"]}
    part = extend(base, {**own, "architecture": NEOX})["architecture"]
    assert part == {**NEOX, "origin": "chosen", "model_name": "own"}
    inherited = extend({**base, "architecture": NEOX}, {**own, "architecture": {"num_hidden_layers": 4}})
    assert inherited["architecture"] == {**NEOX, "num_hidden_layers": 4, "origin": "chosen", "model_name": "own"}
    assert extend({**base, "architecture": NEOX}, {**own, "architecture": SCALED})["architecture"].keys() == {
        *SCALED, "origin", "model_name",
    }  # fmt: skip


def test_only_llamas_are_trained():
    with refused("architecture-untrainable", UsageError, model_type="gpt_neox", family="tiny"):
        _ = family_of(NEOX).llama
    assert tiny_family().llama == tiny_family().architecture
