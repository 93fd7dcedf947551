"""The demo: every step once, on real text, without a network."""

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
from mixhub.demo.corpus import DOMAINS, write_corpus
from mixhub.demo.tasks import write_tasks
from mixhub.errors import WorkspaceError
from mixhub.files import clear_leftovers
from mixhub.phrases import size
from mixhub.progress import SILENT, Progress
from mixhub.spec.base import parse_yaml
from mixhub.workspace.paths import CONFIG_FILE, Workspace

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.spec import Family
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
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    tokens = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    torch.manual_seed(0)
    sample = tokenizer.decode(model.generate(**tokens, max_new_tokens=40, do_sample=True, temperature=0.6)[0])
    print(json.dumps({"revision": revision, "weights": digest.hexdigest(), "sample": sample}))
"""
"""A program that uses only Transformers and HF_ENDPOINT, without mixhub."""
_KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "OMP_NUM_THREADS", "OMP_WAIT_POLICY")
_STEPS = 9


@dataclass(frozen=True)
class Demo:
    """The result of the demo."""

    workspace: Workspace
    family: Family
    evaluated: Evaluated
    sample: str
    """Text that the first run generates after the prompt."""
    seconds: float


@dataclass
class _Steps:
    """Numbers and times the steps."""

    progress: Progress
    done: int = 0
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Run a step, and print the notes that it adds to the list."""
        self.done += 1
        before = time.monotonic()
        notes: list[str] = []
        yield notes
        seconds = time.monotonic() - before
        self.progress.notice(f"[{self.done}/{_STEPS}] {what:<22}{'; '.join(notes)}  ({seconds:.1f} s)")


def run_demo(folder: Path, *, progress: Progress = SILENT) -> Demo:
    """Create, train, evaluate, publish, verify and load a small family; finished steps are skipped.

    Args:
        folder: the workspace to create or resume.
        progress: shows each step and its result.

    Raises:
        WorkspaceError: the folder contains other files.
    """
    steps = _Steps(progress)
    with steps.step("workspace") as notes:
        workspace = demo_workspace(folder)
        family = workspace.family()
        notes.append(f"{workspace.root}, {family.llama.parameters:,} parameters")
    with steps.step("corpus") as notes:
        files = list(write_corpus(workspace.corpus(family), progress).rglob("*.jsonl"))
        notes.append(f"{size(sum(file.stat().st_size for file in files))} of text in {len(DOMAINS)} domains")
    with steps.step("tokenizer and shards") as notes:
        manifest = workflow.pack(workspace, progress=progress)
        tokens = sum(part.tokens for part in manifest.train.values())
        notes.append(f"{manifest.tokenizer.vocab_size:,} ids, {tokens:,} training tokens")
    exports = {}
    with steps.step("training") as notes:
        for run in family.runs():
            on_cpu = workflow.TrainOptions(device="cpu")
            trained = workflow.train(workspace, seed=run.label, options=on_cpu, progress=progress)
            exports[run.revision] = workspace.export(run, trained.step)
            lines = workspace.run_folder(run).metrics.read_text(encoding="utf-8").splitlines()
            losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
            notes.append(f"{run.revision} loss {losses[0]:.2f} to {losses[-1]:.2f}")
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
    sample = samples[family.runs()[0].revision]
    return Demo(workspace, family, evaluated, sample, time.monotonic() - steps.started)


def _publish(
    steps: _Steps, workspace: Workspace, family: Family, endpoint: Endpoint, exports: Mapping[str, Path]
) -> dict[str, str]:
    """Push and load all runs; return the text that each model generates."""
    from mixhub.hub.load.load import load

    with steps.step("push") as notes:
        pushed = workflow.push(workspace, all=True, hub=endpoint)
        notes += [f"{one.plan.branch} {one.commit[:8]}{'' if one.sent else ' (nothing to send)'}" for one in pushed]
    commits = {one.plan.branch: one.commit for one in pushed}
    with steps.step("mixhub.load") as notes:
        for revision, export in exports.items():
            loaded = load(family.name, commit=commits[revision], workspace=workspace.root)
            _require_equal(_digest(loaded.model.state_dict()), export, f"{revision} by mixhub.load")
        notes.append(f"{len(exports)} pinned commits, bit for bit the exports")
    with steps.step("plain Transformers") as notes:
        samples = _load_plainly(endpoint, family, exports)
        notes.append(f"{len(exports)} branches of {endpoint.url}, bit for bit the exports")
    return samples


def demo_workspace(folder: Path) -> Workspace:
    """Open the demo's workspace, or create it.

    Raises:
        WorkspaceError: the folder contains other files.
    """
    hint = "choose another folder: mixhub demo DIR"
    if not (folder / CONFIG_FILE).exists():
        clear_leftovers(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            message = f"{folder}: is not empty, and not a workspace of the demo"
            raise WorkspaceError(message, code="folder-not-empty", hint=hint, path=folder)
        spec = parse_yaml(resources.files("mixhub.demo").joinpath("demo.yaml").read_text(encoding="utf-8"), "demo.yaml")
        return Workspace.create(folder, {"family": FAMILY, "hub": "local", "families": {FAMILY: spec}})
    workspace = Workspace.open(folder)
    if workspace.config.family != FAMILY or FAMILY not in workspace.config.families:
        message = f"{folder}: is a workspace of {workspace.config.family}, not of the demo"
        raise WorkspaceError(message, code="demo-elsewhere", hint=hint, path=folder)
    return workspace


def _load_plainly(endpoint: Endpoint, family: Family, exports: Mapping[str, Path]) -> dict[str, str]:
    """Load branches in a child process that knows only HF_ENDPOINT; return the text that each model generates."""
    environ = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    command = [sys.executable, "-c", _PLAIN_CLIENT, family.repo_id, PROMPT, *exports]
    with tempfile.TemporaryDirectory(prefix="mixhub-demo-") as home:
        environ |= {"HF_ENDPOINT": endpoint.url, "HF_HOME": home, "NO_PROXY": "127.0.0.1"}
        child = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if child.returncode:
        raise RuntimeError(f"plain Transformers could not load {family.repo_id}:\n{child.stderr}")
    answers: list[dict[str, str]] = [json.loads(line) for line in child.stdout.splitlines()]
    for answer in answers:
        _require_equal(answer["weights"], exports[answer["revision"]], f"{answer['revision']} by plain Transformers")
    return {answer["revision"]: answer["sample"] for answer in answers}


def _require_equal(digest: str, export: Path, what: str) -> None:
    from safetensors.torch import load_file

    tensors = {name: tensor for file in export.glob("*.safetensors") for name, tensor in load_file(file).items()}
    if digest != _digest(tensors):
        raise RuntimeError(f"the weights of {what} differ from {export}")


def _digest(tensors: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
