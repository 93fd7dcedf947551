"""Releases of families whose branches and repos are named as published ones are."""

import re
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mixhub.endpoint import Endpoint
from mixhub.hub.remote.client import branch_heads, file_content, remote_tree, tags
from mixhub.hub.remote.files import weights_in
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workflow import (
    Options,
    adopt,
    check,
    check_card,
    evaluate,
    promote,
    push,
    render_card,
    status,
    verify,
    withdraw,
)
from mixhub.workspace.lineage import read_lineage
from mixhub.workspace.paths import Workspace
from tests.adopted import save_model
from tests.hub.rules.test_revisions import DATADECIDE, OLMO2, PYTHIA
from tests.made import DOCUMENTS, TASK, copied
from tests.refusals import codes
from tests.tiny import tiny_workspace_yaml

REPOS = "tester/tiny-seed{seed}"
FORMS = {
    "pythia": ("tester/tiny", {**PYTHIA, "steps": [4, 12]}),
    "datadecide": ("tester/tiny", {**DATADECIDE, "steps": [4]}),
    "olmo": ("tester/tiny", {**OLMO2, "stages": [{**stage, "steps": []} for stage in OLMO2["stages"]]}),
    "polypythias": (REPOS, {"seeds": "1-2", "branch": "main", "step_pattern": "step{step}"}),
    "repos": (REPOS, {"seeds": "1-2", "step_pattern": "steps/{step}"}),
}
PUSHED = {
    "pythia": ["tester/tiny@step4", "tester/tiny@step12", "tester/tiny@main"],
    "datadecide": [
        *("tester/tiny@step4-seed-default", "tester/tiny@step12-seed-default"),
        *("tester/tiny@step4-seed-large-aux-2", "tester/tiny@step12-seed-large-aux-2"),
        "tester/tiny@main",
    ],
    "olmo": [
        *("tester/tiny@stage2-ingredient1-step4-tokens9B", "tester/tiny@stage2-ingredient1-step12-tokens26B"),
        *("tester/tiny@stage2-ingredient2-step4-tokens9B", "tester/tiny@stage2-ingredient2-step12-tokens26B"),
        "tester/tiny@main",
    ],
    "polypythias": [
        *("tester/tiny-seed1@step4", "tester/tiny-seed1@main"),
        *("tester/tiny-seed2@step4", "tester/tiny-seed2@main"),
    ],
    "repos": [
        *("tester/tiny-seed1@steps/4", "tester/tiny-seed1@seed-1", "tester/tiny-seed2@steps/4"),
        *("tester/tiny-seed2@seed-2", "tester/tiny-seed1@main", "tester/tiny-seed2@main"),
    ],
}
"""In the order of the push: the steps, the last step, and then the card."""
_EVALUATION = {
    "tasks": [{"name": "tiny_choice", "title": "Choice", "config": "tasks/choice.yaml"}],
    "num_fewshot": [0],
}


@pytest.fixture(scope="module", params=FORMS)
def adopted(request, tmp_path_factory) -> Workspace:
    """A workspace with the last step and step 4 of each run, trained elsewhere and evaluated here."""
    root = tmp_path_factory.mktemp(request.param) / "ws"
    (root / "tasks").mkdir(parents=True)
    (root / "tasks" / "choice.yaml").write_text(TASK.lstrip())
    (root / "tasks" / "choice.jsonl").write_text(DOCUMENTS.lstrip())
    repo_id, revisions = FORMS[request.param]
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml(evaluation=_EVALUATION))
    workspace = renamed(Workspace.open(root), repo_id, revisions)
    for number, run in enumerate(workspace.family().runs()):
        for step in (4, None):
            source = save_model(root.parent / f"source-{number}-{step}", 100 * number + (step or 0))
            adopt(workspace, source, step=step, seed=run.label)
        evaluate(workspace, seed=run.label, options=Options(device="cpu"))
    return workspace


@pytest.fixture
def workspace(adopted: Workspace, tmp_path: Path) -> Workspace:
    return copied(adopted.root, tmp_path)


@pytest.fixture
def form(adopted: Workspace) -> str:
    return next(name for name in FORMS if adopted.root.parent.name.startswith(name))


def renamed(workspace: Workspace, repo_id: str, revisions: dict) -> Workspace:
    """The workspace, after its family got other names."""
    path = workspace.path("mixhub.yaml")
    data = parse_yaml(path.read_text(), "mixhub.yaml")
    data["families"]["tiny"] |= {"repo_id": repo_id, "revisions": revisions}
    path.write_text(to_yaml(data))
    return Workspace.open(workspace.root)


def publish(workspace: Workspace, form: str, endpoint: Endpoint) -> list[str]:
    """Pushes all runs and steps; and for a family with merged weights, puts such weights on `main`."""
    pushed = push(workspace, all=True, checkpoints=True, hub=endpoint)
    if form == "olmo":
        merged = save_model(workspace.path("merged"), 7)
        HfApi(endpoint=endpoint.url, token=endpoint.token).upload_folder(repo_id="tester/tiny", folder_path=merged)
    return places(pushed)


