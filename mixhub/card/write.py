"""The cards of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixhub.card.facts import gather
from mixhub.card.render import render_family, render_revision
from mixhub.family import Family
from mixhub.files import write_text
from mixhub.workspace import Workspace


def write_cards(workspace: Workspace, family: Family, *, commits: Mapping[str, str] | None = None) -> list[Path]:
    """Writes the card of a family and one for each run that has an export; the paths.

    All are rendered before the first is written, so a refusal leaves the old cards as they are.

    Args:
        workspace: where runs and results lie, and where the cards go.
        family: the family.
        commits: the commit of each branch that was pushed; only the card of the family names them.

    Raises:
        ResultsError: results are malformed, or were made with other weights than the export's.
        ExportError, SpecError, RunError: an export's lineage or a run's metrics cannot be read.
    """
    runs = gather(workspace, family)
    rendered = {workspace.card(family): render_family(family, runs, commits=commits)}
    for facts in runs:
        if facts.lineage is not None:
            rendered[workspace.revision_card(facts.run)] = render_revision(family, facts)
    return [write_text(path, card) for path, card in rendered.items()]
