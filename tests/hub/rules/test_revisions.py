"""Names of branches in both directions, as published families have them."""

import time

import pytest

from mixhub.errors import SpecError
from mixhub.hub.rules.revisions import BranchNames
from tests.refusals import broken, refused
from tests.tiny import tiny_family

PYTHIA = {
    "seeds": [1234],
    "branch": "step12",
    "step_pattern": "step{step}",
    "steps": [0, 1, 2, 4, "6-12:2"],
    "main": 1234,
}
DATADECIDE = {
    "seeds": ["default", "large-aux-2"],
    "branch": "step12-seed-{seed}",
    "step_pattern": "step{step}-seed-{seed}",
    "steps": "4-8:4",
}
OLMO2 = {
    "seeds": "1-2",
    "branch": "stage2-ingredient{seed}-step12-tokens26B",
    "stages": [
        {"step_pattern": "stage1-step{step}-tokens{tokens}", "steps": "0-30:10", "tokens_per_step": 2_097_152_000},
        {
            "step_pattern": "stage2-ingredient{seed}-step{step}-tokens{tokens}",
            "steps": [0, 4],
            "tokens_per_step": 2_097_152_000,
        },
    ],
    "main_is_merged": True,
}
STAGE = {"step_pattern": "x{step}-{seed}"}


def names(revisions, **changes):
    """The names of a tiny family's branches."""
    return BranchNames(tiny_family(revisions={"seeds": None, **revisions}, **changes))


def expected(revisions):
    return [name for name, _ in names(revisions).expected()]


def test_the_names_of_mixhubs_own_branches():
    own = names({"seeds": "1-3"})
    run = own.family.run(seed=2)
    assert (own.family.branch(run), own.family.branch(run, 12)) == ("seed-2", "seed-2")
    assert own.family.branch(run, 5) == "seed-2-step-5"
    assert (own.meaning("seed-2-step-5").run, own.meaning("seed-2-step-5").step) == (run, 5)
    others = ("seed-9", "seed-9-step-5", "seed-2-step-x", "a-seed-2-step-5", "other")
    assert [own.meaning(name) for name in others] == [None] * 5
    assert own.training("seed-2") == own.training("seed-2-step-12") != own.training("seed-2-step-5")
    assert own.training("seed-2-step-0") == own.training_of(run, 0) != own.training("seed-1-step-0")
    assert own.training("other") is None


def test_steps_without_a_seed():
    assert expected(PYTHIA) == [f"step{step}" for step in (0, 1, 2, 4, 6, 8, 10, 12)]
    pythia = names(PYTHIA)
    assert pythia.training("step12") == pythia.training_of(pythia.family.run(), 12)
    assert pythia.meaning("step4").run == pythia.family.run(seed=1234)
    assert pythia.family.run().revision == "seed-1234"  # needs no seed, as there is one run


def test_steps_before_seeds_that_are_words():
    assert expected(DATADECIDE) == [f"step{step}-seed-{seed}" for seed in ("default", "large-aux-2") for step in (4, 8)]
    family = names(DATADECIDE).family
    run = family.run(seed="large-aux-2")
    assert (run.branch, run.revision, run.seed) == ("step12-seed-large-aux-2", "seed-large-aux-2", None)
    assert names(DATADECIDE).meaning("step4-seed-large-aux-2").run == run
    assert names(DATADECIDE).meaning("step4-seed-large") is None


def test_stages_and_tokens():
    olmo = names(OLMO2)
    assert expected(OLMO2) == [
        "stage1-step0-tokens0B",
        "stage1-step10-tokens21B",
        "stage1-step20-tokens42B",
        "stage1-step30-tokens63B",
        "stage2-ingredient1-step0-tokens0B",
        "stage2-ingredient1-step4-tokens9B",
        "stage2-ingredient2-step0-tokens0B",
        "stage2-ingredient2-step4-tokens9B",
    ]
    shared, own = olmo.meaning("stage1-step10-tokens20B"), olmo.meaning("stage2-ingredient2-step4-tokens9B")
    assert (shared.run, shared.stage, shared.step) == (None, 0, 10)
    assert (own.run.label, own.stage, own.step) == (2, 1, 4)
    # each ingredient begins where the first stage ended
    begins = {olmo.training(f"stage2-ingredient{seed}-step0-tokens0B") for seed in (1, 2)}
    assert begins == {olmo.training("stage1-step30-tokens63B")}
    assert olmo.training("stage1-step4-tokens9B") != olmo.training("stage2-ingredient1-step4-tokens9B")


@pytest.mark.parametrize(
    ("tokens", "is_wrong"),
    [
        *(("21B", False), ("20B", False), ("20.9B", False), ("20.97B", False), ("20972M", False), ("0.02T", False)),
        *(("22B", True), ("19B", True), ("20.8B", True), ("21", True)),
    ],
)
def test_tokens_are_those_of_the_step_however_rounded(tokens, is_wrong):
    olmo = names(OLMO2)
    assert olmo.contradicts_tokens(olmo.meaning(f"stage1-step10-tokens{tokens}")) is is_wrong


