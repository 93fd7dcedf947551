"""Signals and kills of real runs: nothing is left running, and the same command ends with the same weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.files import locked
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder, Workspace
from tests.refusals import printed_codes
from tests.tiny import tiny_workspace_yaml, write_tiny_corpus

pytestmark = pytest.mark.nightly
ROOT = Path(__file__).parents[2]
STEPS = 1500
MARK = "MIXHUB_TEST_RUN"
"""Environment variable that names the test in all its processes."""
TRAIN = ("-m", "mixhub", "train", "--seed", "1", "--device", "cpu")
OWN = (sys.executable, *TRAIN, "--num-processes", "2")
TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"),
    *("--signals-to-handle", "SIGTERM,SIGINT,SIGUSR2", *TRAIN),
)
ACCELERATE = (
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--main_process_port", "0", *TRAIN),
)
ACCELERATE_ONE = (sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", *TRAIN)


def made(root: Path) -> Workspace:
    training = {"steps": STEPS, "checkpoint_interval": 200, "validation_interval": 500}
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml(training=training))
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    workflow.pack(workspace)
    return workspace


def folder(root: Path) -> RunFolder:
    workspace = Workspace.open(root)
    return workspace.run_folder(workspace.family().run(seed=1))


def start(command: tuple[str, ...], root: Path, mark: str) -> subprocess.Popen[str]:
    environment = {**os.environ, MARK: mark, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def running(mark: str) -> dict[int, str]:
    """The processes of a test, with their RANK; "" if none."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_text(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        variables = dict(word.split("=", 1) for word in words if "=" in word)
        if variables.get(MARK) == mark:
            found[int(process.name)] = variables.get("RANK", "")
    return found


def wait_for_step(root: Path, step: int, process: subprocess.Popen[str]) -> None:
    metrics = folder(root).metrics
    while not (metrics.is_file() and any(line["step"] >= step for line in read_metrics(metrics))):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def wait_until_nothing_runs(mark: str) -> None:
    deadline = time.monotonic() + 60
    while left := running(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The weights of runs that nothing stopped, by their number of processes."""
    hashes = {}
    for count in (1, 2):
        root = tmp_path_factory.mktemp(f"whole-{count}")
        made(root)
        subprocess.run(
            [sys.executable, *TRAIN, "--num-processes", str(count)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )
        hashes[count] = weights_sha256(folder(root).export(STEPS))
    return hashes


USR2, TERM, INT, KILL = signal.SIGUSR2, signal.SIGTERM, signal.SIGINT, signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "asked", "to", "status", "is_saved"),
    [
        pytest.param(OWN, TERM, "parent", 75, True, id="TERM"),
        pytest.param(OWN, USR2, "parent", 75, True, id="USR2"),
        pytest.param(OWN, INT, "parent", 130, True, id="INT"),
        pytest.param(OWN, INT, "session", 130, True, id="Ctrl-C"),
        pytest.param(OWN, USR2, "all", 75, True, id="USR2 to all"),
        pytest.param(OWN, TERM, "0", 75, True, id="TERM to the first"),
        pytest.param(OWN, USR2, "1", 75, True, id="USR2 to the second"),
        pytest.param(OWN, KILL, "0", 2, False, id="KILL of the first"),
        pytest.param(OWN, KILL, "1", 2, False, id="KILL of the second"),
        pytest.param(OWN, KILL, "parent", -9, True, id="KILL of the parent"),
        pytest.param(TORCHRUN, USR2, "parent", 1, True, id="torchrun USR2"),
        pytest.param(TORCHRUN, TERM, "all", 1, True, id="torchrun TERM to all"),
        pytest.param(TORCHRUN, KILL, "parent", -9, True, id="torchrun KILL"),
        pytest.param(ACCELERATE, TERM, "parent", 1, True, id="accelerate TERM"),
        pytest.param(ACCELERATE_ONE, TERM, "parent", -15, True, id="accelerate TERM, one process"),
    ],
)
def test_stopped_and_started_again_it_ends_with_the_same_weights(
    command: tuple[str, ...], asked: signal.Signals, to: str, status: int, is_saved: bool, expected, tmp_path: Path
) -> None:
    made(tmp_path)
    mark = uuid.uuid4().hex
    process = start(command, tmp_path, mark)
    wait_for_step(tmp_path, 230, process)
    ranks = running(mark)
    if to == "session":
        os.killpg(process.pid, asked)
    else:
        for number, rank in ranks.items():
            if to in ("all", rank) or (to == "parent" and number == process.pid):
                os.kill(number, asked)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == status, errors
    wait_until_nothing_runs(mark)
    steps = folder(tmp_path).checkpoint_steps()
    last = max(line["step"] for line in read_metrics(folder(tmp_path).metrics))
    assert (steps[-1] == last) == is_saved, (steps, last, errors)
    assert 200 <= steps[-1] < STEPS
    if to != "parent" or asked != KILL:
        assert output.count("saved at step") == is_saved, output
    if asked == KILL and to in ("0", "1"):
        assert errors.count("[process-killed]") == 1
    again = start(command, tmp_path, mark)
    output, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    wait_until_nothing_runs(mark)
    assert weights_sha256(folder(tmp_path).export(STEPS)) == expected[1 if command == ACCELERATE_ONE else 2]


def test_an_error_of_the_first_process_is_the_only_one(tmp_path: Path) -> None:
    made(tmp_path)
    with locked(folder(tmp_path).lock, "held"):
        refused = start(OWN, tmp_path, uuid.uuid4().hex)
        _, errors = refused.communicate()
    assert (refused.returncode, printed_codes(errors)) == (2, ["lock-held"])
