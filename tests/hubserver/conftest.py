from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from mixhub.hubserver import LOCAL_TOKEN, RunningHub, Store, serve


@pytest.fixture(scope="session")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with serve(tmp_path_factory.mktemp("shared") / "hub") as running:
        yield running


@pytest.fixture
def hub(shared_hub: RunningHub) -> Iterator[RunningHub]:
    """A hub without repos, served from a thread; what earlier tests uploaded may still lie in its storage."""
    yield shared_hub
    store = Store.open(shared_hub.root)
    for name in store.names():
        store.delete(name)


@pytest.fixture
def fresh_hub(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub of one's own, whose storage is empty."""
    with serve(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def api(hub: RunningHub) -> HfApi:
    return HfApi(endpoint=hub.url, token=LOCAL_TOKEN)


@pytest.fixture
def repo(api: HfApi) -> str:
    """A fresh model repo."""
    api.create_repo("demo/tiny")
    return "demo/tiny"


@pytest.fixture
def child_environment(tmp_path: Path) -> dict[str, str]:
    """What a client process needs beside HF_ENDPOINT: a home of its own, a token, and no proxy to loopback."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hf-home"),
        "HF_TOKEN": LOCAL_TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


@pytest.fixture
def child(child_environment: dict[str, str]) -> Callable[..., str]:
    """Runs Python code in a process that knows a hub by its environment only; returns what it prints."""

    def run(code: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**child_environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
