"""The audit of a card's scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from mixhub.analysis.audit.records import audit_records
from mixhub.analysis.audit.report import Audit
from mixhub.analysis.audit.tables import audit
from mixhub.analysis.published.table import published_table
from mixhub.card.facts.scores import Scores
from mixhub.card.markdown.text import listed

_RUN_DECIMALS = 4
"""Decimals to which lm-eval prints an accuracy, as a fraction."""


def audit_scores(scores: Scores) -> dict[str, Any] | None:
    """Return an audit of measured or published scores, as the template of the section shows it; None if not audited.

    The samples are left to `mixhub audit`, which reads them.
    """
    family = scores.facts.family
    if scores.standing == "measured":
        records = [record for own in scores.table.records.values() for record in own]
        cells = [replace(record, path=Path(record.path.name), samples=None) for record in records]  # no local path
        return {"of": "measured", "report": audit_records(cells, family.evaluation.tasks)}
    printed = published_table(family)
    if scores.standing != "published" or printed is None or not scores.table.rows:
        return None
    revisions = {row.revision for row in scores.table.rows}
    table = replace(printed, rows=tuple(row for row in printed.rows if row.label in revisions))
    runs, tasks = len(family.evaluation.num_fewshot), family.evaluation.tasks
    report = audit(table, runs=runs, tasks=tasks)
    rounded = audit(table, runs=runs, tasks=tasks, run_decimals=_RUN_DECIMALS)
    return {
        "of": "published",
        "report": report,
        "runs": runs,
        "averages": _averages(report),
        "rounded_misfits": len(rounded.misfits),
    }


def _averages(report: Audit) -> str | None:
    """Return how the printed averages compare with their rows; None if none was recomputed."""
    recomputed = [average for average in report.averages if average.computed is not None]
    if not recomputed:
        return None
    wrong = [average.row for average in recomputed if average.verdict == "does not fit"]
    if wrong:
        return f"is the plain mean of its row, except that of {listed(wrong)}"
    exact = all(average.verdict == "equal to the last digit" for average in recomputed)
    return "is the plain mean of its row, " + ("to the last digit" if exact else "within rounding")
