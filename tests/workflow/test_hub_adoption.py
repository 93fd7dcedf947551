"""From a repo with published names to adopted runs in two commands."""

import itertools
import json
import shutil

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file

import mixhub
from mixhub import workflow
from mixhub.errors import ExportError, RepoNotFoundError, RevisionNotFoundError, UsageError, WorkspaceError
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec.base import read_yaml, to_yaml
from mixhub.workspace.lineage import UNKNOWN
from tests.adopted import save_model
from tests.hub.others import edited
from tests.refusals import error_codes, refused

REPOS = {
    "lab/pythia": ["step0", "step4", "step8", "step12", "dev"],
    "lab/datadecide": ["step4-seed-default", "step8-seed-default", "step4-seed-small-aux-2", "step8-seed-small-aux-2"],
    "lab/olmo": [
        "stage1-step100-tokens210M",
        "stage1-step200-tokens420M",
        *(f"stage2-ingredient{number}-step{step}-tokens{step * 2}M" for number in (1, 2) for step in (5, 10)),
    ],
    **{f"lab/poly-seed{seed}": ["step0", "step4"] for seed in (1, 2, 3)},
    "lab/own": ["a/seed_1", "a/seed_2"],
    "lab/alone": [],
}
MAIN = {"lab/pythia": "step12", **{f"lab/poly-seed{seed}": "step4" for seed in (1, 2, 3)}}
"""The branch whose weights main has too; others of these have weights of its own there."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub of families as they are published; each branch has weights of its own."""
    root = tmp_path_factory.mktemp("families")
    counter = itertools.count(1)
    with serve(root / "hub") as running:
        api = HfApi(endpoint=running.url, token=LOCAL_TOKEN)
        for repo_id, branches in REPOS.items():
            api.create_repo(repo_id)
            mains = ["main"] if repo_id in ("lab/olmo", "lab/alone") else []
            for branch in [*mains, *branches]:
                model = save_model(root / "model", next(counter))
                if branch != "main":
                    api.create_branch(repo_id, branch=branch)
                api.upload_folder(repo_id=repo_id, revision=branch, folder_path=model)
                if MAIN.get(repo_id) == branch:
                    api.upload_folder(repo_id=repo_id, folder_path=model)
                shutil.rmtree(model)
        yield running


@pytest.fixture
def init(hub, tmp_path):
    def init(model):
        return workflow.init_from_model(tmp_path / "own", model, hub=hub.url)

    return init


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            "lab/pythia",
            {
                "seeds": [1], "branch": "step12", "seeds_are_labels": True, "step_pattern": "step{step}",
                "steps": ["0-12:4"], "main": 1,
            },
        ),
        (
            "lab/datadecide",
            {
                "seeds": ["default", "small-aux-2"], "branch": "step8-seed-{seed}",
                "step_pattern": "step{step}-seed-{seed}", "steps": [4, 8],
            },
        ),
        (
            "lab/olmo",
            {
                "seeds": [1, 2], "branch": "stage2-ingredient{seed}-step10-tokens20M",
                "stages": [
                    {"step_pattern": "stage1-step{step}-tokens{tokens}", "steps": [100, 200],
                     "tokens_per_step": 2_097_152},
                    {"step_pattern": "stage2-ingredient{seed}-step{step}-tokens{tokens}", "steps": [5, 10],
                     "tokens_per_step": 2_097_152},
                ],
            },
        ),
        ("lab/poly-seed{seed}", {"step_pattern": "step{step}", "steps": [0, 4], "branch": "main", "seeds": "1-3"}),
        (
            "lab/poly-seed2",
            {"seeds": [2], "branch": "step4", "step_pattern": "step{step}", "steps": [0, 4], "main": 2},
        ),
        ("lab/own", {"pattern": "seed_{seed}", "branch": "a/seed_{seed}", "seeds": [1, 2]}),
        ("lab/alone", {"seeds": "1-5"}),
    ],
)  # fmt: skip
def test_the_family_is_written_from_the_names_of_branches(init, model, expected):
    workspace = init(model)
    assert read_yaml(workspace.path("mixhub.yaml"))["families"]["own"]["revisions"] == expected
    family = workspace.family()
    last = {"lab/pythia": 12, "lab/datadecide": 8, "lab/olmo": 10, "lab/poly-seed{seed}": 4, "lab/poly-seed2": 4}
    assert family.training.steps == last.get(model, 25_000)
    assert family.repo_id == ("local/own" if model == "lab/alone" else model)


