"""What names of branches and folders say of a family, and what they do not."""

import pytest

from mixhub.hub.rules.revisions import BranchNames
from mixhub.spec.revisions import Revisions
from mixhub.workflow.make.naming import recognise, tokens_per_step
from tests.tiny import tiny_family

OLMO_STEP = 4_194_304


def tokens(step):
    return f"{-(-step * OLMO_STEP // 10**9)}B"


PYTHIA = [f"step{step}" for step in (0, *(2**power for power in range(10)), *range(1000, 143_001, 1000))]
DATADECIDE = [f"step{step}-seed-{seed}" for seed in ("default", "small-aux-2") for step in (0, 1250, 69369)]
OLMO2 = [f"stage1-step{step}-tokens{tokens(step)}" for step in range(1000, 20_001, 1000)]
OLMO2 += [f"stage2-ingredient{k}-step{s}-tokens{tokens(s)}" for k in (1, 2, 3) for s in (1000, 2000, 11931)]


@pytest.mark.parametrize(
    ("names", "pattern", "labels"),
    [
        (["seed-1", "seed-2", "seed-10"], "seed-{seed}", (1, 2, 10)),
        (["seed-1", "seed-2", "seed-1-step-100", "seed-2-step-100"], "seed-{seed}", (1, 2)),
        (["seed-default", "seed-small-aux-2"], "seed-{seed}", ("default", "small-aux-2")),
        (["model-index-4", "model-index-3"], "model-index-{index}", (3, 4)),
        (["pythia-160m-seed3"], "pythia-160m-seed{seed}", (3,)),
        (["run0", "run1"], "run{seed}", (0, 1)),
        (["gpt2-b1", "gpt2-b2"], "gpt2-b{seed}", (1, 2)),
        (["a/seed-1", "a/seed-2"], "seed-{seed}", (1, 2)),
        *((names, None, None) for names in (["v1", "v2"], ["v1.0", "v1.1"], ["seed-01", "seed-02"], [])),
        *((names, None, None) for names in (["2024-11-01", "2024-11-12"], ["epoch-1", "epoch-2"], ["7b", "13b"])),
        *((names, None, None) for names in (["step000100", "step000200"], ["checkpoint-20", "checkpoint-100"])),
    ],
)
def test_runs_are_labelled_as_the_names_are(names, pattern, labels):
    found = recognise(names, of_steps=False)
    assert (found.revisions["pattern"] if found else None) == pattern
    if found is not None:
        spec = Revisions.from_data(found.revisions, "revisions")
        assert spec.labels == labels
        assert {*found.runs} == {*labels}


@pytest.mark.parametrize(
    ("names", "last", "run"),
    [
        (PYTHIA, 143_000, "step143000"),
        (DATADECIDE, 69369, "step69369-seed-small-aux-2"),
        (OLMO2, 11931, "stage2-ingredient2-step11931-tokens51B"),
        ([f"a/seed_{seed}/ckpt_{step}" for seed in (1, 2) for step in (10, 30)], 30, "a/seed_2/ckpt_30"),
        ([f"step{step}-tokens{tokens(step)}" for step in (1000, 2000)], 2000, "step2000-tokens9B"),
        (["checkpoint-20", "checkpoint-100"], 100, "checkpoint-100"),
    ],
)
def test_names_with_steps_are_described_whole(names, last, run):
    """Every name is that of a step of the described family, and the family expects no other."""
    found = recognise(names)
    assert (found.last, found.ignored, found.lacking) == (last, [], {})
    family = tiny_family(revisions={**found.revisions, "pattern": "seed-{seed}"}, training={"steps": last})
    assert run in [one.branch for one in family.runs()]
    known = BranchNames(family)
    assert all(known.meaning(name) for name in names)
    assert {name for name, _ in known.expected()} | {one.branch for one in family.runs()} == {*names}
    assert not any(known.contradicts_tokens(known.meaning(name)) for name in names if "tokens" in name)


def test_a_single_run_has_a_label_that_is_no_seed():
    assert recognise(PYTHIA).revisions["seeds_are_labels"]
    assert "seeds_are_labels" not in recognise(PYTHIA, label=3).revisions
    assert recognise(PYTHIA, label=3).revisions["seeds"] == [3]


def test_what_is_missing_or_not_understood_is_told():
    found = recognise([*DATADECIDE[:-1], "dev", "gpt-1"])
    assert found.runs == {"default": "step69369-seed-default"}
    assert (found.lacking, found.ignored) == ({"small-aux-2": [69369]}, ["dev", "gpt-1"])
    assert recognise(["seed-1", "seed-2", "seed-average"]).ignored == ["seed-average"]
    assert recognise([*PYTHIA, "gpt-1", "gpt-2"]).ignored == ["gpt-1", "gpt-2"]


@pytest.mark.parametrize("sizes", [["pythia-160m-seed3", "pythia-410m-seed3"], ["m-1.5-seed-3", "m-2.5-seed-3"]])
def test_sizes_and_versions_are_no_seeds(sizes):
    found = recognise(sizes)
    assert [*found.runs] == [3]
    assert found.ignored == sizes[1:]


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({1000: "5B", 10_000: "42B"}, OLMO_STEP),
        ({1000: "4B", 10_000: "41B"}, OLMO_STEP),
        ({100: "1.05B", 200: "2.1B"}, 10_485_760),
        ({1000: "5B", 2000: "40B"}, None),
        ({0: "0B"}, None),
        ({1: "2097152"}, 2_097_152),
    ],
)
def test_tokens_per_step_are_the_roundest_number_that_the_names_allow(stated, expected):
    assert tokens_per_step(stated) == expected
