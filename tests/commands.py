"""A command line in a process of its own, as a user has it."""

import contextlib
import io
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


@pytest.fixture
def mixhub_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """As `mixhub`, in the process of the tests: many commands, for which each import counts once."""
    from mixhub.cli import main

    def run(*arguments: object, cwd: Path = tmp_path, **environ: str) -> subprocess.CompletedProcess:
        said, complained, status = io.StringIO(), io.StringIO(), 0
        with monkeypatch.context() as patched:
            for name in [name for name in os.environ if name.startswith(("MIXHUB_", "HF_ENDPOINT"))]:
                patched.delenv(name)
            for name, value in environ.items():
                patched.setenv(name, value)
            patched.chdir(cwd)
            patched.setattr(sys, "argv", ["mixhub", *map(str, arguments)])
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
                try:
                    main()
                except SystemExit as end:
                    status = int(end.code or 0)
        return subprocess.CompletedProcess(arguments, status, said.getvalue(), complained.getvalue())

    return run
