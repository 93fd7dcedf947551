"""Runs that are killed at any moment go on from what is on disk, and become bit for bit the uninterrupted run."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mixhub.data.orders.choice import order_of
from mixhub.data.shards import TokenShards
from mixhub.spec import Family
from mixhub.training.loop import train
from mixhub.training.options import TrainOptions
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.paths import RunFolder
from tests.tiny import tiny_family

ROOT = Path(__file__).parents[3]
CPU = TrainOptions(device="cpu")
CUT: dict[str, Any] = {"training": {"micro_batch_size": 2, "checkpoint_interval": 2}}
"""A checkpoint at the end of the warmup of 2 steps, and 4 micro-steps in each step."""

STORE = "mixhub.training.checkpoints.store"
WRITER = "mixhub.training.checkpoints.writer.ShardWriter"
LAYERS = "mixhub.training.parallelism.Parallel.__call__"
DRAWS = random.Random(20)
KILLS: dict[str, tuple[str, int, list[int] | None]] = {
    "before the first step": ("mixhub.training.loop.Checkpoints", 1, []),
    "in the first step after warmup": ("mixhub.training.updates.Updates.apply", 3, None),
    **{f"at micro-step {nth}": (LAYERS, nth, None) for nth in sorted(DRAWS.sample(range(5, 50), 3))},
    "with files in part": (f"{WRITER}.write_data", 2, [2]),
    "before the hash of a file": (f"{WRITER}._result", 2, [2]),
    "before the file that is written last": (f"{STORE}.write_json", 2, [2]),
    "before the rename": (f"{STORE}.replace_folder", 2, [2]),
    "before old ones are deleted": (f"{STORE}.delete_folder", 1, [2, 4, 6]),
    "while an old one is deleted": ("mixhub.files._delete", 1, [4, 6]),
}
"""For each: what is called when the run dies, how often it has been called then, and the checkpoints that are left, if
that does not depend on how fast the disk is."""

LONG = {"steps": 40, "checkpoint_interval": 6, "validation_interval": 40}
EPOCHS: dict[str, dict[str, Any]] = {
    "regmix": {**LONG, "order": "regmix", "loader": {"ranks": 2, "micro_batch_size": 2, "chunk_sequences": 2}},
    "quota": {**LONG, "order": "quota"},
}
"""Recipes that read some sequences twice."""


def untimed(folder: RunFolder) -> list[dict[str, Any]]:
    timed = ("tokens_per_second", "mfu", "seconds")
    return [{k: v for k, v in line.items() if k not in timed} for line in read_metrics(folder.metrics)]


def files(export: Path) -> dict[str, Any]:
    """Content of the files of an export, without the time that it took."""
    lineage = json.loads((export / "lineage.json").read_text())
    lineage = {key: value for key, value in lineage.items() if key not in ("device_hours", "mfu")}
    return {path.name: path.read_bytes() for path in export.iterdir()} | {"lineage.json": lineage}


def finished(family: Family, tokens: Path, folder: RunFolder) -> RunFolder:
    torch.set_num_threads(1)
    assert train(family, family.run(seed=1), tokens=tokens, folder=folder, options=CPU) is not None
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return finished(tiny_family(**CUT), tokens, RunFolder(tmp_path_factory.mktemp("uninterrupted")))


@pytest.fixture(scope="module")
def left(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """What each kill left."""
    kills = {name: (CUT, target, nth) for name, (target, nth, _) in KILLS.items()}
    kills |= {order: ({"training": recipe}, f"{STORE}.replace_folder", 3) for order, recipe in EPOCHS.items()}
    root = tmp_path_factory.mktemp("killed")
    folders = {name: RunFolder(root / name.replace(" ", "-")) for name in kills}
    cases = [
        {"folder": str(folders[name].path), "changes": changes, "target": target, "nth": nth}
        for name, (changes, target, nth) in kills.items()
    ]
    command = [sys.executable, "-m", "tests.training.checkpoints.kills", str(tokens), json.dumps(cases)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [signal.SIGKILL] * len(cases), done.stderr
    return folders


@pytest.mark.parametrize("when", KILLS)
def test_a_killed_run_becomes_the_uninterrupted_one(
    when: str, left: dict[str, RunFolder], uninterrupted: RunFolder, tokens: Path
) -> None:
    folder, expected = left[when], KILLS[when][2]
    if expected is not None:
        assert folder.checkpoint_steps() == expected
    finished(tiny_family(**CUT), tokens, folder)
    assert untimed(folder) == untimed(uninterrupted)
    assert files(folder.export(12)) == files(uninterrupted.export(12))
    assert folder.checkpoint_steps() == [10, 12]
    assert not list(folder.path.rglob(".tmp-*"))


@pytest.mark.parametrize("order", EPOCHS)
def test_a_run_that_is_resumed_crosses_an_epoch(
    order: str, left: dict[str, RunFolder], tokens: Path, tmp_path: Path
) -> None:
    family, folder = tiny_family(training=EPOCHS[order]), left[order]
    assert folder.checkpoint_steps() == [6, 12]
    numbers, starts = order_of(family, family.run(seed=1), TokenShards(tokens, 16).manifest).samples(0, 8 * 40)
    samples = list(zip(numbers.tolist(), starts.tolist(), strict=True))
    again = [number for number, sample in enumerate(samples) if sample in samples[:number]]
    assert 8 * 12 < again[0] < 8 * 40
    finished(family, tokens, folder)
    expected = finished(family, tokens, RunFolder(tmp_path / "uninterrupted"))
    assert untimed(folder) == untimed(expected)
    assert files(folder.export(40)) == files(expected.export(40))
