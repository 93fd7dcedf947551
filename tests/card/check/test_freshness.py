"""Findings for a card that differs from a new render of it."""

from __future__ import annotations

from mixhub.card.check.freshness import figure_findings, missing_card
from mixhub.card.diff.cards import card_changes
from mixhub.card.diff.change import Change
from mixhub.card.page.render import render_catalog
from tests.refusals import codes


def test_figures_of_results_and_the_rest_of_a_new_render() -> None:
    card = render_catalog("human-1b").text
    new = card.replace("82.48", "82.51").replace("4e-4", "5e-4").replace("Limits", "Bounds")
    found = figure_findings(card_changes(card, new), "README.md", ["mixture.svg", "mixture.png"])
    assert ("figure-differs", "SciQ seed 3") in [(finding.code, finding.about) for finding in found]
    *figures, fresh = found
    assert set(codes(figures)) == {"figure-differs"}
    assert (fresh.code, fresh.hint) == ("card-stale", "run mixhub card render")
    assert figure_findings(card_changes(card, card), "README.md", []) == []
    assert fresh.message.endswith("; and 2 more")


def test_the_message_of_a_stale_card() -> None:
    changes = [Change(f"Fact {i}", "1", "2") for i in range(4)]
    (fresh,) = figure_findings(changes, "a.md", ["mixture.svg"])
    assert str(fresh) == (
        "a.md: is stale, 5 differences from a new render: Fact 0: 1 → 2; Fact 1: 1 → 2; Fact 2: 1 → 2; and 2 more"
    )
    (one,) = figure_findings([], "a.md", ["mixture.svg"])
    assert str(one).endswith("1 difference from a new render: the plot mixture.svg is missing or out of date")
    new, gone = figure_findings(
        [Change("SciQ seed 1", None, "1", is_figure=True), Change("SciQ seed 2", "2", None, is_figure=True)], "a.md", []
    )
    assert new.message == "SciQ seed 1: the card says nothing, the results give 1"
    assert gone.message == "SciQ seed 2: the card says 2, the results give nothing"


def test_a_missing_card() -> None:
    finding = missing_card("a/README.md")
    assert str(finding) == "a/README.md: has not been rendered yet"
    assert (finding.code, finding.hint) == ("card-unrendered", "run mixhub card render")
