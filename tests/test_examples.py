"""Every example runs as its own text says."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixhub.workflow import push
from tests.docs.blocks import blocks

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*arguments: object, cwd: Path) -> str:
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pushed(workspace, endpoint):
    return push(workspace, seed=1, hub=endpoint)[0]


def test_generate(workspace, pushed, tmp_path):
    output = run(EXAMPLES / "generate.py", "tiny", "--seed", 1, "--workspace", workspace.root, "the cat", cwd=tmp_path)
    assert output.startswith(f"tester/tiny, seed-1 = commit {pushed.commit}\nthe cat")


def test_scores(workspace, tmp_path):
    output = run(EXAMPLES / "scores.py", "tiny", workspace.root, cwd=tmp_path)
    assert output.startswith("tiny, measured")
    assert "| revision   |   Choice |   Average |" in output
    assert "| seed-1     |" in output
    assert "| Choice  |" in output
    assert "human-1b, published" in run(EXAMPLES / "scores.py", "human-1b", cwd=tmp_path)


def test_my_mixture(tmp_path):
    run("-m", "mixhub", "init", "my-work", "--mixture", EXAMPLES / "my-mixture.yaml", "--name", "my-mix", cwd=tmp_path)
    shown = run("-m", "mixhub", "families", "my-mix", cwd=tmp_path / "my-work")
    assert "train_the_pile_pile_cc" in shown
    assert "50.0000%" in shown
    assert "not sampled" in shown


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.iterdir()} == {"generate.py", "scores.py", "my-mixture.yaml", "slurm"}


def test_the_guide_shows_the_scripts_for_slurm_as_they_are():
    shown = {block.file: block.text for block in blocks("docs/guides/clusters.md") if block.file}
    scripts = {path.name: path.read_text() for path in (EXAMPLES / "slurm").iterdir()}
    assert shown == scripts
    for path in (EXAMPLES / "slurm").iterdir():
        subprocess.run(["bash", "-n", path], check=True)
