"""Checkpoints of several processes: the same run goes on bit for bit, and others read them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mixhub.training.checkpoints.state import read_state
from mixhub.training.loop import train
from mixhub.training.options import TrainOptions
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family
from tests.training.checkpoints.models import new_checkpoints, to_first_format
from tests.training.checkpoints.test_kills import LAYERS, untimed

ROOT = Path(__file__).parents[3]
CPU = TrainOptions(device="cpu")
ODD: dict[str, Any] = {
    "architecture": {"vocab_size": 321},  # of which 2 and 3 processes hold parts of different size
    "training": {"global_batch_size": 12, "micro_batch_size": 2, "checkpoint_interval": 3, "warmup_steps": 5},
}
FAMILY = tiny_family(**ODD)


def case(folder: RunFolder, sharding: str, stop: int | None = None, **more: Any) -> dict[str, Any]:
    return {"folder": str(folder.path), "sharding": sharding, "changes": ODD, "stop": stop, **more}


def launched(tokens: Path, processes: int, *cases: dict[str, Any], nodes: int = 1) -> list[str]:
    """How each case ended."""
    done = launch(tokens, processes, *cases, nodes=nodes)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    ends: list[str] = json.loads(done.stdout)
    return ends


def launch(tokens: Path, processes: int, *cases: dict[str, Any], nodes: int = 1) -> subprocess.CompletedProcess[str]:
    launcher = ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    module = ("tests.training.checkpoints.child", str(tokens), json.dumps(cases), str(nodes))
    command = [sys.executable, "-m", *launcher, "-m", *module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)


def trained(tokens: Path, folder: RunFolder, stop: int | None = None) -> RunFolder:
    """The run in one process."""
    torch.set_num_threads(1)
    steps = iter(range(1, 100))
    train(
        FAMILY,
        FAMILY.run(seed=1),
        tokens=tokens,
        folder=folder,
        options=CPU,
        should_stop=lambda: next(steps) == stop,
    )
    return folder


def assert_close(ours: RunFolder, theirs: RunFolder) -> None:
    for one, other in zip(untimed(ours), untimed(theirs), strict=True):
        assert one["step"] == other["step"]
        if "loss" in one:
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
            assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-5)
        else:
            assert one["validation"] == pytest.approx(other["validation"], abs=1e-6)
    weights, expected = (load_file(folder.export(12) / "model.safetensors") for folder in (ours, theirs))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone(tokens: Path, root: Path) -> RunFolder:
    """The run in one process, uninterrupted."""
    return trained(tokens, RunFolder(root / "alone"))


@pytest.fixture(scope="module")
def one(tokens: Path, root: Path) -> RunFolder:
    """The run in one process, stopped after step 4, during warmup."""
    return trained(tokens, RunFolder(root / "one"), stop=4)


@pytest.fixture(scope="module")
def two(tokens: Path, root: Path, one: RunFolder) -> dict[str, RunFolder]:
    """The run in two processes, by sharding: uninterrupted, resumed, resumed from other ones, and stopped."""
    names = ("none", "full", "none-none", "full-full", "none-full", "one-full", "first-full", "stopped", "failed")
    folders = {name: RunFolder(root / name) for name in names}
    shutil.copytree(one.path, folders["one-full"].path)
    shutil.copytree(one.path, folders["first-full"].path)
    with new_checkpoints(folders["first-full"], **ODD) as (model, optimizer, checkpoints):
        checkpoints.load(folders["first-full"].checkpoint(4))
        to_first_format(folders["first-full"], model, optimizer)
    cases = [
        *(case(folders[name], name) for name in ("none", "full")),
        *(case(folders[name], name.partition("-")[0], 4) for name in ("none-none", "full-full", "none-full")),
        case(folders["stopped"], "full", 4),
        *(case(folders[name], name.partition("-")[2]) for name in names if "-" in name),
        case(folders["failed"], "full", fail=1),
    ]
    ends = launched(tokens, 2, *cases)
    assert ends == ["finished"] * 2 + ["stopped"] * 4 + ["finished"] * 5 + ["disk-full"]
    return folders


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_go_on_bit_for_bit(sharding: str, two: dict[str, RunFolder]) -> None:
    ours, theirs = two[f"{sharding}-{sharding}"], two[sharding]
    assert untimed(ours) == untimed(theirs)
    assert weights_sha256(ours.export(12)) == weights_sha256(theirs.export(12))


@pytest.mark.parametrize("name", ["none-full", "one-full", "first-full"])
def test_two_processes_go_on_from_another_sharding_one_process_and_the_first_format(
    name: str, two: dict[str, RunFolder], alone: RunFolder
) -> None:
    assert_close(two[name], alone)


def test_one_process_goes_on_from_two(
    two: dict[str, RunFolder], alone: RunFolder, tokens: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(two["stopped"].path, folder.path)
    path = folder.checkpoint(4)
    state = read_state(path)
    assert (state.processes, state.sharding) == (2, "full")
    assert len(list(path.glob("*.safetensors"))) == 2
    assert_close(trained(tokens, folder), alone)


def test_a_part_that_cannot_be_written_leaves_no_checkpoint(two: dict[str, RunFolder]) -> None:
    assert list(two["failed"].checkpoints.iterdir()) == []
    assert not two["failed"].export_steps()


@pytest.mark.nightly
def test_three_processes_read_from_two_and_one_and_are_read_by_them(
    two: dict[str, RunFolder], one: RunFolder, alone: RunFolder, tokens: Path, tmp_path: Path
) -> None:
    names = ("one", "stopped", "hybrid", "to-one", "to-two")
    folders = {name: RunFolder(tmp_path / name) for name in names}
    shutil.copytree(one.path, folders["one"].path)
    shutil.copytree(two["stopped"].path, folders["stopped"].path)
    shutil.copytree(two["stopped"].path, folders["hybrid"].path)
    stopped = [case(folders["to-one"], "full", 4), case(folders["to-two"], "none", 4)]
    resumed = [case(folders["one"], "full"), case(folders["stopped"], "none"), case(folders["hybrid"], "hybrid")]
    assert launched(tokens, 3, *stopped, *resumed) == ["stopped"] * 2 + ["finished"] * 3
    trained(tokens, folders["to-one"])
    assert launched(tokens, 2, case(folders["to-two"], "full")) == ["finished"]
    for folder in folders.values():
        assert_close(folder, alone)


@pytest.mark.nightly
@pytest.mark.parametrize("target", ["mixhub.training.checkpoints.writer.ShardWriter.write_data", LAYERS])
def test_two_processes_of_which_one_is_killed_go_on_bit_for_bit(
    target: str, two: dict[str, RunFolder], tokens: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    nth = 2 if "write" in target else 25  # of the validation at step 0 and of 3 micro-steps in each step
    assert launch(tokens, 2, case(folder, "full", kill=(target, nth))).returncode != 0
    assert folder.checkpoint_steps()[-1:] in ([3], [6])
    assert launched(tokens, 2, case(folder, "full")) == ["finished"]
    assert untimed(folder) == untimed(two["full"])
    assert weights_sha256(folder.export(12)) == weights_sha256(two["full"].export(12))
    assert not list(folder.path.rglob(".tmp-*"))


@pytest.mark.nightly
def test_two_nodes_of_two_processes_go_on_from_one_another(alone: RunFolder, tokens: Path, tmp_path: Path) -> None:
    folders = {name: RunFolder(tmp_path / name) for name in ("hybrid", "full")}
    changes = {**ODD, "training": {**ODD["training"], "micro_batch_size": 1}}
    stopped, resumed = (
        [{**case(folder, sharding, stop), "changes": changes} for folder, sharding in pairs]
        for stop, pairs in (
            (4, [(folders["hybrid"], "hybrid"), (folders["full"], "full")]),
            (None, [(folders["hybrid"], "full"), (folders["full"], "hybrid")]),
        )
    )
    ends = launched(tokens, 4, *stopped, *resumed, nodes=2)
    assert ends == ["stopped"] * 2 + ["finished"] * 2
    for folder in folders.values():
        assert len(list(folder.checkpoint(12).glob("*.safetensors"))) == 4
        assert_close(folder, alone)
