"""Whether a card matches a new render of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixhub.card.markdown.text import clipped
from mixhub.findings import Finding
from mixhub.phrases import plural

if TYPE_CHECKING:
    from mixhub.card.diff.change import Change

_RENDER = "run mixhub card render"
_MAX_SHOWN = 3
"""Differences that a finding lists."""


def missing_card(source: str) -> Finding:
    """Return the finding for a card that does not exist yet."""
    return Finding("card-unrendered", source, "has not been rendered yet", _RENDER, about=source)


def figure_findings(changes: Sequence[Change], source: str, stale_plots: Sequence[str]) -> list[Finding]:
    """Return a finding for each figure that a new render would change, and one for all other changes.

    Args:
        changes: the differences between the card and a new render of it.
        source: names the card.
        stale_plots: plots that a new render would draw again.
    """
    findings, others = [], []
    for change in changes:
        if change.is_figure:
            card, results = change.old or "nothing", change.new or "nothing"
            message = f"{change.where}: the card says {card}, the results give {results}"
            findings.append(Finding("figure-differs", source, message, _RENDER, about=change.where))
        else:
            others.append(str(change))
    others += [f"the plot {name} is missing or out of date" for name in stale_plots]
    if others:
        listed = "; ".join(clipped(other, 100) for other in others[:_MAX_SHOWN])
        more = f"; and {len(others) - _MAX_SHOWN} more" if len(others) > _MAX_SHOWN else ""
        message = f"is stale, {plural(len(others), 'difference')} from a new render: {listed}{more}"
        findings.append(Finding("card-stale", source, message, _RENDER, about=source))
    return findings
