"""`mixhub.results`: scores as a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mixhub.analysis.building import measured_tables, require_published
from mixhub.analysis.csv_tables import read_tables
from mixhub.analysis.evidence import Evidence, find_evidence
from mixhub.analysis.losses.runs import find_losses
from mixhub.analysis.losses.table import loss_table, losses_frame
from mixhub.analysis.scores import LOSS, measure_named
from mixhub.analysis.selection import Selection
from mixhub.analysis.tables import cells_frame
from mixhub.errors import ResultsError, UsageError
from mixhub.spec import catalog
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    import pandas

    from mixhub.analysis.tables import ScoreTable


FrameName = Literal["scores", "figures", "spread", "cells"]
"""The frames of a table."""


def results(
    source: str | Path,
    *,
    workspace: str | Path | None = None,
    frame: FrameName = "scores",
    measure: str = "score",
    suite: str | None = None,
    published: bool = False,
    allow_incomplete: bool = False,
    samples: bool = True,
) -> pandas.DataFrame:
    """Return the score table of a family, of lm-eval results, or of a published table, as a frame.

        mixhub.results("human-1b")                                  # published scores
        mixhub.results("demo-1m", workspace="mixhub-demo")          # measured in a workspace
        mixhub.results("lm-eval-output/", frame="cells")            # a row per cell

    Args:
        source: a family by name, a file or folder of lm-eval's results, or a table (.md, .csv, .tsv).
        workspace: the workspace with the cells of a family; without it, a family has only its published scores.
        frame: `scores`, revisions × tasks; `figures`, a row per figure with its standard error; `spread`, a row per
            task with mean, sd and 95 % interval over seeds, and baselines; `cells`, a row per cell, of all tasks,
            metrics and limits.
        measure: `score` (percent), `bits_per_byte`, `answer_probability` (percent), or `loss`: the validation losses of
            a family's runs, or in logs, by domain, in nats per token, at the last step; `cells` are all validations.
        suite: the family whose tasks and shot counts to use; default: those of the family itself, and for other
            results all that there are.
        published: use the published scores, even if there are measured ones.
        allow_incomplete: show means over the cells that are present; by default, incomplete scores are NaN.
        samples: read samples, if there are any, for exact standard errors and chance.

    Returns:
        The frame; its `attrs` hold name, standing (`measured`, `imported` or `published`), source, measure and notes.

    Raises:
        UnknownNameError: there is no such source, measure or suite.
        ResultsError: there are no scores, or results cannot be read or do not belong together.
        UsageError: `frame` is unknown.
    """
    if frame not in get_args(FrameName):
        message = f"frame = {frame!r}: must be one of {', '.join(get_args(FrameName))}"
        raise UsageError(message, code="option-value", option="frame", value=frame)
    opened = Workspace.open(Path(workspace)) if workspace is not None else None
    if tables := read_tables(Path(source), opened, Selection(measure=measure_named(measure))):
        return _frame(_only(source, tables), frame)
    if measure == LOSS.name:
        return _losses(str(source), opened, frame)
    evidence = find_evidence(str(source), opened)
    evidence = evidence if evidence.measured or published else evidence.imported or evidence
    if frame == "cells" and evidence.measured and not (suite or published):
        return _cells(evidence)
    evaluation = (opened.family(suite) if opened else catalog.get(suite)).evaluation if suite else None
    selection = Selection(
        evaluation, measure=measure_named(measure), allow_incomplete=allow_incomplete, samples=samples
    )
    if published or not evidence.measured:
        table = require_published(evidence, selection, published=published)
    else:
        (table,) = measured_tables([evidence], selection)
    return _frame(table, frame)


def _only(source: str | Path, tables: Sequence[ScoreTable]) -> ScoreTable:
    """The one table of a file."""
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables)
        message = f"{source}: has {len(tables)} tables: {names or 'none'}"
        raise ResultsError(message, code="models-mixed", hint="keep the rows of one of them in the file", path=source)
    return tables[0]


def _frame(table: ScoreTable, frame: FrameName) -> pandas.DataFrame:
    scores = table.frame()
    frames = {"figures": table.scores_frame, "spread": table.spread_frame, "cells": table.cells_frame}
    made = frames[frame]() if frame in frames else scores
    made.attrs = scores.attrs
    return made


def _losses(source: str, workspace: Workspace | None, frame: FrameName) -> pandas.DataFrame:
    runs = find_losses(source, workspace)
    if len(runs) > 1:
        names = ", ".join(one.name for one in runs)
        message = f"{source}: has the runs of several models: {names}"
        raise ResultsError(message, code="models-mixed", hint="pass the folder of one of them", path=source)
    table = loss_table(runs[0], Selection(measure=LOSS))
    if frame != "cells":
        return _frame(table, frame)
    made = losses_frame(runs)
    made.attrs = table.frame().attrs
    return made


def _cells(evidence: Evidence) -> pandas.DataFrame:
    """All cells, whether they count for a score or not."""
    made = cells_frame(evidence.records)
    made.attrs = {
        "name": evidence.name,
        "standing": evidence.standing,
        "source": "",
        "measure": "score",
        "notes": list(evidence.notes),
    }
    return made
