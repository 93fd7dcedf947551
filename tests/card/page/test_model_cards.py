"""`model_cards/` holds what the catalog renders to. `write_model_cards(Path("model_cards"))` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mixhub.card.check.lint import lint_card
from mixhub.card.page.render import render_catalog
from mixhub.card.page.write import PLOTS
from mixhub.card.plots.plot import drawn_sha256
from mixhub.errors import UnknownNameError
from mixhub.spec import catalog
from tests.refusals import refused

FOLDER = Path(__file__).parents[3] / "model_cards"


@pytest.mark.parametrize("name", catalog.published())
def test_the_kept_card_is_fresh(name: str) -> None:
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8") == render_catalog(name).text


@pytest.mark.parametrize("name", catalog.published())
def test_the_kept_plots_show_what_they_would_show_now(name: str) -> None:
    """Their bytes may be those of another version of matplotlib."""
    for plot in render_catalog(name).plots:
        for form in ("png", "svg"):
            assert drawn_sha256((FOLDER / name / PLOTS / f"{plot.name}.{form}").read_bytes()) == plot.sha256


@pytest.mark.parametrize("name", catalog.published())
def test_a_check_finds_nothing(name: str) -> None:
    path = FOLDER / name / "README.md"
    assert lint_card(path.read_text(encoding="utf-8"), folder=path.parent, source=str(path)) == ()


def test_every_shipped_family_has_its_card_and_nothing_else_lies_there() -> None:
    expected = {
        f"{name}/{path}"
        for name in catalog.published()
        for path in (
            "README.md",
            *(f"{PLOTS}/{plot.name}.{form}" for plot in render_catalog(name).plots for form in ("png", "svg")),
        )
    }
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()} == expected


def test_which_plots_there_are() -> None:
    assert [plot.name for plot in render_catalog("human-1b").plots] == ["mixture", "scores"]
    assert [plot.name for plot in render_catalog("random-1b").plots] == ["mixture"]


@pytest.mark.parametrize("name", [name for name in catalog.published() if name != "human-1b"])
def test_no_score_is_invented(name: str) -> None:
    card = render_catalog(name).text
    assert "No scores are known for this family" in card
    assert ModelCard(card).data.eval_results is None


def test_an_unknown_family_is_refused() -> None:
    with refused("unknown-family", UnknownNameError, name="humen-1b") as caught:
        render_catalog("humen-1b")
    assert caught.value.nearest == "human-1b"
