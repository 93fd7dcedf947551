"""`mixhub audit`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import JsonOption, WorkspaceOption, workspace_if_any

if TYPE_CHECKING:
    from mixhub.analysis.audit.report import Audit
    from mixhub.analysis.published.table import PublishedTable
    from mixhub.workflow import Audited


class Format(StrEnum):
    """How an audit is printed."""

    TABLE = "table"
    JSON = "json"


SourceArgument = Annotated[
    str | None,
    typer.Argument(
        help="A family with published scores, a card (.md), a table (.csv, .tsv), or results (a folder, .json); "
        "else the workspace's family.",
        show_default=False,
    ),
]
SuiteOption = Annotated[
    str | None,
    typer.Option(
        "--suite",
        "--family",
        help="The family whose suite a file is of; else the workspace's, else human-1b.",
        metavar="NAME",
        show_default=False,
    ),
]
RunsOption = Annotated[
    int | None,
    typer.Option(
        help="Runs that each printed figure is the mean of; else as many as the suite has shot counts.",
        metavar="N",
        min=1,
        max=100,
        show_default=False,
    ),
]
MostRunsOption = Annotated[
    int | None,
    typer.Option(
        help="The largest number of runs to consider; else 6, or --runs.",
        metavar="N",
        min=1,
        max=100,
        show_default=False,
    ),
]
RunDecimalsOption = Annotated[
    int | None,
    typer.Option(
        help="Each run's accuracy, a fraction, was rounded to so many decimals before the mean; else to none.",
        metavar="N",
        min=1,
        max=5,
        show_default=False,
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print it.")]


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
    """Check what printed or measured scores allow, and say what does not fit; exit with 1 when something does not."""
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say_json

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
    if not audited.audit.fits:
        raise typer.Exit(1)


def _show(audited: Audited) -> None:
    from mixhub.cli.common.console import say
    from mixhub.phrases import plural

    audit, suite, table = audited.audit, audited.suite, audited.table
    say(f"{'printed scores' if table else 'measured scores'}: {audit.source}")
    say(f"suite: {suite.name} ({plural(len(suite.evaluation.tasks), 'task')}); another: --suite NAME")
    if table is not None:
        assert audit.runs is not None
        say(f"expected: {plural(audit.runs, 'run')} a score; another number: --runs N")
    say("\nassumed:")
    for assumption in audit.assumptions:
        say(f"- {assumption}")
    if table is not None:
        if audit.counts:
            _show_counts(audit, table)
        _show_rows(audit, table)
    for note in audit.notes:
        say(f"note: {note}")
    if audit.notes:
        say("")
    for finding in audit.findings:
        say(f"does not fit: {finding.message}  [{finding.code}]")
    say(_summary(audit))


def _show_counts(audit: Audit, table: PublishedTable) -> None:
    """The numbers of runs that are possible for each figure."""
    from mixhub.analysis.audit.report import counts_shown
    from mixhub.cli.common.console import show_figures

    columns = {counted.column: f"{counted.column} ({counted.documents:,})" for counted in audit.counts}
    figures = {
        (columns[counted.column], table.row_name(counted.row)): counts_shown(counted.possible, audit.most_runs)
        + ("" if counted.fits else "*")
        for counted in audit.counts
    }
    marked = f"; * it is not {audit.runs}" if audit.misfits else ""
    show_figures(
        list(columns.values()),
        [table.row_name(row.label) for row in table.rows],
        figures,
        title=f"\nruns that each figure can be the mean of, 1 to {audit.most_runs}{marked}",
        corner="task (documents)",
    )


def _show_rows(audit: Audit, table: PublishedTable) -> None:
    """What fits a row as a whole, and its average."""
    from mixhub.analysis.audit.report import counts_shown
    from mixhub.cli.common.console import show_table

    averages = {average.row: average for average in audit.averages}
    lines = []
    for row in audit.rows:
        average = averages.get(row.row)
        shown = counts_shown(row.counts, audit.most_runs) if row.figures else "-"
        luck = "-" if row.by_chance is None or not row.counts else f"{row.by_chance:.2%}"
        printed = "-" if average is None else f"{average.printed:.2f}"
        verdict = "-" if average is None else average.verdict
        lines.append((table.row_name(row.row), shown, luck, printed, verdict))
    titles = ["row", "runs that fit all of it", "would by chance", "average", "against its figures"]
    show_table(titles, lines)


def _summary(audit: Audit) -> str:
    from mixhub.phrases import plural

    if audit.fits:
        return f"nothing that does not fit: {audit.figures:,} figures, {audit.testable:,} testable"
    said = []
    if audit.misfits:
        means = "run" if audit.runs == 1 else f"mean of {audit.runs} runs"
        said.append(f"{len(audit.misfits):,} of {audit.testable:,} testable figures are no {means}")
        said.append(f"rows fit {_fitting(audit)} runs")
    elif audit.counts:
        said.append(f"{audit.figures:,} figures, {audit.testable:,} testable")
    others = sum(finding.code not in ("figure-impossible", "runs-unfit") for finding in audit.findings)
    if others:
        said.append(plural(others, "other finding" if audit.misfits else "finding"))
    return "; ".join(said)


_NAMED_ROWS = 10
"""So many rows are named one by one."""


def _fitting(audit: Audit) -> str:
    """What fits the rows, in their order; of many rows, how often."""
    shown = [" or ".join(map(str, row.counts)) or "none" for row in audit.rows if row.figures]
    if len(shown) <= _NAMED_ROWS:
        return ", ".join(shown)
    return ", ".join(f"{text} ({shown.count(text)} rows)" for text in dict.fromkeys(shown))


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
