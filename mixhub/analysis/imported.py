"""Results that others measured of a family's runs, imported into a workspace."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from mixhub.analysis.lm_eval_files import read_outputs
from mixhub.errors import ResultsError
from mixhub.spec import Run
from mixhub.workspace.records import Record


def imported_records(folder: Path, run: Run) -> tuple[Record, ...]:
    """The cells in the folder of one run's imported results; none if it has no results.

    Raises:
        ResultsError: a file cannot be read, or the results are of two models or of another run.
    """
    if not folder.is_dir() or not any(folder.rglob("*.json")):
        return ()
    outputs = read_outputs([folder])
    if outputs.problems:
        raise outputs.problems[0]
    models = sorted({record.model for record in outputs.records})
    if len(models) > 1:
        message = f"{folder}: expected the results of one model, got {' and '.join(models)}"
        hint = f"keep only the results of {run.revision} in this folder"
        raise ResultsError(message, hint=hint, code="models-mixed", path=folder, models=tuple(models))
    for record in outputs.records:
        named = re.search(r"(?:seed|index)[-_]?(\d+)$", record.revision)
        if named is not None and int(named[1]) != run.label:
            message = f"{record.path}: results of {record.revision} in the folder of {run.revision}"
            hint = "move the file to the folder of its revision"
            raise ResultsError(message, hint=hint, code="results-foreign", path=record.path, revision=record.revision)
    return tuple(replace(record, model=run.family, revision=run.revision) for record in outputs.records)
