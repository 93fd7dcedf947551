"""A run beside its family and its own record: lineage, metrics, recipe, architecture, tokenizer, results."""

from __future__ import annotations

from collections.abc import Iterator

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.check.subject import RunUnderCheck
from mixhub.hub.rules.family import architecture_findings, tokenizer_findings
from mixhub.hub.rules.lineage import identity_findings, seed_findings, trained_tokens_findings
from mixhub.spec.base import data_sha256, read_yaml
from mixhub.spec.family import Run
from mixhub.workspace.cells import Cell, read_cells
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage
from mixhub.workspace.metrics import read_metrics
from mixhub.workspace.recipe_diff import recipe_changes

_CONFIG = "train_config.yaml"
_STEP_HINT = "make the export again, or adopt the folder anew with --step"
_SHOWN = 5
"""Keys of a recipe that are reported."""


def is_that_run(run: RunUnderCheck) -> Iterator[Finding]:
    """The lineage is of this run, with its seeds."""
    if run.lineage is not None:
        yield from identity_findings(run.where, run.run, run.lineage)
        yield from seed_findings(run.where, run.run, run.lineage)


def is_that_step(run: RunUnderCheck) -> Iterator[Finding]:
    """The lineage is of the step that the export lies at, and of a run as long as the family's."""
    if run.lineage is None:
        return
    for key, asked in (("step", run.step), ("steps", run.family.training.steps)):
        given = getattr(run.lineage, key)
        if given not in (UNKNOWN, asked):
            message = f"{LINEAGE_FILE} says {key} = {given}, and it lies at {asked}"
            yield Finding("lineage-differs", run.where, message, _STEP_HINT, about=key)
    yield from trained_tokens_findings(run.where, run.family, run.lineage, _STEP_HINT)


def has_that_train_config(run: RunUnderCheck) -> Iterator[Finding]:
    """`train_config.yaml` has the hash that the lineage names; `has_that_recipe` reports one that cannot be read."""
    path = run.export / _CONFIG
    if run.lineage is None or run.lineage.train_config_sha256 == UNKNOWN or not path.is_file():
        return
    try:
        actual = data_sha256(read_yaml(path, ExportError))
    except MixhubError:
        return
    if actual != run.lineage.train_config_sha256:
        message = f"{_CONFIG} was changed since the export: {LINEAGE_FILE} names another hash"
        yield Finding("train-config-differs", run.where, message, "make the export again")


def has_that_recipe(run: RunUnderCheck) -> Iterator[Finding]:
    """It was trained with the recipe that the family has now."""
    path = run.export / _CONFIG
    if not path.is_file():
        return
    try:
        changed = recipe_changes(run.family, run.run, path)
    except MixhubError as error:
        yield from_error(error, run.where, code="train-config-malformed")
        return
    hint = f"restore the family, or train {run.run.revision} anew: mixhub train {_option(run.run)}"
    for key, line in list(changed.items())[:_SHOWN]:
        yield Finding("recipe-differs", run.where, line.removeprefix(f"{run.export}/"), hint, about=key)
    if len(changed) > _SHOWN:
        message = f"and {len(changed) - _SHOWN} more keys of train_config.yaml differ"
        yield Finding("recipe-differs", run.where, message, hint)


def is_that_model(run: RunUnderCheck) -> Iterator[Finding]:
    """Model and tokenizer are as the family describes them."""
    content = run.content
    yield from architecture_findings(run.where, run.family.architecture, content.config)
    yield from tokenizer_findings(run.where, run.family.tokenizer, content.vocab_size, content.eos_token)


def metrics_end_there(run: RunUnderCheck) -> Iterator[Finding]:
    """The metrics that are published with the last step end at it; what was trained elsewhere has none."""
    path = run.workspace.run_folder(run.run).metrics
    if not (run.is_last and run.lineage and run.lineage.steps != UNKNOWN and path.is_file()):
        return
    try:
        last = max((line["step"] for line in read_metrics(path)), default=0)
    except MixhubError as error:
        yield from_error(error, run.where, code="metrics-malformed")
        return
    if last != run.step:
        message = f"{path.name} ends at step {last}, and the run at {run.step}"
        yield Finding("metrics-differ", run.where, message, "restore it from where the run was trained")


def results_are_its_own(run: RunUnderCheck) -> Iterator[Finding]:
    """Its results, which are those of the last step, were measured with these weights, as this run."""
    if not run.is_last:
        return
    try:
        cells = read_cells(run.workspace.results(run.run))
    except MixhubError as error:
        yield from_error(error, run.where, code="results-malformed")
        return
    lineage, hint = run.lineage, f"evaluate it: mixhub evaluate {_option(run.run)}"
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


def _option(run: Run) -> str:
    return f"--{run.kind} {run.number}"
