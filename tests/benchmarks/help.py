"""`mixhub --help` against `hf --help`, in turns, wall time of a fresh process each."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROUNDS = 9


def run() -> str:
    """The ratio of medians; the aim is at most 0.5."""
    commands = {name: str(Path(sys.executable).with_name(name)) for name in ("mixhub", "hf")}
    for name, command in commands.items():
        if not shutil.which(command):
            raise FileNotFoundError(f"{name} is not installed beside {sys.executable}")
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            before = time.perf_counter()
            subprocess.run([command, "--help"], check=True, capture_output=True, env=os.environ | {"COLUMNS": "100"})
            seconds[name].append(time.perf_counter() - before)
    ours, theirs = median(seconds["mixhub"]), median(seconds["hf"])
    return f"mixhub {ours:.2f} s, hf {theirs:.2f} s, ratio {ours / theirs:.2f} (medians of {ROUNDS})"
