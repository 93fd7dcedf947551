"""Start-up: `mixhub --help` against `hf --help`, and the import of a family against one that reads docstrings.

Medians over fresh processes that take turns. Commands are measured in wall time, imports in CPU time.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

ROUNDS = 9
IMPORTS = {
    "import mixhub.spec": "import mixhub.spec",
    "with Family": "from mixhub.spec import Family",
    "Family with docstrings": (
        "import difflib, importlib.metadata, yaml; from mixhub.spec.base import Spec;"
        "Spec.model_config['use_attribute_docstrings'] = True; from mixhub.spec import Family"
    ),
    "import pydantic, yaml": "import pydantic.main, yaml",
}
"""By name, what is imported. The third is what the import of a family cost while pydantic read the docstrings of its
fields; the last is what no family can do without."""


def run() -> str:
    """The ratios of medians; the aims are at most 0.3 for the help and at most 0.5 for `import mixhub.spec`."""
    help_of = {name: [str(Path(sys.executable).with_name(name)), "--help"] for name in ("mixhub", "hf")}
    for name, command in help_of.items():
        if not shutil.which(command[0]):
            raise FileNotFoundError(f"{name} is not installed beside {sys.executable}")
    seconds = medians(help_of, time.perf_counter)
    lines = [
        f"mixhub {seconds['mixhub']:.2f} s, hf {seconds['hf']:.2f} s, ratio {seconds['mixhub'] / seconds['hf']:.2f}"
    ]
    seconds = medians({name: [sys.executable, "-c", code] for name, code in IMPORTS.items()}, cpu_seconds)
    before = seconds["Family with docstrings"]
    lines += [f"{name} {taken:.3f} s CPU, ratio {taken / before:.2f}" for name, taken in seconds.items()]
    return "\n  ".join(lines) + f"\n  (medians of {ROUNDS})"


def medians(commands: Mapping[str, Sequence[str]], clock: Callable[[], float]) -> dict[str, float]:
    """By name, the median time of a command; the commands take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            before = clock()
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"COLUMNS": "100"})
            seconds[name].append(clock() - before)
    return {name: median(taken) for name, taken in seconds.items()}


def cpu_seconds() -> float:
    """User and system time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
