"""`mixhub card render`, `check` and `diff`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.options import FamilyOption, HubOption, WorkspaceOption, open_hub, open_workspace

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.findings import Finding
    from mixhub.workspace.paths import Workspace

app = typer.Typer(no_args_is_help=True, help="The model card.")


@app.callback()
def _card() -> None:
    """The model card."""


@app.command()
def render(
    force: Annotated[
        bool, typer.Option("--force", help="Replace cards that were edited by hand since they were rendered.")
    ] = False,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write the family's card with its plots, and one card for each run that has an export.

    Facts are from mixhub.yaml, runs and results. Words of your own go into card.md beside mixhub.yaml (sections that
    are added, or replace those of the same heading) or into a template card.md.j2; those of the runs' cards into
    revision.md and revision.md.j2.
    """
    from mixhub.cli.common.console import progress, say
    from mixhub.workflow.steps import render_cards

    place = open_workspace(workspace)
    for path in render_cards(place, place.family(family), progress(), force=force):
        say(str(path))


@app.command()
def check(
    cards: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Cards, of anybody; else those of the workspace's family, which are also compared with the results.",
            metavar="CARD",
            show_default=False,
        ),
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Ask the hub too, as it will when the card is pushed.")
    ] = False,
    hub: HubOption = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Check metadata, links and tables of cards, and whether they say what the results say; exit with 1 if not.

    Nothing is asked of any network but with --validate.
    """
    from mixhub.cli.common.console import counted, say
    from mixhub.errors import UsageError

    if hub is not None and not validate:
        raise UsageError("--hub goes with --validate: nothing else is asked of a hub")
    if cards and family is not None:
        raise UsageError("--family does not go with cards that are named")
    if cards:
        found = {path: _checked(path) for path in cards}
    else:
        place = open_workspace(workspace)
        found = _checked_family(place, family)
    if validate:
        place = open_workspace(workspace)
        with open_hub(hub, place) as endpoint:
            for path, findings in found.items():
                findings += _validated(path, endpoint)
    everything = [finding for findings in found.values() for finding in findings]
    for finding in everything:
        say(str(finding))
    for hint in dict.fromkeys(finding.hint for finding in everything if finding.hint):
        say(f"hint: {hint}")
    total = len(everything)
    say(f"{counted(len(found), 'card')}, {counted(total, 'finding') if total else 'nothing found'}")
    if total:
        raise typer.Exit(1)


@app.command()
def diff(family: FamilyOption = None, workspace: WorkspaceOption = None) -> None:
    """Show what a new render would change in the cards, as facts: `SciQ seed 3: 82.48 → 82.51`."""
    from mixhub.card.diff.cards import card_changes
    from mixhub.card.page.write import intact, stale_plots
    from mixhub.cli.common.console import progress, say
    from mixhub.errors import SpecError
    from mixhub.workflow.steps import rendered_cards

    place = open_workspace(workspace)
    chosen = place.family(family)
    rendered = rendered_cards(place, chosen, progress())
    is_intact = intact(place)
    changed = 0
    for path, text in rendered.cards.items():
        lines = ["new"]
        if path.is_file():
            try:
                changes = card_changes(_read(path), text, sources=(str(path), "the new render"))
                lines = [str(change) for change in changes]
            except SpecError as error:
                lines = [f"all of it, since it cannot be read ({' '.join(error.message.split())})"]
        lines += [f"plot: {name}" for name in stale_plots(rendered, path, is_intact)]
        changed += bool(lines)
        for line in lines:
            say(f"{path.relative_to(place.root)}: {line}")
    if not changed:
        say("nothing changes")


def _checked(path: Path) -> list[Finding]:
    from mixhub.card.check.lint import lint_card

    return list(lint_card(_read(path), folder=path.parent, source=str(path)))


def _checked_family(place: Workspace, family_name: str | None) -> dict[Path, list[Finding]]:
    """The findings of each card that there is or should be, those of its figures and of its freshness too."""
    from mixhub.card.check.freshness import figure_findings, missing_card
    from mixhub.card.diff.cards import card_changes
    from mixhub.card.page.receipts import is_as_rendered, noted_cards
    from mixhub.card.page.write import intact, stale_plots
    from mixhub.cli.common.console import progress
    from mixhub.errors import SpecError
    from mixhub.workflow.steps import rendered_cards

    chosen = place.family(family_name)
    rendered = rendered_cards(place, chosen, progress())
    found: dict[Path, list[Finding]] = {}
    for path, text in rendered.cards.items():
        if not path.is_file():
            found[path] = [missing_card(str(path))]
            continue
        try:
            changes = card_changes(_read(path), text, sources=(str(path), "the new render"))
        except SpecError:  # `lint_card` says so, and the other cards are looked at
            changes = ()
        stale = stale_plots(rendered, path, intact(place))
        unlike = figure_findings(changes, str(path), stale)
        if unlike and not is_as_rendered(place, path, noted_cards(place)):
            words, _ = place.own_words(chosen, "card" if path == place.card(chosen) else "revision")
            hint = f"it was edited by hand: put your words into {words.name}, then mixhub card render --force"
            unlike = [replace(finding, hint=hint) for finding in unlike]
        found[path] = [*_checked(path), *unlike]
    return found


def _validated(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    from mixhub.card.check.metadata import hub_findings
    from mixhub.hub.remote.validate import validate

    if path.is_file():
        answer = validate(endpoint, _read(path))
        yield from hub_findings(answer.errors, answer.warnings, str(path), str(endpoint))


def _read(path: Path) -> str:
    from mixhub.errors import ResultsError

    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ResultsError(f"{path}: no such card", hint="mixhub card render", path=path) from None
    except UnicodeDecodeError as error:
        raise ResultsError(f"{path}: not UTF-8: {error.reason} at byte {error.start}", path=path) from None
