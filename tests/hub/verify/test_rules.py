"""Rules of repos, each on a repo that lies nowhere: its branches are made of a few texts."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from mixhub.card.facts.withdrawal import Withdrawal, mark_withdrawn
from mixhub.endpoint import Endpoint
from mixhub.hub.remote.branches import Branch
from mixhub.hub.remote.files import RemoteFile, git_oid
from mixhub.hub.verify.eval_results import eval_results_malformed
from mixhub.hub.verify.files import files_differ, files_foreign, files_missing, pickles_found
from mixhub.hub.verify.names import branches_unknown, steps_missing, steps_unexpected
from mixhub.hub.verify.presence import (
    branches_missing,
    branches_stale,
    license_missing,
    main_differs,
)
from mixhub.hub.verify.subject import BranchUnderCheck, Compared, RepoUnderCheck
from mixhub.hub.verify.weights import files_shared, weights_repeated
from mixhub.spec.family import Family
from tests.hub.seen import seen
from tests.tiny import tiny_family

WEIGHTS = "model.safetensors"
CARD = "---\nlicense: mit\n---\n\n# Tiny\n"
OURS = {"lineage.json": "{}"}
"""What shows that mixhub pushed a branch."""


@pytest.fixture
def repo(tmp_path: Path):
    """Makes a repo of branches, each of which is the texts of its files by path."""

    def made(family: Family | None = None, **branches: dict[str, str]) -> RepoUnderCheck:
        found = {}
        for name, files in branches.items():
            name = name.replace("_", "-")
            tree = {}
            for path, text in files.items():
                content, target = text.encode(), tmp_path / name / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                sha256 = hashlib.sha256(content).hexdigest() if path.endswith(".safetensors") else None
                tree[path] = RemoteFile(len(content), git_oid(content), sha256)
            found[name] = Branch(name, "0" * 40, tree, tmp_path / name)
        return RepoUnderCheck(Endpoint("http://nowhere"), "tester/tiny", family, {}, found)

    return made


def compared(repo: RepoUnderCheck) -> Compared:
    return Compared(repo.repo_id, [repo])


def model(weights: str, **files: str) -> dict[str, str]:
    return {"config.json": "{}", WEIGHTS: weights, **files}


TWO = tiny_family(revisions={"seeds": "1-2"})
MAIN_IS_2 = tiny_family(revisions={"seeds": "1-2", "main": 2})


def test_branches_that_should_be_there(repo):
    found = list(branches_missing(repo(TWO, seed_2={"README.md": CARD})))
    assert (len(found), seen(found, "seed-1"), seen(found, "seed-2")) == (2, ["branch-missing"], ["model-missing"])
    assert list(branches_missing(repo(TWO, seed_1=model("1"), seed_2=model("2")))) == []


@pytest.mark.parametrize(
    ("planned", "card", "level"),
    [
        ((), "", "error"),
        (("seed-2",), "", "warning"),
        (("seed-2",), "| `seed-2` | 2 |", "error"),  # it was there once
        (("seed-1",), "", "error"),
    ],
)
def test_a_revision_that_is_only_planned(repo, planned, card, level):
    held = replace(repo(TWO, seed_1=model("1", **OURS), main={"README.md": card}), planned=planned)
    (found,) = branches_missing(held)
    assert (found.where, found.code, found.level) == ("seed-2", "branch-missing", level)
    of_others = replace(repo(TWO, seed_1=model("1")), planned=planned)
    assert [found.level for found in branches_missing(of_others)] == ["error"], "who only describes plans nothing"


def test_branches_of_no_run(repo):
    branches = {"main": model("2"), "seed_1": model("1"), "seed_1_step_5": model("5"), "note": {"README.md": CARD}}
    assert list(branches_unknown(repo(TWO, **branches))) == []
    found = list(branches_unknown(repo(TWO, **branches, sed_2=model("2"))))
    assert (len(found), seen(found, "sed-2")) == (1, ["warning: branch-unknown"])
    assert list(branches_unknown(repo(None, **branches, sed_2=model("2")))) == []


def test_branches_that_are_stale(repo):
    held = repo(TWO, seed_1=model("1"), seed_2=model("2"))
    fresh = {name: str(branch.weights_sha256) for name, branch in held.branches.items()}

    def stale(local: dict[str, str]) -> list[str]:
        subject = RepoUnderCheck(held.endpoint, held.repo_id, TWO, local, held.branches)
        return [finding.where for finding in branches_stale(subject)]

    assert stale(fresh) == []
    assert stale({**fresh, "seed-2": "0" * 64, "seed-9": "0" * 64}) == ["seed-2"]


@pytest.mark.parametrize(
    ("main", "found"),
    [
        (model("2"), []),
        (model("2", **{"notes.txt": "of others", "adapter_model.safetensors": "x"}), []),
        (model("1"), ["main-differs seed-2"]),
        ({WEIGHTS: "2"}, ["main-differs seed-2"]),
        (model("2", **{"tokenizer.json": "{}"}), ["main-differs seed-2"]),
        ({"README.md": CARD}, ["main-differs seed-2"]),
    ],
)
def test_main_holds_the_model_of_its_run(repo, main, found):
    branches = {"seed_1": model("1"), "seed_2": model("2", **{"adapter_model.safetensors": "y"})}
    assert seen(main_differs(repo(MAIN_IS_2, main=main, **branches)), "main") == found


def test_main_beside_a_run_that_is_not_there(repo):
    assert seen(main_differs(repo(MAIN_IS_2, main=model("2"))), "main") == ["main-model-unknown"]
    lonely = {"main": model("2"), "seed_2": {"README.md": CARD}}
    assert seen(main_differs(repo(MAIN_IS_2, **lonely)), "main") == ["main-model-unknown"]
    assert list(main_differs(repo(MAIN_IS_2, main={"README.md": CARD}))) == []
    assert list(main_differs(repo(MAIN_IS_2, seed_1=model("1")))) == []


def test_a_model_on_main_of_which_the_family_does_not_say_whose(repo):
    ours = {"main": model("2"), "seed_2": model("2", **OURS)}
    assert seen(main_differs(repo(TWO, **ours)), "main") == ["warning: main-model-unknown"]
    assert list(main_differs(repo(TWO, main={"README.md": CARD}, seed_2=model("2", **OURS)))) == []
    assert list(main_differs(repo(TWO, main=model("2"), seed_2=model("2")))) == [], (
        "others may hold there what they like"
    )
    assert list(main_differs(repo(None, **ours))) == []


def test_main_holds_a_model_that_was_withdrawn(repo):
    mark = Withdrawal(family="tiny", revision="seed-2", weights_sha256="0" * 64, why="wrong", date="2026-11-29")
    withdrawn = model("2", **{"README.md": mark_withdrawn(CARD, mark)})
    assert seen(main_differs(repo(MAIN_IS_2, main=model("2"), seed_2=withdrawn)), "main") == [
        "weights-withdrawn seed-2"
    ]
    assert seen(main_differs(repo(MAIN_IS_2, main=model("1"), seed_2=withdrawn)), "main") == ["main-differs seed-2"]


def test_the_licence_on_main(repo):
    card = {"license": "other", "license_name": "own", "license_link": "LICENCE.txt"}
    family = tiny_family(revisions={"seeds": "1-2"}, card=card)
    ours, main = {"seed_1": model("1", **OURS)}, {"README.md": CARD}
    assert seen(license_missing(repo(family, main=main, **ours)), "main") == ["file-missing LICENCE.txt"]
    assert list(license_missing(repo(family, main={**main, "LICENCE.txt": "x"}, **ours))) == []
    assert list(license_missing(repo(family, main=main, seed_1=model("1")))) == [], "it is not ours"
    assert list(license_missing(repo(family, **ours))) == []
    assert list(license_missing(repo(TWO, main=main, **ours))) == []


def test_two_branches_must_not_share_weights(repo):
    found = list(weights_repeated(compared(repo(TWO, main=model("1"), seed_1=model("1"), seed_2=model("1")))))
    assert (len(found), seen(found, "seed-1")) == (2, ["weights-repeated seed-2"])
    assert seen(found, "seed-2") == ["weights-repeated seed-1"]
    last = {"main": model("1"), "seed_1": model("1"), "seed_1_step_12": model("1"), "seed_2": model("2")}
    assert list(weights_repeated(compared(repo(TWO, **last)))) == [], (
        "the last step has two names, and main holds one of them"
    )
    found = list(weights_repeated(compared(repo(TWO, seed_1=model("1"), seed_1_step_5=model("1")))))
    assert [finding.where for finding in found] == ["seed-1", "seed-1-step-5"]


def test_weights_on_a_branch_of_no_run(repo):
    found = list(weights_repeated(compared(repo(TWO, final=model("1"), seed_1=model("1")))))
    assert (len(found), seen(found, "final")) == (1, ["warning: weights-repeated seed-1"])
    assert list(weights_repeated(compared(repo(TWO, final=model("1"), last=model("1"))))) == []
    found = list(weights_repeated(compared(repo(None, final=model("1"), last=model("1")))))
    assert (seen(found, "final"), seen(found, "last")) == (["weights-repeated last"], ["weights-repeated final"])


IN_MAIN = tiny_family(revisions={"seeds": [1], "branch": "main", "step_pattern": "step{step}", "steps": "3-9:3"})
MERGED = tiny_family(revisions={"seeds": "1-2", "main_is_merged": True})


def test_main_as_the_branch_of_a_run(repo):
    """It is compared like any other branch, and holds the last step."""
    steps = {"main": model("1"), "step3": model("3"), "step6": model("6"), "step9": model("9")}
    whole = repo(IN_MAIN, **steps, step12=model("1"))
    rules = (branches_missing, steps_missing, steps_unexpected, branches_unknown, main_differs)
    assert [finding for rule in rules for finding in rule(whole)] == []
    assert list(weights_repeated(compared(whole))) == []
    found = list(weights_repeated(compared(repo(IN_MAIN, **{**steps, "step6": model("1")}))))
    assert [(finding.where, finding.about) for finding in found] == [("main", "step6"), ("step6", "main")]
    assert shared(repo(IN_MAIN, main=sharded("a", "b"), step3=sharded("a", "c"))) == [
        ("main", "error", "step3"),
        ("step3", "error", "main"),
    ]
    differing = {**steps, "main": model("1", **{"tokenizer.json": "b"})}
    held = repo(IN_MAIN, **differing, step12=model("2", **{"tokenizer.json": "a"}))
    assert {finding.where for finding in files_differ(compared(held))} == {"step12"}
    assert seen(branches_missing(repo(IN_MAIN, main={"README.md": CARD})), "main") == ["model-missing"]


def test_a_merged_main_has_weights_of_its_own(repo):
    runs = {"seed_1": model("1", **OURS), "seed_2": model("2", **OURS)}
    whole = repo(MERGED, main=model("m"), **runs)
    assert [*branches_missing(whole), *main_differs(whole), *weights_repeated(compared(whole))] == []
    found = list(weights_repeated(compared(repo(MERGED, main=model("2"), **runs))))
    assert {(finding.where, finding.about) for finding in found} == {("main", "seed-2"), ("seed-2", "main")}
    assert seen(branches_missing(repo(MERGED, main={"README.md": CARD}, **runs)), "main") == ["model-missing"]


def test_steps_that_a_family_lists(repo):
    family = tiny_family(revisions={"seeds": "1-3", "steps": "2-10:2"})
    branches = {f"seed_{seed}": model(f"{seed}") for seed in (1, 2)}
    branches |= {f"seed_1_step_{step}": model(f"1 {step}") for step in (2, 4, 6, 8, 10)}
    branches |= {f"seed_2_step_{step}": model(f"2 {step}") for step in (2, 5, 12)}
    branches["seed_1_step_4"] = {"README.md": CARD}
    held = repo(family, **branches)
    missing = list(steps_missing(held))
    assert {(one.code, one.where, one.about) for one in missing} == {
        ("steps-missing", "tester/tiny", "seed-2-step-{step}"),
        ("model-missing", "seed-1-step-4", ""),
    }
    assert "4 of the 5 steps named seed-2-step-{step}: 4-10:2" in next(one.message for one in missing if one.about)
    [unexpected] = steps_unexpected(held)
    assert (unexpected.level, unexpected.about) == ("warning", "seed-2-step-{step}")
    assert unexpected.message.endswith(": 5"), "the last step has two names"
    assert list(steps_unexpected(repo(TWO, **branches))) == [], "it lists none"
    one_by_one = list(steps_missing(replace(held, branches={}, unread=dict.fromkeys(held.branches))))
    assert [one.about for one in one_by_one] == ["seed-2-step-{step}"], "what cannot be read is not missing"


def test_names_that_are_nearly_right(repo):
    family = tiny_family(revisions={"seeds": "1-2", "steps": [2, 4, 6, 8, 10]})
    branches = {"seed_1": model("1"), "Seed_02": model("2"), "seed_1_step4": model("4"), "seed_1_step_04": model("4")}
    found = list(branches_unknown(repo(family, **branches, seed_9=model("9"))))
    assert [(one.code, one.where, one.about) for one in found] == [
        ("branch-unknown", "seed-9", ""),
        ("branch-misnamed", "Seed-02", "seed-2"),
        ("branch-misnamed", "seed-1-step4", "seed-1-step-4"),
        ("branch-misnamed", "seed-1-step-04", "seed-1-step-4"),
    ]
    many = {f"seed_1_step{step}": model(f"{step}") for step in (2, 4, 6, 8, 10)}
    assert len({one.message for one in branches_unknown(repo(family, **many))}) == 1, "printed as one"


def sharded(*weights: str, **files: str) -> dict[str, str]:
    """A model in one shard for each text."""
    names = [f"model-{number:05}-of-{len(weights):05}.safetensors" for number in range(1, len(weights) + 1)]
    index = json.dumps({"weight_map": {f"tensor{number}": name for number, name in enumerate(names)}})
    return {
        "config.json": "{}",
        "model.safetensors.index.json": index,
        **dict(zip(names, weights, strict=True)),
        **files,
    }


def shared(repo: RepoUnderCheck) -> list[tuple[str, str, str]]:
    found = list(files_shared(compared(repo)))
    assert {finding.code for finding in found} <= {"tensors-shared"}
    return [(finding.where, finding.level, finding.about) for finding in found]


def test_a_shard_of_another_step(repo):
    """As in pythia#206: the first shard of a step is that of the last one."""
    branches = {"step1": sharded("a", "b"), "step2": sharded("a", "c"), "step3": sharded("d", "e")}
    assert shared(repo(**branches, main=sharded("d", "e"))) == [
        ("step1", "error", "step2"),
        ("step2", "error", "step1"),
    ]
    assert shared(repo(step1=sharded("a", "b"), main=sharded("a", "c"))) == [("step1", "error", "main")]
    assert shared(repo(step1=sharded("a", "b"), step2=sharded("b", "a"))) == [], "the whole is equal"


