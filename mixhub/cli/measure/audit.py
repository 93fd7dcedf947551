"""`mixhub audit`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.console import progress, say, say_json, say_wrapped, show_figures, show_table
from mixhub.cli.common.options import JsonOption, WorkspaceOption, workspace_if_any
from mixhub.findings import exit_status
from mixhub.phrases import plural

if TYPE_CHECKING:
    from mixhub.analysis.audit.report import Audit
    from mixhub.analysis.published.table import PublishedTable
    from mixhub.workflow import Audited


class Format(StrEnum):
    """Output formats."""

    TABLE = "table"
    JSON = "json"


_SOURCE = (
    "A family, a card (.md), a table (.csv, .tsv), or results (a folder, .json). [default: the workspace's family]"
)
SourceArgument = Annotated[str | None, typer.Argument(help=_SOURCE, metavar="SOURCE")]
_SUITE = "Family whose suite the scores in a file belong to. [default: the workspace's, otherwise human-1b]"
SuiteOption = Annotated[str | None, typer.Option("--suite", "--family", help=_SUITE, metavar="NAME")]
_RUNS = (
    "Number of runs that each published figure is the mean of. "
    "[default: 1; for a table that covers the suite, its number of shot counts]"
)
RunsOption = Annotated[int | None, typer.Option(help=_RUNS, metavar="N", min=1, max=100)]
_MOST_RUNS = "Largest number of runs to consider. [default: 6, or --runs if larger]"
MostRunsOption = Annotated[int | None, typer.Option(help=_MOST_RUNS, metavar="N", min=1, max=100)]
_DECIMALS = "Decimals that each run's accuracy, a fraction, was rounded to before averaging. [default: not rounded]"
RunDecimalsOption = Annotated[int | None, typer.Option(help=_DECIMALS, metavar="N", min=1, max=5)]
FormatOption = Annotated[Format, typer.Option("--format", help="Output format.")]


def audit(
    source: SourceArgument = None,
    suite: SuiteOption = None,
    runs: RunsOption = None,
    most_runs: MostRunsOption = None,
    run_decimals: RunDecimalsOption = None,
    form: FormatOption = Format.TABLE,
    as_json: JsonOption = False,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Check whether published or measured scores are consistent; exit with 1 if any are not."""
    from mixhub import workflow

    as_json = as_json or form is Format.JSON
    audited = workflow.audit(
        source,
        workspace=workspace_if_any(workspace_dir),
        suite=suite,
        runs=runs,
        most_runs=most_runs,
        run_decimals=run_decimals,
        progress=progress(as_json=as_json),
    )
    if as_json:
        say_json(_data(audited))
    else:
        _show(audited)
    if status := exit_status(audited.audit.findings):
        raise typer.Exit(status)


def _show(audited: Audited) -> None:
    audit, suite, table = audited.audit, audited.suite, audited.table
    say(f"{'published scores' if table else 'measured scores'}: {audit.source}")
    say(f"suite: {suite.name} ({plural(len(suite.evaluation.tasks), 'task')}); to change it: --suite NAME")
    if table is not None and audit.runs is not None:
        why = "" if audited.is_of_suite else ", because the table does not cover the whole suite"
        say(f"expected: {plural(audit.runs, 'run')} per score{why}; to change it: --runs N")
    say("\nassumptions:")
    for assumption in audit.assumptions:
        say_wrapped(f"- {assumption}")
    if table is not None:
        _show_counts(audit, table)
    for note in audit.notes:
        say_wrapped(f"note: {note}")
    if audit.notes:
        say("")
    for finding in audit.findings:
        say(f"{'warning' if finding.level == 'warning' else 'does not fit'}: {finding.message}  [{finding.code}]")
    say(_summary(audit))


def _show_counts(audit: Audit, table: PublishedTable) -> None:
    """Print the possible numbers of runs of each figure, then those of each row, and its average."""
    from mixhub.analysis.audit.report import format_counts

    columns = {counted.column: f"{counted.column} ({counted.documents:,})" for counted in audit.counts}
    figures = {
        (columns[counted.column], table.row_name(counted.row)): format_counts(counted.possible, audit.most_runs)
        + ("" if counted.fits else "*")
        for counted in audit.counts
    }
    if figures:
        marked = f"; * not {audit.runs}" if audit.misfits else ""
        show_figures(
            list(columns.values()),
            [table.row_name(row.label) for row in table.rows],
            figures,
            title=f"\nruns that each figure can be the mean of, 1 to {audit.most_runs}{marked}",
            corner="task (documents)",
        )
    averages = {average.row: (f"{average.printed:.2f}", average.verdict) for average in audit.averages}
    lines = []
    for row in audit.rows:
        shown = format_counts(row.counts, audit.most_runs) if row.figures else "-"
        chance = "-" if row.by_chance is None or not row.counts else f"{row.by_chance:.2%}"
        lines.append((table.row_name(row.row), shown, chance, *averages.get(row.row, ("-", "-"))))
    show_table(["row", "runs that fit all of it", "chance of a fit", "average", "against its figures"], lines)


def _summary(audit: Audit) -> str:
    figures = f"{audit.figures:,} figures, {audit.testable:,} testable"
    if audit.fits:
        warnings = f"; {plural(len(audit.findings), 'warning')}" if audit.findings else ""
        return f"all figures fit: {figures}{warnings}"
    parts = []
    if audit.misfits:
        parts.append(f"{len(audit.misfits):,} of {audit.testable:,} testable figures {_are_no_means(audit)}")
        parts.append(_fitting_counts(audit))
    elif audit.counts:
        parts.append(figures)
    if others := sum(finding.code not in ("figure-impossible", "runs-unfit") for finding in audit.findings):
        parts.append(plural(others, "other finding" if audit.misfits else "finding"))
    return "; ".join(parts)


def _are_no_means(audit: Audit) -> str:
    if len(audit.misfits) == 1:
        return "is not a single run" if audit.runs == 1 else f"is not a mean of {audit.runs} runs"
    return "are not single runs" if audit.runs == 1 else f"are not means of {audit.runs} runs"


def _fitting_counts(audit: Audit) -> str:
    """The numbers of runs that fit rows, and how many rows each."""
    shown = Counter(" or ".join(map(str, row.counts)) or "none" for row in audit.rows if row.figures)
    return ", ".join(f"{plural(rows, 'row fits', 'rows fit')} {counts} runs" for counts, rows in shown.items())


def _data(audited: Audited) -> dict[str, Any]:
    """The audit as plain data."""
    audit = audited.audit
    head = {"fits": audit.fits, "summary": _summary(audit), "suite": audited.suite.name}
    head |= {"standing": "measured" if audited.table is None else "published"}
    findings = [
        finding.to_data() | {"row": "" if finding.where == audit.source else finding.where, "column": finding.about}
        for finding in audit.findings
    ]
    return head | asdict(audit) | {"findings": findings}
