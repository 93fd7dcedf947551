"""`model_cards/` holds what the catalog renders to. `write_model_cards(Path("model_cards"))` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mixhub import catalog
from mixhub.card.render import render_catalog, write_model_cards
from mixhub.errors import UnknownNameError

FOLDER = Path(__file__).parents[2] / "model_cards"


@pytest.mark.parametrize("name", catalog.names())
def test_the_kept_card_is_fresh(name: str) -> None:
    assert (FOLDER / name / "README.md").read_text(encoding="utf-8") == render_catalog(name)


def test_every_shipped_family_has_its_card_and_nothing_else_lies_there(tmp_path: Path) -> None:
    written = write_model_cards(tmp_path)
    assert {path.relative_to(tmp_path) for path in written} == {
        path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "human-1b"])
def test_no_score_is_invented(name: str) -> None:
    card = render_catalog(name)
    assert "No scores are known for this family" in card
    assert ModelCard(card).data.eval_results is None


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="human-1b"):
        render_catalog("humen-1b")
