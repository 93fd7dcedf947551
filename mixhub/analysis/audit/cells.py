"""A measured cell as the rules of an audit see it: its accuracies, and how many documents they are shares of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from mixhub.analysis.audit.stderrs import accuracy_stderr
from mixhub.spec import Task
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record

PLAIN = ("acc", "acc_norm")
"""Metrics that are a share of right documents."""

_RELATIVE = 1e-6
"""What errors of floating-point arithmetic stay below, in standard errors and whole numbers."""
_WHOLE = 1e-7
"""How near to a whole number, relatively, a number of documents must be that a standard error implies."""
_FULL_DIGITS = 8
"""A cell whose figures all have fewer digits than these was rounded when it was written."""


@dataclass(frozen=True)
class AuditCell:
    """A record with what is known of its documents."""

    record: Record
    """As it was read."""
    task: Task | None
    """The task of the suite; None where the suite has no such task."""
    figures: Mapping[str, float]
    """`acc` and `acc_norm`, fractions."""
    leeway: float
    """Half a unit of the last digit where the file holds rounded figures, else 0."""
    documents: int | None
    """That were evaluated, where it is known."""
    origin: Literal["file", "suite", "stderr", "unknown"]
    """What tells the number of documents."""

    @classmethod
    def of(cls, record: Record, task: Task | None) -> AuditCell:
        """The cell of a record: how many documents its file, the suite or its standard errors say."""
        figures = {name: value for name, value in record.metrics.items() if name.partition(",")[0] in PLAIN}
        leeway = _leeway((*record.metrics.values(), *record.stderrs.values()))
        if isinstance(record.documents, int):
            return cls(record, task, figures, leeway, record.documents, "file")
        if record.limit is None and task is not None and task.documents is not None:
            return cls(record, task, figures, leeway, task.documents, "suite")
        cell = cls(record, task, figures, leeway, None, "unknown")
        whole = {round(n) for n in cell.implied.values() if is_whole_number(n)}
        return cls(record, task, figures, leeway, whole.pop(), "stderr") if len(whole) == 1 else cell

    @cached_property
    def implied(self) -> dict[str, float]:
        """By metric, the number of documents that follows from its standard error, where both are written in full."""
        if self.leeway:
            return {}
        stderrs = {metric: self.record.stderrs.get(metric) for metric in self.figures}
        return {
            metric: value * (1 - value) / stderr**2 + 1
            for metric, value in self.figures.items()
            if 0 < value < 1 and (stderr := stderrs[metric])
        }

    @property
    def name(self) -> str:
        """As `piqa 5-shot of seed-1`, with the model where the revision is not known."""
        revision = self.record.model if self.record.revision == UNKNOWN else self.record.revision
        return f"{self.place} of {revision}"

    @property
    def place(self) -> str:
        """As `piqa 5-shot`."""
        return f"{self.record.task} {self.record.num_fewshot}-shot"

    @property
    def is_testable(self) -> bool:
        """Whether its number of documents is known, and its accuracies are shares of them."""
        if self.documents is None:
            return False
        return self.task is not None or any(self.stderr_fits(metric) for metric in self.figures)

    def is_whole(self, metric: str) -> bool:
        """Whether a metric is a whole number of documents."""
        assert self.documents is not None
        right = self.figures[metric] * self.documents
        return abs(right - round(right)) <= self.leeway * self.documents + _RELATIVE

    def stderr_fits(self, metric: str) -> bool:
        """Whether a metric has a standard error, and the one that follows from its value."""
        stderr = self.record.stderrs.get(metric)
        if stderr is None or self.documents is None or self.documents < 2:
            return False
        low, high = (min(1.0, max(0.0, self.figures[metric] + sign * self.leeway)) for sign in (-1, 1))
        ends = [accuracy_stderr(100 * end, self.documents) / 100 for end in (low, high)]
        most = accuracy_stderr(50.0, self.documents) / 100 if low < 0.5 < high else max(ends)
        slack = self.leeway + _RELATIVE * most
        return min(ends) - slack <= stderr <= most + slack


def is_whole_number(number: float) -> bool:
    """Whether a number of documents is whole but for rounding."""
    return abs(number - round(number)) < _WHOLE * number


def _leeway(figures: Iterable[float]) -> float:
    """Half a unit of the last digit; 0 where some figure is written in full."""
    digits = max((len(repr(value).partition(".")[2]) for value in figures if "e" not in repr(value)), default=0)
    return 0.0 if digits > _FULL_DIGITS else 0.5 * 10**-digits
