"""The families of the guide, as published: a clean copy passes in silence, each fault found in public is found.

The faults are those of EleutherAI/pythia#83, #195, #203, #205, #206, allenai/OLMo#842, #883 and #915.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.findings import Finding, exit_status
from mixhub.hub.verify.repo import Verification
from mixhub.hubserver import serve
from mixhub.workspace.paths import Workspace
from tests.hub.verify.published import Copy, clean, described, publish

PYTHIA, POLY, OLMO, DECIDE = "pythia-160m", "polypythias-160m", "olmo-2-7b", "datadecide-dolma"
_STEPS = [0, 1, 2, 4, 8, "1000-9000:1000"]
_INGREDIENT = "stage2-ingredient{seed}-step{step}-tokens{tokens}"
SHORT = {
    PYTHIA: {"steps": _STEPS},
    POLY: {"steps": _STEPS, "seeds": "1-3"},
    OLMO: {
        "stages": [
            {"step_pattern": "stage1-step{step}-tokens{tokens}", "steps": ["1000-9000:1000", 928646]},
            {"step_pattern": _INGREDIENT, "steps": "1000-3000:1000"},
        ]
    },
    DECIDE: {"steps": "0-10000:1250"},
}
"""Fewer steps than the guide has."""
CASES = [
    pytest.param(name, changes, id=f"{name}-{size}", marks=marks)
    for name in SHORT
    for size, changes, marks in (("short", SHORT[name], ()), ("whole", {}, pytest.mark.nightly))
]


@pytest.fixture
def verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Workspace, Copy], Verification]:
    """Publishes a copy on a hub, and verifies it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def of(workspace: Workspace, copy: Copy, **options) -> Verification:
        publish(tmp_path / "hub", workspace, copy)
        with serve(tmp_path / "hub") as hub:
            return workflow.verify(workspace, hub=hub.url, **options)

    return of


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_a_clean_copy_passes_in_silence(name, changes, tmp_path, verified):
    workspace = described(tmp_path / "w", name, **changes)
    copy = clean(workspace)
    verification = verified(workspace, copy)
    assert verification.findings == ()
    assert len(verification.branches) == sum(map(len, copy.values()))


Row = tuple[str, str, str]
"""Level and code, as `tests.hub.seen`, place, and what it is about."""


def pythia(copy: Copy) -> Iterator[Row]:
    [branches] = copy.values()
    steps = [name for name in branches if name.startswith("step")]
    final, served = branches["step143000"], steps[-5:-1]
    # earlier steps serve the final weights
    for name in served:
        branches[name] = final
        yield "weights-repeated", name, "step143000"
    yield "weights-repeated", "step143000", served[0]
    # one shard is that of the last step
    branches["step2000"] = (final[0], branches["step2000"][1])
    yield "tensors-shared", "step2000", "step143000"
    yield "tensors-shared", "step143000", "step2000"
    # the learning rate of the first update was 0, and of the second it was not
    branches["step1"] = branches["step2"] = branches["step0"]
    yield from (("weights-repeated", name, other) for name, other in (("step0", "step2"), ("step1", "step2")))
    yield "weights-repeated", "step2", "step0"
    branches["step4"] = None
    yield "weights-missing", "step4", ""
    branches["step-1000"] = branches.pop("step1000")
    yield "warning: branch-misnamed", "step-1000", "step1000"
    del branches["step8"]
    yield "steps-missing", "EleutherAI/pythia-160m", "step{step}"
    branches["step999"] = ("999 1", "999 2")
    yield "warning: steps-unexpected", "EleutherAI/pythia-160m", "step{step}"


def poly(copy: Copy) -> Iterator[Row]:
    first, second, *others, gone = copy
    del copy[gone]
    yield "repo-not-found", f"{gone}@step143000", ""
    for repo_id in (second, *others):  # step 1 of all repos is the same
        copy[repo_id]["step1"] = copy[first]["step1"]
        yield "weights-repeated", f"{repo_id}@step1", f"{first}@step1"
    yield "weights-repeated", f"{first}@step1", f"{second}@step1"
    shared = copy[first]["step2000"][0]
    copy[second]["step3000"] = (shared, copy[second]["step3000"][1])
    yield "tensors-shared", f"{second}@step3000", f"{first}@step2000"
    yield "tensors-shared", f"{first}@step2000", f"{second}@step3000"
    del copy[second]["step4000"]
    yield "steps-missing", second, "step{step}"
    copy[first]["main"] = copy[first]["step4000"]
    yield "main-differs", f"{first}@main", "step143000"


