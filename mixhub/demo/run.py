"""The demo: the main job once through, on real text, with no network."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub import workflow
from mixhub.demo.corpus import write_corpus
from mixhub.demo.tasks import write_tasks
from mixhub.errors import WorkspaceError
from mixhub.files import clear_leftovers
from mixhub.phrases import size
from mixhub.progress import SILENT, Progress
from mixhub.spec.base import parse_yaml
from mixhub.workspace.paths import CONFIG_FILE, Workspace

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.hub.publish.push import Pushed
    from mixhub.spec import Family, Run
    from mixhub.workflow import Evaluated

FAMILY = "demo-1m"
PROMPT = "7 + 5 ="

_PLAIN_CLIENT = """
import hashlib, json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
repo_id, prompt, *revisions = sys.argv[1:]
for revision in revisions:
    model = AutoModelForCausalLM.from_pretrained(repo_id, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(repo_id, revision=revision)
    weights = {name: hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
               for name, tensor in model.state_dict().items()}
    tokens = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    torch.manual_seed(0)
    sample = tokenizer.decode(model.generate(**tokens, max_new_tokens=40, do_sample=True, temperature=0.6)[0])
    print(json.dumps({"revision": revision, "weights": weights, "sample": sample}))
"""
"""A program that knows Transformers and HF_ENDPOINT, and nothing of mixhub."""


@dataclass(frozen=True)
class Demo:
    """What the demo made."""

    workspace: Workspace
    family: Family
    evaluated: Evaluated
    sample: str
    """What the first run writes after the prompt."""
    seconds: float


@dataclass
class _Steps:
    """Numbers the steps and says how long each took."""

    total: int
    progress: Progress
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """A step; what is put into the list is said beside it."""
        self.done += 1
        before = time.monotonic()
        notes: list[str] = []
        yield notes
        seconds = time.monotonic() - before
        self.progress.notice(f"[{self.done}/{self.total}] {what:<22}{'; '.join(notes)}  ({seconds:.1f} s)")


def run_demo(folder: Path, *, progress: Progress = SILENT) -> Demo:
    """Makes, trains, evaluates, publishes, verifies and loads a small family; what is done already is skipped.

    Args:
        folder: the workspace to make, or to go on with.
        progress: shows each step, and reports what came of it.

    Raises:
        WorkspaceError: the folder has something else in it.
    """
    steps = _Steps(9, progress)
    with steps.step("workspace") as notes:
        workspace = demo_workspace(folder)
        family = workspace.family()
        notes.append(f"{workspace.root}, {family.architecture.parameters:,} parameters")
    _prepare(steps, workspace, family)
    exports = {}
    with steps.step("training") as notes:
        for run in family.runs():
            trained = workflow.train(workspace, seed=run.number, device="cpu", progress=progress)
            exports[run.revision] = trained.export
            notes.append(_training_note(workspace, run))
    with steps.step("evaluation") as notes:
        write_tasks(workspace.corpus(family), workspace.path("tasks"))
        options = workflow.Options(device="cpu")
        evaluated = workflow.evaluate(workspace, all=True, options=options, progress=progress)
        notes.append(f"{sum(map(len, evaluated.cells.values()))} cells by lm-eval")
    with steps.step("cards") as notes:
        written = workflow.render_card(workspace, progress=progress)
        cards = [path for path in written if path.name == workspace.card(family).name]
        plots = {path.stem for path in written if path not in cards}
        notes.append(f"{len(cards)} rendered, with {len(plots)} plots")
    with workflow.open_hub(workspace, "local") as endpoint:
        samples = _publish(steps, workspace, family, endpoint, exports)
    first = family.runs()[0].revision
    return Demo(workspace, family, evaluated, samples[first], time.monotonic() - steps.started)


def _prepare(steps: _Steps, workspace: Workspace, family: Family) -> None:
    """Corpus, tokenizer and shards."""
    with steps.step("corpus") as notes:
        corpus = workspace.corpus(family)
        write_corpus(corpus, steps.progress)
        notes.append(_corpus_note(corpus))
    with steps.step("tokenizer and shards") as notes:
        manifest = workflow.pack(workspace, progress=steps.progress)
        tokens = sum(part.tokens for part in manifest.train.values())
        notes.append(f"{manifest.tokenizer.vocab_size:,} ids, {tokens:,} training tokens")


def _publish(
    steps: _Steps, workspace: Workspace, family: Family, endpoint: Endpoint, exports: Mapping[str, Path]
) -> dict[str, str]:
    """Pushes and loads all runs; the text that each model writes."""
    with steps.step("push") as notes:
        pushed = workflow.push(workspace, all=True, hub=endpoint)
        notes += [_push_note(push) for push in pushed]
    commits = {push.plan.branch: push.commit for push in pushed}
    with steps.step("mixhub.load") as notes:
        for revision, export in exports.items():
            _check_load(workspace, family, commits[revision], export)
        notes.append(f"{len(exports)} pinned commits, bit for bit the exports")
    with steps.step("plain Transformers") as notes:
        samples = _check_plain_client(endpoint, family, exports)
        notes.append(f"{len(exports)} branches of {endpoint.url}, bit for bit the exports")
    return samples


def demo_workspace(folder: Path) -> Workspace:
    """The demo's workspace, made where it is not there yet.

    Raises:
        WorkspaceError: the folder has something else in it.
    """
    if not (folder / CONFIG_FILE).exists():
        clear_leftovers(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise WorkspaceError(
                f"{folder}: not empty, and no workspace of the demo",
                code="folder-not-empty",
                hint="name another folder: mixhub demo DIR",
                path=folder,
            )
        spec = parse_yaml(resources.files("mixhub.demo").joinpath("demo.yaml").read_text(encoding="utf-8"), "demo.yaml")
        return Workspace.create(folder, {"family": FAMILY, "hub": "local", "families": {FAMILY: spec}})
    workspace = Workspace.open(folder)
    if workspace.config.family != FAMILY or FAMILY not in workspace.config.families:
        raise WorkspaceError(
            f"{folder}: a workspace of {workspace.config.family}, not of the demo",
            code="demo-elsewhere",
            hint="name another folder: mixhub demo DIR",
            path=folder,
        )
    return workspace


def _check_load(workspace: Workspace, family: Family, commit: str, export: Path) -> None:
    from mixhub.hub.remote.load import load

    loaded = load(family.name, commit=commit, workspace=workspace.root)
    digests = {name: _digest(tensor) for name, tensor in loaded.model.state_dict().items()}
    _require_equal(digests, export, f"mixhub.load({family.name!r}, commit={commit!r})")


def _check_plain_client(endpoint: Endpoint, family: Family, exports: Mapping[str, Path]) -> dict[str, str]:
    """Loads branches in a child process that knows only HF_ENDPOINT; the text that each model writes."""
    kept = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    with tempfile.TemporaryDirectory(prefix="mixhub-demo-") as home:
        environ |= {"HF_ENDPOINT": endpoint.url, "HF_HOME": home, "NO_PROXY": "127.0.0.1"}
        child = subprocess.run(
            [sys.executable, "-c", _PLAIN_CLIENT, family.repo_id, PROMPT, *exports],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        raise RuntimeError(f"plain Transformers could not load {family.repo_id}:\n{child.stderr}")
    samples = {}
    for line in child.stdout.splitlines():
        answer: dict[str, Any] = json.loads(line)
        revision = answer["revision"]
        _require_equal(answer["weights"], exports[revision], f"{family.repo_id}@{revision} by plain Transformers")
        samples[revision] = str(answer["sample"])
    return samples


def _require_equal(digests: dict[str, str], export: Path, what: str) -> None:
    from safetensors.torch import load_file

    expected = {
        name: _digest(tensor)
        for file in sorted(export.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }
    if digests != expected:
        differing = sorted(name for name in expected.keys() | digests if expected.get(name) != digests.get(name))
        raise RuntimeError(f"{what} differs from {export} in {', '.join(differing[:5])} ({len(differing)} tensors)")


def _digest(tensor: Any) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _corpus_note(corpus: Path) -> str:
    files = list(corpus.rglob("*.jsonl"))
    domains = {file.stem.rpartition("-")[0] for file in files}
    return f"{size(sum(file.stat().st_size for file in files))} of text in {len(domains)} domains"


def _training_note(workspace: Workspace, run: Run) -> str:
    lines = workspace.run_folder(run).metrics.read_text(encoding="utf-8").splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    return f"{run.revision} loss {losses[0]:.2f} to {losses[-1]:.2f}"


def _push_note(pushed: Pushed) -> str:
    state = "" if pushed.sent else " (nothing to send)"
    return f"{pushed.plan.branch} {pushed.commit[:8]}{state}"
