from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mixhub.card.facts.gather import gather_family, gather_run
from mixhub.card.page.write import write_cards
from mixhub.errors import ExportError, ResultsError, RunError
from mixhub.files import write_json
from tests.card import making
from tests.card.making import render_family, render_revision
from tests.card.reading import page
from tests.refusals import refused

PLOTS = ("mixture", "losses", "scores", "shots")


def test_what_lies_on_disk_makes_the_same_cards(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    runs = gather_family(workspace, family).runs
    paths = write_cards(workspace, family, commits={"seed-1": "a" * 40})
    cards = tmp_path.resolve() / "cards" / "tiny"
    assert paths[:3] == [cards / "README.md", cards / "seed-1" / "README.md", cards / "seed-2" / "README.md"]
    plots = [cards / "plots" / f"{name}.{form}" for name in PLOTS for form in ("png", "svg")]
    assert paths[3:] == plots
    assert paths[0].read_text(encoding="utf-8") == render_family(family, runs, commits={"seed-1": "a" * 40})
    assert paths[1].read_text(encoding="utf-8") == render_revision(family, runs[0])
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write_cards(workspace, family, commits={"seed-1": "a" * 40})] == before


def test_cards_name_no_path_of_this_machine(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    for path in write_cards(workspace, workspace.family()):
        assert str(tmp_path).encode() not in path.read_bytes()


def test_results_of_other_weights_are_refused_and_the_old_cards_stay(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    before = [(path, path.read_bytes()) for path in write_cards(workspace, family)]
    run = family.runs()[1]
    foreign = making.digest("other weights")
    for (task, shots), value in making.VALUES.items():
        changed = making.cell(family, run, task, shots, value, weights_sha256=foreign)
        making.write_cell(changed, workspace.results(run))
    hashes = {"weights_sha256": foreign, "export_sha256": making.digest("seed-2")}
    with refused("results-foreign", ResultsError, cell="tiny/seed-2/last_word.0shot", **hashes) as caught:
        write_cards(workspace, family)
    assert caught.value.hint is not None
    assert "mixhub evaluate --seed 2" in caught.value.hint
    assert [(path, path.read_bytes()) for path, _ in before] == before


def test_results_without_an_export_are_refused(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    run = family.runs()[0]
    export = workspace.run_folder(run).export(family.training.steps)
    (export / "lineage.json").unlink()
    with refused("file-missing", ExportError):
        write_cards(workspace, family)
    shutil.rmtree(export)
    with refused("export-missing", ResultsError, cell="tiny/seed-1/last_word.0shot"):
        write_cards(workspace, family)
    assert not workspace.card(family).exists()


def test_a_run_without_export_and_results_has_no_card_of_its_own(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    run = family.runs()[1]
    export = workspace.run_folder(run).export(family.training.steps)
    shutil.rmtree(export)
    for path in workspace.results(run).iterdir():
        path.unlink()
    paths = write_cards(workspace, family)
    assert [path.parent.name for path in paths if path.name == "README.md"] == ["tiny", "seed-1"]
    card = paths[0].read_text(encoding="utf-8")
    assert "| 1 of 2 trained; one per seed, each on its own branch" in card
    assert "1 of 2 models are trained, on `seed-1`." in card
    assert [row[0] for row in page(card).table("Branch", "Seed")] == ["seed-1"]


def test_losses_are_those_of_the_export(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    run = family.runs()[0]
    with workspace.run_folder(run).metrics.open("a", encoding="utf-8") as file:
        file.write('{"step": 13, "loss": 1.0}\n{"step": 13, "loss": 0.')
    facts = gather_family(workspace, family).runs[0]
    assert facts.training_loss == 2.6
    assert dict(facts.validation_losses) == {"valid_prose": 2.25, "valid_sums": 1.75}


def test_a_malformed_line_of_metrics_is_named(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    metrics = workspace.run_folder(family.runs()[0]).metrics
    metrics.write_text('{"step": 1, "loss": 2.0}\nnonsense\n', encoding="utf-8")
    with refused("metrics-malformed", RunError, path=metrics, line=2):
        write_cards(workspace, family)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"training": {"learning_rate": 0.02}}, "mixhub.training.learning_rate"),
        ({"mixture": {"train_prose": 0.25, "train_sums": 0.75}}, "train.train_prose"),
    ],
)
def test_a_run_that_was_trained_with_another_recipe_has_no_card(
    tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    workspace = making.workspace(tmp_path)
    changed = making.family(**changes)
    with refused("recipe-differs", RunError) as caught:
        write_cards(workspace, changed)
    assert caught.value.fields["keys"][0] == key
    assert caught.value.hint is not None
    assert str(workspace.run_folder(changed.runs()[0]).path) in caught.value.hint
    with refused("recipe-differs", RunError):
        gather_run(workspace, changed, changed.runs()[1])
    assert not workspace.card(changed).exists()


@pytest.mark.parametrize("key", ["corpus_sha256", "tokenizer_sha256"])
def test_runs_on_different_tokens_have_no_card_in_common(tmp_path: Path, key: str) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    first, second = family.runs()
    lineage = workspace.run_folder(second).export(family.training.steps) / "lineage.json"
    other = making.digest("other")
    write_json(lineage, making.lineage(family, second, **{key: other}).to_data())
    with refused("runs-incomparable", RunError, key=key, revisions=("seed-1", "seed-2")) as caught:
        gather_family(workspace, family)
    shorts = [getattr(making.lineage(family, first), key)[:12], other[:12]]
    assert all(short in caught.value.message for short in shorts)
    assert caught.value.hint is not None
    assert str(workspace.run_folder(second).path) in caught.value.hint
    assert gather_run(workspace, family, second).lineage is not None
    write_json(lineage, making.lineage(family, second, **{key: "unknown"}).to_data())
    assert len(gather_family(workspace, family).runs) == 2
