"""Score tables of families, lm-eval results and published tables; and comparisons of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.building import measured_tables, published_scores, require_published
from mixhub.analysis.comparison import Comparison, compare
from mixhub.analysis.evidence import Evidence, find_by_model, find_evidence, find_seeds
from mixhub.analysis.losses.table import loss_tables
from mixhub.analysis.scores import LOSS, SCORE
from mixhub.analysis.selection import Selection
from mixhub.analysis.survey import Survey, survey
from mixhub.analysis.tables import ScoreTable
from mixhub.errors import UsageError
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, workspace_if_given

if TYPE_CHECKING:
    from mixhub.workspace.paths import Workspace


_ALL = Selection()


def score_tables(
    sources: Sequence[str] = (),
    *,
    workspace: WorkspaceLike | None = None,
    selection: Selection = _ALL,
    published: bool = False,
    progress: Progress = SILENT,
) -> list[ScoreTable]:
    """Return the measured and the published scores of each source, as separate tables.

    Args:
        sources: families by name, files or folders of lm-eval's results, or tables (.md, .csv, .tsv); default: the
            workspace's family. If rows are seeds, the results of all of them are one table.
        workspace: the workspace with further families and with cells.
        selection: which figures.
        published: published scores only.
        progress: shows the files that are read.

    Raises:
        UsageError: there is neither a source nor a workspace.
        UnknownNameError: there is no such source, task or measure.
        ResultsError: there are no scores, or results cannot be read or do not belong together.
    """
    workspace = workspace_if_given(workspace)
    if selection.measure is LOSS:
        own = _parts(sources or [default_source(workspace, "mixhub results --measure loss LOGS")], selection)
        return distinct_tables(loss_tables(own, workspace, selection))
    tables = []
    sources = sources or [default_source(workspace, "mixhub results human-1b")]
    if selection.rows_are_seeds:
        found = [(one, one.name) for one in find_seeds(_parts(sources, selection), workspace, progress)]
    else:
        found = [(one, source) for source in sources for one in find_by_model(source, workspace, progress)]
    for one in _distinct(found):
        if (measured := one.by_standing) and not published:
            tables += measured_tables(measured, selection, progress)
            can_be_published = selection.measure == SCORE and selection.num_fewshot is None
            if can_be_published and (table := published_scores(one, selection)) is not None:
                tables.append(table)
        else:
            tables.append(require_published(one, selection, published=published))
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
    """Compare sources: two families over seeds by their difference, others by their ranks.

    Args:
        sources: as for `score_tables`. If rows are seeds, several can be one: `out-1,out-2`.
        against: the same mixtures at another size, in the same order.
        workspace, selection, published, progress: as for `score_tables`.

    Raises:
        UsageError: a source is repeated, there is only one mixture, or measured and published scores are mixed.
        UnknownNameError, ResultsError: as for `score_tables`.
    """
    workspace = workspace_if_given(workspace)
    own = sources or [default_source(workspace, "mixhub results --compare A B")]
    if len({*own, *against}) < len([*own, *against]):
        message = f"{', '.join([*own, *against])}: name each source once"
        raise UsageError(message, code="source-repeated", hint="name at least two families")
    ours, theirs = comparable_tables(own, workspace, selection, against=against, published=published, progress=progress)
    if len(ours) == 2 and not theirs and all(table.kind == "seed" for table in ours):
        return compare(*ours, paired=selection.paired)
    return survey(ours, theirs, paired=selection.paired)


def comparable_tables(
    sources: Sequence[str],
    workspace: Workspace | None,
    selection: Selection,
    *,
    against: Sequence[str] = (),
    published: bool = False,
    progress: Progress = SILENT,
) -> tuple[list[ScoreTable], list[ScoreTable]]:
    """The tables of several sources and of those against them, with their common columns: losses, measured or imported
    scores, or else published ones."""
    if selection.measure is LOSS:
        ours, theirs = (
            [table for one in side for table in loss_tables(_parts([one], selection), workspace, selection)]
            for side in (sources, against)
        )
        return distinct_tables(ours), distinct_tables(theirs)
    evidence = _distinct([(_as_one(source, workspace, selection, progress), source) for source in (*sources, *against)])
    chosen = [one.by_standing[0] if one.by_standing and not published else None for one in evidence]
    measured = [one for one in chosen if one is not None]
    found = iter(measured_tables(measured, replace(selection, only_common=True), progress) if measured else ())
    tables = [
        next(found) if own is not None else require_published(one, selection, published=published)
        for one, own in zip(evidence, chosen, strict=True)
    ]
    return tables[: len(sources)], tables[len(sources) :]


def default_source(workspace: Workspace | None, example: str) -> str:
    """The workspace's family; UsageError with an example if there is no workspace."""
    if workspace is None:
        message = "no source given, and no workspace here or above"
        raise UsageError(
            message, code="option-missing", hint=f"run {example}, or change to a workspace", option="SOURCE"
        )
    return workspace.config.family


def _as_one(source: str, workspace: Workspace | None, selection: Selection, progress: Progress) -> Evidence:
    """The evidence of a source; of several sources that are joined by commas, whose rows are seeds, in one."""
    parts = _parts([source], selection)
    if len(parts) < 2:
        return find_evidence(source, workspace, progress)
    found = find_seeds(parts, workspace, progress)
    if len(found) > 1:
        message = f"{source}: {found[1].name} has no results that can be rows of one table"
        hint = "join only folders of results by commas"
        raise UsageError(message, code="option-value", hint=hint, option="SOURCE", value=source)
    return found[0]


def _parts(sources: Sequence[str], selection: Selection) -> list[str]:
    """The sources; if rows are seeds, also those that are joined by commas."""
    if not selection.rows_are_seeds:
        return list(sources)
    return [part for one in sources for part in ([one] if Path(one).exists() else one.split(",")) if part]


def distinct_tables(tables: Sequence[ScoreTable]) -> list[ScoreTable]:
    """The tables with names that tell them apart."""
    names = [table.name for table in tables]
    return [
        replace(table, name=f"{table.name} ({names[: at + 1].count(table.name)})")
        if names.count(table.name) > 1
        else table
        for at, table in enumerate(tables)
    ]


def _distinct(evidence: Sequence[tuple[Evidence, str]]) -> list[Evidence]:
    """The evidence with names that tell it apart."""
    names = [one.name for one, _ in evidence]
    return [
        replace(one, name=f"{one.name} in {source}") if names.count(one.name) > 1 else one for one, source in evidence
    ]
