"""A command line in a process of its own, as a user has it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def mixhub(tmp_path: Path) -> Command:
    """Runs `mixhub ARGUMENTS` in `tmp_path`, with no hub in the environment unless it is given."""

    def run(*arguments: object, cwd: Path = tmp_path, **environ: str) -> subprocess.CompletedProcess:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MIXHUB_", "HF_ENDPOINT"))}
        return subprocess.run(
            [sys.executable, "-m", "mixhub", *map(str, arguments)],
            cwd=cwd,
            env=kept | environ,
            capture_output=True,
            text=True,
            check=False,
        )

    return run
