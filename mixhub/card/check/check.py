"""What is wrong with a card: its metadata, links and tables, its figures and its freshness. Makes no request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.card.check.code import code_findings
from mixhub.card.check.finding import Finding
from mixhub.card.check.index import index_findings
from mixhub.card.check.links import link_findings
from mixhub.card.check.metadata import MetadataLines, client_findings, metadata_findings
from mixhub.card.check.tables import table_findings
from mixhub.card.markdown.parse import ReadCard, front_matter, read_card
from mixhub.errors import SpecError

if TYPE_CHECKING:
    from mixhub.card.diff.change import Change

__all__ = ["Finding", "check_card", "figure_findings", "hub_findings", "missing_card"]

_RENDER = "mixhub card render"
_SHOWN = 3
"""Differences that are told of a card that is not fresh."""
_WIDTH = 100
"""Characters of a difference that are shown."""


def check_card(text: str, *, folder: Path | None = None, source: str = "README.md") -> tuple[Finding, ...]:
    """What is wrong with a card, by line; whoever wrote it, only what is broken is found, and no matter of style.

    Args:
        text: the whole file.
        folder: where it lies; files that it refers to are looked up there. None: they are not looked up.
        source: names the card in findings.
    """
    try:
        card = read_card(text, source)
    except SpecError as error:
        body = read_card(_without_metadata(text), source)
        found = [*_unreadable(error, source), *_body_findings(body, folder, source)]
    else:
        lines = MetadataLines(text)
        found = [*metadata_findings(card, lines, source), *index_findings(card, lines, source)]
        if not any(finding.kind == "metadata" for finding in found):
            found += client_findings(card, lines, source)
        found += _body_findings(card, folder, source)
    return tuple(sorted(found, key=lambda finding: finding.line))


def missing_card(source: str) -> Finding:
    """What to say of a card that should be there and is not."""
    return Finding("freshness", source, 0, source, "is not rendered yet", _RENDER)


def figure_findings(changes: Sequence[Change], source: str, stale_plots: Sequence[str]) -> list[Finding]:
    """What a new render of a card would change: a finding for each figure, and one that sums up all else.

    Args:
        changes: what differs between the card and a new render of it, as `card_changes` gives it.
        source: names the card.
        stale_plots: names of plots that a new render would write anew.
    """
    found = [_changed_figure(change, source) for change in changes if change.kind == "figure"]
    others = [str(change) for change in changes if change.kind != "figure"]
    others += [f"the plot {name} is missing, or not as it would be drawn" for name in stale_plots]
    if others:
        shown = "; ".join(_first_line(other) for other in others[:_SHOWN])
        more = f"; and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        differences = f"{len(others)} difference{'s' if len(others) != 1 else ''}"
        message = f"is not fresh, {differences} from a new render: {shown}{more}"
        found.append(Finding("freshness", source, 0, source, message, _RENDER))
    return found


def hub_findings(errors: Sequence[str], warnings: Sequence[str], source: str, hub: str) -> Iterator[Finding]:
    """What a hub says of a card.

    Args:
        errors: what it refuses the card for.
        warnings: what it says of a card that it takes.
        source: names the card.
        hub: names the hub.
    """
    for error in errors:
        yield Finding("metadata", source, 0, hub, f"{hub} refuses it: {error}", "mend the metadata of the card")
    for warning in warnings:
        yield Finding("metadata", source, 0, hub, f"{hub} warns: {warning}", "mend the metadata of the card")


def _body_findings(card: ReadCard, folder: Path | None, source: str) -> Iterator[Finding]:
    yield from link_findings(card, folder, source)
    yield from table_findings(card, source)
    yield from code_findings(card, source)


def _unreadable(error: SpecError, source: str) -> Iterator[Finding]:
    """Metadata that cannot be read; the reader names the place as `card:line` or `card:line:column`."""
    place = re.match(r":(\d+)", error.file.removeprefix(source))
    for problem in error.problems:
        line = int(place[1]) if place else 1
        yield Finding("metadata", source, line, "metadata", str(problem), "mend the lines between the two ---")


def _without_metadata(text: str) -> str:
    """The card with a comment in the place of its metadata, as many lines long."""
    head = front_matter(text.removeprefix("\ufeff"))
    assert head is not None
    return "\n" * (head.lines[1] - 1) + "<!-- metadata -->\n" + text.removeprefix("\ufeff")[head.end :]


def _changed_figure(change: Change, source: str) -> Finding:
    card = "the card says " + change.old if change.old is not None else "the card has none"
    results = "the results give " + change.new if change.new is not None else "the results have none"
    return Finding("figures", source, 0, change.where, f"{change.where}: {card}, {results}", _RENDER)


def _first_line(text: str) -> str:
    line = text.split("\n")[0]
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 2]} …"
