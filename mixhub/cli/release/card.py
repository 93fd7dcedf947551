"""`mixhub card render`, `check` and `diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.groups import group
from mixhub.cli.common.options import (
    FamilyOption,
    HubOption,
    JsonOption,
    WorkspaceOption,
    choose_hub,
    find_workspace,
)

if TYPE_CHECKING:
    from mixhub.findings import Finding

app = group("Write, check and compare model cards.")

ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite cards that were edited by hand after they were rendered.")
]
CardsArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Cards to check. [default: those of the workspace's family, which are also compared with its results]",
        metavar="CARD",
        show_default=False,
    ),
]
ValidateOption = Annotated[
    bool, typer.Option("--validate", help="Also have the hub validate the cards, as it does on each push.")
]


@app.command()
def render(force: ForceOption = False, family_name: FamilyOption = None, workspace_dir: WorkspaceOption = None) -> None:
    """Write the family's card and plots, and a card for each run that has an export.

    The facts come from mixhub.yaml, the runs and the results. To add text, write card.md next to mixhub.yaml: its
    sections are added to the card, or replace those with the same heading. To change the layout, write a template
    named card.md.j2. For the cards of runs, use revision.md and revision.md.j2.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say

    for path in workflow.render_card(
        find_workspace(workspace_dir), family=family_name, force=force, progress=progress()
    ):
        say(str(path))


@app.command()
def check(
    cards: CardsArgument = None,
    validate: ValidateOption = False,
    as_json: JsonOption = False,
    hub: HubOption = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Check metadata, figures and images of cards, and whether the cards match the results; exit with 1 if not.

    Makes no network requests, except with --validate.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say_json
    from mixhub.findings import errors

    _require_fitting(cards, validate, hub, family_name)
    bars = progress(as_json=as_json)
    if cards:
        by_card = workflow.check_cards(cards)
    else:
        by_card = workflow.check_card(find_workspace(workspace_dir), family=family_name, progress=bars)
    if validate:
        workspace = find_workspace(workspace_dir)
        with workflow.open_hub(workspace, choose_hub(hub, workspace), progress=bars) as endpoint:
            for path, findings in by_card.items():
                findings += workflow.validate_card(path, endpoint)
    if as_json:
        say_json({"cards": {str(path): [one.to_data() for one in findings] for path, findings in by_card.items()}})
    else:
        _show(by_card)
    if any(errors(findings) for findings in by_card.values()):
        raise typer.Exit(1)


@app.command()
def diff(family_name: FamilyOption = None, workspace_dir: WorkspaceOption = None) -> None:
    """Show what rendering again would change in the cards, fact by fact, such as `SciQ seed 3: 82.48 → 82.51`."""
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say

    workspace = find_workspace(workspace_dir)
    by_card = workflow.diff_card(workspace, family=family_name, progress=progress())
    for path, lines in by_card.items():
        for line in lines:
            say(f"{path.relative_to(workspace.root)}: {line}")
    if not any(by_card.values()):
        say("no changes")


def _require_fitting(cards: list[Path] | None, validate: bool, hub: str | None, family: str | None) -> None:
    from mixhub.errors import UsageError

    if hub is not None and not validate:
        raise UsageError("--hub needs --validate", code="option-missing", option="--validate")
    if cards and family is not None:
        options = ("CARD", "--family")
        raise UsageError("--family cannot be combined with CARD", code="option-conflict", options=options)


def _show(by_card: dict[Path, list[Finding]]) -> None:
    from mixhub.cli.common.console import say, show_findings
    from mixhub.phrases import plural

    everything = [finding for findings in by_card.values() for finding in findings]
    show_findings(everything)
    total = len(everything)
    say(f"{plural(len(by_card), 'card')}, {plural(total, 'finding') if total else 'no findings'}")
