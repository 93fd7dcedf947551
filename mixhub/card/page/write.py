"""The cards of a workspace: rendered, compared with what a person changed by hand, and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mixhub.card.facts.gather import gather, gather_known
from mixhub.card.facts.runs import RunFacts
from mixhub.card.page.context import family_context
from mixhub.card.page.custom import Customization, read_custom_sections
from mixhub.card.page.receipts import is_as_rendered, note_cards, noted_cards
from mixhub.card.page.render import catalog_context, render_family_context, render_revision
from mixhub.card.plots.plot import Plot, drawn_sha256
from mixhub.errors import UsageError
from mixhub.files import clear_leftovers, locked, write_all, write_text
from mixhub.progress import SILENT, Progress
from mixhub.spec import catalog
from mixhub.spec.family import Family
from mixhub.workspace.paths import Workspace

PLOTS = "plots"
"""Folder of a card's plots, beside it."""


@dataclass(frozen=True)
class FamilyCard:
    """The card of a family, and the plots that it shows."""

    text: str
    plots: tuple[Plot, ...]

    def files(self, folder: Path, is_intact: Callable[[Path], bool] = Path.is_file) -> dict[str, bytes]:
        """The plots, by path relative to the card.

        Args:
            folder: that of the card. A plot that lies there is taken where it shows the same: it costs nothing, and
                another version of matplotlib draws other bytes.
            is_intact: whether a plot that is there is as it was drawn.
        """
        return {
            f"{PLOTS}/{plot.name}.{form}": _drawn(plot, form, folder / PLOTS / f"{plot.name}.{form}", is_intact)
            for plot in self.plots
            for form in ("png", "svg")
        }


@dataclass(frozen=True)
class Rendered:
    """All cards of a family, not yet written."""

    family: FamilyCard
    cards: Mapping[Path, str]
    """Text by path: of the family's card first, then of each run that has an export."""


def render_cards(
    workspace: Workspace, family: Family, *, commits: Mapping[str, str] | None = None, progress: Progress = SILENT
) -> Rendered:
    """The card of a family and one for each run that has an export.

    Args:
        workspace: where runs, results and words of one's own lie.
        family: the family.
        commits: the commit of each branch that was pushed; only the card of the family names them.
        progress: is told of each file of samples that is read.

    Raises:
        ResultsError: results are malformed, or were made with other weights than the export's.
        ExportError, SpecError, RunError: an export's lineage, a run's metrics, or a file of own words cannot be read.
    """
    runs = gather(workspace, family)
    card = _family_card(workspace, family, runs, commits, progress)
    cards = {workspace.card(family): card.text}
    for facts in runs:
        if facts.lineage is not None:
            cards[workspace.revision_card(facts.run)] = revision_card(workspace, family, facts)
    return Rendered(card, cards)


def family_card(
    workspace: Workspace,
    family: Family,
    *,
    commits: Mapping[str, str] | None = None,
    published: Mapping[str, Path] | None = None,
    on_main: str | None = None,
) -> FamilyCard:
    """The card of a family alone; the arguments are those of `render_cards`, `gather` and `family_context`, and so are
    the errors."""
    return _family_card(workspace, family, gather(workspace, family, published), commits, SILENT, on_main)


def revision_card(workspace: Workspace, family: Family, facts: RunFacts) -> str:
    """The card of one revision; raises as `render_cards` does, but compares no runs."""
    known = gather_known(workspace, family, [facts], of_family=False)
    return render_revision(family, facts, known=known, custom=customization(workspace, family, "revision"))


