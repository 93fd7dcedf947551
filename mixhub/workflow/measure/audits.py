"""An audit: whether published or measured scores are consistent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.analysis.published.reading import read_published, table_file
from mixhub.analysis.published.table import PublishedTable, published_table
from mixhub.errors import ResultsError, UsageError
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.workflow.inputs import WorkspaceLike, find_family, workspace_if_given
from mixhub.workflow.measure.tables import default_source

if TYPE_CHECKING:
    from mixhub.analysis.audit.report import Audit
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace

_DEFAULT_SUITE = "human-1b"
"""The suite for files without a named family; its numbers of documents are known."""


@dataclass(frozen=True)
class Audited:
    """An audit, and what it was made with."""

    audit: Audit
    suite: Family
    table: PublishedTable | None
    """The published table; None for measured cells."""
    is_of_suite: bool = True
    """Whether it is the family's own table, or has a column for each task of the suite."""


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
    """Check whether published or measured scores are consistent.

    Args:
        source: a family with published scores, a card (.md), a table (.csv, .tsv), or results (a folder, .json);
            default: the workspace's family.
        workspace: the workspace with further families, and with the results of families without published scores.
        suite: the family whose suite a file belongs to; default: the workspace's, else human-1b.
        runs: runs that each published figure is the mean of; default: as many as the suite has shot counts, for a table
            of all its tasks; 1 for other tables.
        most_runs: the largest number of runs to consider; default: 6, or `runs`.
        run_decimals: decimals to which each run's accuracy, a fraction, was rounded before the mean; default: no
            rounding.
        progress: shows the files of measured cells.

    Raises:
        UsageError: there is no source, or an option does not apply to it.
        UnknownNameError: there is no such family.
        ResultsError: there are no scores, or they cannot be read.
    """
    workspace = workspace_if_given(workspace)
    family, scores = _find_scores(source, suite, workspace)
    tasks = family.evaluation.tasks
    if isinstance(scores, PublishedTable):
        from mixhub.analysis.audit.tables import audit

        is_of_suite = table_file(source or "") is None or set(scores.tasks) >= set(tasks)
        if runs is None:
            runs = len(family.evaluation.num_fewshot) if is_of_suite else 1
        report = audit(scores, runs=runs, most_runs=most_runs, run_decimals=run_decimals, tasks=tasks)
        return Audited(report, family, scores, is_of_suite)
    from mixhub.analysis.audit.records import audit_records
    from mixhub.analysis.lm_eval_files import read_outputs

    options = {"--runs": runs, "--most-runs": most_runs, "--run-decimals": run_decimals}
    if wrong := [name for name, value in options.items() if value is not None]:
        message = f"{' and '.join(wrong)}: only for published scores, but {scores} has measured cells of one run each"
        raise UsageError(message, code="option-conflict", hint="omit the option", options=tuple(wrong))
    outputs = read_outputs([scores], progress)
    report = audit_records(outputs.records, tasks)
    return Audited(replace(report, notes=(*outputs.notes, *report.notes)), family, None)


def _find_scores(
    source: str | None, suite: str | None, workspace: Workspace | None
) -> tuple[Family, PublishedTable | Path]:
    """The suite, and the published table or the folder of measured cells."""
    names = workspace.family_names() if workspace else catalog.names()
    path = Path(source or "")
    table = table_file(source or "")
    if source is None or source in names or not (path.exists() or table or len(path.parts) > 1):
        return _family_scores(source, suite, workspace)
    family = find_family(workspace, suite or (workspace.config.family if workspace else _DEFAULT_SUITE))
    if table is not None:
        return family, read_published(table[0], family.evaluation.tasks, table[1])
    return family, path


def _family_scores(
    name: str | None, suite: str | None, workspace: Workspace | None
) -> tuple[Family, PublishedTable | Path]:
    """A family's published scores, else its results in the workspace."""
    if name is not None and suite not in (None, name):
        message = f"--suite = {suite!r}: {name} has its own suite"
        raise UsageError(message, code="option-conflict", hint="omit --suite", options=("SOURCE", "--suite"))
    name = name or suite or default_source(workspace, "mixhub audit human-1b")
    family = find_family(workspace, name)
    if (table := published_table(family)) is not None:
        return family, table
    if workspace is not None and (results := workspace.path("results", family.name)).is_dir():
        return family, results
    message = f"{family.name}: has neither published scores nor results in a workspace"
    raise ResultsError(
        message, code="scores-missing", hint="pass a card, a table or a folder of results", family=family.name
    )
