"""An audit: what printed or measured scores allow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import PublishedTable, published_table, require_columns
from mixhub.errors import ResultsError, UsageError
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.workflow.inputs import WorkspaceLike, find_family, workspace_if_given

if TYPE_CHECKING:
    from mixhub.analysis.audit.report import Audit
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace

_USUAL_SUITE = "human-1b"
"""The suite that files are read by when no family is named: the numbers of its documents are known."""


@dataclass(frozen=True)
class Audited:
    """An audit, and what it was made with."""

    audit: Audit
    suite: Family
    table: PublishedTable | None
    """The printed table; None for measured cells."""


def audit(
    source: str | None = None,
    *,
    workspace: WorkspaceLike | None = None,
    suite: str | None = None,
    runs: int | None = None,
    most_runs: int | None = None,
    run_decimals: int | None = None,
    progress: Progress = SILENT,
) -> Audited:
    """Checks what printed or measured scores allow.

    Args:
        source: a family with published scores, a card (.md), a table (.csv, .tsv), or results (a folder, .json); None:
            the workspace's family.
        workspace: its families are known by name, and its results are read if a family has no published scores.
        suite: the family whose suite a file belongs to; None: the workspace's, else human-1b.
        runs: runs that each printed figure is the mean of; None: as many as the suite has shot counts.
        most_runs: the largest number of runs to consider; None: 6, or `runs`.
        run_decimals: each run's accuracy, a fraction, was rounded to so many decimals before the mean; None: to none.
        progress: shows the files of measured cells.

    Raises:
        UsageError: no scores are named, or an option does not go with what is audited.
        UnknownNameError: there is no such family.
        ResultsError: there are no scores, or they cannot be read.
    """
    from mixhub.analysis.audit.tables import audit

    workspace = workspace_if_given(workspace)
    family, scores = _find_scores(source, suite, workspace)
    tasks, shots = family.evaluation.tasks, family.evaluation.num_fewshot
    if isinstance(scores, Path):
        given = {"--runs": runs, "--most-runs": most_runs, "--run-decimals": run_decimals}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise UsageError(
                f"{' and '.join(wrong)}: only for printed scores, and {scores} holds measured cells, each of one run",
                code="option-conflict",
                hint="leave it out",
                options=tuple(wrong),
            )
        return Audited(_measured(scores, family, progress), family, None)
    runs = len(shots) if runs is None else runs
    report = audit(scores, runs=runs, most_runs=most_runs, run_decimals=run_decimals, tasks=tasks)
    return Audited(report, family, scores)


def _find_scores(
    source: str | None, suite: str | None, workspace: Workspace | None
) -> tuple[Family, PublishedTable | Path]:
    """The suite, and the printed table or the place of measured cells that the source means."""
    names = workspace.family_names() if workspace else catalog.names()
    path = Path(source or "")
    table = table_file(source or "")
    if source is None or source in names or not (path.exists() or table or len(path.parts) > 1):
        return _of_family(source, suite, workspace)
    family = find_family(workspace, suite or (workspace.config.family if workspace else _USUAL_SUITE))
    if table is not None:
        printed = read_published(table[0], family.evaluation.tasks, table[1])
        if suite is not None:
            require_columns(printed, family.evaluation.tasks)
        return family, printed
    if not path.exists():
        raise UsageError(
            f"{path}: no such file or folder",
            code="file-missing",
            hint="give a card, a table, or a folder of results",
            path=path,
        )
    return family, path


def _of_family(
    name: str | None, suite: str | None, workspace: Workspace | None
) -> tuple[Family, PublishedTable | Path]:
    """A family's published scores; where it has none, its results in the workspace."""
    if name is not None and suite is not None and name != suite:
        raise UsageError(
            f"--suite = {suite!r}: {name} has a suite of its own",
            code="option-conflict",
            hint="leave --suite out",
            options=("SOURCE", "--suite"),
        )
    if name is None and suite is None and workspace is None:
        known = ", ".join(catalog.names())
        raise UsageError(
            "which scores? No workspace is here, and none is named",
            code="option-missing",
            hint=f"mixhub audit NAME, of {known}",
            option="SOURCE",
        )
    family = find_family(workspace, name or suite or (workspace.config.family if workspace else _USUAL_SUITE))
    table = published_table(family)
    if table is not None:
        return family, table
    if workspace is not None and (results := workspace.path("results", family.name)).is_dir():
        return family, results
    raise ResultsError(
        f"{family.name}: has no published scores" + (", and no results in the workspace" if workspace else ""),
        code="scores-missing",
        hint="name a card (.md), a table (.csv), or a folder of results",
        family=family.name,
    )


def _measured(path: Path, suite: Family, progress: Progress) -> Audit:
    from mixhub.analysis.audit.records import audit_records
    from mixhub.analysis.lm_eval_files import read_outputs

    return audit_records(read_outputs([path], progress).records, suite.evaluation.tasks)