def test_pickles_that_are_no_weights_may_be_equal(repo):
    def saved(weights: str) -> dict[str, str]:
        return {"config.json": "{}", "pytorch_model.bin": weights, "training_args.bin": "same"}

    assert shared(repo(step1=saved("1"), step2=saved("2"))) == []


def test_a_shard_of_another_seed(repo):
    assert shared(repo(TWO, seed_1=sharded("a", "b"), seed_2=sharded("a", "c"))) == [
        ("seed-1", "error", "seed-2"),
        ("seed-2", "error", "seed-1"),
    ]
    assert shared(repo(TWO, seed_1=sharded("a", "b"), seed_1_step_12=sharded("a", "c"))) == [], "one training"
    of_no_run = repo(TWO, seed_1=sharded("a", "b"), backup=sharded("a", "c"))
    assert {(where, level) for where, level, _ in shared(of_no_run)} == {("seed-1", "warning"), ("backup", "warning")}


def test_frozen_weights_of_a_base_model(repo):
    card = "---\nbase_model: lab/base\n---\n\n# Tuned\n"
    branches = {"step1": sharded("a", "b"), "step2": sharded("a", "c")}
    assert [level for _, level, _ in shared(repo(**branches, main={"README.md": card}))] == ["warning", "warning"]
    family = tiny_family(revisions={"seeds": "1-2"}, card={"base_model": "lab/base"})
    subject = repo(family, seed_1=sharded("a", "b"), seed_2=sharded("a", "c"))
    assert [level for _, level, _ in shared(subject)] == ["warning", "warning"]


