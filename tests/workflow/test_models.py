"""A model that is not a run of the workspace, evaluated from Python."""

import json

import pytest

from mixhub import workflow
from mixhub.errors import UnknownNameError, UsageError
from tests.refusals import refused


@pytest.fixture
def export(workspace):
    return workspace.export(workspace.family().run(seed=1), 12)


def test_a_folder_is_evaluated_as_the_run_is(workspace, export, tmp_path):
    options = workflow.Options(device="cpu")
    done = workflow.evaluate_model(export, tmp_path / "out", workspace=workspace, options=options)
    assert (str(done.model), done.commit, done.suite) == ("step-000012@local", None, "tiny")
    (cell,) = done.cells
    (own,) = workflow.evaluate(workspace, seed=1, options=options).cells["seed-1"]
    assert (cell.task, cell.metrics, cell.weights_sha256) == (own.task, own.metrics, own.weights_sha256)
    told = json.loads((tmp_path / "out" / "tiny_choice.0shot.json").read_text())["mixhub"]
    assert (told["family"], told["revision"]) == ("step-000012", "local")
    again = workflow.crosscheck(done.model.folder, done.cells, 2, options)
    assert (again.requests, again.cells, again.flips) == (2, 1, 0)


def test_its_requests_are_built_beforehand(workspace, export, tmp_path):
    ready = workflow.prefetch_model(export, workspace=workspace)
    assert (ready.tokenizer, ready.requests) == (export, 4)
    assert ready.datasets == workspace.cache / "datasets"
    own = workflow.prefetch(workspace)
    assert (own.tokenizer, own.requests) == (export, 4)


def test_another_seed_of_the_shots_counts_in_no_score(workspace):
    family = workflow.with_fewshot_seed(workspace.family(), 7)
    done = workflow.evaluate(workspace, seed=1, family=family, options=workflow.Options(device="cpu"))
    folder = workspace.results(workspace.family().run(seed=1)) / "fewshot-seed-7"
    assert (done.counts, dict(done.folders)) == (False, {"seed-1": folder})
    assert workflow.evaluated_so_far(workspace, seed=1, family=family).cells["seed-1"] == done.cells["seed-1"]
    assert workflow.evaluated_so_far(workspace, seed=1).counts


def test_what_is_no_model_and_no_task(workspace, export, tmp_path):
    with refused("option-value", UsageError, option="MODEL", value="no model"):
        workflow.evaluate_model("no model", tmp_path / "out")
    with refused("unknown-task", UnknownNameError, name="nothing"):
        workflow.evaluate_model(export, tmp_path / "out", options=workflow.Options(tasks=["nothing"]))
    assert not (tmp_path / "out").exists()


def test_the_suite_is_the_workspaces_else_that_of_the_first_family(workspace):
    assert workflow.find_suite(workspace, None).name == "tiny"
    assert workflow.find_suite(None, None).name == "human-1b"
    assert workflow.find_suite(None, "regmix-1b").name == "regmix-1b"
