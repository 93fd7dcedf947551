"""A push that is broken off leaves the old commit or the new one, and the next one ends as if nothing had happened."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mixhub.endpoint import Endpoint
from mixhub.hub.check.run import check_run
from mixhub.hub.publish import push as push_module
from mixhub.hub.publish.release import run_files
from mixhub.hub.remote.client import branch_heads, remote_tree
from mixhub.hub.remote.files import same_content
from mixhub.hubserver import LOCAL_TOKEN, serve
from tests.hub.publish.killed import main
from tests.hub.wires import heard, wire
from tests.made import copied

ROOT = Path(__file__).resolve().parents[3]


def push(root, url: str, stage: str | None = None) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.hub.publish.killed", str(root), url, *([stage] if stage else [])]
    environment = {**os.environ, "HF_HOME": str(root / "home"), "PYTHONPATH": ROOT}
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def pushed(root, url: str) -> dict:
    """As `push`, to its end, in the process of the tests."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        for limit in ("_LARGE", "_TOGETHER"):
            patch.setattr(push_module, limit, getattr(push_module, limit))  # restores them
        main(str(root), url)
    return json.loads(output.getvalue().splitlines()[-1])


@pytest.fixture
def hub(tmp_path) -> Iterator[Endpoint]:
    with serve(tmp_path / "hub") as running:
        yield Endpoint(running.url, LOCAL_TOKEN, tmp_path / "cache", store_id=running.store_id)


def wanted(workspace, family):
    """What the branch of seed 1 must hold in the end."""
    return run_files(
        workspace, family, check_run(workspace, family, family.run(seed=1)), Endpoint("https://hub.example")
    )


def require_whole(hub: Endpoint, family, before: dict, files: dict) -> bool:
    """The branch is as it was, or as it shall be, and nothing between; whether it is the second."""
    heads = branch_heads(hub, family.repo_id) if HfApi(hub.url, hub.token).repo_exists(family.repo_id) else {}
    if "seed-1" not in heads:
        assert not before
        return False
    tree = {path: file for path, file in remote_tree(hub, family.repo_id, heads["seed-1"]).items() if path[0] != "."}
    if (before and tree == before) or (not before and not tree):
        return False
    assert set(tree) == set(files)
    assert all(same_content(files[path], tree[path]) for path in files)
    return True


@pytest.mark.parametrize("stage", ["plan", "upload", "uploaded", "commit"])  # all of them are in the benchmark
def test_killed_at_a_stage(workspace, family, hub, stage, tmp_path):
    files = wanted(workspace, family)
    process = push(workspace.root, hub.url, stage)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    require_whole(hub, family, {}, files)
    sent = bytearray()
    with wire(hub.url, heard(sent)) as proxy:
        done = pushed(workspace.root, proxy)
    require_whole(hub, family, {"x": None}, files)
    assert len(HfApi(hub.url, hub.token).list_repo_commits(family.repo_id, revision="seed-1")) == 2
    if stage == "commit":
        assert not done["sent"]
    if stage == "uploaded":
        assert "model.safetensors" not in done["uploaded"], "it had arrived"
        with serve(tmp_path / "another") as empty, wire(empty.url, heard(whole := bytearray())) as proxy:
            pushed(copied(workspace.root, tmp_path / "copy").root, proxy)
        weights = files["model.safetensors"].size
        assert len(whole) > weights
        assert len(whole) - len(sent) > 0.8 * weights, "the weights were not sent again"
        again = pushed(workspace.root, hub.url)
        assert (again["commit"], again["sent"]) == (done["commit"], False)


def test_killed_over_an_older_state(workspace, family, hub):
    metrics = workspace.run_folder(family.run(seed=1)).metrics
    wanted(workspace, family)
    pushed(workspace.root, hub.url)
    before = {p: f for p, f in remote_tree(hub, family.repo_id, "seed-1").items() if p[0] != "."}
    metrics.write_text(metrics.read_text() + '{"step": 12, "loss": 1.0, "tokens": 1536}\n')
    files = wanted(workspace, family)
    push(workspace.root, hub.url, "uploaded").communicate(timeout=120)
    require_whole(hub, family, before, files)
    pushed(workspace.root, hub.url)
    require_whole(hub, family, {"x": None}, files)


def at_most(limit: int) -> Callable[[bytes], bool]:
    """Lets so many bytes pass."""
    left = limit

    def passes(data: bytes) -> bool:
        nonlocal left
        left -= len(data)
        return left >= 0

    return passes


@pytest.mark.parametrize("most", [40_000])
def test_cut_after_some_bytes(workspace, family, hub, most):
    files = wanted(workspace, family)
    with wire(hub.url, at_most(most)) as proxy:
        process = push(workspace.root, proxy)
        try:
            _, err = process.communicate(timeout=10)
            assert process.returncode != 0, "it was cut before the end"
            assert "Error" in err
        except subprocess.TimeoutExpired:  # clients try again for minutes
            process.kill()
            process.communicate()
    require_whole(hub, family, {}, files)
    pushed(workspace.root, hub.url)
    require_whole(hub, family, {"x": None}, files)


def test_killed_at_any_time(workspace, family, hub):
    """A few of those that the benchmark makes by the hundred."""
    files = wanted(workspace, family)
    draws = random.Random(5)
    for _ in range(3):
        process = push(workspace.root, hub.url)
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(draws.uniform(0.0, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        require_whole(hub, family, {}, files)
    pushed(workspace.root, hub.url)
    require_whole(hub, family, {"x": None}, files)


def test_two_at_once(workspace, family, hub):
    """One wins; the other finds what it wanted there, or is told what happened."""
    files = wanted(workspace, family)
    both = [push(workspace.root, hub.url) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert any(process.returncode == 0 for process in both)
    for process, (_, err) in zip(both, ends, strict=True):
        assert process.returncode == 0 or "somebody pushed" in err
    require_whole(hub, family, {"x": None}, files)
