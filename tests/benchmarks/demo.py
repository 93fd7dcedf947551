"""`mixhub demo` in a fresh folder and again: wall time, CPU time, and the largest resident set of its processes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_AIMS = "aims: 180 s, 2 GiB"


def run() -> str:
    """Figures of both starts."""
    with tempfile.TemporaryDirectory() as folder:
        first, again = (_start(Path(folder) / "demo") for _ in range(2))
    return f"first {first}; again {again} ({_AIMS})"


def _start(folder: Path) -> str:
    before, wall = os.times(), time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "mixhub", "demo", str(folder)], stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, _resident(child.pid))
        time.sleep(0.1)
    after = os.times()
    if child.returncode:
        raise RuntimeError(f"mixhub demo ended with status {child.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{time.perf_counter() - wall:.0f} s wall, {cpu:.0f} s CPU, {peak / 2**30:.2f} GiB"


def _resident(parent: int) -> int:
    """Bytes that a process and its children hold together."""
    total = 0
    for pid in [parent, *_children(parent)]:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return total


def _children(parent: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return []
