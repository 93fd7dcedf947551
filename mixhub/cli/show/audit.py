"""`mixhub audit`."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mixhub.cli.common.options import WorkspaceOption, workspace_if_any

if TYPE_CHECKING:
    from mixhub.analysis.audit.report import Audit
    from mixhub.analysis.published.table import PublishedTable
    from mixhub.spec.family import Family
    from mixhub.workspace.paths import Workspace

_USUAL_SUITE = "human-1b"
"""The suite that files are read by when no family is named: the numbers of its documents are known."""


class Format(StrEnum):
    """How an audit is printed."""

    TABLE = "table"
    JSON = "json"


def audit(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A family with published scores, a card (.md), a table (.csv, .tsv), or results (a folder, .json); "
            "else the workspace's family.",
            show_default=False,
        ),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            "--family",
            help="The family whose suite a file is of; else the workspace's, else human-1b.",
            metavar="NAME",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            help="Runs that each printed figure is the mean of; else as many as the suite has shot counts.",
            metavar="N",
            min=1,
            max=100,
            show_default=False,
        ),
    ] = None,
    most_runs: Annotated[
        int | None,
        typer.Option(
            help="The largest number of runs to consider; else 6, or --runs.",
            metavar="N",
            min=1,
            max=100,
            show_default=False,
        ),
    ] = None,
    run_decimals: Annotated[
        int | None,
        typer.Option(
            help="Each run's accuracy, a fraction, was rounded to so many decimals before the mean; else to none.",
            metavar="N",
            min=1,
            max=5,
            show_default=False,
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    workspace: WorkspaceOption = None,
) -> None:
    """Check what printed or measured scores allow, and say what does not fit; exit with 1 when something does not."""
    from mixhub.cli.common.console import say

    found = _audited(source, suite, workspace_if_any(workspace), runs, most_runs, run_decimals)
    if form is Format.JSON:
        say(json.dumps(_data(found), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show(found)
    if not found.audit.fits:
        raise typer.Exit(1)


class _Audited(NamedTuple):
    """An audit, and what it was made with."""

    audit: Audit
    suite: Family
    table: PublishedTable | None
    """None for measured cells."""


def _audited(
    source: str | None,
    suite_name: str | None,
    place: Workspace | None,
    runs: int | None,
    most_runs: int | None,
    run_decimals: int | None,
) -> _Audited:
    from mixhub.analysis.audit.tables import audit
    from mixhub.errors import UsageError

    suite, found = _found(source, suite_name, place)
    tasks, shots = suite.evaluation.tasks, suite.evaluation.num_fewshot
    if isinstance(found, Path):
        given = {"--runs": runs, "--most-runs": most_runs, "--run-decimals": run_decimals}
        if wrong := [name for name, value in given.items() if value is not None]:
            raise UsageError(
                f"{' and '.join(wrong)}: only for printed scores, and {found} holds measured cells, each of one run",
                hint="leave it out",
            )
        return _Audited(_measured(found, suite), suite, None)
    runs = len(shots) if runs is None else runs
    return _Audited(audit(found, runs=runs, most_runs=most_runs, run_decimals=run_decimals, tasks=tasks), suite, found)


def _found(source: str | None, suite_name: str | None, place: Workspace | None) -> tuple[Family, PublishedTable | Path]:
    """The suite, and the printed table or the place of measured cells that SOURCE means."""
    from mixhub.analysis.published.reading import read_published, table_file
    from mixhub.analysis.published.table import require_columns
    from mixhub.errors import UsageError
    from mixhub.spec import catalog

    names = place.family_names() if place else catalog.names()
    path = Path(source or "")
    table = table_file(source or "")
    if source is None or source in names or not (path.exists() or table or len(path.parts) > 1):
        return _of_family(source, suite_name, place)
    suite = _family(suite_name or (place.config.family if place else _USUAL_SUITE), place)
    if table is not None:
        printed = read_published(table[0], suite.evaluation.tasks, table[1])
        if suite_name is not None:
            require_columns(printed, suite.evaluation.tasks)
        return suite, printed
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", hint="give a card, a table, or a folder of results")
    return suite, path


def _of_family(
    name: str | None, suite_name: str | None, place: Workspace | None
) -> tuple[Family, PublishedTable | Path]:
    """A family's published scores; where it has none, its results in the workspace."""
    from mixhub.analysis.published.table import published_table
    from mixhub.errors import ResultsError, UsageError
    from mixhub.spec import catalog

    if name is not None and suite_name is not None and name != suite_name:
        raise UsageError(f"--suite = {suite_name!r}: {name} has a suite of its own", hint="leave --suite out")
    if name is None and suite_name is None and place is None:
        known = ", ".join(catalog.names())
        raise UsageError("which scores? No workspace is here, and none is named", hint=f"mixhub audit NAME, of {known}")
    family = _family(name or suite_name or (place.config.family if place else _USUAL_SUITE), place)
    table = published_table(family)
    if table is not None:
        return family, table
    if place is not None and (results := place.path("results", family.name)).is_dir():
        return family, results
    raise ResultsError(
        f"{family.name}: has no published scores" + (", and no results in the workspace" if place else ""),
        hint="name a card (.md), a table (.csv), or a folder of results",
    )


def _family(name: str, place: Workspace | None) -> Family:
    from mixhub.spec import catalog

    return place.family(name) if place else catalog.get(name)


def _measured(path: Path, suite: Family) -> Audit:
    from mixhub.analysis.audit.records import audit_records
    from mixhub.analysis.lm_eval_files import read_outputs
    from mixhub.cli.common.console import progress

    return audit_records(read_outputs([path], progress()).records, suite.evaluation.tasks)


def _show(found: _Audited) -> None:
    from mixhub.cli.common.console import counted, say

    audit, suite, table = found
    say(f"{'printed scores' if table else 'measured scores'}: {audit.source}")
    say(f"suite: {suite.name} ({counted(len(suite.evaluation.tasks), 'task')}); another: --suite NAME")
    if table is not None:
        assert audit.runs is not None
        say(f"expected: {counted(audit.runs, 'run')} a score; another number: --runs N")
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
    from mixhub.cli.common.console import counted

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
        said.append(counted(others, "other finding" if audit.misfits else "finding"))
    return "; ".join(said)


_NAMED_ROWS = 10
"""So many rows are named one by one."""


def _fitting(audit: Audit) -> str:
    """What fits the rows, in their order; of many rows, how often."""
    shown = [" or ".join(map(str, row.counts)) or "none" for row in audit.rows if row.figures]
    if len(shown) <= _NAMED_ROWS:
        return ", ".join(shown)
    return ", ".join(f"{text} ({shown.count(text)} rows)" for text in dict.fromkeys(shown))


def _data(found: _Audited) -> dict[str, Any]:
    """The audit as plain data."""
    audit = found.audit
    head = {"fits": audit.fits, "summary": _summary(audit), "suite": found.suite.name}
    head |= {"standing": "measured" if found.table is None else "published"}
    return head | asdict(audit) | {"findings": [finding.to_data() for finding in audit.findings]}
