"""A model that is not a run of the workspace, evaluated from Python."""

import json
import shutil

import pytest

from mixhub import workflow
from mixhub.errors import ExportError, UnknownNameError, UsageError
from tests.refusals import refused


@pytest.fixture
def export(workspace):
    return workspace.export(workspace.family().run(seed=1), 12)


def test_a_folder_is_evaluated_as_the_run_is(workspace, export, tmp_path):
    options = workflow.Options(device="cpu")
    done = workflow.evaluate_model(export, tmp_path / "out", workspace=workspace, options=options)
    assert (str(done.model), done.commit, done.suite) == ("step-000012@local", None, "tiny")
    assert done.folder == tmp_path / "out" / "step-000012"
    (cell,) = done.cells
    (own,) = workflow.evaluate(workspace, seed=1, options=options).cells["seed-1"]
    assert (cell.task, cell.metrics, cell.weights_sha256) == (own.task, own.metrics, own.weights_sha256)
    told = json.loads((tmp_path / "out" / "step-000012" / "tiny_choice.0shot.json").read_text())["mixhub"]
    assert (told["family"], told["revision"]) == ("step-000012", "local")
    again = workflow.crosscheck(done.model.folder, done.cells, 2, options)
    assert (again.requests, again.cells, again.flips) == (2, 1, 0)


def test_no_cells_are_written_into_an_export(workspace, export, tmp_path):
    before = sorted(export.rglob("*"))
    for output in (export, export / "results"):
        with refused("option-value", UsageError, option="--output", value=str(output)):
            workflow.evaluate_model(export, output, workspace=workspace, options=workflow.Options(device="cpu"))
    assert sorted(export.rglob("*")) == before


def test_a_damaged_export_of_a_run_proposes_to_check_it(workspace, export):
    (export / "model.safetensors").write_bytes(bytes(8))
    with refused("model-unloadable", ExportError) as caught:
        workflow.generate(workspace, "the cat", seed=1)
    assert caught.value.hint == "see what is wrong: mixhub check --seed 1"


def _changed_weights(export, folder):
    """A copy of the model whose weights are not the same."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(export, folder)
    tensors = load_file(folder / "model.safetensors")
    name = min(tensors)
    tensors[name] = tensors[name] + 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_models_dtypes_and_seeds_of_the_shots_never_replace_each_other(workspace, export, tmp_path):
    """Into one folder: two models of the same name, two dtypes and two seeds, in any order, and again."""
    other = _changed_weights(export, tmp_path / "other" / export.name)
    third = _changed_weights(other, tmp_path / "third")
    seven = workflow.with_fewshot_seed(workspace.family(), 7)
    asked = [(model, {}) for model in (export, other, third)]
    asked += [(export, {"dtype": "bfloat16"}), (other, {"dtype": "bfloat16"}), (export, {"family": seven})]
    asked += [(export, {"dtype": "bfloat16", "family": seven})]
    found = {}
    for again in (False, True):
        for number, (model, changes) in enumerate(asked):
            options = workflow.Options(device="cpu", dtype=changes.get("dtype"))
            family = changes.get("family")
            done = workflow.evaluate_model(model, tmp_path / "out", workspace=workspace, family=family, options=options)
            (cell,) = done.cells
            assert found.setdefault(number, cell) == cell, again  # the same file, date and figures the second time
            assert cell.weights_sha256 == done.model.weights_sha256
    folders = [cell.path.parent.relative_to(tmp_path / "out").as_posix() for cell in found.values()]
    taken = f"step-000012-{found[1].weights_sha256[:8]}"
    usual = ["step-000012", taken, "third"]
    assert folders == [
        *usual,
        "step-000012/bfloat16",
        f"{taken}/bfloat16",
        "step-000012/fewshot-seed-7",
        "step-000012/bfloat16/fewshot-seed-7",
    ]
    named = [(cell.model, cell.revision) for cell in found.values()]
    assert named[:3] == [("step-000012", "local"), ("step-000012", f"local-{taken[-8:]}"), ("third", "local")]


def test_a_flat_folder_of_an_earlier_version_is_continued_by_its_model_only(workspace, export, tmp_path):
    options = workflow.Options(device="cpu")
    done = workflow.evaluate_model(export, tmp_path / "out", workspace=workspace, options=options)
    for path in done.folder.iterdir():
        path.rename(tmp_path / "flat" if path.name == ".locks" else tmp_path / "out" / path.name)
    again = workflow.evaluate_model(export, tmp_path / "out", workspace=workspace, options=options)
    assert (again.folder, again.cells[0].date) == (tmp_path / "out", done.cells[0].date)
    other = _changed_weights(export, tmp_path / "other")
    assert workflow.evaluate_model(other, tmp_path / "out", workspace=workspace, options=options).folder.name == "other"
    assert again.cells[0].path.is_file()


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