def olmo(copy: Copy) -> Iterator[Row]:
    [branches] = copy.values()
    same = [f"stage1-step{step}-tokens{tokens}B" for step, tokens in ((1000, 5), (2000, 9), (3000, 13))]
    for name in same[1:]:
        branches[name] = branches[same[0]]
        yield "weights-repeated", name, same[0]
    yield "weights-repeated", same[0], same[1]
    branches["stage1-step4000-tokens71B"] = branches.pop("stage1-step4000-tokens17B")
    yield "tokens-contradicted", "stage1-step4000-tokens71B", "stage1-step4000-tokens17B"
    branches["stage1-step5000-tokens20B"] = branches.pop("stage1-step5000-tokens21B")  # rounded down
    branches["main"] = branches["stage2-ingredient2-step11931-tokens50B"]
    yield "weights-repeated", "main", "stage2-ingredient2-step11931-tokens50B"
    yield "weights-repeated", "stage2-ingredient2-step11931-tokens50B", "main"
    del branches["stage2-ingredient3-step1000-tokens5B"]
    yield "steps-missing", "allenai/OLMo-2-1124-7B", "stage2-ingredient3-step{step}-tokens{tokens}"
    del branches["stage2-ingredient1-step11931-tokens50B"]
    yield "branch-missing", "stage2-ingredient1-step11931-tokens50B", ""


def decide(copy: Copy) -> Iterator[Row]:
    [branches] = copy.values()
    one, other = "step1250-seed-default", "step2500-seed-large-aux-2"
    branches[other] = branches[one]
    yield "weights-repeated", one, other
    yield "weights-repeated", other, one
    for name in [name for name in branches if name.endswith("-seed-large-aux-3")]:
        del branches[name]
    yield "branch-missing", "step69369-seed-large-aux-3", ""
    branches["step03750-seed-default"] = branches.pop("step3750-seed-default")
    yield "warning: branch-misnamed", "step03750-seed-default", "step3750-seed-default"
    del branches["step5000-seed-default"]
    yield "steps-missing", "allenai/DataDecide-dolma1_7-1B", "step{step}-seed-default"
    branches["step1250-seed-small-aux-2"] = ("small 1", "small 2")
    yield "warning: branch-unknown", "step1250-seed-small-aux-2", ""


FAULTS = {PYTHIA: pythia, POLY: poly, OLMO: olmo, DECIDE: decide}


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_each_fault_that_was_found_in_public_is_found(name, changes, tmp_path, verified):
    workspace = described(tmp_path / "w", name, **changes)
    copy = clean(workspace)
    expected = Counter(FAULTS[name](copy))
    findings = verified(workspace, copy).findings
    assert Counter(map(as_row, findings)) == expected
    assert exit_status(findings) == 1


def as_row(finding: Finding) -> Row:
    code = finding.code if finding.level == "error" else f"{finding.level}: {finding.code}"
    return code, finding.where, finding.about


def test_many_branches_with_the_weights_of_one_are_printed_in_a_line(tmp_path, mixhub_here):
    workspace = described(tmp_path / "w", PYTHIA, **SHORT[PYTHIA])
    copy = clean(workspace)
    [branches] = copy.values()
    final = branches["step143000"]
    branches.update((f"step{step}000", final) for step in range(1, 9))
    publish(tmp_path / "hub", workspace, copy)
    with serve(tmp_path / "hub") as hub:
        done = mixhub_here("verify", "--hub", hub.url, cwd=workspace.root)
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines() if "[weights-repeated]" in line] == [
        "step1000, step2000, step3000, step4000, step5000 and 3 more",
        "step143000",
    ]


@pytest.mark.parametrize(("name", "first", "second"), [(POLY, "seed1", "seed2"), (DECIDE, "default", "large-aux-3")])
def test_a_run_that_is_a_copy_of_another_is_told_in_a_line_for_each(name, first, second, tmp_path, verified):
    workspace = described(tmp_path / "w", name, **SHORT[name])
    copy = clean(workspace)
    for repo_id, branches in copy.items():
        for branch in branches:
            if first in repo_id or first in branch:
                copy[repo_id.replace(first, second)][branch.replace(first, second)] = branches[branch]
    findings = verified(workspace, copy).findings
    assert {finding.code for finding in findings} == {"weights-repeated"}
    copied = {finding.where: finding.about for finding in findings}
    assert copied == {name: other for other, name in copied.items()}  # --json says which of which
    assert len(copied) > 10
    assert len({finding.message for finding in findings}) == 2


def test_no_hint_leads_to_a_push_of_what_others_published(tmp_path, verified):
    workspace = described(tmp_path / "w", POLY, **SHORT[POLY])
    copy = clean(workspace)
    first, second, gone = copy
    del copy[gone], copy[first]["step143000"]
    copy[second]["step1000"] = copy[second]["main"] = copy[second]["step2000"]
    findings = verified(workspace, copy).findings
    codes = {"repo-not-found", "branch-missing", "main-model-unknown", "main-differs", "weights-repeated"}
    assert {finding.code for finding in findings} == codes
    assert not [finding.hint for finding in findings if "push" in finding.hint]


@pytest.mark.parametrize(("micro_steps", "found"), [(1, set()), (2, {"step0", "step1"})])
def test_equal_first_steps_are_innocent_only_by_the_recipe(micro_steps, found, tmp_path, verified):
    """If the first update had a learning rate of 0."""
    workspace = described(tmp_path / "w", PYTHIA, steps=[0, 1, 1000])
    config = workspace.root / "mixhub.yaml"
    config.write_text(config.read_text().replace("lr_micro_steps: 1", f"lr_micro_steps: {micro_steps}"))
    copy = clean(workspace)
    [branches] = copy.values()
    branches["step1"] = branches["step0"]
    assert {finding.where for finding in verified(Workspace.open(workspace.root), copy).findings} == found
