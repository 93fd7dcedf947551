"""The plot of losses: training and validation against tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mixhub.card.markdown.figures import is_finite
from mixhub.card.plots.plot import Plot, number
from mixhub.phrases import plural

_MOST_POINTS = 200
"""Of a line; more are averaged."""


def losses_plot(curves: Mapping[str, Sequence[Mapping[str, Any]]], valid_prefix: str) -> Plot | None:
    """Training and validation losses against tokens; None where no step was logged.

    Args:
        curves: by revision, the lines of `mixhub.workspace.metrics.read_metrics`.
        valid_prefix: what the keys of validation domains begin with, which is not shown.
    """
    runs = {name: _curves(lines, valid_prefix) for name, lines in curves.items()}
    training = [{"label": name, "points": _binned(run.training)} for name, run in runs.items() if run.training]
    domains = list(dict.fromkeys(domain for run in runs.values() for domain in run.validation))
    validation = [
        {
            "label": domain,
            "lines": [
                {"label": name, "points": _binned(run.validation[domain])}
                for name, run in runs.items()
                if domain in run.validation
            ],
        }
        for domain in domains
    ]
    if not training and not validation:
        return None
    binned = any(len(run.training) > _MOST_POINTS for run in runs.values())
    dropped = sum(run.dropped for run in runs.values())
    data = {
        "subtitle": f"Losses in nats a token against training tokens, {plural(len(runs), 'run')}.",
        "unit": "nats a token",
        "training": training,
        "validation": validation,
        "notes": [
            *([f"Training: each point is a mean over {_bins(runs)} steps."] if binned else []),
            *([f"Losses that are no finite numbers, and are not drawn: {dropped}."] if dropped else []),
        ],
    }
    alt = f"Line plots. {data['subtitle']} {_losses_said(training, validation)}"
    return Plot("losses", "losses", "Training and validation loss", alt, data)


@dataclass(frozen=True)
class _Run:
    training: list[tuple[float, float]]
    """(tokens, loss)."""
    validation: dict[str, list[tuple[float, float]]]
    """The same, by domain."""
    dropped: int
    """Losses that are no finite numbers."""


def _curves(lines: Sequence[Mapping[str, Any]], prefix: str) -> _Run:
    """The curves of one run; of a step that was logged twice, as before and after it was resumed, the later."""
    steps = {line["step"]: line for line in lines if "loss" in line and "tokens" in line}
    checks = {line["step"]: line["validation"] for line in lines if isinstance(line.get("validation"), Mapping)}
    last = max(steps, default=0)
    per_step = steps[last]["tokens"] / last if last else 1
    training = [(float(steps[step]["tokens"]), steps[step]["loss"]) for step in sorted(steps)]
    validation: dict[str, list[tuple[float, float]]] = {}
    for step in sorted(checks):
        tokens = float(steps[step]["tokens"] if step in steps else step * per_step)
        for key, loss in checks[step].items():
            validation.setdefault(key.removeprefix(prefix), []).append((tokens, loss))
    every = [training, *validation.values()]
    kept = [[point for point in points if is_finite(point[1])] for points in every]
    dropped = sum(map(len, every)) - sum(map(len, kept))
    by_domain = {domain: points for domain, points in zip(validation, kept[1:], strict=True) if points}
    return _Run(kept[0], by_domain, dropped)


def _binned(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    """At most so many points, each the mean over a run of as many."""
    size = math.ceil(len(points) / _MOST_POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)] if points else []
    return [[number(fmean(x for x, _ in group)), number(fmean(y for _, y in group))] for group in groups]


def _bins(runs: Mapping[str, _Run]) -> str:
    sizes = sorted({math.ceil(len(run.training) / _MOST_POINTS) for run in runs.values() if run.training})
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _losses_said(training: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> str:
    said = []
    if training:
        first, last = ([line["points"][end][1] for line in training] for end in (0, -1))
        said.append(f"Training goes from {_span(first)} to {_span(last)}.")
    ends = [(domain["label"], fmean(line["points"][-1][1] for line in domain["lines"])) for domain in validation]
    if ends:
        shown = "; ".join(f"{label} {value:.3f}" for label, value in ends[:6])
        said.append(f"Validation ends at, mean over runs: {shown}{' and others' if len(ends) > 6 else ''}.")
    return " ".join(said)


def _span(values: Sequence[float]) -> str:
    low, high = (f"{value:.3f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} … {high}"