def write_cards(
    workspace: Workspace,
    family: Family,
    *,
    commits: Mapping[str, str] | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> list[Path]:
    """Writes the card of a family with its plots, and one card for each run that has an export; the paths.

    All are rendered before the first is written, so a refusal leaves the old cards as they are.

    Args:
        workspace: where runs and results lie, and where the cards go.
        family: the family.
        commits: the commit of each branch that was pushed; only the card of the family names them.
        force: replace cards that were edited by hand.
        progress: is told of each file of samples that is read.

    Raises:
        UsageError: a card was edited by hand since it was rendered; names it.
        MixhubError: as `render_cards`.
    """
    rendered = render_cards(workspace, family, commits=commits, progress=progress)
    folder = workspace.card(family).parent
    own_plots = rendered.family.files(folder, intact(workspace))
    plots = {folder / name: content for name, content in own_plots.items()}
    if not force:
        require_unedited(workspace, family, rendered.cards)
        _require_own_plots(workspace, plots)
    files = {**{path: card.encode() for path, card in rendered.cards.items()}, **plots}
    with locked(workspace.lock("cards"), f"the cards of {family.name} are being written", timeout=60):
        for parent in {path.parent for path in files}:
            clear_leftovers(parent)
        note_cards(workspace, files)
        write_all({path: content for path, content in files.items() if path not in plots or not _holds(path, content)})
        _clear_plots(folder / PLOTS, plots)
    return list(files)


def require_unedited(workspace: Workspace, family: Family, cards: Mapping[Path, str] | None = None) -> None:
    """Raises UsageError when a card that a render would write was edited by hand, and is not what `cards` make it.

    A card that no render noted here may hold somebody's words, so it is taken for edited too.
    """
    noted = noted_cards(workspace)
    edited = [
        path
        for path in cards or [workspace.card(family), *map(workspace.revision_card, family.runs())]
        if path.is_file()
        and not is_as_rendered(workspace, path, noted)
        and not (cards is not None and _holds(path, cards[path].encode()))
    ]
    if edited:
        shown = edited[0].relative_to(workspace.root)
        more = f", and so were {len(edited) - 1} more" if len(edited) > 1 else ""
        words, _ = workspace.custom_card_files(family, "card" if edited[0] == workspace.card(family) else "revision")
        raise UsageError(
            f"{shown} was edited by hand since it was rendered here{more}; rendering would lose what was written there",
            hint=f"put your words into {words.name}, which every render keeps; `mixhub card diff` shows what would go, "
            "and `mixhub card render --force` lets it go",
            code="card-edited",
            paths=tuple(edited),
        )


def is_plot(path: str) -> bool:
    """Whether a path beside a card is that of a plot that cards may show."""
    return re.fullmatch(rf"{PLOTS}/(?:mixture|losses|scores|shots|difference-[^/]+)\.(?:png|svg)", path) is not None


def intact(workspace: Workspace) -> Callable[[Path], bool]:
    """Tells of a plot of the workspace whether it has the bytes that a render noted."""
    noted = noted_cards(workspace)
    return lambda path: is_as_rendered(workspace, path, noted)


def stale_plots(rendered: Rendered, card: Path, is_intact: Callable[[Path], bool]) -> list[str]:
    """The plots beside a card that do not show what they would show now, or are not there; paths relative to it.

    Args:
        rendered: the cards.
        card: path of one of them.
        is_intact: what `intact` gives.
    """
    if card != next(iter(rendered.cards)):
        return []
    return [
        name
        for plot in rendered.family.plots
        for form in ("png", "svg")
        if not _shows(card.parent / (name := f"{PLOTS}/{plot.name}.{form}"), plot, is_intact)
    ]


def customization(workspace: Workspace, family: Family, kind: Literal["card", "revision"]) -> Customization:
    """What a person adds to the cards; raises SpecError when it cannot be read."""
    sections, template = workspace.custom_card_files(family, kind)
    return Customization(read_custom_sections(sections), template if template.exists() else None)


def write_model_cards(folder: Path) -> list[Path]:
    """Writes the cards of all shipped families, each to `<folder>/<family>/README.md`, with their plots; the paths."""
    paths = []
    for name in catalog.names():
        context = catalog_context(name)
        card = FamilyCard(render_family_context(context), tuple(context.plots.values()))
        own = folder / name
        plots = {own / path: content for path, content in card.files(own).items()}
        paths.append(write_text(own / "README.md", card.text))
        write_all({path: content for path, content in plots.items() if not _holds(path, content)})
        _clear_plots(own / PLOTS, plots)
        paths += plots
    return paths


def _family_card(
    workspace: Workspace,
    family: Family,
    runs: Sequence[RunFacts],
    commits: Mapping[str, str] | None,
    progress: Progress,
    on_main: str | None = None,
) -> FamilyCard:
    known = gather_known(workspace, family, runs, progress)
    context = family_context(family, runs=runs, commits=commits, known=known, on_main=on_main)
    custom = customization(workspace, family, "card")
    return FamilyCard(render_family_context(context, custom), tuple(context.plots.values()))


def _drawn(plot: Plot, form: str, kept: Path, is_intact: Callable[[Path], bool]) -> bytes:
    if _shows(kept, plot, is_intact):
        return kept.read_bytes()
    return plot.png() if form == "png" else plot.svg()


def _shows(path: Path, plot: Plot, is_intact: Callable[[Path], bool]) -> bool:
    return path.is_file() and drawn_sha256(path.read_bytes()) == plot.sha256 and is_intact(path)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _require_own_plots(workspace: Workspace, plots: Iterable[Path]) -> None:
    """Raises UsageError when an image that is none of ours lies where a plot goes."""
    for path in plots:
        if path.is_file() and drawn_sha256(path.read_bytes()) is None:
            raise UsageError(
                f"{path.relative_to(workspace.root)} is no plot of mixhub, and a plot of that name goes there",
                hint="give the image another name, or let it go: mixhub card render --force",
                code="plot-foreign",
                path=path,
            )


def _clear_plots(folder: Path, plots: Mapping[Path, bytes]) -> None:
    """Deletes plots of ours that the card shows no longer."""
    for path in _plots_in(folder):
        if path not in plots:
            path.unlink()


def _plots_in(folder: Path) -> Sequence[Path]:
    """Plots of ours; other images are a person's own."""
    if not folder.is_dir():
        return []
    found = (path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".svg"))
    return [path for path in found if drawn_sha256(path.read_bytes()) is not None]
