"""390 cells, read and tabled: 13 tasks × 6 shot counts × 5 seeds, CPU time and memory of a process each.

Without samples; with samples of 40,000 documents in all; and with as many documents a cell as the suite has, divided by
MIXHUB_BENCHMARK_SHRINK (default 10).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from mixhub.spec import catalog
from tests.analysis.written import write_results

ROUNDS = 3
SHRINK = int(os.environ.get("MIXHUB_BENCHMARK_SHRINK", "10"))
CONTEXT = "A sentence of some length, as contexts have them. " * 16

_CHILD = """
import json, resource, sys, time
start = time.perf_counter()
import mixhub.workflow.measure.frames
import mixhub, pandas
loaded = time.perf_counter()
frame = mixhub.results(sys.argv[1], samples=sys.argv[2] == "yes")
seconds = time.perf_counter() - loaded
assert frame.shape == (5, 14) and frame.notna().all(axis=None), frame
print(json.dumps({"seconds": seconds, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""


def run() -> str:
    """Seconds and GiB of reading and tabling, medians of fresh processes; imports are left out."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for name, documents in (
            ("40,000 documents in all", dict.fromkeys(_sizes(), 40_000 // 390 + 1)),
            (f"the suite's documents / {SHRINK}", {task: size // SHRINK for task, size in _sizes().items()}),
        ):
            root = Path(folder) / str(len(lines))
            _write(root, documents)
            size = sum(path.stat().st_size for path in root.rglob("*.jsonl"))
            if not lines:
                lines.append(_measured("without samples", root, samples=False))
            total = 30 * sum(documents.values())
            lines.append(f"{_measured(name, root, samples=True)} ({total:,} samples, {size / 1e6:,.0f} MB)")
    return "; ".join(lines)


def _sizes() -> dict[str, int]:
    return {task.name: task.documents or 0 for task in catalog.get("human-1b").evaluation.tasks}


def _write(root: Path, documents: dict[str, int]) -> None:
    draws = np.random.default_rng(0)
    for task, size in documents.items():
        texts = [{"passage": CONTEXT} for _ in range(size)]
        for seed in range(1, 6):
            for shots in range(6):
                values = {task: draws.integers(0, 2, size).tolist()}
                write_results(root / task, values, num_fewshot=shots, revision=f"seed-{seed}", documents={task: texts})


def _measured(name: str, root: Path, *, samples: bool) -> str:
    found = []
    for _ in range(ROUNDS):
        arguments = [sys.executable, "-c", _CHILD, str(root), "yes" if samples else "no"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    seconds, memory = median(one["seconds"] for one in found), median(one["memory"] for one in found)
    return f"{name}: {seconds:.2f} s, {memory:.2f} GiB"
