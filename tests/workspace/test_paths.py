"""Opening, finding and making workspaces."""

import pytest

from mixhub.errors import RunError, SpecError, UnknownNameError, WorkspaceError
from mixhub.workspace.paths import Workspace
from tests.refusals import broken, refused
from tests.tiny import tiny_workspace_yaml


def test_it_is_found_from_below_and_by_the_environment(tmp_path):
    made = Workspace.create(tmp_path / "ws", {"family": "human-1b"})
    below = tmp_path / "ws" / "runs" / "x"
    below.mkdir(parents=True)
    assert Workspace.find(below, {}).root == made.root
    assert Workspace.find(tmp_path, {"MIXHUB_WORKSPACE": str(tmp_path / "ws")}).root == made.root
    with refused("workspace-missing", WorkspaceError, path=tmp_path.resolve()):
        Workspace.find(tmp_path, {})


def test_a_folder_that_is_not_a_workspace(tmp_path):
    with refused("workspace-missing", WorkspaceError, path=tmp_path) as caught:
        Workspace.open(tmp_path)
    assert f"mixhub init {tmp_path}" in caught.value.hint


def test_nothing_is_written_for_an_unknown_family(tmp_path):
    with refused("unknown-family", UnknownNameError, name="doremi") as caught:
        Workspace.create(tmp_path / "ws", {"family": "doremi"})
    assert caught.value.nearest == "doremi-1b"
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_made_twice(tmp_path):
    Workspace.create(tmp_path, {"family": "human-1b"})
    with refused("workspace-exists", WorkspaceError, path=tmp_path):
        Workspace.create(tmp_path, {"family": "doremi-1b"})
    assert Workspace.open(tmp_path).config.family == "human-1b"


def test_a_workspace_cannot_replace_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with refused("workspace-unwritable", WorkspaceError, path=root):
            Workspace.create(root, {"family": "human-1b"})


def test_the_namespace_replaces_the_owner(tmp_path):
    workspace = Workspace.create(tmp_path, {"family": "human-1b", "namespace": "me"})
    assert workspace.family().repo_id == "me/data-mixture-human-1b"
    assert workspace.family("random-1b").repo_id == "me/data-mixture-random-1b"


def test_the_namespace_replaces_the_owner_of_several_repos(tmp_path):
    family = {"extends": "human-1b", "repo_id": "a/b-seed{seed}", "mixture": {"train_the_pile_all": 1}}
    card = {"title": "B", "summary": "Two runs.", "license": "mit"}
    families = {"b": {**family, "card": card, "revisions": {"seeds": "1-2"}}}
    workspace = Workspace.create(tmp_path, {"family": "b", "namespace": "me", "families": families})
    assert [run.repo_id for run in workspace.family().runs()] == ["me/b-seed1", "me/b-seed2"]


@pytest.mark.parametrize(
    ("repo_id", "namespace", "code"),
    [("lab-{seed}/b", "me", "keys-conflict"), ("a/b-{seed}", "m" * 90, "value-format")],
)
def test_a_namespace_leaves_each_run_a_valid_repo_of_its_own(repo_id, namespace, code, tmp_path):
    family = {"extends": "human-1b", "repo_id": repo_id, "mixture": {"train_the_pile_all": 1}}
    card = {"title": "B", "summary": "Two runs.", "license": "mit"}
    families = {"b": {**family, "card": card, "revisions": {"seeds": [1, 2000], "branch": "main"}}}
    with refused("spec-invalid", SpecError) as caught:
        Workspace.create(tmp_path, {"family": "b", "namespace": namespace, "families": families}).family()
    assert broken(caught.value) == {"namespace": code}


