"""Pushes that are killed: at every stage, and at random times."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workspace import Workspace
from tests.benchmarks.release import small_workspace
from tests.hub.killed import STAGES
from tests.hub.test_killed import push, pushed, require_whole, wanted

KILLS = 100
_SEED = 11


def run() -> str:
    """Kills pushes, looks at the branch after each, and lets each tenth one end."""
    with tempfile.TemporaryDirectory() as scratch:
        made = small_workspace(Path(scratch) / "made", seeds=1)
        for stage in STAGES:
            _at_stage(made, Path(scratch) / stage, stage)
        states = _at_random(made, Path(scratch) / "random")
    ends = ", ".join(f"{count} {state}" for state, count in states.items())
    return (
        f"at each of {len(STAGES)} stages and at {KILLS} random times ({ends}) the branch was whole, "
        "and the next push ended in the same tree"
    )


def _at_stage(made: Path, folder: Path, stage: str) -> None:
    shutil.copytree(made, folder / "ws")
    workspace = Workspace.open(folder / "ws")
    family = workspace.family()
    files = wanted(workspace, family)
    with serve(folder / "hub") as hub:
        endpoint = Endpoint(hub.url, LOCAL_TOKEN, folder / "cache")
        push(workspace.root, hub.url, stage).communicate()
        require_whole(endpoint, family, {}, files)
        pushed(workspace.root, hub.url)
        require_whole(endpoint, family, {"x": None}, files)


def _at_random(made: Path, folder: Path) -> Counter[str]:
    draws, states = random.Random(_SEED), Counter[str]()
    for number in range(KILLS):
        if number % 10 == 0:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder / "ws")
            workspace = Workspace.open(folder / "ws")
            family = workspace.family()
            files = wanted(workspace, family)
        with serve(folder / "hub") as hub:
            endpoint = Endpoint(hub.url, LOCAL_TOKEN, folder / "cache")
            process = push(workspace.root, hub.url)
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(draws.uniform(0.0, 2.0))
                states["ended by itself"] += 1
            except subprocess.TimeoutExpired:
                process.kill()
                states["killed"] += 1
            process.communicate()
            require_whole(endpoint, family, {}, files)
            if number % 10 == 9:
                pushed(workspace.root, hub.url)
                require_whole(endpoint, family, {"x": None}, files)
    return states