def test_updates_without_a_learning_rate_change_nothing():
    own = names({"seeds": "1-3"}, training={"lr_micro_steps": 1, "warmup_steps": 4})
    assert own.training("seed-1-step-1") == own.training("seed-1-step-0") != own.training("seed-1-step-2")
    own = names({"seeds": "1-3"}, training={"warmup_steps": 4})
    assert own.training("seed-1-step-1") != own.training("seed-1-step-0")


def test_names_of_many_steps_take_time_in_proportion_to_them():
    own = names({"seeds": [1], "steps": "0-9999"}, training={"steps": 20_000})
    start = time.process_time()
    steps = [own.meaning(name).step for name, _ in own.expected()]
    assert steps == [*range(10_000)]
    assert time.process_time() - start < 20  # 0.4 s here; 200 s if each name looks at all steps


def test_a_repo_for_each_run():
    family = tiny_family(repo_id="tester/tiny-seed{seed}", revisions={"branch": "main", "step_pattern": "step{step}"})
    assert [run.repo_id for run in family.runs()] == [f"tester/tiny-seed{seed}" for seed in (1, 2, 3)]
    assert {run.branch for run in family.runs()} == {"main"}
    parts = family.parts()
    assert [(part.repo_id, [run.label for run in part.runs()]) for part in parts] == [
        (f"tester/tiny-seed{seed}", [seed]) for seed in (1, 2, 3)
    ]
    assert BranchNames(parts[1]).meaning("step5").run == family.run(seed=2)
    assert BranchNames(parts[1]).training("step5") != BranchNames(parts[0]).training("step5")
    assert tiny_family().parts() == [tiny_family()]


@pytest.mark.parametrize(
    ("changes", "key", "code"),
    [
        ({"repo_id": "tester/tiny-{index}"}, "repo_id", "pattern-placeholder"),
        ({"repo_id": "tester/tiny-{seed}-"}, "repo_id", "value-format"),
        ({"repo_id": "tester/tiny-{seed}", "revisions": {"main": 1}}, "revisions.main", "keys-conflict"),
        ({"revisions": {"branch": "main"}}, "revisions.branch", "pattern-placeholder"),
        ({"revisions": {"branch": "step-{step}"}}, "revisions.branch", "pattern-placeholder"),
        ({"revisions": {"branch": "a//{seed}"}}, "revisions.branch", "pattern-branch"),
        ({"revisions": {"step_pattern": "step{step}"}}, "revisions.step_pattern", "pattern-placeholder"),
        ({"revisions": {"step_pattern": "{seed}{step}"}}, "revisions.step_pattern", "pattern-ambiguous"),
        ({"revisions": {"step_pattern": "{index}-{step}"}}, "revisions.step_pattern", "pattern-placeholder"),
        ({"revisions": {"step_pattern": "{seed}/.{step}"}}, "revisions.step_pattern", "pattern-branch"),
        ({"revisions": {"pattern": "{seed}", "seeds": ["main", "aux"]}}, "revisions.pattern", "pattern-ambiguous"),
        ({"revisions": {"pattern": "{seed}", "seeds": ["a", "a-optimizer"]}}, "revisions.pattern", "pattern-ambiguous"),
        (
            {"revisions": {"seeds": [1], "branch": "step11", "step_pattern": "step{step}"}},
            "revisions.branch",
            "pattern-ambiguous",
        ),
        (
            {"revisions": {"branch": "s{seed}/12", "step_pattern": "s{seed}/12/{step}"}},
            "revisions.step_pattern",
            "pattern-branch",
        ),
        ({"revisions": {"step_pattern": "main/{seed}-{step}"}}, "revisions.step_pattern", "pattern-branch"),
        (
            {"repo_id": f"tester/{'x' * 80}-{{seed}}", "revisions": {"seeds": ["long-name-of-a-seed"]}},
            "repo_id",
            "value-format",
        ),
        ({"revisions": {"steps": "9-1"}}, "revisions.steps", "value-range"),
        ({"revisions": {"steps": "1-9:0"}}, "revisions.steps", "value-range"),
        ({"revisions": {"seeds": ["a", "a-step-1"]}}, "revisions.seeds", "pattern-ambiguous"),
        ({"revisions": {"stages": [{"step_pattern": "seed-{step}"}, STAGE]}}, "revisions.seeds", "pattern-ambiguous"),
        ({"revisions": {"stages": [STAGE, STAGE]}}, "revisions.stages", "value-repeated"),
        ({"revisions": {"seeds": ["a b"]}}, "revisions.seeds.0", "value-format"),
        ({"revisions": {"stages": [{"step_pattern": "step{step}"}]}}, "revisions.step_pattern", "pattern-placeholder"),
        (
            {"revisions": {"stages": [{"step_pattern": "x{step}-{seed}"}], "steps": [1]}},
            "revisions.steps",
            "keys-conflict",
        ),
    ],
)
def test_rules_of_names(changes, key, code):
    with refused("spec-invalid", SpecError) as caught:
        tiny_family(**changes)
    assert broken(caught.value).get(key) == code
