"""Pushes that are killed: at every stage, and at random times."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from mixhub.endpoint import Endpoint
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workspace.paths import Workspace
from tests.benchmarks.release import small_workspace
from tests.hub.publish.killed import STAGES
from tests.hub.publish.test_killed import push, pushed, require_whole, wanted

KILLS = 100
_SEED = 11
_LONGEST = 2.0
"""Seconds after which a push is killed at the latest; it takes about as long."""
_ATTEMPTS = 5
"""Pushes to one hub that are killed one after the other, at the most; then one ends."""


def run() -> str:
    """Kills pushes, looks at the branch after each, and lets a push end now and then."""
    with tempfile.TemporaryDirectory() as scratch:
        made = small_workspace(Path(scratch) / "made", seeds=1)
        for stage in STAGES:
            _at_stage(made, Path(scratch) / stage, stage)
        states = _at_random(made, Path(scratch) / "random")
    ends = ", ".join(f"{count} with the branch {state}" for state, count in sorted(states.items()))
    return (
        f"killed at each of {len(STAGES)} stages and at {KILLS} random times ({ends}) it was the old or the new one, "
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
    """What was on the branch after each kill; a workspace is begun anew when a push came to its end."""
    draws, states = random.Random(_SEED), Counter[str]()
    ended, attempts = True, 0
    while states.total() < KILLS:
        if ended:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(made, folder / "ws")
            workspace = Workspace.open(folder / "ws")
            family = workspace.family()
            files = wanted(workspace, family)
            attempts = 0
        with serve(folder / "hub") as hub:
            endpoint = Endpoint(hub.url, LOCAL_TOKEN, folder / "cache")
            process = push(workspace.root, hub.url)
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(draws.uniform(0.0, _LONGEST))
                ended = True
            except subprocess.TimeoutExpired:
                process.kill()
                ended = False
            _, said = process.communicate()
            assert process.returncode == (0 if ended else -signal.SIGKILL), said
            held = require_whole(endpoint, family, {}, files)
            attempts += 1
            if not ended:
                states["new" if held else "old"] += 1
            if not ended and attempts == _ATTEMPTS:
                pushed(workspace.root, hub.url)
                ended = True
            if ended:
                require_whole(endpoint, family, {"x": None}, files)
    return states
