"""What is known of a metric of lm-eval or of mixhub: its identity, range, direction and standard error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from mixhub.analysis.every_eval_ever.schema import MetricConfig, StandardError
from mixhub.workspace.records import ACCURACIES, ANSWER_PROBABILITY, BITS_PER_BYTE, Record

_IDS = {"acc": "accuracy", "exact_match": "exact-match", "f1": "f1", "perplexity": "perplexity", "bleu": "bleu"}
"""Metrics with a name of their own in Every Eval Ever; others are named after the harness."""
_KINDS = {
    r"acc(_\w+)?|exact_match|mc[12]": "accuracy",
    r"f1": "f1",
    r"(word_|byte_)?perplexity": "perplexity",
    r"bits_per_byte": "compression_rate",
    r"brier_score": "brier_score",
    r"bleu|chrf|rouge\w*": "text_overlap",
}
_RANGES: dict[str, tuple[float, float]] = {
    r"acc(_\w+)?|exact_match|f1|mc[12]|answer_probability|rouge\w*": (0, 1),
    r"mcc": (-1, 1),
    r"brier_score": (0, 2),
    r"bleu|chrf": (0, 100),
    r"bits_per_byte|ter": (0, float("inf")),
    r"(word_|byte_)?perplexity": (1, float("inf")),
}
_LOWER_IS_BETTER = re.compile(r"(word_|byte_)?perplexity|bits_per_byte|brier_score|ter|wer|\w*loss")
_MEANS = frozenset({"mean", "acc_all"})
"""Aggregations whose standard error lm-eval computes in closed form."""
_BOOTSTRAPPED = frozenset(
    {"bleu", "chrf", "chrf++", "f1", "matthews_corrcoef", "median", "nanmean", "perplexity", "ter"}
)
"""Aggregations whose standard error lm-eval bootstraps."""


def metric_config(record: Record, metric: str, value: float, task: Mapping[str, Any]) -> MetricConfig:
    """What a metric of a cell is.

    Args:
        record: the cell.
        metric: its name; a filter follows after a comma.
        value: its value; outside the usual range of its name, the range is unknown.
        task: what the results file has of the task.
    """
    name, _, used = metric.partition(",")
    low, high = next((ends for names, ends in _RANGES.items() if re.fullmatch(names, name)), (0, -1))
    is_known = low <= value <= high
    harness = "mixhub" if metric in record.measures else "lm-evaluation-harness"
    shots = "" if record.num_fewshot == "unknown" else f", {record.num_fewshot}-shot"
    filtered = f", filter {used}" if used else ""
    return MetricConfig(
        evaluation_description=f"{name} of {record.task}{shots}{filtered}",
        metric_id=_IDS.get(name, f"{harness}.{name}"),
        metric_name=name,
        metric_kind=next((kind for names, kind in _KINDS.items() if re.fullmatch(names, name)), None),
        metric_unit={1.0: "proportion", 100.0: "percent"}.get(high) if is_known and low == 0 else None,
        lower_is_better=_is_lower_better(name, task),
        score_type="continuous" if is_known else None,
        min_score=low if is_known else None,
        max_score=None if not is_known else "Infinity" if high == float("inf") else high,
    )


def _is_lower_better(name: str, task: Mapping[str, Any]) -> bool:
    stated = task["higher_is_better"].get(name)
    return not stated if isinstance(stated, bool) else _LOWER_IS_BETTER.fullmatch(name) is not None


def standard_error(record: Record, metric: str, task: Mapping[str, Any]) -> StandardError | None:
    """The standard error of a metric, and how it was computed as far as the file tells; None if it has none."""
    if metric in record.measures:
        value = record.measures.get(f"{metric}_stderr")
        return None if value is None else StandardError(value=value, method="analytic")
    if (value := record.stderrs.get(metric)) is None:
        return None
    name = metric.partition(",")[0]
    default = "mean" if name in ACCURACIES and not record.is_group else None  # lm-eval's own default
    aggregation = task["aggregations"].get(name, default)
    methods: tuple[tuple[frozenset[str], Literal["analytic", "bootstrap"]], ...]
    methods = ((_MEANS, "analytic"), (_BOOTSTRAPPED, "bootstrap"))
    method = next((method for names, method in methods if aggregation in names), None)
    return StandardError(value=value, method=method)


def own_measures(record: Record) -> dict[str, float]:
    """mixhub's own measures of a cell, by name."""
    return {name: record.measures[name] for name in (BITS_PER_BYTE, ANSWER_PROBABILITY) if name in record.measures}
