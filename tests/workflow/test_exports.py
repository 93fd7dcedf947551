import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mixhub import workflow
from mixhub.errors import RunError, UsageError, WorkspaceError
from mixhub.workspace.lineage import read_lineage, weights_sha256
from mixhub.workspace.paths import Workspace
from tests.refusals import refused


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_an_earlier_step_and_another_dtype(workspace: Workspace, tmp_path: Path) -> None:
    run = workspace.run_folder(workspace.family().run(seed=1))
    earlier, last = run.checkpoint_steps()
    exported = workflow.export(workspace, seed=1, step=earlier)
    assert [(one.run.revision, one.step, one.path) for one in exported] == [("seed-1", earlier, run.export(earlier))]
    assert read_lineage(run.export(earlier)).step == earlier
    both = workflow.export(workspace, all=True, dtype="bfloat16", output=tmp_path / "narrow")
    narrow = {one.run.revision: one.path for one in both}
    assert narrow == {f"seed-{seed}": tmp_path / "narrow" / f"seed-{seed}" for seed in (1, 2)}
    config = json.loads((narrow["seed-1"] / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    for name, weight in weights(run.export(last)).items():
        assert torch.equal(weights(narrow["seed-1"])[name], weight.bfloat16()), name
    assert read_lineage(narrow["seed-1"]).weights_sha256 == weights_sha256(narrow["seed-1"])


def test_the_last_step_again_is_the_export_of_training(workspace: Workspace, tmp_path: Path) -> None:
    run = workspace.run_folder(workspace.family().run(seed=1))
    again = workflow.export(workspace, seed=1, output=tmp_path / "again")[0].path
    trained = run.export(run.export_steps()[-1])
    assert sorted(path.name for path in again.iterdir()) == sorted(path.name for path in trained.iterdir())
    for path in again.iterdir():
        assert path.read_bytes() == (trained / path.name).read_bytes(), path.name


def test_an_export_of_another_dtype_passes_the_checks(workspace: Workspace) -> None:
    before = [checked.findings for checked in workflow.check(workspace, seed=1)]
    workflow.export(workspace, seed=1, dtype="bfloat16", replace=True)
    after = [checked.findings for checked in workflow.check(workspace, seed=1)]
    codes = {finding.code for findings in after for finding in findings}
    assert codes - {finding.code for findings in before for finding in findings} <= {
        "results-foreign"
    }  # they are of the float32 weights


def test_what_exists_stays(workspace: Workspace, tmp_path: Path) -> None:
    run = workspace.run_folder(workspace.family().run(seed=1))
    before = weights_sha256(run.export(run.export_steps()[-1]))
    with refused("export-exists", WorkspaceError, path=run.export(run.export_steps()[-1])):
        workflow.export(workspace, seed=1, dtype="bfloat16")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    for replace in (False, True):
        with refused("folder-not-empty", WorkspaceError, path=tmp_path / "mine"):
            workflow.export(workspace, seed=1, output=tmp_path / "mine", replace=replace)
    assert weights_sha256(run.export(run.export_steps()[-1])) == before


@pytest.mark.parametrize("seed", [1, 3])
def test_a_step_without_a_checkpoint(seed: int, workspace: Workspace) -> None:
    with refused("checkpoint-missing", RunError) as caught:
        workflow.export(workspace, seed=seed, step=7)
    assert ("mixhub train --seed 3" in str(caught.value.hint)) == (seed == 3)


def test_a_dtype_that_is_none(workspace: Workspace) -> None:
    with refused("option-value", UsageError, option="dtype"):
        workflow.export(workspace, seed=1, dtype="int8")
