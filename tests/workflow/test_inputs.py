"""What the functions of the workflow take: workspaces, names of runs, hubs."""

import pytest

from mixhub import workflow
from mixhub.endpoint import Endpoint, HubChoice
from mixhub.errors import RunError, UnknownNameError, UsageError, WorkspaceError
from mixhub.hubserver import serve
from mixhub.progress import SILENT
from mixhub.workflow.inputs import find_exports, find_family, open_hub, open_workspace, workspace_if_given
from tests.notices import Notices
from tests.refusals import refused


def test_a_workspace_is_itself_or_the_one_in_a_folder(workspace, tmp_path, monkeypatch):
    assert open_workspace(workspace) is workspace
    assert open_workspace(str(workspace.root)) == open_workspace(workspace.root) == workspace
    assert workspace_if_given(None) is None
    monkeypatch.chdir(workspace.root)
    with refused("workspace-missing", WorkspaceError):
        open_workspace(tmp_path)


def test_a_family_is_itself_or_known_by_name(workspace):
    family = workspace.family()
    assert find_family(workspace, None) == find_family(workspace, "tiny") == family
    changed = workflow.with_fewshot_seed(family, 7)
    assert find_family(workspace, changed) is find_family(None, changed) is changed
    assert find_family(None, "human-1b") == find_family(workspace, "human-1b")
    with refused("unknown-family", UnknownNameError, name="tiny"):
        find_family(None, "tiny")


def test_runs_are_one_or_all_that_have_an_export(workspace):
    notices = Notices()
    family, runs = find_exports(workspace, notices, seed=2)
    assert (family.name, [run.revision for run in runs], notices.lines) == ("tiny", ["seed-2"], [])
    _, runs = find_exports(workspace, notices, all=True)
    assert [run.revision for run in runs] == ["seed-1", "seed-2"]
    assert notices.lines == ["skipped, because they have no export of step 12: seed-3"]
    for names, code, kind in (
        ({"seed": 3}, "export-missing", RunError),
        ({"seed": 1, "step": 5}, "export-missing", RunError),
        ({"all": True, "step": 5}, "export-missing", RunError),
        ({"seed": 1, "all": True}, "option-conflict", UsageError),
        ({}, "option-missing", UsageError),
        ({"index": 1}, "run-kind", UsageError),
        ({"seed": 9}, "unknown-seed", UnknownNameError),
    ):
        with refused(code, kind):
            find_exports(workspace, SILENT, **names)


def test_a_name_that_no_run_has_is_a_bug_of_the_caller(workspace):
    with pytest.raises(TypeError, match="seeds"):
        workflow.check(workspace, seeds=1)


def test_the_hub_is_the_one_that_is_given_else_the_workspaces(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXHUB_HUB", "http://127.0.0.1:9")
    notices = Notices()
    with open_hub(workspace, progress=notices) as endpoint:
        assert (endpoint.name, endpoint.store_id is not None) == ("local", True)
        assert notices.lines == [f"hub: local ({endpoint.url}) (from mixhub.yaml)"]
        with open_hub(workspace, endpoint, progress=notices) as same:
            assert same is endpoint
    assert len(notices.lines) == 1, "one that is open already is named by whoever opened it"
    with serve(tmp_path / "hub") as hub, open_hub(workspace, hub.url, token="hf_mine") as other:
        assert (other.url, other.token, other.store_id) == (hub.url, "hf_mine", hub.store_id)
    with open_hub(workspace, HubChoice("https://huggingface.co", "--hub")) as named:
        assert named == Endpoint("https://huggingface.co", False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with open_hub() as usual:
        assert usual.url == "https://huggingface.co"
    with refused("workspace-required", UsageError), open_hub(None, "local"):
        pass
    with refused("hub-address", UsageError), open_hub(workspace, "loca"):
        pass
