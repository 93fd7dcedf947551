"""What is known of a run: its lineage, its final losses and its evaluated cells, read from a workspace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixhub.errors import ResultsError, RunError
from mixhub.evaluate.results import Cell, read_cells
from mixhub.family import Family, Run
from mixhub.lineage import Lineage, read_lineage
from mixhub.workspace import RunFolder, Workspace


@dataclass(frozen=True)
class FinalLosses:
    """The last losses that a run logged up to its export, in nats a token."""

    training: float | None = None
    """Of the last step, before its update."""
    validation: Mapping[str, float] = field(default_factory=dict)
    """Of the last validation, by domain key."""


@dataclass(frozen=True)
class RunFacts:
    """A run and what is known of it."""

    run: Run
    lineage: Lineage | None = None
    """Of the export; None where there is no export."""
    losses: FinalLosses = FinalLosses()
    cells: tuple[Cell, ...] = ()
    """What was evaluated, with the weights of the export."""


def gather(workspace: Workspace, family: Family) -> list[RunFacts]:
    """What is known of each run of a family, in the order of its runs.

    Raises:
        ResultsError: results are malformed, or were made with other weights than the export's.
        ExportError, SpecError: the lineage of an export is missing or malformed.
        RunError: the metrics of a run are malformed.
    """
    return [gather_run(workspace, family, run) for run in family.runs()]


def gather_run(workspace: Workspace, family: Family, run: Run) -> RunFacts:
    """What is known of one run; raises as `gather` does."""
    folder = workspace.run_folder(run)
    export = _export(folder, family.training.steps)
    lineage = read_lineage(export) if export else None
    cells = tuple(read_cells(workspace.results(run)))
    for cell in cells:
        _require_own_weights(cell, lineage, run, workspace.results(run))
    losses = _final_losses(folder.metrics, lineage.step if lineage else None)
    return RunFacts(run, lineage, losses, cells)


def _export(folder: RunFolder, last_step: int) -> Path | None:
    """The export of the last step, else the newest there is."""
    steps = folder.export_steps()
    if not steps:
        return None
    return folder.export(last_step if last_step in steps else steps[-1])


def _require_own_weights(cell: Cell, lineage: Lineage | None, run: Run, folder: Path) -> None:
    if lineage is not None and cell.weights_sha256 == lineage.weights_sha256:
        return
    name = f"{folder.parent.name}/{folder.name}/{cell.task}.{cell.num_fewshot}shot"
    option = f"--{run.kind} {run.number}"
    if lineage is None:
        raise ResultsError(
            f"{name}: was evaluated with weights {cell.weights_sha256}, but {run.revision} has no export to compare",
            hint=f"make the export again: mixhub train {option}; or delete {folder}",
            cell=name,
            weights_sha256=cell.weights_sha256,
        )
    raise ResultsError(
        f"{name}: was evaluated with weights {cell.weights_sha256}, but the export has {lineage.weights_sha256}",
        hint=f"evaluate the export: mixhub evaluate {option}",
        cell=name,
        weights_sha256=cell.weights_sha256,
        export_sha256=lineage.weights_sha256,
    )


def _final_losses(metrics: Path, last_step: object) -> FinalLosses:
    training: float | None = None
    validation: Mapping[str, float] = {}
    for line in _lines(metrics):
        if isinstance(last_step, int) and line["step"] > last_step:
            continue
        training = line.get("loss", training)
        validation = line.get("validation", validation)
    return FinalLosses(training, validation)


def _lines(metrics: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line that was not finished is passed over."""
    if not metrics.is_file():
        return []
    lines = []
    for number, text in enumerate(metrics.read_text(encoding="utf-8", errors="replace").split("\n")[:-1], start=1):
        try:
            line = json.loads(text)
        except json.JSONDecodeError as error:
            raise RunError(f"{metrics}:{number}: not JSON: {error.msg}", hint="delete the line", path=metrics) from None
        if not isinstance(line, dict) or not isinstance(line.get("step"), int):
            raise RunError(f"{metrics}:{number}: no step", hint="delete the line", path=metrics)
        lines.append(line)
    return lines
