"""Score tables of families, of lm-eval's results and of published tables; and comparisons of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mixhub.analysis.building import measured_tables, published_scores
from mixhub.analysis.comparison import Comparison, compare
from mixhub.analysis.evidence import Evidence, find_evidence
from mixhub.analysis.results import nothing_there
from mixhub.analysis.scores import SCORE
from mixhub.analysis.selection import Selection
from mixhub.analysis.survey import Survey, survey
from mixhub.analysis.tables import ScoreTable
from mixhub.errors import UsageError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, workspace_if_given

if TYPE_CHECKING:
    from mixhub.workspace.paths import Workspace


_ALL = Selection()
"""Every figure."""


def score_tables(
    sources: Sequence[str] = (),
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> list[ScoreTable]:
    """What was measured of each source and what was published of it, as tables of their own.

    Args:
        sources: families by name, files or folders of lm-eval's results, or tables (.md, .csv, .tsv); none: the
            workspace's family.
        workspace: its families are known by name, and its cells are read.
        selection: which figures.
        published: published scores alone, also where there are measured ones.
        progress: shows the files.

    Raises:
        UsageError: there is neither a source nor a workspace.
        UnknownNameError: nothing is known by the name of a source, a task or a measure.
        ResultsError: nothing was measured or published, or what lies there cannot be read or does not belong together.
    """
    workspace = workspace_if_given(workspace)
    evidence = told_apart(_sources(sources, workspace), workspace, progress)
    measured = [one for one in evidence if one.measured and not published]
    by_name = dict(zip(map(id, measured), measured_tables(measured, selection, progress), strict=True))
    tables = []
    for one in evidence:
        own = by_name.get(id(one))
        is_asked = selection.measure == SCORE and selection.num_fewshot is None
        printed = published_scores(one, selection) if is_asked or own is None else None
        own_tables = [table for table in (own, printed) if table is not None]
        if not own_tables:
            raise nothing_there(one, published=published)
        tables += own_tables
    return tables


def compare_scores(
    sources: Sequence[str] = (),
    *,
    against: Sequence[str] = (),
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> Comparison | Survey:
    """Compares sources: two families over seeds by their difference, others by their ranks.

    Args:
        sources: as for `score_tables`.
        against: the same mixtures at another size, in the same order.
        workspace, selection, published, progress: as for `score_tables`.

    Raises:
        UsageError: a source stands twice, there is nothing to compare with, or measured and published scores would be
            mixed.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    own = _sources(sources, workspace)
    if len({*own, *against}) < len([*own, *against]):
        raise UsageError(
            f"{', '.join([*own, *against])}: each must stand once",
            code="source-repeated",
            hint="name two families or more",
        )
    evidence = told_apart([*own, *against], workspace, progress)
    tables = comparable_tables(evidence, replace(selection, only_common=True), published, progress)
    ours, theirs = tables[: len(own)], tables[len(own) :]
    if len(ours) == 2 and not theirs and all(table.kind == "seed" for table in ours):
        return compare(*ours)
    if len(ours) == 1 and ours[0].kind != "index":
        raise UsageError(
            f"{ours[0].name}: has nothing to be compared with",
            code="mixtures-too-few",
            hint="name two families or more",
        )
    return survey(ours, theirs)


def comparable_tables(
    evidence: Sequence[Evidence], selection: Selection, published: bool, progress: Progress
) -> list[ScoreTable]:
    """The tables of several sources, all measured or all published: the two are never compared with each other."""
    if published or not any(one.measured for one in evidence):
        return [published_table(one, selection, asked=published) for one in evidence]
    if printed := [one.name for one in evidence if not one.measured]:
        there = ", ".join(one.name for one in evidence if one.measured)
        raise UsageError(
            f"{', '.join(printed)} was not measured here, {there} was: published scores are never mixed in",
            code="scores-mixed",
            hint="measure it: mixhub evaluate; or compare what was published: --published",
            sources=tuple(printed),
        )
    return measured_tables(evidence, selection, progress)


def published_table(evidence: Evidence, selection: Selection, *, asked: bool) -> ScoreTable:
    """The published scores; raises ResultsError where there are none."""
    table = published_scores(evidence, selection)
    if table is None:
        raise nothing_there(evidence, published=asked)
    return table


def _sources(given: Sequence[str], workspace: Workspace | None) -> list[str]:
    if given:
        return list(given)
    if workspace is None:
        raise UsageError(
            "results of what? There is no workspace here",
            code="option-missing",
            hint="mixhub results human-1b, mixhub results FOLDER, or go to a workspace",
            option="SOURCE",
        )
    return [workspace.config.family]


def told_apart(sources: Sequence[str], workspace: Workspace | None, progress: Progress) -> list[Evidence]:
    """The evidence, with the source in the name where two have the same, as local checkpoints of two mixtures may."""
    evidence = [find_evidence(source, workspace, progress) for source in sources]
    taken = [one.name for one in evidence]
    return [
        replace(one, name=f"{one.name} in {source}") if taken.count(one.name) > 1 else one
        for one, source in zip(evidence, sources, strict=True)
    ]
