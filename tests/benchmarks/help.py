"""Start-up: `mixhub --help` against `hf --help`, and the import of a family against one that reads docstrings.

Medians of CPU time over fresh processes that take turns: other work on the machine hardly moves it.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
    seconds = medians(help_of)
    ratio = seconds["mixhub"] / seconds["hf"]
    lines = [f"mixhub {seconds['mixhub']:.2f} s of CPU time, hf {seconds['hf']:.2f} s, ratio {ratio:.2f}"]
    seconds = medians({name: [sys.executable, "-c", code] for name, code in IMPORTS.items()})
    before = seconds["Family with docstrings"]
    lines += [f"{name} {taken:.3f} s, ratio {taken / before:.2f}" for name, taken in seconds.items()]
    return "\n  ".join(lines) + f"\n  (medians of {ROUNDS})"


def medians(commands: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """By name, the median CPU time of a command, seconds; the commands take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            before = cpu_seconds()
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"COLUMNS": "100"})
            seconds[name].append(cpu_seconds() - before)
    return {name: median(taken) for name, taken in seconds.items()}


def cpu_seconds() -> float:
    """User and system time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