@pytest.mark.parametrize(
    ("model", "runs", "said"),
    [
        ("lab/pythia", ["seed-1"], ["not understood, and left out: dev", "main has the weights of seed 1"]),
        ("lab/datadecide", ["seed-default", "seed-small-aux-2"], []),
        ("lab/olmo", ["seed-1", "seed-2"], ["main holds other weights than the last step of each run"]),
        ("lab/poly-seed{seed}", ["seed-1", "seed-2", "seed-3"], ["lab/poly-seed{seed}, on main"]),
        ("lab/own", ["seed_1", "seed_2"], []),
    ],
)
def test_two_commands_adopt_what_a_hub_has(hub, tmp_path, mixhub_here, model, runs, said):
    made = mixhub_here("init", "own", "--from-model", model, "--hub", hub.url, "--tasks", "piqa", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [line for line in said if line not in made.stdout] == []
    command = made.stdout.partition("next: mixhub ")[2].replace("'", "").split()
    assert command[:3] == ["adopt", model, "--all"]
    done = mixhub_here(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "mixhub evaluate" in done.stdout
    assert "mixhub push" not in done.stdout  # to the repo of others
    workspace = workflow.open_workspace(tmp_path / "own")
    family = workspace.family()
    assert ("several" in family.card.title) == (len(runs) > 1)
    steps = family.training.steps
    assert [(revision, step) for _, revision, step, _ in workspace.exports()] == [(run, steps) for run in runs]
    for run in family.runs():
        lineage = workflow.check(workspace, **{run.kind: run.label})[0]
        assert lineage.findings == ()
        export = workspace.export(run, steps)
        stated = json.loads((export / "lineage.json").read_text())
        assert (stated["number"], stated["step"]) == (run.label, UNKNOWN if model == "lab/own" else steps)
        theirs = mixhub.load(run.repo_id, revision=run.branch, hub=hub.url).model.state_dict()
        mine = load_file(export / "model.safetensors")
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    again = mixhub_here(*command, cwd=tmp_path)
    assert (again.returncode, again.stdout.count("is adopted already")) == (0, len(runs))


def taken(adopted):
    return [(one.run.revision, one.step, one.lineage.step) for one in adopted]


def test_steps_and_branches_say_which_run_they_are(init):
    workspace = init("lab/olmo")
    adopt = workflow.adopt_from_hub
    assert taken(adopt(workspace, "lab/olmo", seed=1, step=5)) == [("seed-1", 5, 5)]
    assert taken(adopt(workspace, "lab/olmo", revision="stage2-ingredient2-step5-tokens10M")) == [("seed-2", 5, 5)]
    assert taken(adopt(workspace, "lab/olmo", revision="main", seed=1)) == [("seed-1", 10, UNKNOWN)]
    with refused("export-exists", WorkspaceError):
        adopt(workspace, "lab/olmo", seed=1)
    assert taken(adopt(workspace, "lab/olmo", seed=1, replace=True)) == [("seed-1", 10, 10)]
    assert taken(adopt(workspace, "lab/alone", revision="main", seed=2, step=7)) == [("seed-2", 7, 7)]


def test_one_of_several_repos(init):
    workspace = init("lab/poly-seed{seed}")
    adopt = workflow.adopt_from_hub
    assert taken(adopt(workspace, "lab/poly-seed3", step=0)) == [("seed-3", 0, 0)]
    assert taken(adopt(workspace, "lab/poly-seed{seed}", seed=[1, 2])) == [("seed-1", 4, 4), ("seed-2", 4, 4)]
    assert taken(adopt(workspace, "lab/poly-seed{seed}", seed=1, revision="step0")) == [("seed-1", 0, 0)]
    assert [one.revision for one in mixhub.load_all("own", workspace=workspace)] == ["main"] * 3
    with refused("option-conflict", UsageError):
        adopt(workspace, "lab/poly-seed", all=True)


def test_what_is_not_published_is_skipped_and_adopted_runs_stay(init):
    workspace = init("lab/datadecide")
    path = workspace.path("mixhub.yaml")
    path.write_text(path.read_text().replace("- small-aux-2", "- large-aux-1\n      - small-aux-2"))
    adopted = workflow.adopt_from_hub(workspace.root, "lab/datadecide", all=True)
    assert taken(adopted) == [("seed-default", 8, 8), ("seed-small-aux-2", 8, 8)]
    assert workflow.adopt_from_hub(workspace.root, "lab/datadecide", all=True) == []
    with refused("revision-not-found", RevisionNotFoundError):
        workflow.adopt_from_hub(workspace.root, "lab/alone", all=True, replace=True)


@pytest.mark.parametrize(
    ("model", "options", "error", "code"),
    [
        ("lab/olmo", {}, UsageError, "option-missing"),
        ("lab/olmo", {"seed": 1, "all": True}, UsageError, "option-conflict"),
        ("lab/olmo", {"revision": "main", "all": True}, UsageError, "option-conflict"),
        ("lab/olmo", {"revision": "main"}, UsageError, "option-missing"),
        ("lab/olmo", {"revision": "main", "seed": [1, 2]}, UsageError, "option-value"),
        ("lab/olmo", {"revision": "stage1-step100-tokens210M", "seed": 1}, UsageError, "option-value"),
        ("lab/olmo", {"revision": "stage2-ingredient2-step5-tokens10M", "seed": 1}, UsageError, "option-contradicted"),
        ("lab/olmo", {"revision": "stage2-ingredient2-step5-tokens10M", "step": 6}, UsageError, "option-contradicted"),
        ("lab/olmo", {"seed": 1, "step": 6}, RevisionNotFoundError, "revision-not-found"),
        ("lab/olmo", {"revision": "stage2-ingredient2-step5-tokens11M"}, RevisionNotFoundError, "revision-not-found"),
        ("lab/olm", {"seed": 1}, RepoNotFoundError, "repo-not-found"),
        ("lab/olmo-{index}", {"seed": 1}, UsageError, "repo-id-malformed"),
        ("lab/pythia", {"seed": 1, "step": 99}, RevisionNotFoundError, "revision-not-found"),
    ],
)
def test_what_cannot_be_adopted(init, model, options, error, code):
    workspace = init("lab/olmo")
    with refused(code, error) as caught:
        workflow.adopt_from_hub(workspace, model, **options)
    if "revision" in options and code == "revision-not-found":
        assert caught.value.fields["nearest"] == "stage2-ingredient2-step5-tokens10M"
    assert workspace.exports() == []


def test_files_that_contradict_the_name_of_their_branch(hub, init):
    workspace = init("lab/pythia")
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
    where = {"path_in_repo": "trainer_state.json", "repo_id": "lab/pythia", "revision": "step4"}
    api.upload_file(path_or_fileobj=b'{"global_step": 8}', **where)
    with refused("option-contradicted", UsageError) as caught:
        workflow.adopt_from_hub(workspace, "lab/pythia", step=4)
    assert "lab/pythia@step4" in caught.value.message
    api.delete_file(**where)
    data = read_yaml(workspace.path("mixhub.yaml"))
    data["families"]["own"]["architecture"]["hidden_size"] = 32
    workspace.path("mixhub.yaml").write_text(to_yaml(data))
    with refused("adoption-unsound", ExportError) as caught:
        workflow.adopt_from_hub(workspace.root, "lab/pythia")
    assert caught.value.message.startswith("lab/pythia@step12")
    assert workspace.exports() == []


def test_the_commit_of_custom_code_is_named(hub, tmp_path, mixhub_here):
    model = edited(
        save_model(tmp_path / "model", 1), model_type="own_kind", auto_map={"AutoConfig": "own.C", "AutoModel": "own.M"}
    )
    api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
    api.create_repo("lab/code")
    api.create_branch("lab/code", branch="seed-1")
    commit = api.upload_folder(repo_id="lab/code", revision="seed-1", folder_path=model).oid
    made = mixhub_here("init", "own", "--from-model", "lab/code", "--hub", hub.url, cwd=tmp_path)
    assert f"code: {{lab/code: {commit}}}" in made.stdout, made


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("adopt", "model", "--all"), "option-conflict"),
        (("adopt", "model", "--seeds", "1-2"), "option-value"),
        (("adopt", "no/such/folder", "--revision", "main"), "option-conflict"),
        (("adopt", "no/such", "--seed", "1"), "repo-not-found"),
        (("init", "new", "--from-model", "lab/none-{seed}"), "repo-not-found"),
        (("init", "new", "--from-model", "lab/{seed}-{seed}"), "option-value"),
    ],
)
def test_mistakes_on_the_command_line(hub, init, tmp_path, mixhub_here, arguments, code):
    workspace = init("lab/pythia")
    save_model(workspace.root / "model", 1)
    hub_option = ["--hub", hub.url] if arguments[0] == "init" else []
    done = mixhub_here(*arguments, *hub_option, cwd=workspace.root)
    assert error_codes(done) == [code]
    assert not (workspace.root / "new").exists()
    assert workspace.exports() == []
