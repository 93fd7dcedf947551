"""`mixhub --help` against `hf --help`, in turns, a fresh process each: CPU time, and wall time beside it."""

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROUNDS = 9


def run() -> str:
    """The ratios of medians; the aim is at most 0.3 of hf's CPU time, which other work on the machine hardly moves."""
    commands = {name: str(Path(sys.executable).with_name(name)) for name in ("mixhub", "hf")}
    for name, command in commands.items():
        if not shutil.which(command):
            raise FileNotFoundError(f"{name} is not installed beside {sys.executable}")
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            spent[name].append(_seconds(command))
    return "; ".join(
        f"{what}: mixhub {ours:.2f} s, hf {theirs:.2f} s, ratio {ours / theirs:.2f} (medians of {ROUNDS})"
        for what, ours, theirs in zip(("CPU", "wall"), _medians(spent["mixhub"]), _medians(spent["hf"]), strict=True)
    )


def _seconds(command: str) -> tuple[float, float]:
    """CPU and wall seconds of the command's help."""
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([command, "--help"], check=True, capture_output=True, env=os.environ | {"COLUMNS": "100"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - wall


def _medians(rows: list[tuple[float, float]]) -> list[float]:
    return [median(column) for column in zip(*rows, strict=True)]
