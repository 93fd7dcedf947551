import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mixhub import workflow
from mixhub.errors import RunError
from tests.refusals import error_codes, printed_codes, refused
from tests.tiny import tiny_workspace


@pytest.fixture
def mixhub(mixhub_here):
    return mixhub_here


def test_a_plan_fits_eighty_columns_and_trains_nothing(mixhub, tmp_path):
    (tmp_path / "mixhub.yaml").write_text("format: 1\nfamily: human-1b\n")
    planned = mixhub("train", "--plan", "--seed", "1", COLUMNS="80")
    assert planned.returncode == 0, planned.stderr
    assert max(map(len, planned.stdout.splitlines())) <= 80
    for expected in ("1,337,026,560", "1,048,576", "8 × A100-40G", "64 × H100", "2.6 days"):
        assert expected in planned.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mixhub.yaml"]


def test_a_plan_of_several_runs_is_that_of_each(mixhub, tmp_path):
    tiny_workspace(tmp_path)
    plans = [mixhub("train", "--plan", *named).stdout for named in ((), ("--all",), ("--seeds", "1-3"))]
    assert plans[0]
    assert len(set(plans)) == 1
    assert error_codes(mixhub("train", "--plan", "--seeds", "3-4")) == ["unknown-seed"]


def test_a_plan_for_this_machine_too(mixhub, tmp_path):
    tiny_workspace(tmp_path)
    planned = mixhub("train", "--plan", "--num-processes", "2", "--device", "cpu", "--json")
    assert planned.returncode == 0, planned.stderr
    here = json.loads(planned.stdout)["machines"][0]
    assert (here["device"], here["devices"], here["micro_steps"], here["hours"]) == ("cpu", 2, 1, None)
    assert here["memory"]["total"] < here["device_memory"]


def test_a_plan_for_a_device_of_this_machine(mixhub, tmp_path):
    tiny_workspace(tmp_path)
    planned = mixhub("train", "--plan", "--device", "cpu", "--json")
    assert planned.returncode == 0, planned.stderr
    assert [(one["device"], one["devices"]) for one in json.loads(planned.stdout)["machines"]][:1] == [("cpu", 1)]


def test_a_plan_as_json(mixhub, tmp_path):
    tiny_workspace(tmp_path)
    planned = mixhub("train", "--plan", "--json", "--mfu", "0.25")
    assert planned.returncode == 0, planned.stderr
    data = json.loads(planned.stdout)
    assert (data["family"], data["steps"], data["mfu"]) == ("tiny", 12, 0.25)
    assert {one["name"]: one["divides"] for one in data["machines"]} == {
        "1 × H100": True, "8 × A100-40G": False, "8 × A100-80G": False, "64 × H100": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--mfu", "0.4"], "option-missing"),
        (["--json"], "option-missing"),
        (["--plan", "--mfu", "40"], "option-value"),
        (["--plan", "--seed", "9"], "unknown-seed"),
        (["--plan", "--preflight", "--seed", "1"], "option-conflict"),
        (["--preflight", "--mfu", "0.4", "--seed", "1"], "option-missing"),
        (["--preflight", "--seed", "1", "--tracker", "tensorboard"], "option-conflict"),
        (["--preflight", "--seed", "1", "--time-limit", "1h"], "option-conflict"),
        (["--plan", "--stop-before", "10m"], "option-conflict"),
        (["--plan", "--kernels", "compile"], "option-conflict"),
        (["--preflight"], "option-missing"),
        (["--preflight", "--seed", "1"], "tokens-missing"),
    ],
)
def test_mistakes_are_refused(mixhub, tmp_path, options, code):
    tiny_workspace(tmp_path)
    assert error_codes(mixhub("train", *options)) == [code]


@pytest.mark.parametrize("count", [0, -2])
def test_numbers_of_processes_that_cannot_be(tmp_path, count):
    workspace = tiny_workspace(tmp_path)
    with refused("option-value", RunError, option="processes", value=count):
        workflow.plan_training(workspace, processes=count)
    with refused("option-value", RunError, option="processes", value=count):
        workflow.train_in_processes(workspace, count, command=["false"], signals=(), seed=1)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    root = tmp_path_factory.mktemp("packed")
    workflow.pack(tiny_workspace(root, training={"global_batch_size": 16}))
    return root


def test_a_preflight_reports_and_writes_no_run(mixhub, packed):
    before = sorted(packed.rglob("*"))
    tried = mixhub("train", "--preflight", "--seed", "2", "--device", "cpu", "--json", cwd=packed)
    assert tried.returncode == 0, tried.stderr
    data = json.loads(tried.stdout)
    assert (data["revision"], data["processes"], data["steps_left"], data["findings"]) == ("seed-2", 1, 12, [])
    assert data["repeated"]["is_same"]
    assert data["resumed"]["is_same"]
    made = {path for path in packed.rglob("*") if "cache" not in path.parts} - set(before)
    assert made == set()


def test_a_preflight_that_finds_something_exits_with_one(mixhub, packed, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    tried = mixhub("train", "--preflight", "--seed", "1", "--device", "cpu", cwd=packed)
    assert tried.returncode == 1, tried.stderr
    assert printed_codes(tried.stdout) == ["disk-too-small-for-run"]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("asked", "processes", "status"),
    [(signal.SIGTERM, 1, 128 + 15), (signal.SIGINT, 1, 128 + 2), (signal.SIGKILL, 2, -9)],
)
def test_a_preflight_that_is_stopped_leaves_nothing_behind(tmp_path, asked, processes, status):
    tiny_workspace(tmp_path, architecture={"hidden_size": 512, "vocab_size": 50000}, training={"sequence_length": 32})
    workflow.pack(tmp_path)
    command = [sys.executable, "-m", "mixhub", "train", "--preflight", "--seed", "1", "--device", "cpu"]
    command += ["--num-processes", str(processes)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(tmp_path.rglob(".tmp-preflight*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(asked)
    process.communicate(timeout=60)  # with the processes that it started, which have its output
    assert process.returncode == status
    assert not (tmp_path / "runs").exists()


@pytest.mark.nightly
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_two_processes_try_a_run_together(packed, sharding):
    command = [sys.executable, "-m", "mixhub", "train", "--preflight", "--seed", "1", "--device", "cpu", "--json"]
    command += ["--num-processes", "2"]
    asked = {"ACCELERATE_USE_FSDP": str(sharding == "full").lower(), "OMP_NUM_THREADS": "1"}
    tried = subprocess.run(command, cwd=packed, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    data = json.loads(tried.stdout)
    assert (data["processes"], data["sharding"], data["micro_steps"], data["findings"]) == (2, sharding, 2, [])
    assert data["repeated"]["is_same"]
    assert data["resumed"]["is_same"]
    assert not list(packed.rglob(".tmp-preflight*"))


def test_a_model_of_another_kind_is_refused(mixhub, tmp_path):
    tiny_workspace(tmp_path, architecture={"model_type": "gpt_neox"})
    assert error_codes(mixhub("train", "--plan")) == ["architecture-untrainable"]


def test_a_plan_does_not_load_torch(tmp_path):
    tiny_workspace(tmp_path)
    code = "import sys; from mixhub import workflow as w; w.plan_training('.'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
