"""`mixhub.results`: scores as a pandas frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mixhub.analysis.building import measured_tables, published_scores
from mixhub.analysis.evidence import Evidence, find_evidence
from mixhub.analysis.scores import measure_named
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
        measure: `score` (percent), `bits_per_byte`, or `answer_probability` (percent).
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
    scores = table.frame()
    frames = {"figures": table.scores_frame, "spread": table.spread_frame, "cells": table.cells_frame}
    made = frames[frame]() if frame in frames else scores
    made.attrs = scores.attrs
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


def require_published(evidence: Evidence, selection: Selection, *, published: bool) -> ScoreTable:
    """The published scores.

    Args:
        evidence: a family, or a file with a table.
        selection: the figures.
        published: whether the user asked for published scores.

    Raises:
        ResultsError: there are none.
    """
    table = published_scores(evidence, selection)
    if table is None:
        missing = "no published scores" if published else "neither measured nor published scores"
        hint = "omit --published" if published else "run mixhub evaluate, or choose the workspace that has its results"
        raise ResultsError(f"{evidence.name}: has {missing}", code="results-missing", hint=hint, name=evidence.name)
    return table
