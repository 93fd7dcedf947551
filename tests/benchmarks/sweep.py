"""Twelve cells by one `mixhub evaluate` against twelve starts of `lm_eval`: wall and CPU time of the processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.evaluation.lm_eval_private import quiet
from mixhub.spec.base import to_yaml
from tests.benchmarks.shapes import documents, made_model, made_tokenizer

TASKS = ("arc_easy", "copa", "openbookqa", "sciq")
SHOTS = (0, 1, 5)
LIMIT = 20
BATCH_SIZE = 8
AIM = 8.0
MEASURED = {"arc_easy": 0, "copa": 1, "openbookqa": 5, "sciq": 0}
"""Shots by task, of lm-eval's starts that are measured: they stand for all twelve."""


@dataclass(frozen=True)
class Seconds:
    """Of processes."""

    wall: float
    cpu: float


def run() -> str:
    """The ratios, with a model of the 1M shape and documents that are there already on both sides."""
    with tempfile.TemporaryDirectory() as name, quiet():
        root = Path(name)
        made_model("1M").save_pretrained(root / "model")
        made_tokenizer().save_pretrained(root / "model")
        environ = os.environ | {
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(root / "hf"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "MIXHUB_WORKSPACE": "",
        }
        _write_tasks(root / "tasks", root / "cache" / "mixhub")
        ours = _timed(_ours(root), environ)
        starts = [_timed(_stock(root, *cell), environ) for cell in MEASURED.items()]
    count = len(TASKS) * len(SHOTS)
    share = count / len(starts)
    theirs = Seconds(share * sum(own.wall for own in starts), share * sum(own.cpu for own in starts))
    return (
        f"{count} cells of {LIMIT} documents: mixhub {ours.wall:.1f} s wall, {ours.cpu:.1f} s CPU; "
        f"{count} starts of lm_eval {theirs.wall:.0f} s wall, {theirs.cpu:.0f} s CPU ({len(starts)} measured, "
        f"times {share:g}); ratio {theirs.wall / ours.wall:.1f} wall, {theirs.cpu / ours.cpu:.1f} CPU (aim: {AIM:g})"
    )


def _write_tasks(folder: Path, cache: Path) -> None:
    """Puts the documents where `mixhub evaluate` looks for them, and writes YAMLs by which lm-eval reads the same."""
    from mixhub.evaluation.suite import resolve
    from mixhub.spec import Task

    folder.mkdir()
    datasets = documents(cache)
    for task in resolve([Task(name=name, title=name) for name in TASKS], {}):
        assert task.repo_id is not None
        path, _ = datasets.get(task.repo_id, task.config.get("dataset_name"), task.revision)
        own = {"include": str(task.path), "task": f"local_{task.name}", "dataset_path": str(path)}
        (folder / f"{task.name}.yaml").write_text(to_yaml(own), encoding="utf-8")


def _ours(root: Path) -> list[str]:
    command = [sys.executable, "-m", "mixhub", "evaluate", str(root / "model"), "--output", str(root / "cells")]
    shots = ",".join(map(str, SHOTS))
    return [*command, "--tasks", ",".join(TASKS), "--num-fewshot", shots, "--limit", str(LIMIT), "--device", "cpu"]


def _stock(root: Path, task: str, shots: int) -> list[str]:
    """`lm_eval` has no option for its bootstrap; none of these tasks needs one."""
    command = [str(Path(sys.executable).with_name("lm_eval")), "run", "--model", "hf", "--device", "cpu"]
    command += ["--model_args", f"pretrained={root / 'model'},dtype=float32", "--batch_size", str(BATCH_SIZE)]
    command += ["--include_path", str(root / "tasks"), "--tasks", f"local_{task}", "--num_fewshot", str(shots)]
    return [*command, "--limit", str(LIMIT), "--output_path", str(root / "results"), "--log_samples"]


def _timed(command: Sequence[str], environ: Mapping[str, str]) -> Seconds:
    before, wall = os.times(), time.perf_counter()
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    after, wall = os.times(), time.perf_counter() - wall
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    user = after.children_user - before.children_user
    return Seconds(wall, user + after.children_system - before.children_system)
