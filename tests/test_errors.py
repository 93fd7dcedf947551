"""Errors and findings, as text and as data."""

import json
from pathlib import Path

import pytest

from mixhub.errors import ABSENT, MixhubError, Problem, SpecError, UnknownNameError, UsageError, nearest
from mixhub.findings import Finding, errors, from_error

ERROR = Finding("weights-repeated", "seed-2", "has the weights of seed-1", "push it again", about="model.safetensors")
WARNING = Finding("card-edited", "README.md", "was edited", level="warning", line=12)


def test_an_error_has_a_code_a_hint_and_fields():
    error = UsageError(
        "one\ntwo", code="option-conflict", hint="omit one", options=("--all", "--seed"), path=Path("a"), none=None
    )
    assert error.lines() == ["one  [option-conflict]", "two  [option-conflict]"]
    assert error.__notes__ == ["hint: omit one"]
    assert json.loads(json.dumps(error.to_data())) == {
        "code": "option-conflict",
        "message": "one\ntwo",
        "hint": "omit one",
        "fields": {"options": ["--all", "--seed"], "path": "a", "none": None},
    }
    bare = UsageError("x", code="option-value").to_data()
    assert bare == {"code": "option-value", "message": "x", "hint": None, "fields": {}}


def test_a_broken_file_lists_its_problems_each_with_a_code():
    problems = [
        Problem("a.b", 1, "must be text", code="value-type"),
        Problem("c", ABSENT, "is required", code="key-missing"),
        Problem("", None, "not valid YAML", code="yaml-malformed"),
    ]
    error = SpecError("f.yaml", problems)
    assert error.lines() == [
        "f.yaml: a.b = 1: must be text  [value-type]",
        "f.yaml: c: is required  [key-missing]",
        "f.yaml: not valid YAML  [yaml-malformed]",
    ]
    data = error.to_data()
    assert (data["code"], data["fields"]["file"]) == ("spec-invalid", "f.yaml")
    assert data["fields"]["problems"] == [
        {"code": "value-type", "key": "a.b", "value": 1, "rule": "must be text"},
        {"code": "key-missing", "key": "c", "rule": "is required"},
        {"code": "yaml-malformed", "key": "", "value": None, "rule": "not valid YAML"},
    ]


def test_an_unknown_name_offers_the_nearest():
    error = UnknownNameError("token file", "tokenizr", ["tokenizer", "text"], where="data")
    assert (error.code, error.nearest) == ("unknown-token-file", "tokenizer")
    assert error.fields == {"kind": "token file", "name": "tokenizr", "known": ("tokenizer", "text")}
    assert UnknownNameError("source", "x", []).code == "unknown-source"
    assert UnknownNameError("seed", 7, range(5), near="4").nearest == "4"
    assert UnknownNameError("seed", 7, range(5)).nearest is None
    assert nearest("xyz", ["abc"]) is None


@pytest.mark.parametrize("kind", [MixhubError, UsageError])
def test_errors_are_caught_as_what_the_user_can_fix(kind):
    with pytest.raises(MixhubError):
        raise kind("x", code="option-value")


def test_findings_read_as_lines_and_as_data():
    assert [str(ERROR), str(WARNING)] == ["seed-2: has the weights of seed-1", "warning: README.md:12: was edited"]
    assert ERROR.to_data() == {
        "code": "weights-repeated",
        "level": "error",
        "where": "seed-2",
        "about": "model.safetensors",
        "message": "has the weights of seed-1",
        "hint": "push it again",
    }
    assert WARNING.to_data()["line"] == 12
    assert errors([WARNING, ERROR]) == [ERROR]


def test_a_finding_within_a_larger_place_names_the_smaller_one():
    within = WARNING.within("seed-2")
    assert str(within) == "warning: seed-2: README.md:12: was edited"
    assert (within.code, within.level, within.line) == ("card-edited", "warning", 0)
    assert str(ERROR.within("tiny")) == "tiny: seed-2: has the weights of seed-1"


def test_a_finding_that_says_what_an_error_says():
    error = MixhubError("cannot be read", code="file-unreadable", hint="look at it")
    assert from_error(error, "seed-1") == Finding("file-unreadable", "seed-1", "cannot be read", "look at it")
    other = from_error(error, "seed-1", code="results-malformed", hint="evaluate it", about="a.json")
    assert other == Finding("results-malformed", "seed-1", "cannot be read", "evaluate it", about="a.json")
    assert from_error(MixhubError("no", code="file-missing"), "seed-1").hint == ""
