"""A release of 1 GiB a seed: checks, upload, the same again, a second seed, and loading, each as a ratio.

Each figure is the median of rounds of one run; uploads and downloads go to an embedded hub of their own, from processes
of their own with an empty cache. Imports are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mixhub.hub.check.run import check_run
from mixhub.hub.rules.export import check_export
from mixhub.hubserver import LOCAL_TOKEN, serve
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.paths import Workspace
from tests.adopted import adopted_workspace

ROUNDS = 3
LARGE = {
    "architecture": {
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "vocab_size": 32000,
    }
}
"""271 M parameters in float32: 1.08 GB."""

_PUSH = """
import json, sys, time
from pathlib import Path
import torch, transformers, huggingface_hub, hf_xet
from mixhub.endpoint import HubChoice
from mixhub.hub.remote.connect import open_hub
from mixhub.hub.publish.branch_plans import plan_run
from mixhub.hub.publish.push import push_plan
from mixhub.workspace.paths import Workspace
root, hub, token, seed = sys.argv[1:]
place = Workspace.open(Path(root))
family = place.family()
with open_hub(HubChoice(hub, "the benchmark", token), place) as endpoint:
    start = time.perf_counter()
    plan = plan_run(place, family, family.run(seed=int(seed)), endpoint)
    planned = time.perf_counter()
    pushed = push_plan(plan, place, endpoint)
    end = time.perf_counter()
sent = sum(plan.files[path].size for path in pushed.uploaded)
print(json.dumps({"plan": planned - start, "execute": end - planned, "sent": sent}))
"""
_HF_UPLOAD = """
import json, sys, time
import hf_xet
from huggingface_hub import HfApi
folder, hub, token = sys.argv[1:]
api = HfApi(endpoint=hub, token=token)
api.create_repo("tester/theirs")
start = time.perf_counter()
api.upload_folder(repo_id="tester/theirs", folder_path=folder)
print(json.dumps({"upload": time.perf_counter() - start}))
"""
_LOAD = """
import json, sys, time
import torch, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
import mixhub
from mixhub.hub.load.load import load
hub, how = sys.argv[1:]
start = time.perf_counter()
if how == "mixhub":
    load("tester/tiny", revision="seed-1", hub=hub, token="hf_mixhub_local")
else:
    AutoTokenizer.from_pretrained("tester/tiny", revision="seed-1")
    AutoModelForCausalLM.from_pretrained("tester/tiny", revision="seed-1")
print(json.dumps({"load": time.perf_counter() - start}))
"""


def run() -> str:
    """Ratios, medians of rounds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        workspace = adopted_workspace(folder / "made", seeds=[1, 2], changes=LARGE)
        return "; ".join([_checks(workspace), *_pushes(workspace, folder)])


def small_workspace(folder: Path, *, seeds: int) -> Path:
    """A workspace of tiny adopted runs; its root."""
    return adopted_workspace(folder, seeds=range(1, seeds + 1)).root


def _checks(workspace: Workspace) -> str:
    export = workspace.export(workspace.family().run(seed=1), 12)
    hashing, checking = [], []
    check_export(export, "seed-1")  # once for the imports
    for _ in range(ROUNDS):
        hashing.append(_seconds(lambda: [file_sha256(path) for path in export.iterdir()]))
        checking.append(_seconds(lambda: check_export(export, "seed-1")))
    size = sum(path.stat().st_size for path in export.iterdir())
    ratio = median(checking) / median(hashing)
    return f"checks of {size / 2**30:.2f} GiB {ratio:.2f} x reading and hashing ({median(hashing):.2f} s)"


def _pushes(workspace: Workspace, folder: Path) -> list[str]:
    family = workspace.family()
    for run_ in family.runs():
        check_run(workspace, family, run_)  # so that pushes trust the receipts
    export = workspace.export(family.run(seed=1), 12)
    times: dict[str, list[float]] = {}
    sent = 0
    for number in range(ROUNDS):
        with serve(folder / f"theirs-{number}") as hub:
            theirs = _child(folder / f"home-a{number}", hub.url, _HF_UPLOAD, export, hub.url, LOCAL_TOKEN)
        with serve(folder / f"ours-{number}") as hub:
            home = folder / f"home-b{number}"
            first = _child(home, hub.url, _PUSH, workspace.root, hub.url, LOCAL_TOKEN, 1)
            again = _child(home, hub.url, _PUSH, workspace.root, hub.url, LOCAL_TOKEN, 1)
            second = _child(home, hub.url, _PUSH, workspace.root, hub.url, LOCAL_TOKEN, 2)
            plain = _child(folder / f"home-c{number}", hub.url, _LOAD, hub.url, "plain")
            ours = _child(folder / f"home-d{number}", hub.url, _LOAD, hub.url, "mixhub")
        for name, value in (
            ("theirs", theirs["upload"]),
            ("ours", first["execute"]),
            ("again", again["plan"] + again["execute"]),
            ("second", second["execute"]),
            ("plain", plain["load"]),
            ("load", ours["load"]),
        ):
            times.setdefault(name, []).append(value)
        sent = int(second["sent"])
    of = {name: median(values) for name, values in times.items()}
    return [
        f"upload {of['ours'] / of['theirs']:.2f} x upload_folder ({of['theirs']:.1f} s)",
        f"again unchanged {of['again']:.2f} s",
        f"a second seed {of['second'] / of['ours']:.2f} x the first, {sent / 2**30:.2f} GiB sent",
        f"mixhub.load {of['load'] / of['plain']:.2f} x from_pretrained ({of['plain']:.1f} s)",
    ]


def _child(home: Path, hub: str, code: str, *arguments: object) -> dict[str, Any]:
    environ = {
        **os.environ,
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub,
        "HF_TOKEN": LOCAL_TOKEN,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
