"""Lists of seeds and of steps in `revisions`."""

import pytest

from mixhub.errors import SpecError
from mixhub.spec.revisions import Revisions
from tests.refusals import broken, refused


@pytest.mark.parametrize(
    ("given", "steps", "written"),
    [
        ("0-4", (0, 1, 2, 3, 4), ["0-4"]),
        ([0, 1, 2, 4, 8, "16-64:16"], (0, 1, 2, 4, 8, 16, 32, 48, 64), ["0-2", 4, 8, "16-64:16"]),
        ([1000, "1000-3000:1000"], (1000, 2000, 3000), ["1000-3000:1000"]),
        ([512, 1000], (512, 1000), [512, 1000]),
    ],
)
def test_steps(given, steps, written):
    revisions = Revisions(seeds=(1,), steps=given)
    assert revisions.steps == steps
    assert revisions.to_data()["steps"] == written
    assert Revisions.from_data(revisions.to_data(), "x") == revisions


@pytest.mark.parametrize(
    ("given", "key", "code"),
    [
        ([{}], "steps.0", "value-type"),
        ([[1]], "steps.0", "value-type"),
        ({"a": 1}, "steps.0", "value-type"),
        ([3, "x", 1], "steps.2", "value-type"),
        ([True], "steps.0", "value-type"),
        ([-1], "steps.0", "value-range"),
        ("9-1", "steps", "value-range"),
    ],
)
def test_what_is_no_step_is_refused(given, key, code):
    with refused("spec-invalid", SpecError) as caught:
        Revisions.from_data({"seeds": [1], "steps": given}, "x")
    assert broken(caught.value) == {key: code}


def test_seeds_may_be_words():
    revisions = Revisions(seeds=("default", 2, 3, 4))
    assert [revisions.seed_of(label) for label in revisions.labels] == [None, 2, 3, 4]
    assert revisions.to_data()["seeds"] == ["default", 2, 3, 4]
    chosen = Revisions(seeds=("default", "b"), chosen_seeds={"default": 7, "b": 8})
    assert chosen.seed_of("b") == 8
