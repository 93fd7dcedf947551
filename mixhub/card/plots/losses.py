"""The plot of losses: training and validation against tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mixhub.card.markdown.figures import is_finite
from mixhub.card.plots.lines import draw_losses
from mixhub.card.plots.plot import Plot, number
from mixhub.phrases import plural

_MAX_POINTS = 200
"""Points of a line; more are averaged."""

Points = list[tuple[float, float]]
"""Tokens and loss."""


def losses_plot(curves: Mapping[str, Sequence[Mapping[str, Any]]], valid_prefix: str, family: str = "") -> Plot | None:
    """Plot training and validation losses against tokens; None if no step was logged.

    Args:
        curves: by revision, the lines of `mixhub.workspace.metrics.read_metrics`.
        valid_prefix: prefix of the keys of validation domains, which is not shown.
        family: name of the family, for the title.
    """
    runs = {name: _curves(lines, valid_prefix) for name, lines in curves.items()}
    training = [{"label": name, "points": _binned(run.training)} for name, run in runs.items() if run.training]
    domains = dict.fromkeys(domain for run in runs.values() for domain in run.validation)
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
    notes = []
    bins = sorted({_bin(run.training) for run in runs.values() if run.training})
    if bins and bins[-1] > 1:
        notes.append(f"Training: each point is a mean over {' to '.join(map(str, dict.fromkeys(bins)))} steps.")
    if dropped := sum(run.dropped for run in runs.values()):
        notes.append(f"Losses that are not finite, and not drawn: {dropped}.")
    data = {
        "subtitle": f"Losses in nats a token against training tokens, {plural(len(runs), 'run')}.",
        "unit": "nats a token",
        "training": training,
        "validation": validation,
        "notes": notes,
    }
    title = f"{family}: training and validation loss" if family else "Training and validation loss"
    alt = f"Line plots. {title}. {data['subtitle']} {_summary(training, validation)}"
    return Plot("losses", draw_losses, title, alt, data)


@dataclass(frozen=True)
class _Run:
    training: Points
    validation: dict[str, Points]
    """By domain."""
    dropped: int
    """Losses that are not finite."""


def _curves(lines: Sequence[Mapping[str, Any]], prefix: str) -> _Run:
    """Return the curves of one run. Of a step that was logged twice, as after a resume, the later line counts."""
    steps = {line["step"]: line for line in lines if "loss" in line and "tokens" in line}
    checks = {line["step"]: line["validation"] for line in lines if isinstance(line.get("validation"), Mapping)}
    last = max(steps, default=0)
    per_step = steps[last]["tokens"] / last if last else 1
    curves: dict[str | None, Points] = {None: [(float(steps[s]["tokens"]), steps[s]["loss"]) for s in sorted(steps)]}
    for step in sorted(checks):
        tokens = float(steps[step]["tokens"] if step in steps else step * per_step)
        for key, loss in checks[step].items():
            curves.setdefault(key.removeprefix(prefix), []).append((tokens, loss))
    finite = {domain: [point for point in points if is_finite(point[1])] for domain, points in curves.items()}
    dropped = sum(map(len, curves.values())) - sum(map(len, finite.values()))
    return _Run(finite[None], {domain: points for domain, points in finite.items() if domain and points}, dropped)


def _bin(points: Points) -> int:
    """Return how many points are averaged into one."""
    return math.ceil(len(points) / _MAX_POINTS)


def _binned(points: Points) -> list[list[float]]:
    size = _bin(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [[number(fmean(x for x, _ in group)), number(fmean(y for _, y in group))] for group in groups]


def _summary(training: Sequence[Mapping[str, Any]], validation: Sequence[Mapping[str, Any]]) -> str:
    sentences = []
    if training:
        first, last = ([line["points"][end][1] for line in training] for end in (0, -1))
        sentences.append(f"Training goes from {_span(first)} to {_span(last)}.")
    ends = [(domain["label"], fmean(line["points"][-1][1] for line in domain["lines"])) for domain in validation]
    if ends:
        shown = "; ".join(f"{label} {value:.3f}" for label, value in ends[:6])
        sentences.append(f"Validation ends at (mean over runs): {shown}{' and others' if len(ends) > 6 else ''}.")
    return " ".join(sentences)


def _span(values: Sequence[float]) -> str:
    return " … ".join(dict.fromkeys(f"{value:.3f}" for value in (min(values), max(values))))
