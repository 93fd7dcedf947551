"""The cards of a workspace: rendered, compared with what a user edited by hand, and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixhub.card.facts.gather import facts_of_run, gather_family
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.page.custom import read_custom_sections
from mixhub.card.page.receipts import note_cards, rendered_files
from mixhub.card.page.render import Card, render, render_catalog
from mixhub.card.plots.plot import Plot, drawn_sha256
from mixhub.errors import UsageError
from mixhub.files import clear_leftovers, locked, write_all
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace

PLOTS = "plots"
"""Folder of a card's plots, beside it."""
_FORMATS = ("png", "svg")


@dataclass(frozen=True)
class Rendered:
    """All cards of a family, not yet written."""

    family: Card
    cards: Mapping[Path, str]
    """Text by path: first the family's card, then that of each run with an export."""


def render_cards(
    workspace: Workspace, family: Family, *, commits: Mapping[str, str] | None = None, progress: Progress = SILENT
) -> Rendered:
    """Return the card of a family, and one for each run that has an export; see `gather_family`."""
    facts = gather_family(workspace, family, commits=commits, progress=progress)
    card = family_card(workspace, facts)
    runs = {
        workspace.revision_card(one.run): revision_card(workspace, family, one)
        for one in facts.runs
        if one.lineage is not None
    }
    return Rendered(card, {workspace.card(family): card.text, **runs})


def family_card(workspace: Workspace, facts: FamilyFacts) -> Card:
    """Return the card of a family, with the user's custom sections and template."""
    return _customized(workspace, facts, "card")


def revision_card(workspace: Workspace, family: Family, run: RunFacts) -> str:
    """Return the card of a run, with the user's custom sections and template."""
    return _customized(workspace, facts_of_run(workspace, family, run), "revision").text


def write_cards(
    workspace: Workspace,
    family: Family,
    *,
    commits: Mapping[str, str] | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> list[Path]:
    """Write the card of a family with its plots, and one card for each run with an export; return the paths.

    All are rendered before the first is written, so an error leaves the old cards as they are.

    Args:
        workspace: the workspace.
        family: the family.
        commits: the commit of each run that was pushed, by revision.
        force: replace cards that were edited by hand.
        progress: shows the files of samples.

    Raises:
        UsageError: a card was edited by hand, or an image that mixhub did not draw is at the path of a plot.
        MixhubError: as `gather_family` and `render`.
    """
    rendered = render_cards(workspace, family, commits=commits, progress=progress)
    folder = workspace.card(family).parent
    plots = draw_plots(rendered.family.plots, folder, rendered_files(workspace))
    if not force:
        require_unedited(workspace, family, rendered.cards)
        _require_own_plots(workspace, plots)
    files = {**{path: text.encode() for path, text in rendered.cards.items()}, **plots}
    with locked(workspace.lock("cards"), f"the cards of {family.name} are being written", timeout=60):
        for parent in {path.parent for path in files}:
            clear_leftovers(parent)
        note_cards(workspace, files)
        _write(files, folder)
    return list(files)


def write_model_cards(folder: Path) -> list[Path]:
    """Write the cards of the published families to `<folder>/<family>/README.md`, with plots; return the paths."""
    paths: list[Path] = []
    for name in catalog.published():
        card, own = render_catalog(name), folder / name
        files = {own / "README.md": card.text.encode(), **draw_plots(card.plots, own)}
        _write(files, own)
        paths += files
    return paths


def draw_plots(
    plots: Iterable[Plot], folder: Path, is_rendered: Callable[[Path], bool] = Path.is_file
) -> dict[Path, bytes]:
    """Return the plots as PNG and SVG, by path.

    Args:
        plots: what to draw.
        folder: folder of the card. A file there that shows the same is reused: it is faster, and another version of
            matplotlib draws other bytes.
        is_rendered: see `rendered_files`.
    """
    files = {}
    for path, plot in _plot_paths(plots, folder).items():
        if _shows(path, plot, is_rendered):
            files[path] = path.read_bytes()
        else:
            files[path] = plot.png() if path.suffix == ".png" else plot.svg()
    return files


def stale_plots(rendered: Rendered, card: Path, is_rendered: Callable[[Path], bool]) -> list[str]:
    """Return the paths of plots, relative to a card, that are missing or do not show what they would show now."""
    if card != next(iter(rendered.cards)):
        return []
    paths = _plot_paths(rendered.family.plots, card.parent)
    return [f"{PLOTS}/{path.name}" for path, plot in paths.items() if not _shows(path, plot, is_rendered)]


def require_unedited(workspace: Workspace, family: Family, cards: Mapping[Path, str] | None = None) -> None:
    """Raise UsageError if a card that a render would write was edited by hand, and differs from the one in `cards`.

    A card that no render noted here may hold a user's text, so it counts as edited.
    """
    is_rendered = rendered_files(workspace)
    edited = [
        path
        for path in cards or [workspace.card(family), *map(workspace.revision_card, family.runs())]
        if path.is_file()
        and not is_rendered(path)
        and not (cards is not None and path.read_bytes() == cards[path].encode())
    ]
    if edited:
        more = f", and {len(edited) - 1} more" if len(edited) > 1 else ""
        custom, _ = workspace.custom_card_files(family, "card" if edited[0] == workspace.card(family) else "revision")
        message = f"{edited[0].relative_to(workspace.root)} was edited by hand since it was rendered{more}"
        hint = (
            f"move your text to {custom.name}, which every render includes; see what would be lost with "
            "`mixhub card diff`, or overwrite with `mixhub card render --force`"
        )
        raise UsageError(message, hint=hint, code="card-edited", paths=tuple(edited))


def is_plot(path: str) -> bool:
    """Return whether a path beside a card is that of a plot."""
    return re.fullmatch(rf"{PLOTS}/(?:mixture|losses|scores|shots|difference-[^/]+)\.(?:png|svg)", path) is not None


def _customized(workspace: Workspace, facts: FamilyFacts, kind: Literal["card", "revision"]) -> Card:
    sections, template = workspace.custom_card_files(facts.family, kind)
    return render(facts, read_custom_sections(sections), template if template.exists() else None)


def _write(files: Mapping[Path, bytes], folder: Path) -> None:
    """Write files that differ, and delete plots that the card no longer shows."""
    write_all({path: data for path, data in files.items() if not (path.is_file() and path.read_bytes() == data)})
    for path in sorted((folder / PLOTS).glob("*.*g")):
        if path not in files and path.suffix[1:] in _FORMATS and drawn_sha256(path.read_bytes()) is not None:
            path.unlink()


def _plot_paths(plots: Iterable[Plot], folder: Path) -> dict[Path, Plot]:
    return {folder / PLOTS / f"{plot.name}.{form}": plot for plot in plots for form in _FORMATS}


def _shows(path: Path, plot: Plot, is_rendered: Callable[[Path], bool]) -> bool:
    return path.is_file() and drawn_sha256(path.read_bytes()) == plot.sha256 and is_rendered(path)


def _require_own_plots(workspace: Workspace, plots: Iterable[Path]) -> None:
    for path in plots:
        if path.is_file() and drawn_sha256(path.read_bytes()) is None:
            message = f"{path.relative_to(workspace.root)} was not drawn by mixhub, and would be replaced by a plot"
            hint = "rename the image, or pass --force to replace it"
            raise UsageError(message, hint=hint, code="plot-foreign", path=path)
