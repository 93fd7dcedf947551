"""Runs that are trained one after the other in one process, as if each had a process of its own."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

import mixhub
from mixhub import workflow
from mixhub.workflow import TrainOptions, train_each
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from tests.commands import Command
from tests.refusals import refused
from tests.tiny import tiny_workspace

CPU = TrainOptions(device="cpu")


def packed(root: Path, **training: object) -> Workspace:
    """A workspace in which nothing is trained."""
    workspace = tiny_workspace(root, training=training)
    workflow.pack(workspace)
    return workspace


def models_alive() -> int:
    return sum(type(one) is LlamaForCausalLM for one in gc.get_objects())


def test_a_run_after_another_is_bit_for_bit_the_run_alone(tmp_path: Path, mixhub: Command) -> None:
    workspace, alone = packed(tmp_path / "both"), packed(tmp_path / "alone")
    before = torch.random.get_rng_state()
    trained = list(train_each(workspace, seed=[1, 2], options=CPU))
    assert torch.equal(torch.random.get_rng_state(), before)
    done = mixhub("train", "--seed", "2", "--device", "cpu", cwd=alone.root)
    assert done.returncode == 0, done.stderr
    run = alone.family().run(seed=2)
    assert [(one.run.revision, one.step, one.error) for one in trained] == [("seed-1", 12, None), ("seed-2", 12, None)]
    weights = [(path / "model.safetensors").read_bytes() for path in (alone.export(run, 12), trained[1].export or "")]
    assert weights[0] == weights[1] != (workspace.export(trained[0].run, 12) / "model.safetensors").read_bytes()
    metrics = [
        [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in read_metrics(path)]
        for path in (alone.run_folder(run).metrics, workspace.run_folder(run).metrics)
    ]
    assert metrics[0] == metrics[1]


def test_runs_that_fail_leave_no_model_in_memory_and_do_not_stop_the_others(tmp_path: Path) -> None:
    workspace = packed(tmp_path / "ws", learning_rate=1e30, steps=6, validation_interval=6)
    each, models = train_each(workspace, all=True, options=CPU), models_alive()
    for seed in (1, 2, 3):
        failed = next(each)
        assert (failed.run.label, failed.export) == (seed, None)
        assert failed.error is not None
        assert failed.error.code == "training-diverged"
        assert models_alive() == models
    with refused("runs-failed", mixhub.RunError, failed=("seed-1", "seed-2", "seed-3"), left=()):
        next(each)


def test_the_others_are_trained_and_finished_ones_skipped(tmp_path: Path) -> None:
    workspace = packed(tmp_path / "ws", steps=2)
    mixhub.train(workspace, seed=3, options=CPU)
    broken = workspace.run_folder(workspace.family().run(seed=1)).checkpoint(1)
    broken.mkdir(parents=True)
    (broken / "state.json").write_text("broken")
    each = train_each(workspace, all=True, options=CPU)
    codes = [one.error.code if one.error else one.step for one in (next(each), next(each), next(each))]
    assert codes == ["checkpoint-unreadable", 2, 2]
    with refused("runs-failed", failed=("seed-1",), left=()):
        next(each)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_reason_that_two_runs_have_in_common_stops_the_series(tmp_path: Path) -> None:
    workspace = packed(tmp_path / "ws")
    each = train_each(workspace, all=True, options=TrainOptions(device="cuda"))
    assert [one.error.code for one in (next(each), next(each)) if one.error] == 2 * ["device-unavailable"]
    with refused("runs-failed", failed=("seed-1", "seed-2"), left=("seed-3",)):
        next(each)
    with refused("device-unavailable"):  # of one run, it is its error
        list(train_each(workspace, seed=[1], options=TrainOptions(device="cuda")))


def test_no_run_starts_after_one_that_was_asked_to_stop(tmp_path: Path) -> None:
    workspace = packed(tmp_path / "ws", steps=3)
    folders = [workspace.run_folder(run) for run in workspace.family().runs()]

    def trained(number: int, step: int) -> list[tuple[int, int]]:
        """The seeds and steps of a series that is asked to stop once a run has so many lines, or an export at 0."""

        def should_stop() -> bool:
            folder = folders[number - 1]
            return bool(folder.export_steps()) if step == 0 else len(list(read_metrics(folder.metrics))) > step

        each = train_each(workspace, all=True, options=CPU, should_stop=should_stop)
        return [(one.run.label, one.step) for one in each]

    assert trained(1, 0) == [(1, 3)]
    assert not folders[1].path.exists()
    assert trained(2, 1) == [(1, 3), (2, 2)]
    assert not folders[2].path.exists()
    assert trained(3, 0) == [(1, 3), (2, 3), (3, 3)]


def test_a_launcher_trains_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = packed(tmp_path / "ws")
    with monkeypatch.context() as launched:
        launched.setenv("RANK", "0")
        launched.setenv("WORLD_SIZE", "1")
        with refused("runs-launched", mixhub.UsageError):
            list(train_each(workspace, all=True))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    with refused("launcher-missing"):
        list(train_each(workspace, all=True))


def test_what_holds_for_all_runs_is_refused_before_the_first(tmp_path: Path) -> None:
    workspace = tiny_workspace(tmp_path / "ws")
    with refused("tokens-missing", mixhub.CorpusError):
        list(train_each(workspace, all=True))
    workflow.pack(workspace)
    for names in ({"seed": [1, 9]}, {"seed": [1], "all": True}, {}):
        with refused({0: "option-missing", 1: "unknown-seed", 2: "option-conflict"}[len(names)]):
            list(train_each(workspace, **names))
    assert not workspace.path("runs").exists()
