"""What an audit does not find to fit, as a card says it: in plain words, with what was assumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mixhub.analysis.audit.records import audit_records
from mixhub.analysis.audit.report import Audit
from mixhub.analysis.audit.tables import audit
from mixhub.analysis.published.table import published_table
from mixhub.card.facts.scores import Scores
from mixhub.card.markdown.text import listed
from mixhub.spec.family import Family

_RUN_DECIMALS = 4
"""Decimals to which a harness prints an accuracy, as a fraction."""
_NAMED = 12
"""So many findings are told one by one."""


@dataclass(frozen=True)
class AuditFacts:
    """An audit of one table."""

    figures: int
    """Figures that were looked at."""
    testable: int
    """Those whose number of documents can tell something."""
    runs: int
    """Of how many runs each should be the mean."""
    misfits: int
    """Testable figures that so many runs do not fit."""
    rounded_misfits: int | None
    """Those of them that stay so if each run was rounded to four decimals first; None where that was not asked."""
    averages: str | None
    """How the averages compare with their rows; None where there are none."""
    findings: tuple[str, ...]
    """What does not fit, a sentence each; the first of many."""
    more: int
    """How many are left out."""
    assumptions: tuple[str, ...]
    """Under which that is so, a sentence each."""


def audit_published(family: Family, scores: Scores) -> AuditFacts | None:
    """What of the printed figures of these rows does not fit the family's suite."""
    printed = published_table(family)
    if printed is None:
        return None
    own = {row.revision for row in scores.table.rows}
    table = replace(printed, rows=tuple(row for row in printed.rows if row.label in own))
    runs = len(family.evaluation.num_fewshot)
    if not table.rows:
        return None
    rounded = audit(table, runs=runs, tasks=family.evaluation.tasks, run_decimals=_RUN_DECIMALS)
    found = _facts(audit(table, runs=runs, tasks=family.evaluation.tasks), runs)
    return replace(found, rounded_misfits=len(rounded.misfits))


def audit_measured(family: Family, scores: Scores) -> AuditFacts:
    """What of the cells behind these scores does not fit. Samples are left to `mixhub audit`, which reads them."""
    cells = [
        replace(record, path=Path(record.path.name), samples=None)  # a card names no path of a machine
        for own in scores.table.records.values()
        for record in own
    ]
    return _facts(audit_records(cells, family.evaluation.tasks), 1)


def _facts(found: Audit, runs: int) -> AuditFacts:
    messages = [finding.message for finding in found.findings]
    return AuditFacts(
        figures=found.figures,
        testable=found.testable,
        runs=runs,
        misfits=len(found.misfits),
        rounded_misfits=None,
        averages=_averages(found),
        findings=tuple(f"{message}." for message in messages[:_NAMED]),
        more=max(0, len(messages) - _NAMED),
        assumptions=found.assumptions,
    )


def _averages(found: Audit) -> str | None:
    recomputed = [average for average in found.averages if average.computed is not None]
    if not recomputed:
        return None
    wrong = [average.row for average in recomputed if average.verdict == "does not fit"]
    if not wrong:
        exact = all(average.verdict == "equal to the last digit" for average in recomputed)
        return "is the plain mean of its row, " + ("to the last digit" if exact else "within rounding")
    return f"is the plain mean of its row, but for {listed(wrong)}"
