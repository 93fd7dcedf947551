"""Whether the cards of a workspace say what a new render of them would say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mixhub.card.markdown.text import clipped
from mixhub.findings import Finding
from mixhub.phrases import plural

if TYPE_CHECKING:
    from mixhub.card.diff.change import Change

_RENDER = "mixhub card render"
_SHOWN = 3
"""Differences that are told of a card that is not fresh."""


def missing_card(source: str) -> Finding:
    """What to say of a card that should be there and is not."""
    return Finding("card-unrendered", source, "is not rendered yet", _RENDER, about=source)


def figure_findings(changes: Sequence[Change], source: str, stale_plots: Sequence[str]) -> list[Finding]:
    """What a new render of a card would change: a finding for each figure, and one that sums up all else.

    Args:
        changes: what differs between the card and a new render of it, as `card_changes` gives it.
        source: names the card.
        stale_plots: names of plots that a new render would write anew.
    """
    findings = [_changed_figure(change, source) for change in changes if change.kind == "figure"]
    others = [str(change) for change in changes if change.kind != "figure"]
    others += [f"the plot {name} is missing, or not as it would be drawn" for name in stale_plots]
    if others:
        shown = "; ".join(clipped(other.split("\n")[0], 100) for other in others[:_SHOWN])
        more = f"; and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        message = f"is not fresh, {plural(len(others), 'difference')} from a new render: {shown}{more}"
        findings.append(Finding("card-stale", source, message, _RENDER, about=source))
    return findings


def _changed_figure(change: Change, source: str) -> Finding:
    card = "the card says " + change.old if change.old is not None else "the card has none"
    results = "the results give " + change.new if change.new is not None else "the results have none"
    message = f"{change.where}: {card}, {results}"
    return Finding("figure-differs", source, message, _RENDER, about=change.where)