def test_a_custom_family_extends_another(tmp_path):
    own = {
        "extends": "regmix-1b",
        "repo_id": "me/mine",
        "mixture": {"train_the_pile_arxiv": 1},
        "card": {"title": "t", "summary": "s", "license": "mit"},
    }
    workspace = Workspace.create(tmp_path, {"family": "mine", "families": {"mine": own}})
    assert workspace.family().mixture.shares == {"train_the_pile_arxiv": 1.0}
    assert workspace.family().training == workspace.family("human-1b").training
    assert workspace.family_names()[0] == "mine"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("family: human-1b\nhubb: local\n", {"hubb": "key-unknown"}),
        ("families: {}\n", {"family": "key-missing"}),
        ("family: human-1b\nhub: nonsense\n", {"hub": "hub-address"}),
        ("family: human-1b\nhub: http://me:secret@x\n", {"hub": "hub-password"}),
        ("family: human-1b\nnamespace: a..b--\n", {"namespace": "value-format"}),
        ("family: a\nfamilies: {a: {extends: human-1b, name: b}}\n", {"families.a.name": "keys-conflict"}),
        ("family: a\nfamilies: {a: {extends: b}, b: {extends: a}}\n", {"families": "family-circular"}),
        ("family: a\nfamilies: {a: {extends: human-1b}}\n", {"repo_id": "key-missing", "mixture": None}),
    ],
)
def test_a_broken_file_names_what_breaks(tmp_path, text, problems):
    (tmp_path / "mixhub.yaml").write_text(text)
    with refused("spec-invalid", SpecError) as caught:
        Workspace.open(tmp_path)
    found = broken(caught.value)
    assert {key: found.get(key) for key in problems} == problems
    assert str(tmp_path / "mixhub.yaml") in caught.value.file


def test_a_file_of_a_newer_format_is_refused(tmp_path):
    (tmp_path / "mixhub.yaml").write_text("family: human-1b\nformat: 2\n")
    with refused("workspace-newer", WorkspaceError, path=tmp_path / "mixhub.yaml", format=2):
        Workspace.open(tmp_path)


def test_a_file_that_extends_an_unknown_family_names_the_nearest(tmp_path):
    (tmp_path / "mixhub.yaml").write_text("family: a\nfamilies: {a: {extends: human-1}}\n")
    with refused("unknown-family", UnknownNameError, name="human-1") as caught:
        Workspace.open(tmp_path)
    assert caught.value.nearest == "human-1b"


def test_a_missing_export_says_which_there_are(tmp_path):
    (tmp_path / "mixhub.yaml").write_text(tiny_workspace_yaml())
    workspace = Workspace.open(tmp_path)
    run = workspace.family().run(seed=2)
    exports = workspace.run_folder(run).exports
    (exports / "step-000005").mkdir(parents=True)
    with refused("export-missing", RunError, path=exports, step=12, steps=(5,)) as caught:
        workspace.export(run, 12)
    assert "mixhub adopt DIR --seed 2" in caught.value.hint
    assert "mixhub train --seed 2" in caught.value.hint


def test_a_missing_export_of_a_run_whose_seed_is_unknown(tmp_path):
    workspace = Workspace.create(tmp_path, {"family": "random-1b"})
    with refused("export-missing", RunError) as caught:
        workspace.export(workspace.family().run(index=2), 25000)
    assert "mixhub train" not in caught.value.hint
    assert "mixhub adopt DIR --index 2" in caught.value.hint


def test_a_missing_licence_file_is_refused(tmp_path):
    card = {"title": "t", "summary": "s", "license": "other", "license_name": "x", "license_link": "LICENSE"}
    own = {"extends": "regmix-1b", "repo_id": "me/mine", "mixture": {"train_the_pile_arxiv": 1}, "card": card}
    workspace = Workspace.create(tmp_path, {"family": "mine", "families": {"mine": own}})
    with refused("spec-invalid", SpecError) as caught:
        workspace.license(workspace.family())
    assert broken(caught.value) == {"card.license_link": "file-missing"}
    (tmp_path / "LICENSE").write_text("Do as you like.")
    assert workspace.license(workspace.family()) == workspace.root / "LICENSE"
