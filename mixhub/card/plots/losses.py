"""The plot of losses: training and validation against tokens."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from mixhub.card.plots.lines import draw_losses
from mixhub.card.plots.plot import Plot, number
from mixhub.phrases import plural

_MAX_POINTS = 200
"""Points of a line; more are averaged."""

Points = list[tuple[float, float]]
"""Tokens and loss."""


def losses_plot(curves: Mapping[str, Iterable[Mapping[str, Any]]], valid_prefix: str, family: str = "") -> Plot | None:
    """Plot training and validation losses against tokens; None if no step was logged.

    Args:
        curves: by revision, the lines of `mixhub.workspace.metrics.read_metrics`.
        valid_prefix: prefix of the keys of validation domains, which is not shown.
        family: name of the family, for the title.
    """
    read = {name: read_curves(lines, valid_prefix=valid_prefix) for name, lines in curves.items()}
    runs = {name: run for name, run in read.items() if run.training or run.validation}
    training = [{"label": name, "points": binned(run.training)} for name, run in runs.items() if run.training]
    domains = dict.fromkeys(domain for run in runs.values() for domain in run.validation)
    validation = [
        {
            "label": domain,
            "lines": [
                {"label": name, "points": binned(run.validation[domain])}
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
        "subtitle": f"Losses in nats per token against training tokens, {plural(len(runs), 'run')}.",
        "unit": "nats per token",
        "training": training,
        "validation": validation,
        "notes": notes,
    }
    title = f"{family}: training and validation loss" if family else "Training and validation loss"
    alt = f"Line plots. {title}. {data['subtitle']} {_summary(training, validation)}"
    return Plot("losses", draw_losses, title, alt, data)


@dataclass(frozen=True)
class Curves:
    """The losses of a run."""

    training: Points
    domains: dict[str, Points]
    """Of training, by domain; empty if they are not asked for."""
    validation: dict[str, Points]
    """By domain."""
    dropped: int
    """Losses that are not finite."""


class _Curve:
    """Steps and losses, packed: a run may have millions."""

    def __init__(self) -> None:
        self.steps, self.losses = array("q"), array("d")

    def add(self, step: int, loss: float) -> None:
        """Add a step. Of one that was logged twice, as after a resume, the later line counts."""
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.losses.pop()
        self.steps.append(step)
        self.losses.append(loss)

    def points(self, per_step: float) -> Points:
        """Return tokens and losses, without those that are not finite."""
        pairs = zip(self.steps, self.losses, strict=True)
        return [(step * per_step, loss) for step, loss in pairs if math.isfinite(loss)]


def read_curves(
    lines: Iterable[Mapping[str, Any]], *, train_prefix: str | None = None, valid_prefix: str = ""
) -> Curves:
    """Return the curves of one run.

    Args:
        lines: of its metrics.
        train_prefix: prefix of the keys of training domains, which is left out; None: without these domains.
        valid_prefix: the same of validation domains.
    """
    training, tokens = _Curve(), 0
    domains: dict[str, _Curve] = defaultdict(_Curve)
    validation: dict[str, _Curve] = defaultdict(_Curve)
    for line in lines:
        step = line["step"]
        if "loss" in line and "tokens" in line:
            training.add(step, line["loss"])
            tokens = line["tokens"]
            for key, loss in line.get("domains", {}).items() if train_prefix is not None else ():
                domains[key].add(step, loss)
        for key, loss in line["validation"].items() if isinstance(line.get("validation"), Mapping) else ():
            validation[key].add(step, loss)
    per_step = tokens / training.steps[-1] if training.steps else 1
    shown = [training, *validation.values()]
    dropped = sum(not math.isfinite(loss) for curve in shown for loss in curve.losses)
    return Curves(
        training.points(per_step),
        _named(domains, train_prefix or "", per_step),
        _named(validation, valid_prefix, per_step),
        dropped,
    )


def _named(curves: Mapping[str, _Curve], prefix: str, per_step: float) -> dict[str, Points]:
    named = {key.removeprefix(prefix): curve.points(per_step) for key, curve in curves.items()}
    return {name: points for name, points in named.items() if points}


def _bin(points: Points, most: int = _MAX_POINTS) -> int:
    """Return how many points are averaged into one."""
    return math.ceil(len(points) / most)


def binned(points: Points, most: int = _MAX_POINTS) -> list[list[float]]:
    """Return at most `most` points, each the mean of as many that follow each other."""
    size = _bin(points, most)
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
