import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mixhub.errors import RunError
from mixhub.training.launch import accelerated, sharding_of
from mixhub.training.options import TrainOptions
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.refusals import refused
from tests.tiny import tiny_family

ROOT = Path(__file__).parents[2]
TRAINING = tiny_family().training
CPU = TrainOptions(device="cpu")


@pytest.fixture(autouse=True)
def no_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("ACCELERATE_", "FSDP_", "MASTER_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ACCELERATE_USE_DEEPSPEED", "true"),
        ("ACCELERATE_USE_MEGATRON_LM", "true"),
        ("ACCELERATE_USE_PARALLELISM_CONFIG", "true"),
        ("ACCELERATE_DYNAMO_BACKEND", "INDUCTOR"),
        ("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4"),
    ],
)
def test_what_accelerate_is_asked_for_and_would_not_run_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with refused("parallelism-unsupported", RunError, variable=name, value=value), accelerated(TRAINING, CPU):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FSDP_SHARDING_STRATEGY", "SHARD_GRAD_OP"),
        ("FSDP_RESHARD_AFTER_FORWARD", "false"),
        ("FSDP_OFFLOAD_PARAMS", "true"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true"),
    ],
)
def test_a_kind_of_fsdp_that_does_not_exist_here_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with accelerated(TRAINING, CPU):  # without FSDP, its variables ask for nothing
        pass
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with refused("parallelism-unsupported", RunError, variable=name, value=value), accelerated(TRAINING, CPU):
        pass


def test_accelerates_fsdp_is_a_sharding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sharding_of(CPU) == "none"
    assert sharding_of(TrainOptions(sharding="hybrid")) == "hybrid"
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert sharding_of(CPU) == sharding_of(TrainOptions(sharding="full")) == "full"
    with refused("sharding-differs", RunError, sharding="none", configured="full"):
        sharding_of(TrainOptions(sharding="none"))
    monkeypatch.setenv("FSDP_SHARDING_STRATEGY", "HYBRID_SHARD")
    assert sharding_of(CPU) == "hybrid"
    with refused("sharding-differs", RunError, sharding="full", configured="hybrid"):
        sharding_of(TrainOptions(sharding="full"))


@pytest.mark.parametrize("sharding", ["full", "hybrid"])
def test_one_process_cannot_divide_a_model(sharding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = TrainOptions(device="cpu", sharding=sharding)
    with refused("sharding-alone", RunError, sharding=sharding), accelerated(TRAINING, options):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with refused("sharding-alone", RunError, sharding=sharding), accelerated(TRAINING, options):
        pass
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with refused("sharding-alone", RunError, sharding="full"), accelerated(TRAINING, CPU):
        pass


@pytest.mark.parametrize("asked", ["no", "bf16", "fp16", "fp8"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_recipe_decides_on_precision(asked: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", asked)
    training = tiny_family(training={"precision": precision}).training
    if asked == "no" or (asked, precision) == ("bf16", "bfloat16"):
        with accelerated(training, CPU) as accelerator, accelerator.autocast():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == getattr(torch, precision)
    else:
        with refused("precision-differs", RunError, precision=precision), accelerated(training, CPU):
            pass


def test_a_process_alone_may_have_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    with accelerated(TRAINING, CPU) as accelerator:
        assert accelerator.num_processes == 1


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"RANK": None}, "launch-incomplete", {"missing": ("RANK",)}),
        ({"WORLD_SIZE": None, "MASTER_PORT": None}, "launch-incomplete", {"missing": ("WORLD_SIZE", "MASTER_PORT")}),
        ({"WORLD_SIZE": "two"}, "launch-invalid", {"variable": "WORLD_SIZE", "value": "two"}),
        ({"RANK": "2"}, "launch-invalid", {"variable": "RANK", "value": "2"}),
        ({"RANK": "-1"}, "launch-invalid", {"variable": "RANK", "value": "-1"}),
    ],
)
def test_half_a_launcher_is_refused(
    changes: dict[str, str | None], code: str, fields: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in {**launcher, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    with refused(code, RunError, **fields), accelerated(TRAINING, CPU):
        pass


def test_accelerate_launch_with_fsdp_trains_a_run_in_shards(tokens: Path, folder: RunFolder) -> None:
    changes = {"training": {"steps": 4, "checkpoint_interval": 2, "validation_interval": 2}}
    launcher = ("accelerate.commands.launch", "--num_processes=2", "--main_process_port=0")
    launcher += ("--use_fsdp", "--fsdp_version=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no")
    child = ("tests.training.child", str(folder.path), str(tokens), json.dumps(changes))
    command = [sys.executable, "-m", *launcher, "-m", *child]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    state = json.loads((folder.checkpoint(4) / "state.json").read_text())
    assert (state["sharding"], state["processes"]) == ("full", 2)
    assert len([line for line in read_metrics(folder.metrics) if "loss" in line]) == 4
    assert json.loads((folder.export(4) / "lineage.json").read_text())["processes"] == 2
