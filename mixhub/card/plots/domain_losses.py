"""The plot of losses by domain: a panel for each, with a line for each run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from mixhub.card.plots.lines import draw_domain_losses
from mixhub.card.plots.losses import Curves, Points, binned, read_curves
from mixhub.card.plots.plot import Plot
from mixhub.phrases import plural

_MAX_POINTS = 100
"""Points of a line in a panel; more are averaged."""
_MAX_DOMAINS = 40
_WARM_UP = 0.2
"""Share of the tokens whose losses are not on the scale: seeds differ by little, compared with the fall before."""


def domain_losses_plot(
    curves: Mapping[str, Iterable[Mapping[str, Any]]], train_prefix: str, valid_prefix: str, family: str
) -> Plot | None:
    """Plot training and validation losses of each domain against tokens; None if no loss of a domain was logged.

    Args:
        curves: by revision, lines of metrics.
        train_prefix: prefix of the keys of training domains, which is not shown.
        valid_prefix: the same of validation domains.
        family: name of the family.
    """
    read = {}
    for name, lines in curves.items():
        read[name] = read_curves(lines, train_prefix=train_prefix, valid_prefix=valid_prefix)
    runs = {name: run for name, run in read.items() if run.domains or run.validation}
    domains = sorted({domain for run in runs.values() for domain in (*run.domains, *run.validation)})
    panels = [_panel(domain, runs) for domain in domains[:_MAX_DOMAINS]]
    if not panels:
        return None
    longest = max((len(points) for run in runs.values() for points in run.domains.values()), default=0)
    notes = [f"Each panel has its own scale, that of the losses after {_WARM_UP:.0%} of the tokens."]
    if longest > _MAX_POINTS:
        notes.append(f"Training: at most {_MAX_POINTS} points, each a mean over steps that follow each other.")
    if len(domains) > _MAX_DOMAINS:
        notes.append(f"Not drawn: {plural(len(domains) - _MAX_DOMAINS, 'domain')}, the last by name.")
    data = {
        "subtitle": f"{plural(len(runs), 'run')}, {plural(len(domains), 'domain')}. Lines: training; dots: validation.",
        "unit": "nats per token",
        "runs": list(runs),
        "panels": panels,
        "from": _WARM_UP,
        "notes": notes,
    }
    title = f"{family}: losses by domain"
    return Plot("domain-losses", draw_domain_losses, title, f"Line plots. {title}. {_summary(runs)}", data)


def _panel(domain: str, runs: Mapping[str, Curves]) -> dict[str, Any]:
    def lines(parts: Mapping[str, Mapping[str, Points]]) -> list[dict[str, Any]]:
        return [
            {"label": name, "points": binned(part[domain], _MAX_POINTS)}
            for name, part in parts.items()
            if domain in part
        ]

    training = lines({name: run.domains for name, run in runs.items()})
    return {"title": domain, "training": training, "validation": lines({n: run.validation for n, run in runs.items()})}


def _summary(runs: Mapping[str, Curves]) -> str:
    """Return where the losses of each domain end, the mean over runs of the last points of training."""
    ends: dict[str, list[float]] = {}
    for run in runs.values():
        for domain, points in (run.domains or run.validation).items():
            ends.setdefault(domain, []).append(binned(points, _MAX_POINTS)[-1][1])
    which = "Training" if any(run.domains for run in runs.values()) else "Validation"
    return f"{which} ends at (mean over runs): {'; '.join(f'{name} {fmean(ends[name]):.3f}' for name in sorted(ends))}."
