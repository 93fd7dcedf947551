"""The scripts of `examples/slurm`, on a real Slurm."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixhub import workflow
from mixhub.workspace.lineage import weights_sha256
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import Workspace
from tests.docs.blocks import blocks
from tests.made import DOCUMENTS, TASK
from tests.slurm.cluster import MISSING, ROOT, Cluster, running_cluster, until
from tests.tiny import tiny_workspace_yaml, write_tiny_corpus

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(bool(MISSING), reason=f"needs slurm-wlm and munge, which lack here: {', '.join(MISSING)}"),
]
EXAMPLES = ROOT / "examples" / "slurm"
STEPS = 1500


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return made(tmp_path / "ws")


def made(root: Path) -> Workspace:
    """A workspace with packed text and the scripts, which ask for no GPUs."""
    (root / "tasks").mkdir(parents=True)
    training = {"steps": STEPS, "checkpoint_interval": 500, "validation_interval": 500}
    evaluation = {
        "tasks": [{"name": "tiny_choice", "title": "Choice", "config": "tasks/choice.yaml"}],
        "num_fewshot": [0],
    }
    (root / "mixhub.yaml").write_text(tiny_workspace_yaml(training=training, evaluation=evaluation))
    (root / "tasks" / "choice.yaml").write_text(TASK.lstrip())
    (root / "tasks" / "choice.jsonl").write_text(DOCUMENTS.lstrip())
    workspace = Workspace.open(root)
    write_tiny_corpus(workspace.corpus(workspace.family()))
    workflow.pack(workspace)
    for script in EXAMPLES.iterdir():
        lines = script.read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("#SBATCH --gpus-per-node")]
        assert len(kept) == len(lines) - 1
        (root / script.name).write_text("".join(kept))
    return workspace


def folder(workspace: Workspace, seed: int):
    return workspace.run_folder(workspace.family().run(seed=seed))


def last_step(workspace: Workspace, seed: int) -> int:
    path = folder(workspace, seed).metrics
    return max((line["step"] for line in read_metrics(path)), default=0) if path.is_file() else 0


def uninterrupted(workspace: Workspace, cluster: Cluster, seed: int, root: Path, *options: object) -> str:
    """The hash of the weights of a run that nothing stopped."""
    other = made(root)
    done = cluster.run("mixhub", "train", "--seed", seed, *options, cwd=root)
    assert done.returncode == 0, done.stderr
    return weights_sha256(folder(other, seed).export(STEPS))


def weights(workspace: Workspace, seed: int) -> str:
    return weights_sha256(folder(workspace, seed).export(STEPS))


def output(workspace: Workspace) -> str:
    return "\n".join(path.read_text() for path in sorted(workspace.root.glob("slurm-*.out")))


def wait_for_step(workspace: Workspace, seed: int, step: int) -> None:
    until(lambda: last_step(workspace, seed) >= step, lambda: output(workspace))


def test_an_array_goes_on_after_a_signal_and_each_run_is_evaluated_after_it(cluster, workspace, tmp_path):
    array = cluster.submit("--array=1-2", "seeds.sh", cwd=workspace.root)
    evaluation = cluster.submit("--array=1-2", f"--dependency=aftercorr:{array}", "evaluate.sh", cwd=workspace.root)
    wait_for_step(workspace, 2, 20)
    cluster.run("scancel", "--signal=USR2", f"{array}_2")  # as --signal=USR2@600 does, for the last seed
    cluster.wait(f"{array}_2", Restarts="1")
    for seed in (1, 2):
        cluster.wait(f"{evaluation}_{seed}", JobState="COMPLETED")
    assert [cluster.job(f"{array}_{seed}")["Restarts"] for seed in (1, 2)] == ["0", "1"], output(workspace)
    assert "stopped by SIGUSR2" in output(workspace)
    for seed in (1, 2):
        assert weights(workspace, seed) == uninterrupted(workspace, cluster, seed, tmp_path / f"whole-{seed}")
        assert len(workflow.status(workspace)) >= seed


def test_two_nodes_go_on_after_a_signal_and_after_the_death_of_a_node(cluster, workspace, tmp_path):
    job = cluster.submit("two-nodes.sh", 1, cwd=workspace.root)
    wait_for_step(workspace, 1, 20)
    cluster.run("scancel", "--batch", "--signal=USR2", job)  # as --signal=B:USR2@600 does
    cluster.wait(job, Restarts="1", JobState="RUNNING")
    saved = folder(workspace, 1).checkpoint_steps()[-1]
    assert saved not in (0, 500, 1000, STEPS)
    wait_for_step(workspace, 1, saved + 20)
    cluster.kill_node("n2")
    cluster.wait(job, Restarts="2")
    # Slurm still sends the dead node the order to end the job, again after a minute; it must not find the new job.
    cluster.run("scontrol", "hold", job)
    cluster.start_node("n2")
    time.sleep(75)
    cluster.run("scontrol", "release", job)
    cluster.wait(job, JobState="COMPLETED")
    expected = uninterrupted(workspace, cluster, 1, tmp_path / "whole", "--num-processes", 2)
    assert weights(workspace, 1) == expected, output(workspace)


def test_training_stops_before_the_end_of_its_job(cluster, workspace):
    done = cluster.run("srun", "--time=1", "mixhub", "train", "--seed", 1, "--stop-before", "59s", cwd=workspace.root)
    assert done.returncode == 75, done.stderr
    assert "before the time limit" in done.stdout
    assert folder(workspace, 1).checkpoint_steps()[-1] == last_step(workspace, 1) < STEPS


def test_srun_starts_the_processes_itself(cluster, workspace):
    """As the guide shows it; without the variables, each task would train the whole run, which is refused."""
    shown = next(block for block in blocks("docs/guides/clusters.md") if "SLURM_PROCID" in block.text)
    command = shown.text.replace("--ntasks-per-node=8", "--ntasks-per-node=1").replace(
        "--seed 1", "--seed 2 --time-limit 1s"
    )
    done = cluster.run("salloc", "--quiet", "--nodes=2", "--time=5", "bash", "-c", command, cwd=workspace.root)
    assert done.returncode == 75, done.stderr
    assert "before the time limit" in done.stdout
    assert folder(workspace, 2).checkpoint_steps() == [last_step(workspace, 2)]
    done = cluster.run("srun", "--ntasks=2", "mixhub", "train", "--seed", 1, cwd=workspace.root)
    assert done.returncode == 2
    assert done.stderr.count("[launcher-missing]") == 2
    assert not folder(workspace, 1).path.exists()
