"""Renders a card: its template filled from the facts, below its metadata. The same facts give the same bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.withdrawal import mark_withdrawn
from mixhub.card.page.custom import Page
from mixhub.card.page.metadata import card_metadata
from mixhub.card.page.templating import fill
from mixhub.card.page.view import card_values
from mixhub.card.plots.plot import Plot
from mixhub.spec import catalog
from mixhub.spec.family import Family


@dataclass(frozen=True)
class Card:
    """The text of a card, and the plots that it shows."""

    text: str
    plots: tuple[Plot, ...]


def render(facts: FamilyFacts, sections: Page | None = None, template: Path | None = None) -> Card:
    """Return the card of a family for `main`, or that of a run for its branch.

    Args:
        facts: the facts of the family or run.
        sections: custom sections.
        template: a custom template; it may extend `family.md.j2` or `revision.md.j2` block by block.

    Raises:
        ResultsError: cells have neither acc nor acc_norm, or those of one run were made with different weights.
        SpecError: the template is not valid, or cannot be filled.
    """
    values = card_values(facts)
    body = fill("revision.md.j2" if facts.of_run else "family.md.j2", template, values)
    body = _without_blank_runs(body.strip())
    if sections is not None:
        body = sections.apply(body)
    text = f"---\n{card_metadata(facts, values['results']['best']).to_yaml()}\n---\n\n{body.rstrip()}\n"
    withdrawal = facts.runs[0].withdrawal if facts.of_run else None
    return Card(
        mark_withdrawn(text, withdrawal) if withdrawal else text,
        tuple(plot for plot in values["plots"].values() if plot),
    )


def render_catalog(name: str) -> Card:
    """Return the card of a shipped family, from the catalog alone; raises UnknownNameError if there is none."""
    family = catalog.get(name)
    siblings = tuple(_untrained(catalog.get(sibling)) for sibling in family.card.siblings)
    return render(_untrained(family, siblings))


def _untrained(family: Family, siblings: tuple[FamilyFacts, ...] = ()) -> FamilyFacts:
    return FamilyFacts(family, tuple(map(RunFacts, family.runs())), siblings=siblings)


def _without_blank_runs(text: str) -> str:
    """Return the text with one blank line between paragraphs; code stays as it is."""
    blocks = re.split(r"(^ {0,3}(`{3,}|~{3,})[^\n]*\n.*?^ {0,3}\2[`~]*[ ]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        block if number % 3 else re.sub(r"\n(?:[ \t]*\n)+", "\n\n", block)
        for number, block in enumerate(blocks)
        if number % 3 != 2
    )