def places(pushed) -> list[str]:
    return [f"{one.plan.repo_id}@{one.plan.branch}" for one in pushed]


def weights(endpoint: Endpoint, place: str) -> str | None:
    return weights_in(remote_tree(endpoint, *place.split("@")))


def exported(workspace: Workspace, run, step: int = 12) -> str:
    return read_lineage(workspace.export(run, step)).weights_sha256


def card(endpoint: Endpoint, repo_id: str, revision: str) -> str:
    return file_content(endpoint, repo_id, revision, "README.md").decode()


def snippet(text: str) -> str:
    """What the first call of `from_pretrained` on a card loads."""
    repo_id, revision = re.search(r'from_pretrained\("([^"]+)"(?:, revision="([^"]+)")?\)', text).groups()
    return f"{repo_id}@{revision or 'main'}"


def test_a_release_has_the_names_of_its_family(workspace, form, endpoint):
    family = workspace.family()
    pushed = push(workspace, all=True, checkpoints=True, hub=endpoint)
    assert places(pushed) == PUSHED[form]
    for repo_id in {one.plan.repo_id for one in pushed}:
        there = {f"{repo_id}@{branch}" for branch in branch_heads(endpoint, repo_id)}
        assert there == {place for place in PUSHED[form] if place.startswith(f"{repo_id}@")}
    for run in family.runs():
        for step in (4, 12):
            branch = family.branch(run, step)
            assert weights(endpoint, f"{run.repo_id}@{branch}") == exported(workspace, run, step)
            assert snippet(card(endpoint, run.repo_id, branch)) == f"{run.repo_id}@{branch}"
        of_family = card(endpoint, run.repo_id, "main")
        assert weights(endpoint, snippet(of_family)) in {exported(workspace, one) for one in family.runs()}
    again = push(workspace, all=True, checkpoints=True, hub=endpoint)
    assert [one.sent for one in again] == [False] * len(pushed)
    publish(workspace, form, endpoint)
    assert codes(verify(workspace, hub=endpoint).findings) == []
    states = {one.revision: one for one in status(workspace)}
    for run in family.runs():
        head = branch_heads(endpoint, run.repo_id)[run.branch]
        assert states[run.revision].pushed == {"local": head}
        assert (states[run.revision].card, states[run.revision].branch) == ("fresh", run.branch)
        assert head in workspace.card(family).read_text(), "the family's card pins each run"


def test_the_cards_of_a_family_are_checked(workspace, form):
    family = workspace.family()
    assert {code for found in check_card(workspace).values() for code in codes(found)} == {"card-unrendered"}
    path = render_card(workspace)[0]
    assert [code for found in check_card(workspace).values() for code in codes(found)] == []
    label = family.runs()[-1].label
    changed = re.sub(rf"^(\| {label} +\| +)[0-9.]+", r"\g<1>99.00", path.read_text(), flags=re.MULTILINE)
    path.write_text(changed)
    found = {code for found in check_card(workspace).values() for code in codes(found)}
    assert found >= {"average-differs", "model-index-differs", "figure-differs"}


def test_a_release_is_promoted_with_its_names(workspace, form, endpoint, tmp_path):
    publish(workspace, form, endpoint)
    with serve(tmp_path / "public") as public:
        target = Endpoint(public.url, token=LOCAL_TOKEN, cache_dir=tmp_path / "cache")
        promoted = promote(workspace, endpoint, all=True, checkpoints=True, hub=target)
        assert sorted(places(promoted)) == sorted(PUSHED[form])
        for place in PUSHED[form]:
            assert weights(target, place) == weights(endpoint, place)
        again = promote(workspace, endpoint, all=True, checkpoints=True, hub=target)
        assert [one.sent for one in again] == [False] * len(promoted)


def test_a_withdrawal_is_of_one_run_in_its_repo(workspace, form, endpoint):
    family = workspace.family()
    *others, last = family.runs()
    push(workspace, all=True, checkpoints=True, hub=endpoint)
    for step in (4, None):
        done = withdraw(workspace, "bad data", seed=last.label, step=step, hub=endpoint)
        branch = family.branch(last, step)
        assert (done.repo_id, done.branch) == (last.repo_id, branch)
        assert "bad data" in card(endpoint, last.repo_id, branch)
        assert tags(endpoint, last.repo_id)[f"{branch}-withdrawn"] == done.done.was
    for run in others:
        assert "bad data" not in card(endpoint, run.repo_id, run.branch)
    assert [one.withdrawn for one in status(workspace)] == [None] * len(others) + ["bad data"]
    for run in family.runs():
        withdrawn = [one for one in check(workspace, seed=run.label)[0].findings if one.code == "weights-withdrawn"]
        assert len(withdrawn) == (run == last)
    if form != "pythia":  # there, main has to hold another model first
        pushed = push(workspace, all=True, hub=endpoint)
        assert [one.sent for one in pushed] == [False] * len(pushed)
    if form == "datadecide":
        assert "step4-seed-large-aux-2" in card(endpoint, last.repo_id, "main").split("## Errata")[1]