def test_files_that_should_be_the_same(repo):
    contents = {f"step{number}": model(str(number), **{"tokenizer.json": "a"}) for number in range(3)}
    assert list(files_differ(compared(repo(**contents)))) == []
    contents["step1"]["tokenizer.json"] = "b"
    found = list(files_differ(compared(repo(**contents))))
    assert (len(found), seen(found, "step1")) == (1, ["file-differs tokenizer.json"])
    [of_two] = files_differ(compared(repo(**{name: contents[name] for name in ("step1", "step2")})))
    assert of_two.where == "step2", "of two it is not known which is right"
    contents["step2"] |= {"merges.txt": "x"}
    assert seen(files_differ(compared(repo(**contents))), "step2") == ["warning: file-differs merges.txt"]
    assert list(files_differ(compared(repo(main=model("9", **{"tokenizer.json": "c"}), step0=contents["step0"])))) == []


def test_many_branches_that_differ_are_told_in_one_line(repo):
    contents = {f"same{number}": model(f"s{number}", **{"tokenizer.json": "a"}) for number in range(9)}
    contents |= {f"odd{number}": model(f"o{number}", **{"tokenizer.json": "b"}) for number in range(8)}
    found = list(files_differ(compared(repo(**contents))))
    assert [finding.where for finding in found] == [f"odd{number}" for number in range(6)]
    assert "odd5, odd6, odd7" in found[-1].message


