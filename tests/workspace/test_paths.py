"""Workspaces: found, made, refused."""

import pytest

from mixhub.errors import RunError, SpecError, UnknownNameError, WorkspaceError
from mixhub.workspace.paths import Workspace


def test_it_is_found_from_below_and_by_the_environment(tmp_path):
    made = Workspace.create(tmp_path / "ws", {"family": "human-1b"})
    below = tmp_path / "ws" / "runs" / "x"
    below.mkdir(parents=True)
    assert Workspace.find(below, {}).root == made.root
    assert Workspace.find(tmp_path, {"MIXHUB_WORKSPACE": str(tmp_path / "ws")}).root == made.root
    with pytest.raises(WorkspaceError, match="no workspace here or above"):
        Workspace.find(tmp_path, {})


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(WorkspaceError, match=r"no workspace, since it has no mixhub\.yaml") as caught:
        Workspace.open(tmp_path)
    assert caught.value.hint.startswith(f"make one: mixhub init {tmp_path}")


def test_nothing_is_written_for_an_unknown_family(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean doremi-1b"):
        Workspace.create(tmp_path / "ws", {"family": "doremi"})
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_made_twice(tmp_path):
    Workspace.create(tmp_path, {"family": "human-1b"})
    with pytest.raises(WorkspaceError, match="already a workspace"):
        Workspace.create(tmp_path, {"family": "doremi-1b"})
    assert Workspace.open(tmp_path).config.family == "human-1b"


def test_the_namespace_replaces_the_owner(tmp_path):
    workspace = Workspace.create(tmp_path, {"family": "human-1b", "namespace": "me"})
    assert workspace.family().repo_id == "me/data-mixture-human-1b"
    assert workspace.family("random-1b").repo_id == "me/data-mixture-random-1b"


def test_a_family_of_ones_own_extends_another(tmp_path):
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
    ("text", "error", "said"),
    [
        ("family: human-1b\nformat: 2\n", WorkspaceError, "newer than this mixhub knows"),
        ("family: human-1b\nhubb: local\n", SpecError, "unknown key; did you mean hub"),
        ("families: {}\n", SpecError, "family: is required"),
        ("family: human-1b\nhub: nonsense\n", SpecError, "hub = 'nonsense': must be 'local' or the address of a hub"),
        ("family: human-1b\nnamespace: a..b--\n", SpecError, "namespace = "),
        ("family: a\nfamilies: {a: {extends: human-1b, name: b}}\n", SpecError, "must be its key, a"),
        ("family: a\nfamilies: {a: {extends: b}, b: {extends: a}}\n", SpecError, "extends itself"),
        ("family: a\nfamilies: {a: {extends: human-1}}\n", UnknownNameError, "did you mean human-1b"),
        ("family: a\nfamilies: {a: {extends: human-1b}}\n", SpecError, "repo_id: is required"),
    ],
)
def test_a_broken_file_names_what_breaks(tmp_path, text, error, said):
    (tmp_path / "mixhub.yaml").write_text(text)
    with pytest.raises(error, match=said):
        Workspace.open(tmp_path)


def test_a_missing_export_says_which_there_are(tmp_path):
    workspace = Workspace.create(tmp_path, {"family": "human-1b"})
    run = workspace.family().run(seed=2)
    (workspace.run_folder(run).exports / "step-000500").mkdir(parents=True)
    with pytest.raises(RunError, match=r"no export of step 25000 \(there: 500\)") as caught:
        workspace.export(run, 25000)
    assert (
        caught.value.hint
        == "train it: mixhub train --seed 2; or take in what was trained elsewhere: mixhub adopt DIR --seed 2"
    )
