"""Tables of validation losses: runs × domains, at one step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from mixhub.analysis.building import over_each_seed
from mixhub.analysis.losses.logs import Curve, Curves
from mixhub.analysis.losses.runs import LossRuns, find_losses, find_seed_losses
from mixhub.analysis.scores import ALL_TEXT, LOSS, OVERALL, Column, Score, ScoreRow, average
from mixhub.analysis.selection import Selection, select_columns
from mixhub.analysis.tables import ScoreTable, mixed_steps
from mixhub.errors import UsageError
from mixhub.phrases import listed
from mixhub.workspace.paths import Workspace

if TYPE_CHECKING:
    import pandas


def loss_tables(
    sources: Sequence[str], workspace: Workspace | None = None, selection: Selection | None = None
) -> list[ScoreTable]:
    """Build the tables of validation losses of families and of logs, in nats per token.

    Args:
        sources: families by name, or files or folders with logs.
        workspace: the workspace with the families.
        selection: the step, the domains as `tasks`, and whether rows are seeds, so that all logs are in one table.

    Raises:
        UnknownNameError: there is no such source or domain.
        UsageError: no run was validated at the step.
        ResultsError, RunError: as `find_losses`.
    """
    selection = selection or Selection(measure=LOSS)
    if selection.rows_are_seeds:
        return [loss_table(runs, selection) for runs in find_seed_losses(sources, workspace)]
    return [loss_table(runs, selection) for source in sources for runs in find_losses(source, workspace)]


def loss_table(runs: LossRuns, selection: Selection) -> ScoreTable:
    """Build the table of the runs of one family or name; raises as `loss_tables`."""
    domains = list(dict.fromkeys(domain for curves in runs.runs.values() for domain in curves))
    is_split = len(domains) > 1
    columns = [
        Column(
            domain,
            ALL_TEXT if domain == OVERALL else domain,
            (),
            scale=1.0 if domain == OVERALL and is_split else 100.0,
        )
        for domain in domains
    ]
    columns = select_columns(columns, replace(selection, only_common=False, num_fewshot=None))
    at = {revision: _steps(curves, columns, selection.step) for revision, curves in runs.runs.items()}
    if not any(
        step in curve for r, curves in runs.runs.items() for d, step in at[r].items() if (curve := curves.get(d))
    ):
        raise _no_such_step(runs, selection)
    rows = [_row(revision, columns, curves, at[revision]) for revision, curves in runs.runs.items()]
    steps = {column.task: tuple(dict.fromkeys(at[revision][column.task] for revision in at)) for column in columns}
    reasons = {task: mixed_steps(own) for task, own in steps.items()}
    kind = "seed" if selection.rows_are_seeds else runs.kind
    return ScoreTable(
        name=runs.name,
        standing="measured",
        measure=LOSS,
        kind=kind,
        columns=tuple(columns),
        rows=tuple(rows),
        over_seeds=over_each_seed(kind, columns, rows, reasons),
        notes=(*runs.notes, *_notes(columns, at)),
        steps=MappingProxyType(steps),
        text=runs.text,
        origins=runs.origins,
    )


def losses_frame(runs: Sequence[LossRuns]) -> pandas.DataFrame:
    """A row per validation: name, revision, domain, step, loss (nats per token)."""
    import pandas as pd

    lines = [
        {"name": one.name, "revision": revision, "domain": domain, "step": step, "loss": loss}
        for one in runs
        for revision, curves in one.runs.items()
        for domain, curve in curves.items()
        for step, loss in _ordered(curve)
    ]
    return pd.DataFrame(lines, columns=["name", "revision", "domain", "step", "loss"])


def _ordered(curve: Curve) -> list[tuple[int | None, float]]:
    return sorted(curve.items(), key=lambda point: -1 if point[0] is None else point[0])


def _steps(curves: Curves, columns: Sequence[Column], step: int | None) -> dict[str, int | None]:
    """The step of each domain's figure: the given one, or the domain's last."""
    last = {domain: _ordered(curve)[-1][0] for domain, curve in curves.items()}
    return {column.task: last.get(column.task) if step is None else step for column in columns}


def _row(revision: str, columns: Sequence[Column], curves: Curves, at: Mapping[str, int | None]) -> ScoreRow:
    scores = {column.task: _score(curves.get(column.task, {}), at[column.task]) for column in columns}
    averaged = [column.task for column in columns if column.is_averaged]
    mean = average([scores[task] for task in averaged], (), allow_incomplete=False, measure=LOSS)
    if mean.value is not None and (reason := mixed_steps([at[task] for task in averaged])):
        mean = replace(mean, value=None, reason=reason)
    return ScoreRow(revision, MappingProxyType(scores), mean)


def _score(curve: Curve, step: int | None) -> Score:
    if step not in curve:
        return Score(None, 0, 1, f"not at step {step}" if curve and step is not None else "no loss")
    value = curve[step]
    return Score(value, 1, 1) if math.isfinite(value) else Score(None, 0, 1, f"{value}")


def _notes(columns: Sequence[Column], at: Mapping[str, Mapping[str, int | None]]) -> Iterator[str]:
    if any(not column.is_averaged for column in columns):
        yield "not in the average: All text, which the log has beside the domains"
    for steps in {tuple(sorted({str(step) for step in own.values()})) for own in at.values()}:
        if len(steps) > 1:
            yield f"the last losses of the domains are of steps {listed(steps, most=4)}"


def _no_such_step(runs: LossRuns, selection: Selection) -> UsageError:
    steps = sorted({s for curves in runs.runs.values() for curve in curves.values() for s in curve if s is not None})
    known = listed([f"{step}" for step in steps], most=8) if steps else "unknown steps"
    return UsageError(
        f"--step = {selection.step}: {runs.name} has no validation loss at this step; it has {known}",
        code="option-value",
        hint="choose one of them, or omit --step for the last",
        option="--step",
        value=selection.step,
    )
