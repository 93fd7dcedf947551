"""What is known of a run: its lineage, its final losses and its evaluated cells, read from a workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixhub.errors import ResultsError, RunError
from mixhub.evaluate.results import Cell, read_cells
from mixhub.family import Family, Run
from mixhub.lineage import UNKNOWN, Lineage, read_lineage
from mixhub.metrics import read_metrics
from mixhub.recipe import require_same_recipe
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
        ExportError, SpecError: the lineage or the `train_config.yaml` of an export is missing or malformed.
        RunError: a run was trained with another recipe or mixture than the family has now, two runs were trained on
            different token shards or tokenizers, or the metrics of a run are malformed.
    """
    found = [gather_run(workspace, family, run) for run in family.runs()]
    for key, what in (("corpus_sha256", "token shards"), ("tokenizer_sha256", "tokenizers")):
        _require_alike(workspace, found, key, what)
    return found


def gather_run(workspace: Workspace, family: Family, run: Run) -> RunFacts:
    """What is known of one run; raises as `gather` does, and compares no runs."""
    folder = workspace.run_folder(run)
    export = _export(folder, family.training.steps)
    lineage = None
    if export is not None:
        lineage = read_lineage(export)
        require_same_recipe(family, run, export / folder.train_config.name, folder.path)
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


def _require_alike(workspace: Workspace, found: Sequence[RunFacts], key: str, what: str) -> None:
    known = [
        (facts.run, value)
        for facts in found
        if facts.lineage is not None and (value := getattr(facts.lineage, key)) != UNKNOWN
    ]
    for run, value in known[1:]:
        first, expected = known[0]
        if value != expected:
            raise RunError(
                f"{run.family}: {first.revision} and {run.revision} were trained on different {what} "
                f"(sha256 {expected[:12]} and {value[:12]}), so they differ in more than the {run.kind}",
                hint="train them on the same token shards: delete or rename "
                f"{workspace.run_folder(run).path}, and train {run.revision} anew",
                key=key,
                revisions=(first.revision, run.revision),
            )


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
    for line in read_metrics(metrics):
        if isinstance(last_step, int) and line["step"] > last_step:
            continue
        training = line.get("loss", training)
        validation = line.get("validation", validation)
    return FinalLosses(training, validation)