def test_a_licence_is_the_same_on_all_branches_that_have_it(repo):
    family = tiny_family(card={"license": "other", "license_name": "own", "license_link": "LICENCE.txt"})
    texts = {"seed_1": model("1", **{"LICENCE.txt": "a"}), "seed_2": model("2", **{"LICENCE.txt": "a"})}
    assert list(files_differ(compared(repo(family, **texts, seed_3=model("3"))))) == []
    found = list(files_differ(compared(repo(family, **texts, main={"LICENCE.txt": "b"}))))
    assert (len(found), seen(found, "main")) == (1, ["file-differs LICENCE.txt"])


def of(repo: RepoUnderCheck, name: str) -> BranchUnderCheck:
    return next(branch for branch in repo.models if branch.name == name)


def test_what_a_branch_of_others_needs(repo):
    branch = of(repo(step1={WEIGHTS: "1"}, step2=model("2")), "step1")
    assert seen(files_missing(branch), "step1") == ["file-missing config.json", "warning: file-missing tokenizer"]
    for name in ("tokenizer.model", "vocab.txt", "spiece.model", "source.spm"):
        assert list(files_missing(of(repo(step1=model("1", **{name: "x"})), "step1"))) == []


def test_a_branch_is_ours_by_its_lineage_or_by_those_of_other_runs(repo):
    branches = {"seed_1": model("1", **OURS), "seed_2": model("2"), "step9": model("9"), "main": model("2")}
    subject = repo(TWO, **branches)
    assert {branch.name: branch.is_ours for branch in subject.models} == {
        "seed-1": True,
        "seed-2": True,
        "step9": False,
        "main": False,
    }
    assert not any(branch.is_ours for branch in repo(TWO, seed_1=model("1"), main=model("1", **OURS)).models[:1])


