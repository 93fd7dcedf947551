"""Bits per byte and answer probability, against figures worked out by hand."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from mixhub.evaluation.measures import cell_measures, document_measures
from mixhub.workspace.cells import read_cells
from tests.evaluation.making import Place


def _task(kind: str = "multiple_choice", *, gold: object = 1, inputs: bool = False) -> Any:
    return SimpleNamespace(
        OUTPUT_TYPE=kind,
        multiple_input=inputs,
        doc_to_choice=lambda document: document["choices"],
        doc_to_target=lambda document: " rest" if inputs else gold,
        doc_to_text=lambda document: gold if inputs else "text",
    )


def _sample(*likelihoods: float, texts: tuple[str, ...] = (" a", " é", " ccc")) -> dict[str, Any]:
    return {
        "doc": {"choices": [text.strip() for text in texts]},
        "arguments": [("context", text) for text in texts],
        "resps": [[(likelihood, False)] for likelihood in likelihoods],
    }


def test_bits_are_of_the_scored_text_in_bytes_and_probability_is_among_the_choices():
    found = document_measures(_task(), _sample(math.log(0.1), math.log(0.3), math.log(0.2)))
    assert found["bits_per_byte"] == pytest.approx(-math.log2(0.3) / 3)  # a space, and two bytes of é
    assert found["answer_probability"] == pytest.approx(0.5)


def test_likelihoods_that_no_float_holds_as_probabilities_are_no_problem():
    found = document_measures(_task(), _sample(-2000.0, -2000.0 + math.log(3), -9000.0))
    assert found["answer_probability"] == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("gold", "probability"), [([0, 2], 0.5), ("é", 0.5), ([1, 1], 0.5), (2, 1 / 3), ([0, 9], 1 / 6)]
)
def test_the_right_answer_is_what_lm_eval_takes_for_it(gold, probability):
    found = document_measures(_task(gold=gold), _sample(math.log(0.1), math.log(0.3), math.log(0.2)))
    assert found["answer_probability"] == pytest.approx(probability)


def test_with_several_right_answers_bits_are_those_of_the_likeliest():
    found = document_measures(_task(gold=[0, 2]), _sample(math.log(0.1), math.log(0.3), math.log(0.2)))
    assert found["bits_per_byte"] == pytest.approx(-math.log2(0.2) / 4)


def test_where_the_choices_are_contexts_the_right_one_is_in_the_text():
    sample = _sample(math.log(0.1), math.log(0.4), texts=(" rest", " rest"))
    found = document_measures(_task(gold=1, inputs=True), sample)
    assert found == pytest.approx({"bits_per_byte": -math.log2(0.4) / 5, "answer_probability": 0.8})


@pytest.mark.parametrize("gold", [-100, 7, "nothing", []])
def test_a_document_without_a_right_answer_has_no_measures(gold):
    assert document_measures(_task(gold=gold), _sample(-1.0, -2.0, -3.0)) == {}


def test_unconditional_requests_are_not_among_the_choices():
    sample = _sample(math.log(0.1), math.log(0.3), math.log(0.2))
    sample["resps"] += [[(0.0, False)]] * 3
    assert document_measures(_task(), sample)["answer_probability"] == pytest.approx(0.5)


def test_a_continuation_has_bits_and_no_choices():
    assert document_measures(_task("loglikelihood"), _sample(-math.log(16), texts=(" abc",))) == {
        "bits_per_byte": pytest.approx(1.0)
    }
    assert document_measures(_task("generate_until"), {}) == {}


def test_a_cell_has_means_errors_and_counts():
    found = cell_measures([{"bits_per_byte": 1.0}, {}, {"bits_per_byte": 2.0}, {"bits_per_byte": 6.0}])
    assert found == {
        "bits_per_byte": 3.0,
        "bits_per_byte_documents": 3,
        "bits_per_byte_stderr": pytest.approx(math.sqrt(7 / 3)),
    }
    assert cell_measures([{}]) == {}


def test_measures_stand_apart_from_lm_evals_metrics(measured: Place):
    for cell in read_cells(measured.results):
        data = json.loads(cell.path.read_text())
        assert not [key for key in data["results"][cell.task] if "bits_per_byte" in key or "probability" in key]
        own = [json.loads(line) for line in cell.samples.read_text().splitlines()]
        bits = [sample["mixhub_measures"]["bits_per_byte"] for sample in own]
        assert cell.measures["bits_per_byte"] == pytest.approx(math.fsum(bits) / len(bits))
        for sample in own:
            assert not {"bits_per_byte", "answer_probability"} & set(sample["metrics"])
            gold = sample["mixhub_measures"]["answer_probability"]
            assert gold is None if cell.task == "demo_last_word" else 0 < gold < 1
