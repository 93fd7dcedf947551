"""Score tables of families, lm-eval results and published tables; and comparisons of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.building import measured_tables, published_scores, require_published
from mixhub.analysis.comparison import Comparison, compare
from mixhub.analysis.csv_tables import read_tables
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
        sources: families by name, files or folders of lm-eval's results or of losses, or tables (.md, .csv, .tsv);
            default: the workspace's family. If rows are seeds, the results of all of them are one table.
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
    example = "mixhub results --measure loss LOGS" if selection.measure is LOSS else "mixhub results human-1b"
    tables, rest = _tables_of_csv(sources or [default_source(workspace, example)], workspace, selection)
    rest = [part for source in rest for part in _parts(source, selection)]
    if selection.measure is LOSS:
        return distinct_tables([*tables, *loss_tables(rest, workspace, selection)])
    if selection.rows_are_seeds:
        found = [(one, one.name) for one in find_seeds(rest, workspace, progress)]
    else:
        found = [(one, source) for source in rest for one in find_by_model(source, workspace, progress)]
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
    (own, sources), (others, against) = (_tables_of_csv(side, workspace, selection) for side in (sources, against))
    if selection.measure is LOSS:
        for side, names in ((own, sources), (others, against)):
            for name in names:
                side += loss_tables(_parts(name, selection), workspace, selection)
        return distinct_tables(own), distinct_tables(others)
    evidence = _distinct([(_as_one(source, workspace, selection, progress), source) for source in (*sources, *against)])
    chosen = [one.by_standing[0] if one.by_standing and not published else None for one in evidence]
    measured = [one for one in chosen if one is not None]
    found = iter(measured_tables(measured, replace(selection, only_common=True), progress) if measured else ())
    tables = [
        next(found) if cells is not None else require_published(one, selection, published=published)
        for one, cells in zip(evidence, chosen, strict=True)
    ]
    return [*own, *tables[: len(sources)]], [*others, *tables[len(sources) :]]


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
    parts = _parts(source, selection)
    if len(parts) < 2:
        return find_evidence(source, workspace, progress)
    found = find_seeds(parts, workspace, progress)
    if len(found) > 1:
        message = f"{source}: {found[1].name} has no results that can be rows of one table"
        hint = "join only folders of results by commas"
        raise UsageError(message, code="option-value", hint=hint, option="SOURCE", value=source)
    return found[0]


def _parts(source: str, selection: Selection) -> list[str]:
    """The source; if rows are seeds, the sources in it that are joined by commas."""
    if not selection.rows_are_seeds or Path(source).exists():
        return [source]
    return [part for part in source.split(",") if part]


def _tables_of_csv(
    sources: Sequence[str], workspace: Workspace | None, selection: Selection
) -> tuple[list[ScoreTable], list[str]]:
    """The tables in CSV files that `mixhub results` printed, and the other sources."""
    tables: list[ScoreTable] = []
    others = []
    for source in sources:
        found = read_tables(Path(source), workspace, selection)
        tables += found or ()
        others += [source] if found is None else []
    return tables, others


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
