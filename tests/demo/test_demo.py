"""The demo, made small by its own workspace file: once, again, and killed on its way."""

import os
import random
import re
import subprocess
import sys

import pytest

from mixhub.demo.run import demo_workspace, run_demo
from mixhub.errors import WorkspaceError
from mixhub.spec.base import parse_yaml, to_yaml
from mixhub.workspace.paths import Workspace
from tests.notices import Notices
from tests.refusals import refused

SMALL = {
    "training": {"steps": 4, "warmup_steps": 1, "validation_interval": 4, "checkpoint_interval": 1},
    "architecture": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1},
    "evaluation": {"num_fewshot": [0]},
}


@pytest.fixture
def small(tmp_path):
    """A demo workspace whose family is smaller still."""
    folder = tmp_path / "demo"
    demo_workspace(folder)
    config = parse_yaml((folder / "mixhub.yaml").read_text(), "mixhub.yaml")
    spec = config["families"]["demo-1m"]
    for part, changes in SMALL.items():
        spec[part] |= changes
    (folder / "mixhub.yaml").write_text(to_yaml(config))
    return folder


def command(folder):
    return [sys.executable, "-m", "mixhub", "demo", str(folder)]


def demo(folder, **environ):
    done = subprocess.run(command(folder), capture_output=True, text=True, check=False, env=os.environ | environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def weights_and_commits(folder):
    workspace = Workspace.open(folder)
    exports = sorted(workspace.path("runs").glob("*/*/export/*/*.safetensors"))
    return [path.read_bytes() for path in exports], re.findall(
        r'"commit": "(\w+)"', workspace.push_receipts.read_text()
    )


def test_killed_on_its_way_it_goes_on_and_a_second_time_it_sends_nothing(small, capsys):
    draws = random.Random(1)
    for last in ("[4/9]", "[6/9]"):
        with subprocess.Popen(command(small), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
            assert any(line.startswith(last) for line in child.stdout), "the demo ended before it could be killed"
            try:
                child.wait(draws.uniform(0.0, 2.0))
            except subprocess.TimeoutExpired:
                child.kill()
    first = demo(small, HF_HUB_OFFLINE="1")
    assert not first.stderr, first.stderr
    for said in (
        "2 pinned commits, bit for bit the exports",
        "2 branches of http://127.0.0.1:",
        "a sample of seed-1: '7 + 5 =",
        "mixhub push --seed 2",
    ):
        assert said in first.stdout
    leftovers = [path for path in small.rglob(".tmp-*") if "hub" not in path.relative_to(small).parts]
    assert not leftovers
    made = weights_and_commits(small)
    assert len(made[0]) == 2
    assert made[0][0] != made[0][1]
    notices = Notices()
    again = run_demo(small, progress=notices)
    assert capsys.readouterr().out == ""
    steps = [line for line in notices.lines if line.startswith("[")]
    assert [line[:5] for line in steps] == [f"[{number}/9]" for number in range(1, 10)]
    assert steps[6].count("(nothing to send)") == 3
    assert {revision: len(cells) for revision, cells in again.evaluated.cells.items()} == {"seed-1": 3, "seed-2": 3}
    assert f"a sample of seed-1: {again.sample!r}" in first.stdout
    assert weights_and_commits(small) == made


def test_it_does_not_go_into_a_folder_of_something_else(tmp_path):
    (tmp_path / "precious").write_text("x")
    with refused("folder-not-empty", WorkspaceError, path=tmp_path):
        demo_workspace(tmp_path)
    Workspace.create(tmp_path / "ws", {"family": "human-1b"})
    with refused("demo-elsewhere", WorkspaceError, path=tmp_path / "ws"):
        demo_workspace(tmp_path / "ws")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "ws"]