@pytest.mark.parametrize(
    ("files", "ours", "found"),
    [
        ({WEIGHTS: "1"}, True, []),
        ({WEIGHTS: "1", "x.bin": "1"}, True, ["pickle-found x.bin"]),
        ({WEIGHTS: "1", "x.bin": "1"}, False, ["warning: pickle-found x.bin"]),
        ({"b.bin": "1", "a.pt": "1"}, False, ["pickle-found a.pt"]),
        ({"config.json": "{}"}, False, ["weights-missing"]),
    ],
)
def test_weights_lie_in_safetensors(repo, files, ours, found):
    branch = of(repo(TWO, seed_1={**files, **(OURS if ours else {})}), "seed-1")
    assert seen(pickles_found(branch), "seed-1") == found


def test_files_that_no_push_sends(repo):
    more = {
        ".eval_results/arc.yaml": "[]",
        "x/y.pkl": "1",
        "notes.txt": "x",
        "LICENSE": "x",
        ".gitattributes": "x",
        "results/arc.0shot.json": "{}",
    }
    shown = {"README.md": CARD + "\n![a](./fig%20one.png) [b](data.csv#part)\n", "fig one.png": "x", "data.csv": "x"}
    branches = {"seed_1": model("1", **OURS, **more, **shown), "main": model("1", **OURS, **more)}
    subject = repo(TWO, **branches)
    found = ["pickle-found x/y.pkl", "warning: file-foreign notes.txt"]
    assert seen(files_foreign(of(subject, "seed-1")), "seed-1") == found
    assert seen(files_foreign(of(subject, "main")), "main") == ["warning: pickle-found x/y.pkl"]
    assert list(files_foreign(of(repo(step1=model("1", **more)), "step1"))) == []


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("- dataset: {id: cais/hle, task_id: default}\n  value: 20.9\n", True),
        ("- dataset: {id: a/b, task_id: c}\n  value: 1\n  source: {url: https://x.org, name: X}\n", True),
        ("- dataset: {id: a/b, task_id: c}\n  value: 1\n  source: {url: null, name: X}\n", False),
        ("- dataset: {id: a/b, task_id: c}\n  value: 1\n  source: https://x.org\n", False),
        ("- dataset: {id: a/b}\n  value: 1\n", False),
        ("- dataset: a/b\n  value: 1\n", False),
        ("- dataset: {id: a/b, task_id: c}\n", False),
        ("- dataset: {id: a/b, task_id: c}\n  value: high\n", False),
        ("dataset: {id: a/b, task_id: c}\nvalue: 1\n", False),
        ("- one\n", False),
        ("[]", False),
        ("", False),
        ("- {", False),
    ],
)
def test_results_in_the_format_of_the_hub(repo, text, is_right):
    path = ".eval_results/hle.yaml"
    subject = repo(seed_1=model("1", **OURS, **{path: text}), main={path: text})
    found = [] if is_right else [f"warning: eval-result-malformed {path}"]
    assert seen(eval_results_malformed(subject), "seed-1") == seen(eval_results_malformed(subject), "main") == found
