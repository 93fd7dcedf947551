"""`mixhub.results`: the scores of a family, of anybody's results, or of a published table, as a pandas frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from mixhub.analysis.building import measured_tables, published_scores
from mixhub.analysis.evidence import Evidence, find_evidence
from mixhub.analysis.scores import measure_named
from mixhub.analysis.selection import Selection
from mixhub.analysis.tables import ScoreTable
from mixhub.errors import ResultsError, UsageError
from mixhub.spec import catalog
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    import pandas


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
    """The score table of a family, of any lm-eval results, or of a published table, as a frame.

        mixhub.results("human-1b")                                  # the published scores
        mixhub.results("demo-1m", workspace="mixhub-demo")          # what was measured in a workspace
        mixhub.results("lm-eval-output/", frame="cells")            # a line a cell

    Args:
        source: a family by name, a file or folder of lm-eval's results, or a table (.md, .csv, .tsv).
        workspace: where the cells of a family lie; without one a family has its published scores only.
        frame: `scores`, revisions × tasks; `figures`, a line a figure with stderr and what is present and expected;
            `spread`, a line a task with mean, sd and 95 % interval over seeds, chance and the best constant answer;
            `cells`, a line a cell with all that is known of it.
        measure: `score` (percent), `bits_per_byte`, or `answer_probability` (percent).
        suite: name of the family whose tasks and shot counts are wanted; else those of the family itself, and of other
            results what is there.
        published: the published scores, where there are measured ones too.
        allow_incomplete: means over what is there; without it what is not whole is NaN.
        samples: read samples, where they are there: they make standard errors exact, and tell chance.

    Returns:
        The frame; its `attrs` hold name, standing (`measured` or `published`), source, measure and notes.

    Raises:
        UnknownNameError: nothing is known by the name of `source`, `measure` or `suite`.
        ResultsError: nothing was measured or published, or what lies there cannot be read or does not belong together.
        UsageError: `frame` is none of those.
    """
    if frame not in get_args(FrameName):
        raise UsageError(
            f"frame = {frame!r}: must be one of {', '.join(get_args(FrameName))}",
            code="option-value",
            option="frame",
            value=frame,
        )
    place = Workspace.open(Path(workspace)) if workspace is not None else None
    evidence = find_evidence(str(source), place)
    evaluation = (place.family(suite) if place else catalog.get(suite)).evaluation if suite else None
    selection = Selection(
        evaluation, measure=measure_named(measure), allow_incomplete=allow_incomplete, samples=samples
    )
    if published or not evidence.measured:
        table = published_scores(evidence, selection)
        if table is None:
            raise nothing_there(evidence, published=published)
        return _framed(table, frame)
    (table,) = measured_tables([evidence], selection)
    return _framed(table, frame)


def _framed(table: ScoreTable, frame: FrameName) -> pandas.DataFrame:
    made = {
        "scores": table.frame,
        "figures": table.scores_frame,
        "spread": table.spread_frame,
        "cells": table.cells_frame,
    }[frame]()
    made.attrs = table.frame().attrs
    return made


def nothing_there(evidence: Evidence, *, published: bool) -> ResultsError:
    """The error for evidence that has no scores of the kind that was asked for."""
    if published:
        return ResultsError(
            f"{evidence.name}: no scores were published",
            code="published-scores-missing",
            hint="leave --published out",
            name=evidence.name,
        )
    return ResultsError(
        f"{evidence.name}: nothing was measured here, and no scores were published",
        code="results-missing",
        hint="mixhub evaluate, or name the workspace that has its results",
        name=evidence.name,
    )
