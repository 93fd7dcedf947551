"""A run that is trained again has the same weights, and another time in its lineage: nothing is wrong with it."""

import json
import shutil

import pytest

from mixhub.endpoint import Endpoint
from mixhub.spec import Family
from mixhub.workflow import TrainOptions, check, plan_push, push, train, verify
from mixhub.workspace.paths import Workspace
from tests.made import publish


@pytest.fixture
def family(workspace: Workspace) -> Family:
    return workspace.family()


def test_a_run_that_is_trained_again_is_as_good_as_before(
    workspace: Workspace, endpoint: Endpoint, family: Family
) -> None:
    publish(workspace, endpoint)
    folder = workspace.run_folder(family.run(seed=1))
    lineage = folder.export(12) / "lineage.json"
    before = json.loads(lineage.read_text())
    shutil.rmtree(folder.path)
    train(workspace, seed=1, options=TrainOptions(device="cpu"))
    after = json.loads(lineage.read_text())
    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} <= {"device_hours"}
    [checked] = check(workspace, seed=1)
    assert [finding for finding in checked.findings if finding.level == "error"] == []
    assert [finding for finding in verify(workspace, hub=endpoint).findings if finding.level == "error"] == []
    with plan_push(workspace, hub=endpoint, seed=1) as plan:
        assert {change.path for change in plan.branches[0].changed} <= {"lineage.json", "metrics.jsonl", "README.md"}
    push(workspace, seed=1, hub=endpoint)
    assert [finding for finding in verify(workspace, hub=endpoint).findings if finding.level == "error"] == []
