"""What was measured of a run, its metrics and its results, is of this run."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.errors import MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.check.subject import RunUnderCheck
from mixhub.spec.family import Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import UNKNOWN, Lineage
from mixhub.workspace.metrics import read_metrics


def metrics_differ(run: RunUnderCheck) -> Iterator[Finding]:
    """The metrics that are published with the last step end at it; what was trained elsewhere has none."""
    path = run.workspace.run_folder(run.run).metrics
    if not (run.is_last and run.lineage and run.lineage.steps != UNKNOWN and path.is_file()):
        return
    try:
        last = max((line["step"] for line in read_metrics(path)), default=0)
    except MixhubError as error:
        yield from_error(error, run.where)
        return
    if last != run.step:
        message = f"{path.name} ends at step {last}, and the run at {run.step}"
        yield Finding("metrics-differ", run.where, message, "restore it from where the run was trained")


def results_foreign(run: RunUnderCheck) -> Iterator[Finding]:
    """Its results, which are those of the last step, were measured with these weights, as this run."""
    if not run.is_last:
        return
    try:
        cells = read_cells(run.workspace.results(run.run))
    except MixhubError as error:
        yield from_error(error, run.where, code="results-malformed")
        return
    lineage, hint = run.lineage, f"evaluate it: mixhub evaluate --{run.run.kind} {run.run.number}"
    foreign = [cell for cell in cells if lineage is None or cell.weights_sha256 != lineage.weights_sha256]
    if foreign:
        more = f", as were {len(foreign) - 1} more" if len(foreign) > 1 else ""
        message = (
            f"{foreign[0].path.name} was evaluated with weights {foreign[0].weights_sha256[:12]}{more}, and the export "
            f"has {lineage.weights_sha256[:12] if lineage else 'none that are known'}"
        )
        yield Finding("results-foreign", run.where, message, hint, about="weights")
    for cell in cells:
        if cell not in foreign and (problem := _cell_problem(cell, run.run, lineage)) is not None:
            what, said = problem
            message = f"{cell.path.name} was evaluated {said}"
            yield Finding("results-foreign", run.where, message, f"delete it, and {hint}", about=what)
            return


def _cell_problem(cell: Cell, run: Run, lineage: Lineage | None) -> tuple[str, str] | None:
    """What of a cell is not as its run is, though it has its weights, and how to say so; None if nothing."""
    made = cell.provenance
    if (made.kind, made.number) not in ((None, None), (run.kind, run.number)):
        return "run", f"as {made.kind} {made.number}"
    if lineage is None:
        return None
    for what, measured, asked in (
        ("step", made.step, lineage.step),
        ("tokenizer", made.tokenizer_sha256, lineage.tokenizer_sha256),
    ):
        if UNKNOWN not in (measured, asked) and measured != asked:
            return what, f"with {what} {str(measured)[:12]}, and the export has {str(asked)[:12]}"
    return None
