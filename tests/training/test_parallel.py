import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mixhub.training.launch import accelerated
from mixhub.training.options import TrainOptions
from tests.tiny import tiny_family
from tests.training.parallel_child import updates_of

ROOT = Path(__file__).parents[2]
ODD = {
    "architecture": {"vocab_size": 321},  # of which 2 and 3 processes hold parts of different size
    "training": {"global_batch_size": 12, "micro_batch_size": 2, "steps": 20},
}
TIED = {**ODD, "architecture": {"vocab_size": 321, "tie_word_embeddings": True}}
BFLOAT16 = {**ODD, "training": {**ODD["training"], "precision": "bfloat16"}}
REDUCED = {**ODD, "training": {**ODD["training"], "gradient_reduction": "bfloat16"}}
Result = dict[str, Any]


def case(sharding: str, changes: Result = ODD, steps: int = 20) -> Result:
    return {"sharding": sharding, "changes": changes, "steps": steps}


def launched(
    out: Path, tokens: Path, processes: int, cases: list[Result], launcher: tuple[str, ...] = (), **variables: str
) -> list[Result]:
    """Results of cases in processes that one launch starts."""
    launcher = launcher or ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    out.mkdir(parents=True, exist_ok=True)
    module = ("tests.training.parallel_child", str(out), str(tokens), json.dumps(cases))
    command = [sys.executable, "-m", *launcher, "-m", *module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return [torch.load(out / f"{number}.pt") for number in range(len(cases))]


@pytest.fixture(scope="module")
def alone(tokens: Path) -> dict[str, Result]:
    """Results of one process."""
    torch.set_num_threads(1)
    cases = {"odd": case("none"), "tied": case("none", TIED, 5), "bfloat16": case("none", BFLOAT16, 5)}
    results = {}
    for name, one in cases.items():
        with accelerated(tiny_family(**one["changes"]).training, TrainOptions(device="cpu")) as accelerator:
            results[name] = updates_of(accelerator, tokens, one)
    return results


def assert_equal(ours: Result, theirs: Result, *, loss: float = 1e-6) -> None:
    assert ours["before"].keys() == theirs["before"].keys()
    for name, weight in ours["before"].items():
        assert torch.equal(weight, theirs["before"][name]), name
    for one, other in zip(ours["figures"], theirs["figures"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=loss)
        assert one["domains"] == pytest.approx(other["domains"], abs=loss)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=10 * loss)
    assert ours["validation"] == pytest.approx(theirs["validation"], abs=loss)
    for name, weight in ours["after"].items():
        torch.testing.assert_close(weight, theirs["after"][name], atol=10 * loss, rtol=0)


@pytest.fixture(scope="module")
def two(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Results of two processes on one node."""
    cases = {
        "none": case("none"),
        "full": case("full"),
        "hybrid": case("hybrid"),
        "none, tied": case("none", TIED, 5),
        "full, tied": case("full", TIED, 5),
        "none, reduced": case("none", REDUCED, 5),
        "full, reduced": case("full", REDUCED, 5),
    }
    return dict(zip(cases, launched(tmp_path_factory.mktemp("two"), tokens, 2, list(cases.values())), strict=True))


@pytest.mark.parametrize("sharding", ["none", "full", "hybrid"])
def test_two_processes_equal_one_with_any_sharding(
    sharding: str, two: dict[str, Result], alone: dict[str, Result]
) -> None:
    assert_equal(two[sharding], alone["odd"])
    whole = alone["odd"]["held"]
    assert two[sharding]["held"] == whole if sharding == "none" else two[sharding]["held"] < 0.51 * whole


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_tied_head_stays_tied_in_every_process(
    sharding: str, two: dict[str, Result], alone: dict[str, Result]
) -> None:
    result = two[f"{sharding}, tied"]
    assert_equal(result, alone["tied"])
    head, embedding = (result["after"][name] for name in ("lm_head.weight", "model.embed_tokens.weight"))
    assert torch.equal(head, embedding)


def test_accelerate_launches_shards_that_compute_in_bfloat16_as_one_process_does(
    tokens: Path, tmp_path: Path, alone: dict[str, Result]
) -> None:
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0")
    launcher += ("--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no")
    (result,) = launched(tmp_path, tokens, 2, [case("full", BFLOAT16, 5)], launcher)
    assert_equal(result, alone["bfloat16"], loss=1e-5)
    assert result["held"] < 0.51 * alone["bfloat16"]["held"]
    assert alone["bfloat16"]["figures"][0]["loss"] != alone["odd"]["figures"][0]["loss"]


def test_gradients_are_reduced_in_bfloat16_once_per_step_with_any_sharding(
    two: dict[str, Result], alone: dict[str, Result]
) -> None:
    assert_equal(two["full, reduced"], two["none, reduced"], loss=1e-5)
    norms, exact = (
        [one["grad_norm"] for one in result["figures"][:5]] for result in (two["full, reduced"], alone["odd"])
    )
    assert norms != pytest.approx(exact, rel=1e-5)
    assert norms == pytest.approx(exact, rel=1e-2)


def test_one_process_that_is_asked_to_stop_stops_all(two: dict[str, Result]) -> None:
    for result in two.values():
        assert [step for step, figures in enumerate(result["figures"]) if figures["is_stopped"]] == [3]


def test_three_processes_with_uneven_shards_equal_one(tokens: Path, tmp_path: Path, alone: dict[str, Result]) -> None:
    for result in launched(tmp_path, tokens, 3, [case("none"), case("full")]):
        assert_equal(result, alone["odd"])


@pytest.mark.nightly
def test_two_nodes_of_two_processes_divide_the_model_within_nodes(tokens: Path, tmp_path: Path) -> None:
    four = {**ODD, "training": {**ODD["training"], "global_batch_size": 16}}
    with accelerated(tiny_family().training, TrainOptions(device="cpu")) as accelerator:
        expected = updates_of(accelerator, tokens, case("none", four))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nodes = [node_of(tmp_path / str(number), tokens, number, port, case("hybrid", four)) for number in range(2)]
    errors = [node.communicate(timeout=300)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    result = torch.load(tmp_path / "0" / "0.pt")
    assert_equal(result, expected)
    assert 0.45 * expected["held"] < result["held"] < 0.51 * expected["held"]


def node_of(out: Path, tokens: Path, number: int, port: int, one: Result) -> subprocess.Popen[str]:
    """One of two nodes with two processes each, which is this machine both times."""
    out.mkdir()
    launcher = ["torch.distributed.run", "--nnodes=2", f"--node-rank={number}", "--nproc-per-node=2"]
    launcher += ["--rdzv-backend=static", "--master-addr=127.0.0.1", f"--master-port={port}"]
    command = [sys.executable, "-m", *launcher, "-m", "tests.training.parallel_child", str(out), str(tokens)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, json.dumps([one])], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
