"""The cards of a family: rendered, checked, and compared with a new render."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixhub.card.check.freshness import figure_findings, missing_card
from mixhub.card.check.lint import lint_card
from mixhub.card.check.metadata import hub_findings
from mixhub.card.diff.cards import card_changes
from mixhub.card.page.receipts import rendered_files
from mixhub.card.page.write import Rendered, render_cards, stale_plots, write_cards
from mixhub.errors import ResultsError, SpecError
from mixhub.hub.publish.receipts import pushed_commits, workspace_hub_key
from mixhub.progress import SILENT, Progress
from mixhub.workflow.inputs import WorkspaceLike, find_family, open_workspace

if TYPE_CHECKING:
    from mixhub.endpoint import Endpoint
    from mixhub.findings import Finding
    from mixhub.spec import Family
    from mixhub.workspace.paths import Workspace


def render_card(
    workspace: WorkspaceLike,
    *,
    family: str | Family | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> list[Path]:
    """Write the family's card with its plots, and one card for each run that has an export.

    All are rendered before the first is written. The card of `main` names what was pushed to the workspace's hub.

    Args:
        workspace: where runs and results are, and where the cards go.
        family: the family; by default, the workspace's.
        force: replace cards that were edited by hand since they were rendered.
        progress: shows the files of samples.

    Returns:
        The paths of cards and plots.

    Raises:
        UsageError: a card was edited by hand.
        MixhubError: the cards cannot be rendered; the old ones stay.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    return write_cards(workspace, family, commits=_commits(workspace, family), force=force, progress=progress)


def check_card(
    workspace: WorkspaceLike, *, family: str | Family | None = None, progress: Progress = SILENT
) -> dict[Path, list[Finding]]:
    """Return what is wrong with each card of a family: with the card itself, its figures and its freshness.

    Args:
        workspace: where cards, runs and results are.
        family: the family; by default, the workspace's.
        progress: shows the files of samples.

    Raises:
        MixhubError: the cards cannot be rendered for the comparison.
    """
    workspace = open_workspace(workspace)
    family = find_family(workspace, family)
    rendered = _rendered(workspace, family, progress)
    return {path: list(_family_findings(workspace, family, rendered, path)) for path in rendered.cards}


def check_cards(cards: Sequence[str | os.PathLike[str]]) -> dict[Path, list[Finding]]:
    """Return what is wrong with each of these cards, whoever wrote them: metadata, figures, code and images.

    Raises:
        ResultsError: a file is missing, or not UTF-8.
    """
    return {Path(card): list(_lint_findings(Path(card))) for card in cards}


def validate_card(card: str | os.PathLike[str], endpoint: Endpoint) -> list[Finding]:
    """Return what a hub says about a card before it is pushed; nothing if the card does not exist.

    Raises:
        HubError: the hub cannot be asked.
    """
    from mixhub.hub.publish.validate import validate

    path = Path(card)
    if not path.is_file():
        return []
    answer = validate(endpoint, _read(path))
    return list(hub_findings(answer.errors, answer.warnings, str(path), str(endpoint)))


def diff_card(
    workspace: WorkspaceLike, *, family: str | Family | None = None, progress: Progress = SILENT
) -> dict[Path, list[str]]:
    """Return what a new render would change in each card, one fact per line: `SciQ seed 3: 82.48 → 82.51`.

    Args:
        workspace: where cards, runs and results are.
        family: the family; by default, the workspace's.
        progress: shows the files of samples.

    Raises:
        MixhubError: the cards cannot be rendered.
    """
    workspace = open_workspace(workspace)
    rendered = _rendered(workspace, find_family(workspace, family), progress)
    return {path: list(_differences(workspace, rendered, path)) for path in rendered.cards}


def _rendered(workspace: Workspace, family: Family, progress: Progress) -> Rendered:
    return render_cards(workspace, family, commits=_commits(workspace, family), progress=progress)


def _commits(workspace: Workspace, family: Family) -> Mapping[str, str]:
    return pushed_commits(workspace, workspace_hub_key(workspace), family)


def _differences(workspace: Workspace, rendered: Rendered, path: Path) -> Iterator[str]:
    if not path.is_file():
        yield "new"
    else:
        try:
            changes = card_changes(_read(path), rendered.cards[path], sources=(str(path), "the new render"))
            yield from map(str, changes)
        except SpecError as error:
            yield f"cannot be read: {' '.join(error.message.split())}"
    yield from (f"plot: {name}" for name in stale_plots(rendered, path, rendered_files(workspace)))


def _family_findings(workspace: Workspace, family: Family, rendered: Rendered, path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield missing_card(str(path))
        return
    try:
        changes = card_changes(_read(path), rendered.cards[path], sources=(str(path), "the new render"))
    except SpecError:  # `lint_card` reports it
        changes = ()
    is_rendered = rendered_files(workspace)
    stale = figure_findings(changes, str(path), stale_plots(rendered, path, is_rendered))
    if stale and not is_rendered(path):
        custom, _ = workspace.custom_card_files(family, "card" if path == workspace.card(family) else "revision")
        hint = f"move your text to {custom.name}, then run mixhub card render --force: the card was edited by hand"
        stale = [replace(finding, hint=hint) for finding in stale]
    yield from _lint_findings(path)
    yield from stale


def _lint_findings(path: Path) -> Sequence[Finding]:
    return lint_card(_read(path), folder=path.parent, source=str(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: no such file",
            code="file-missing",
            hint="pass a card, or write it with mixhub card render",
            path=path,
        ) from None
    except UnicodeDecodeError as error:
        raise ResultsError(
            f"{path}: not UTF-8: {error.reason} at byte {error.start}", code="file-malformed", path=path
        ) from None
