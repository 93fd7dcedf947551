"""A run compared with the family, and its metrics and results compared with its export."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from pathlib import Path

from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.check.subject import RunUnderCheck
from mixhub.hub.rules.family import model_findings
from mixhub.hub.rules.lineage import lineage_findings, recipe_findings
from mixhub.spec.family import Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.metrics import read_metrics


def lineage_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """A lineage of another run or step."""
    if run.lineage is not None:
        hint = "make the export again, or adopt the folder again with --step"
        yield from lineage_findings(run.where, run.family, run.run, run.step, run.lineage, hint)


def recipe_differs(run: RunUnderCheck) -> Iterator[Finding]:
    """Recipe, model or tokenizer that differ from the family."""
    content = run.content
    yield from recipe_findings(run.where, run.export / "train_config.yaml", run.lineage, run.family, run.run)
    yield from model_findings(run.where, run.family, content.config, content.vocab_size, content.eos_token)


def metrics_differ(run: RunUnderCheck) -> Iterator[Finding]:
    """Metrics, published with the last step, that end at another step; runs from other trainers have none."""
    if (path := _metrics(run)) is None:
        return
    try:
        last = max((line["step"] for line in read_metrics(path)), default=0)
    except MixhubError as error:
        yield from_error(error, run.where)
        return
    if last != run.step:
        message = f"{path.name} ends at step {last}, but the run at {run.step}"
        yield Finding("metrics-differ", run.where, message, "restore it from where the run was trained")


def metrics_repeated(run: RunUnderCheck) -> Iterator[Finding]:
    """Metrics that equal those of another run of the family, byte for byte."""
    if (path := _metrics(run)) is None:
        return
    for other in run.family.runs():
        beside = run.workspace.run_folder(other).metrics
        if other.revision != run.run.revision and beside.is_file() and filecmp.cmp(path, beside, shallow=False):
            message = f"{path.name} is the same as that of {other.revision}, byte for byte"
            hint = "one was copied over the other: restore it"
            yield Finding("metrics-repeated", run.where, message, hint, about=other.revision)


def _metrics(run: RunUnderCheck) -> Path | None:
    path = run.workspace.run_folder(run.run).metrics
    has_metrics = run.is_last and run.lineage is not None and run.lineage.steps != UNKNOWN and path.is_file()
    return path if has_metrics else None


def results_foreign(run: RunUnderCheck) -> Iterator[Finding]:
    """Results, which belong to the last step, of other weights or another run."""
    if not run.is_last:
        return
    try:
        cells = read_cells(run.workspace.results(run.run))
    except MixhubError as error:
        yield from_error(error, run.where, code="results-malformed")
        return
    foreign = [(cell, problem) for cell in cells if (problem := _cell_problem(cell, run.run, run.lineage))]
    if foreign:
        cell, (about, difference) = foreign[0]
        more = f" (and {len(foreign) - 1} more cells)" if len(foreign) > 1 else ""
        hint = f"delete it and evaluate again: mixhub evaluate --{run.run.kind} {run.run.number}"
        message = f"{cell.path.name} was evaluated {difference}{more}"
        yield Finding("results-foreign", run.where, message, hint, about=about)


def _cell_problem(cell: Cell, run: Run, lineage: Lineage | None) -> tuple[str, str] | None:
    """Return what differs between a cell and its run, and how to say it; None if nothing."""
    origin = cell.provenance
    if lineage is None or cell.weights_sha256 != lineage.weights_sha256:
        actual = lineage.weights_sha256[:12] if lineage else "unknown ones"
        return "weights", f"with weights {cell.weights_sha256[:12]}, but the export has {actual}"
    if (origin.kind, origin.number) not in ((None, None), (run.kind, run.number)):
        return "run", f"as {origin.kind} {origin.number}"
    for what, measured, expected in (
        ("step", origin.step, lineage.step),
        ("tokenizer", origin.tokenizer_sha256, lineage.tokenizer_sha256),
    ):
        if UNKNOWN not in (measured, expected) and measured != expected:
            return what, f"with {what} {str(measured)[:12]}, but the export has {str(expected)[:12]}"
    return None
