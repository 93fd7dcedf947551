"""`mixhub card render`."""

from __future__ import annotations

import typer

from mixhub.cli.options import FamilyOption, WorkspaceOption, open_workspace

app = typer.Typer(no_args_is_help=True, help="The model card.")


@app.callback()
def _card() -> None:
    """The model card."""


@app.command()
def render(family: FamilyOption = None, workspace: WorkspaceOption = None) -> None:
    """Write the family's card, and one for each run that has an export, from facts, runs and results."""
    from mixhub.cli.console import say
    from mixhub.cli.steps import render_cards

    place = open_workspace(workspace)
    for path in render_cards(place, place.family(family)):
        say(str(path))
