"""Runs and steps of families whose branches and repos are named as published ones are."""

import json
import shutil
from contextlib import nullcontext

import pytest
from huggingface_hub import HfApi, constants

import mixhub
from mixhub.endpoint import Endpoint
from mixhub.errors import (
    ExportError,
    HubUnreachableError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UnknownNameError,
    UsageError,
)
from mixhub.hub.load.names import Target, family_of
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.spec.base import to_yaml
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.paths import Workspace
from tests.adopted import save_model
from tests.hub.rules.test_revisions import DATADECIDE, OLMO2, PYTHIA
from tests.refusals import refused
from tests.tiny import tiny_data

POLYPYTHIAS = {"seeds": "1-3", "branch": "main", "step_pattern": "step{step}", "steps": [0, 4]}
FAMILIES = {"pythia": PYTHIA, "datadecide": DATADECIDE, "olmo": OLMO2, "polypythias": POLYPYTHIAS}
BRANCHES = {
    "lab/pythia": ["main", "step0", "step4", "step12"],
    "lab/datadecide": ["step4-seed-default", "step12-seed-default", "step12-seed-large-aux-2"],
    "lab/olmo": [
        "main",
        "stage1-step10-tokens20B",
        "stage2-ingredient1-step4-tokens8B",
        "stage2-ingredient2-step4-tokens9B",
        "stage2-ingredient2-step12-tokens26B",
    ],
    "lab/polypythias-seed1": ["main", "step4"],
    "lab/polypythias-seed3": ["main", "step4", "a/v1.0"],
}


