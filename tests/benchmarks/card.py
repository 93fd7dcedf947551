"""`mixhub card render` of 390 cells: 13 tasks × 6 shot counts × 5 seeds, with and without samples, in fresh processes.

Three times are told: the first render, which draws all plots and reads the samples; one after a score changed, which
draws the plots of the scores; and one that finds all as it is. CPU time; imports are left out.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from mixhub.files import write_json, write_text
from mixhub.spec.base import to_yaml
from mixhub.workspace.cells import samples_path
from mixhub.workspace.paths import Workspace
from tests.card import making

ROUNDS = 3
DOCUMENTS = 40_000 // 390 + 1
LOGGED = 1_000
"""Steps of a run whose loss is in its metrics."""

_CHILD = """
import json, sys, time
from pathlib import Path
import matplotlib.figure, matplotlib.backends.backend_agg, matplotlib.backends.backend_svg
import huggingface_hub.repocard, jinja2, tabulate, pandas, scipy.stats
import mixhub.card.page.write
from mixhub.workspace.paths import Workspace
place = Workspace.open(Path(sys.argv[1]))
start = time.process_time()
paths = mixhub.card.page.write.write_cards(place, place.family())
print(json.dumps({"seconds": time.process_time() - start, "files": len(paths)}))
"""


def run() -> str:
    """CPU seconds, medians of fresh processes."""
    lines = []
    for name, documents in (("without samples", 0), (f"{390 * DOCUMENTS:,} samples", DOCUMENTS)):
        times: list[list[float]] = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                workspace = write_workspace(root, documents)
                first = _seconds(root)
                _measure_anew(workspace, documents)
                times.append([first, _seconds(root), _seconds(root)])
        shown = zip(("first", "after a score changed", "again"), zip(*times, strict=True), strict=True)
        lines.append(f"{name}: " + ", ".join(f"{what} {median(seconds):.2f} s" for what, seconds in shown))
    return "; ".join(lines)


def write_workspace(root: Path, documents: int) -> Workspace:
    """A workspace with five trained seeds of human-1b's recipe, and all their cells; `documents` samples a cell."""
    changes = {
        "extends": "human-1b",
        "repo_id": "me/human",
        "revisions": {"pattern": "seed-{seed}", "seeds": "1-5"},
        "mixture": {"train_the_pile_arxiv": 0.5, "train_the_pile_pile_cc": 0.5},
        "training": {"order": "iid", "steps": LOGGED},
        "card": {"title": "A family", "summary": "For the benchmark.", "license": "mit"},
    }
    config = {"format": 1, "family": "human", "hub": "local", "families": {"human": changes}}
    write_text(root / "mixhub.yaml", to_yaml(config))
    workspace = Workspace.open(root)
    family = workspace.family()
    draws = np.random.default_rng(0)
    for run_ in family.runs():
        export = workspace.run_folder(run_).export(family.training.steps)
        write_json(export / "lineage.json", making.lineage(family, run_).to_data())
        write_text(export / "train_config.yaml", to_yaml(family.train_config(run_)))
        write_text(workspace.run_folder(run_).metrics, _metrics(draws))
        for task in family.evaluation.tasks:
            for shots in family.evaluation.num_fewshot:
                _write_cell(workspace, run_.number, task.name, shots, documents, draws)
    return workspace


def _metrics(draws: np.random.Generator) -> str:
    lines = [
        {"step": step, "loss": 3 + float(draws.normal(0, 0.1)), "tokens": step << 20, "tokens_per_second": 15_000.0}
        for step in range(1, LOGGED + 1)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def _write_cell(
    workspace: Workspace, seed: int, task: str, shots: int, documents: int, draws: np.random.Generator
) -> None:
    family = workspace.family()
    run_ = family.run(seed=seed)
    right = draws.integers(0, 2, max(documents, 64))
    cell = making.cell(family, run_, task, shots, float(right.mean()), documents=len(right))
    path = making.write_cell(cell, workspace.results(run_))
    if documents:
        lines = [
            {"doc_id": number, "filter": "none", "doc_hash": f"{number}", "acc": int(acc), "doc": {},
             "filtered_resps": [[-1.0, False], [-2.0, False]], "target": "0", "arguments": {}}
            for number, acc in enumerate(right)
        ]  # fmt: skip
        write_text(samples_path(path), "".join(json.dumps(line) + "\n" for line in lines))


def _measure_anew(workspace: Workspace, documents: int) -> None:
    _write_cell(workspace, 3, "sciq", 0, documents, np.random.default_rng(1))


def _seconds(root: Path) -> float:
    done = subprocess.run([sys.executable, "-c", _CHILD, str(root)], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["seconds"])
