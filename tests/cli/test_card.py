"""`mixhub card` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mixhub.card.page.write import PLOTS
from mixhub.workspace.paths import Workspace
from tests.card import making
from tests.refusals import error_codes, printed_codes


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return making.workspace(tmp_path)


def change_score(place: Workspace) -> None:
    family = place.family()
    run = family.run(seed=1)
    making.write_cell(making.cell(family, run, "sums", 0, 0.5), place.results(run))


def test_render_names_each_file_and_check_finds_nothing(mixhub_here, place):
    done = mixhub_here("card", "render")
    assert done.returncode == 0, done.stderr
    named = [Path(line).relative_to(place.root).as_posix() for line in done.stdout.splitlines()]
    assert named[:3] == ["cards/tiny/README.md", "cards/tiny/seed-1/README.md", "cards/tiny/seed-2/README.md"]
    assert set(named[3:]) == {
        f"cards/tiny/{PLOTS}/{name}.{form}"
        for name in ("mixture", "losses", "scores", "shots")
        for form in ("png", "svg")
    }
    assert all((place.root / name).is_file() for name in named)
    checked = mixhub_here("card", "check")
    assert (checked.returncode, checked.stdout) == (0, "3 cards, no findings\n")


def test_diff_tells_what_a_render_changes_as_facts(mixhub_here, place):
    mixhub_here("card", "render")
    assert mixhub_here("card", "diff").stdout == "no changes\n"
    change_score(place)
    lines = mixhub_here("card", "diff").stdout.splitlines()
    assert "cards/tiny/README.md: Sums seed 1: 10.94 → 28.91" in lines
    assert "cards/tiny/README.md: plot: plots/scores.png" in lines
    assert "cards/tiny/seed-1/README.md: Sums seed 1: 10.94 → 28.91" in lines
    assert not [line for line in lines if line.startswith("cards/tiny/seed-2")]


def test_check_tells_figures_that_are_not_those_of_the_results(mixhub_here, place):
    mixhub_here("card", "render")
    change_score(place)
    checked = mixhub_here("card", "check")
    assert checked.returncode == 1
    assert {"figure-differs", "card-stale"} == set(printed_codes(checked.stdout))
    assert "Sums seed 1: the card says 10.94, the results give 28.91" in checked.stdout
    found = json.loads(mixhub_here("card", "check", "--json").stdout)["cards"]
    mine = found[str(place.card(place.family()))]
    assert ("figure-differs", "Sums seed 1") in {(finding["code"], finding["about"]) for finding in mine}
    assert {finding["hint"] for finding in mine} == {"run mixhub card render"}
    assert found[str(place.revision_card(place.family().run(seed=2)))] == []
    mixhub_here("card", "render")
    assert mixhub_here("card", "check").returncode == 0


def test_check_of_cards_that_are_not_rendered(mixhub_here, place):
    checked = mixhub_here("card", "check")
    assert checked.returncode == 1
    assert printed_codes(checked.stdout) == ["card-unrendered"] * 3


def test_check_of_any_card(mixhub_here, place):
    (place.root / "other.md").write_text(
        "---\nlicense: apache-2.0-or-later\n---\n# A card\n\n![gone](nowhere.png)\n", encoding="utf-8"
    )
    checked = mixhub_here("card", "check", "other.md")
    assert checked.returncode == 1
    lines = [line for line in checked.stdout.splitlines() if printed_codes(line)]
    assert [(line.partition(": ")[0], *printed_codes(line)) for line in lines] == [
        ("other.md:2", "metadata-invalid"),
        ("other.md:6", "link-broken"),
    ]
    assert checked.stdout.splitlines()[-1] == "1 card, 2 findings"


def test_the_hub_is_asked_when_it_is_wanted(mixhub_here, place):
    mixhub_here("card", "render")
    checked = mixhub_here("card", "check", "--validate", "--hub", "local")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "hub: " in checked.stdout
    (place.root / "bad.md").write_text("---\ntags:\n- 1.5\n---\n# A\n", encoding="utf-8")
    refused = mixhub_here("card", "check", "bad.md", "--validate", "--hub", "local")
    assert refused.returncode == 1
    assert "card-refused" in printed_codes(refused.stdout)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["card", "check", "none.md"], "file-missing"),
        (["card", "render", "--family", "tinny"], "unknown-family"),
        (["card", "check", "none.md", "--hub", "local"], "option-missing"),
        (["card", "check", "none.md", "--family", "tiny"], "option-conflict"),
    ],
)
def test_mistakes_end_with_2(mixhub_here, place, arguments, code):
    assert error_codes(mixhub_here(*arguments)) == [code]


def test_an_edited_card_is_not_lost(mixhub_here, place):
    mixhub_here("card", "render")
    card = place.card(place.family())
    card.write_text(card.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    checked = mixhub_here("card", "check")
    assert checked.returncode == 1
    assert "move your text to card.md, then run mixhub card render --force" in checked.stdout
    refused = mixhub_here("card", "render")
    assert error_codes(refused) == ["card-edited"]
    assert "cards/tiny/README.md" in refused.stderr
    assert "card.md" in refused.stderr.splitlines()[1]
    assert "Mine." in card.read_text(encoding="utf-8")
    assert mixhub_here("card", "check").returncode == 1
    assert mixhub_here("card", "render", "--force").returncode == 0
    assert "Mine." not in card.read_text(encoding="utf-8")


def test_a_malformed_licence_is_refused_and_the_old_card_stays(mixhub_here, place):
    mixhub_here("card", "render")
    before = place.card(place.family()).read_bytes()
    config = place.root / "mixhub.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("license: mit", "license: MIT License"), encoding="utf-8"
    )
    refused = mixhub_here("card", "render")
    assert error_codes(refused) == ["value-format"]
    assert "card.license = 'MIT License'" in refused.stderr
    assert (place.root / "cards" / "tiny" / "README.md").read_bytes() == before


def test_a_missing_seed_is_said_on_the_card(mixhub_here, place):
    family = place.family()
    export = place.run_folder(family.run(seed=2)).export(family.training.steps)
    for path in (*export.iterdir(), *place.results(family.run(seed=2)).iterdir()):
        path.unlink()
    export.rmdir()
    assert mixhub_here("card", "render").returncode == 0
    card = place.card(family).read_text(encoding="utf-8")
    assert "1 of 2 models are trained, on `seed-1`." in card
    assert "Not evaluated: `seed-2`." in card
    assert json.loads((place.root / "receipts" / "cards.json").read_text(encoding="utf-8"))["format"] == 1


def test_a_card_that_cannot_be_read_hides_no_other(mixhub_here, place):
    mixhub_here("card", "render", cwd=place.root)
    first, second = sorted(place.card(place.family()).parent.glob("seed-*/README.md"))[:2]
    first.write_text(first.read_text().replace("license: mit", "license: [mit"))
    second.write_text(second.read_text().replace("license: mit", "license: Nonsense"))
    checked = mixhub_here("card", "check", cwd=place.root)
    assert checked.returncode == 1
    assert f"{first}:" in checked.stdout
    assert "Nonsense" in checked.stdout
    shown = mixhub_here("card", "diff", cwd=place.root)
    assert shown.returncode == 0, shown.stderr
    assert "cannot be read: " in shown.stdout
    assert "Nonsense" in shown.stdout


def test_a_shape_that_the_weights_do_not_have_is_on_no_card(mixhub_here, place):
    mixhub_here("card", "render", cwd=place.root)
    before = place.card(place.family()).read_bytes()
    config = place.path("mixhub.yaml")
    assert "num_hidden_layers: 2" in config.read_text()
    config.write_text(config.read_text().replace("num_hidden_layers: 2", "num_hidden_layers: 3"))
    done = mixhub_here("card", "render", cwd=place.root)
    assert error_codes(done) == ["recipe-differs"]
    assert "num_hidden_layers" in done.stderr
    assert place.card(place.family()).read_bytes() == before


def test_a_template_that_makes_no_text_is_refused(mixhub_here, place):
    place.path("card.md.j2").write_text("\n")
    done = mixhub_here("card", "render", cwd=place.root)
    assert error_codes(done) == ["template-empty"]
    assert "card.md.j2" in done.stderr