def _family(name):
    data = tiny_data(repo_id=f"lab/{name}" + ("-seed{seed}" if name == "polypythias" else ""))
    del data["name"]
    return {**data, "revisions": FAMILIES[name]}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A workspace of the families, and a hub with their repos; the weights of each branch are drawn by its number."""
    root = tmp_path_factory.mktemp("names")
    with serve(root / "hub") as hub:
        config = {
            "format": 1,
            "family": "pythia",
            "hub": hub.url,
            "families": {name: _family(name) for name in FAMILIES},
        }
        (root / "ws").mkdir()
        (root / "ws" / "mixhub.yaml").write_text(to_yaml(config))
        api = HfApi(endpoint=hub.url, token=LOCAL_TOKEN)
        number = 0
        for repo_id, branches in BRANCHES.items():
            api.create_repo(repo_id)
            for branch in branches:
                number += 1
                save_model(root / "model", number)
                if branch != "main":
                    api.create_branch(repo_id, branch=branch)
                api.upload_folder(repo_id=repo_id, revision=branch, folder_path=root / "model")
                shutil.rmtree(root / "model")
        yield root / "ws", hub, api


@pytest.mark.parametrize(
    ("family", "options", "branch"),
    [
        ("pythia", {"step": 4}, "step4"),
        ("pythia", {}, "step12"),
        ("pythia", {"seed": 1234, "step": 0}, "step0"),
        ("pythia", {"seed": 1234, "step": 12}, "step12"),
        ("datadecide", {"seed": "default", "step": 4}, "step4-seed-default"),
        ("datadecide", {"seed": "large-aux-2"}, "step12-seed-large-aux-2"),
        ("olmo", {"seed": 2}, "stage2-ingredient2-step12-tokens26B"),
        ("olmo", {"seed": 2, "step": 4}, "stage2-ingredient2-step4-tokens9B"),
        ("olmo", {"seed": 1, "step": 4}, "stage2-ingredient1-step4-tokens8B"),
        ("olmo", {"revision": "stage1-step10-tokens20B"}, "stage1-step10-tokens20B"),
        ("polypythias", {"seed": 3, "step": 4}, "lab/polypythias-seed3@step4"),
        ("polypythias", {"seed": 1}, "lab/polypythias-seed1@main"),
        ("polypythias", {"seed": 3, "revision": "a/v1.0"}, "lab/polypythias-seed3@a/v1.0"),
        ("lab/polypythias-seed3", {"step": 4}, "lab/polypythias-seed3@step4"),
        ("lab/polypythias-seed3", {}, "lab/polypythias-seed3@main"),
    ],
)
def test_a_run_and_a_step_are_found_by_their_names(world, family, options, branch):
    workspace, _, api = world
    loaded = mixhub.load(family, workspace=workspace, **options)
    repo_id, _, name = branch.rpartition("@")
    assert (loaded.repo_id, loaded.revision) == (repo_id or f"lab/{family}", name)
    assert loaded.commit == api.model_info(loaded.repo_id, revision=name).sha


@pytest.mark.parametrize(
    ("family", "options", "nearest"),
    [
        ("pythia", {"step": 9}, "step12"),
        ("pythia", {"step": 5}, "step4"),
        ("olmo", {"seed": 2, "step": 9}, "stage2-ingredient2-step12-tokens26B"),
        ("lab/polypythias-seed3", {"step": 1}, "step4"),
    ],
)
def test_a_step_that_is_missing_is_an_error_with_the_nearest(world, family, options, nearest):
    with refused("revision-not-found", RevisionNotFoundError, nearest=nearest):
        mixhub.load(family, workspace=world[0], **options)


@pytest.mark.parametrize(
    ("family", "options", "error", "code", "fields"),
    [
        ("datadecide", {"seed": "large-aux-2", "step": 4}, RevisionNotFoundError, "revision-not-found", {}),
        ("polypythias", {"seed": 2}, RepoNotFoundError, "repo-not-found", {"repo_id": "lab/polypythias-seed2"}),
        ("polypythias", {"revision": "step4"}, UsageError, "option-missing", {"option": "seed"}),
        ("polypythias", {"seed": 1, "step": 4, "revision": "step4"}, UsageError, "option-conflict", {}),
        ("polypythias", {"seed": 1, "step": 4, "commit": "0" * 40}, UsageError, "option-conflict", {}),
        ("lab/polypythias-seed3", {"seed": 1}, UnknownNameError, "unknown-seed", {"name": 1}),
        ("lab/polypythias-seed4", {}, RepoNotFoundError, "repo-not-found", {"repo_id": "lab/polypythias-seed4"}),
    ],
)
def test_a_mistake_says_what_there_is(world, family, options, error, code, fields):
    with refused(code, error, **fields):
        mixhub.load(family, workspace=world[0], **options)


def test_all_runs_over_several_repos(world):
    workspace, _, _ = world
    with pytest.warns(UserWarning, match="skipped: seed-2"):
        loaded = [(one.repo_id, one.revision) for one in mixhub.load_all("polypythias", step=4, workspace=workspace)]
    assert loaded == [("lab/polypythias-seed1", "step4"), ("lab/polypythias-seed3", "step4")]
    steps = [one.revision for one in mixhub.load_all("olmo", step=4, workspace=workspace)]
    assert steps == ["stage2-ingredient1-step4-tokens8B", "stage2-ingredient2-step4-tokens9B"]
    with pytest.warns(UserWarning, match="skipped: seed-large-aux-2"):
        assert len([*mixhub.load_all("datadecide", step=4, workspace=workspace)]) == 1


def test_tokens_that_are_rounded_otherwise_are_found_in_the_cache(world, tmp_path, monkeypatch):
    workspace, hub, _ = world
    olmo = Workspace.open(workspace).family("olmo")
    target = Target.of_run(olmo, olmo.run(seed=1), 4)
    endpoint = Endpoint(hub.url, LOCAL_TOKEN, tmp_path / "cache")
    name, commit, _ = target.download(endpoint)
    assert (target.revision, name) == ("stage2-ingredient1-step4-tokens9B", "stage2-ingredient1-step4-tokens8B")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.warns(UserWarning, match=f"from the cache, commit {commit}"):
        assert target.download(endpoint)[:2] == (name, commit)
    with pytest.raises(HubUnreachableError):
        Target.of_run(olmo, olmo.run(seed=2), 4).download(endpoint)


def test_a_repo_of_a_run_is_a_part_of_its_family(world):
    workspace = Workspace.open(world[0])
    part, repo_id = family_of("lab/polypythias-seed2", workspace)
    assert (part.name, part.repo_id, part.revisions.labels) == ("polypythias", repo_id, (2,))
    whole, repo_id = family_of("lab/polypythias-seed{seed}", workspace)
    assert whole == workspace.family("polypythias")


@pytest.mark.parametrize(
    ("family", "wanted", "number", "is_refused"),
    [
        ("datadecide", "step4-seed-default", "large-aux-2", True),
        ("datadecide", "step4-seed-default", "default", False),
        ("pythia", "step4", 1234, False),
        ("polypythias", "main", 1, True),
        ("polypythias", "main", 3, False),
    ],
)
def test_a_branch_with_the_weights_of_another_run_is_refused(world, family, wanted, number, is_refused):
    """As `lineage.json` says."""
    workspace, _, api = world
    options = {"workspace": workspace, "revision": wanted} | ({"seed": 3} if family == "polypythias" else {})
    repo_id = mixhub.load(family, **options).repo_id
    known = {"format": 1, "kind": "seed", "revision": f"run-{number}", "number": number, "weights_sha256": "0" * 64}
    required = [name for name, field in Lineage.model_fields.items() if field.is_required()]
    lineage = json.dumps({**dict.fromkeys(required, UNKNOWN), **known, "versions": {}}).encode()
    where = {"path_in_repo": "lineage.json", "repo_id": repo_id, "revision": wanted}
    api.upload_file(path_or_fileobj=lineage, **where)
    with refused("run-wrong", ExportError, revision=wanted) if is_refused else nullcontext():
        mixhub.load(family, **options)
    api.delete_file(**where)
