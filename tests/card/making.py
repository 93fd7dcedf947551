"""A demo-like family with runs and cells, made up, for the tests of the card."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.page.render import render
from mixhub.files import write_json, write_text
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.workspace.cells import MEASURES_KEY, Cell, Provenance, figures_sha256, read_cell
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.paths import Workspace
from tests.tiny import tiny_family, tiny_workspace_yaml

CHANGES: dict[str, Any] = {
    "repo_id": "local/data-mixture-tiny",
    "revisions": {"seeds": [1, 2]},
    "evaluation": {
        "tasks": [
            {"name": "last_word", "title": "Last word", "config": "tasks/last_word.yaml"},
            {"name": "sums", "title": "Sums", "config": "tasks/sums.yaml"},
        ],
        "num_fewshot": [0, 2],
    },
    "card": {
        "title": "Tiny: two seeds of one data mixture",
        "summary": "Two models, alike but for the seed.",
        "purpose": "To see a card.",
        "license": "mit",
        "language": ["en"],
        "tags": ["data-mixture"],
        "limits": ["They are good for nothing."],
    },
}
VALUES = {("last_word", 0): 0.25, ("last_word", 2): 0.5, ("sums", 0): 0.125, ("sums", 2): 0.0625}


def family(**changes: Any) -> Family:
    """The family of these tests."""
    return tiny_family(**{**CHANGES, **changes})


def digest(text: str) -> str:
    """A sha256 that looks like one."""
    return hashlib.sha256(text.encode()).hexdigest()


def lineage(of: Family, run: Run, **changes: Any) -> Lineage:
    """The lineage of a run's last export."""
    data: dict[str, Any] = {
        "family": of.name,
        "revision": run.revision,
        "kind": run.kind,
        "number": run.label,
        "step": of.training.steps,
        "steps": of.training.steps,
        "tokens": of.training.tokens,
        "init_seed": UNKNOWN if run.init_seed is None else run.init_seed,
        "order_seed": UNKNOWN if run.order_seed is None else run.order_seed,
        "train_config_sha256": digest("config"),
        "corpus_sha256": digest("corpus"),
        "tokenizer_sha256": digest("tokenizer"),
        "initial_weights_sha256": digest(f"initial {run.revision}"),
        "weights_sha256": digest(run.revision),
        "device": "cpu",
        "processes": 1,
        "versions": {"torch": "2.13.0", "mixhub": "0.1.0"},
    }
    return Lineage.from_data({**data, **changes}, "lineage.json")


def provenance(of: Family, run: Run, task: str, shots: int, **changes: Any) -> Provenance:
    """What a cell was made from."""
    data: dict[str, Any] = {
        "family": of.name,
        "revision": run.revision,
        "kind": run.kind,
        "number": run.label,
        "step": of.training.steps,
        "weights_sha256": digest(run.revision),
        "tokenizer_sha256": digest("tokenizer"),
        "task": task,
        "task_sha256": digest(task),
        "num_fewshot": shots,
        "fewshot_seed": of.evaluation.fewshot_seed,
        "dtype": "float32",
        "device": "cpu",
        "backend": "mixhub",
        "scorer": 1,
        "layout": "packed",
        "batch_tokens": 4096,
        "dataset": {"path": "json", "fingerprint": digest("data")},
        "stderr": "closed form",
        "samples_sha256": digest("samples"),
        "results_sha256": digest("results"),
        "versions": {"lm_eval": "0.4.13"},
    }
    return Provenance.from_data({**data, **changes}, "cell")


def cell(of: Family, run: Run, task: str, shots: int, value: float, *, documents: int = 64, **changes: Any) -> Cell:
    """A measured cell; changes are of its provenance."""
    return Cell.of(
        provenance(of, run, task, shots, **changes),
        Path(f"{task}.{shots}shot.json"),
        metrics=MappingProxyType({"acc": value}),
        stderrs=MappingProxyType({"acc": math.sqrt(value * (1 - value) / (documents - 1))}),
        measures=MappingProxyType({"bits_per_byte": 1.5}),
        documents=documents,
        documents_in_split=documents,
        task_version="1",
        task_hash=digest("prompts"),
        date=1.0,
        seconds=1.0,
    )


def write_cell(made: Cell, folder: Path) -> Path:
    """Writes a cell as lm-eval's JSON with our provenance."""
    task = made.task
    path = folder / made.path.name
    results = {task: {f"{name},none": value for name, value in made.metrics.items()}}
    results[task] |= {f"{name}_stderr,none": value for name, value in made.stderrs.items()}
    write_json(
        path,
        {
            "results": results,
            "versions": {task: int(made.task_version)},
            "n-samples": {task: {"original": made.documents_in_split, "effective": made.documents}},
            "higher_is_better": {task: {"acc": True}},
            "task_hashes": {task: made.task_hash},
            "date": made.date,
            "total_evaluation_time_seconds": str(made.seconds),
            MEASURES_KEY: (measures := {task: dict(made.measures)}),
            "mixhub": {**made.provenance.to_data(), "results_sha256": figures_sha256(results, measures)},
        },
    )
    read_cell(path)
    return path


def evaluated(of: Family, run: Run, *, values: Mapping[tuple[str, int], float] = MappingProxyType(VALUES)) -> RunFacts:
    """A trained and evaluated run; its scores differ from those of the other seeds."""
    cells = tuple(cell(of, run, task, shots, value + run.label / 64) for (task, shots), value in values.items())
    return RunFacts(run, lineage(of, run), cells, metrics=metrics(run.label))


def metrics(number: int) -> tuple[dict[str, Any], ...]:
    """The lines that a run logs."""
    return (
        {"step": 0, "validation": {"valid_prose": 5.5, "valid_sums": 5.25}},
        {"step": 11, "loss": 3.5, "tokens": 1408},
        {"step": 12, "loss": 2.5 + number / 10, "tokens": 1536},
        {"step": 12, "validation": {"valid_prose": 2.25, "valid_sums": 1.75}},
    )


def render_family(of: Family, runs: Sequence[RunFacts], **known: Any) -> str:
    """The card of a family."""
    custom = {key: known.pop(key) for key in ("sections", "template") if key in known}
    return render(FamilyFacts(of, tuple(runs), **known), **custom).text


def render_revision(of: Family, facts: RunFacts, **known: Any) -> str:
    """The card of a run."""
    return render(FamilyFacts(of, (facts,), of_run=True, **known)).text


def workspace(folder: Path, *, values: Mapping[tuple[str, int], float] = MappingProxyType(VALUES)) -> Workspace:
    """A workspace in which all runs of the family lie as trained and evaluated."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mixhub.yaml").write_text(tiny_workspace_yaml(**CHANGES), encoding="utf-8")
    made = Workspace.open(folder)
    of = made.family()
    for run in of.runs():
        facts = evaluated(of, run, values=values)
        assert facts.lineage is not None
        export = made.run_folder(run).export(of.training.steps)
        write_json(export / "lineage.json", facts.lineage.to_data())
        write_text(export / "train_config.yaml", to_yaml(of.train_config(run)))
        lines = "".join(json.dumps(line) + "\n" for line in facts.metrics)
        made.run_folder(run).metrics.write_text(lines, encoding="utf-8")
        for one in facts.cells:
            write_cell(one, made.results(run))
    return made
