"""What a card says beyond recipe and cells: imported results, siblings, tokens and epochs, compute, the audit."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from mixhub.analysis.samples import Baseline, SampleSummary
from mixhub.card.facts.gather import gather_family
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.page.loading import loading
from mixhub.card.page.write import render_cards, write_cards
from mixhub.errors import ResultsError, UnknownNameError
from mixhub.files import write_json
from mixhub.spec.family import Family
from mixhub.workspace.manifest import Manifest
from mixhub.workspace.paths import Workspace
from tests.analysis.written import write_results
from tests.card import making
from tests.card.making import render_family, render_revision
from tests.card.reading import page
from tests.refusals import refused
from tests.tiny import tiny_family

SUITE = {"last_word": [1, 0, 0, 1], "sums": [1, 1, 1, 0]}


def cards_of(workspace: Workspace) -> str:
    return render_cards(workspace, workspace.family()).family.text


def without_results(folder: Path) -> Workspace:
    workspace = making.workspace(folder)
    for run in workspace.family().runs():
        for path in workspace.results(run).iterdir():
            path.unlink()
    return workspace


def bring(workspace: Workspace, seed: int, **changes: Any) -> Path:
    """Results of lm-eval in the folder of a seed."""
    folder = workspace.imported(workspace.family().run(seed=seed))
    for shots in (0, 2):
        values = {task: own if shots else own[::-1] for task, own in SUITE.items()}
        write_results(
            folder, values, num_fewshot=shots, **{"model": "org/model", "revision": f"seed-{seed}", **changes}
        )
    return folder


def test_imported_results_have_a_standing_of_their_own(tmp_path: Path) -> None:
    workspace = without_results(tmp_path)
    bring(workspace, 1)
    bring(workspace, 2)
    card = cards_of(workspace)
    read = page(card)
    assert "Imported" in read.headings
    assert "Measured here" not in read.headings
    assert read.table("Seed", "Average")[:2] == [["1", "62.50", "50.00", "75.00"], ["2", "62.50", "50.00", "75.00"]]
    assert any("imported: evaluated elsewhere" in row[1] for table in read.tables for row in table if len(row) > 1)
    results = ModelCard(card).data.eval_results
    assert results is not None
    assert {result.metric_name for result in results if result.metric_args.get("seed")} == {
        "score, seed 1, imported", "score, seed 2, imported"
    }  # fmt: skip


def test_measured_and_imported_results_are_not_mixed(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    bring(workspace, 1)
    read = page(cards_of(workspace))
    tables = [table[1:] for table in read.tables if table[0][:2] == ["Seed", "Average"]]
    assert tables[0][0] == ["1", "25.00", "39.06", "10.94"]
    assert tables[1] == [["1", "62.50", "50.00", "75.00"]]
    assert "Not evaluated: seed-2." in " ".join(read.paragraphs)


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"revision": "seed-2"}, "results-foreign", {"revision": "seed-2"}),
        ({"model": "org/another"}, "models-mixed", {"models": ("org/another", "org/model")}),
    ],
)
def test_imported_results_of_another_model_are_refused(
    tmp_path: Path, changes: dict[str, str], code: str, fields: dict[str, object]
) -> None:
    workspace = without_results(tmp_path)
    bring(workspace, 1)
    before = [(path, path.read_bytes()) for path in write_cards(workspace, workspace.family())]
    bring(workspace, 1, date=1_790_000_001.0, **changes)
    with refused(code, ResultsError, **fields):
        write_cards(workspace, workspace.family())
    assert [(path, path.read_bytes()) for path, _ in before] == before


def test_imported_results_of_no_revision_are_refused(tmp_path: Path) -> None:
    workspace = without_results(tmp_path)
    folder = bring(workspace, 1)
    misnamed = folder.rename(folder.parent / "sed-1")
    with refused("imported-revision-unknown", ResultsError, path=misnamed, nearest="seed-1") as caught:
        cards_of(workspace)
    assert caught.value.hint is not None
    assert "imported/seed-1/" in caught.value.hint


def sibling_of(family: Family, shift: float) -> FamilyFacts:
    other = family.model_copy(update={"name": "other", "repo_id": "local/other"})
    values = {key: value + shift for key, value in making.VALUES.items()}
    return FamilyFacts(other, tuple(making.evaluated(other, run, values=values) for run in other.runs()))


def test_siblings_stand_side_by_side_with_the_difference() -> None:
    family = making.family(card={**making.CHANGES["card"], "siblings": ["other"]})
    runs = [making.evaluated(family, run) for run in family.runs()]
    read = page(render_family(family, runs, siblings=(sibling_of(family, 1 / 64),)))
    assert read.table("Family", "Title")[0][0] == "local/other"
    beside = read.table("Task", "tiny", "other")
    assert beside[0] == ["Last word", "39.84 ± 1.10", "41.41 ± 1.10"]
    assert beside[-1] == ["Average", "25.78 ± 1.10", "27.34 ± 1.10"]
    said = next(text for text in read.paragraphs if text.startswith("tiny minus other"))
    assert "-1.56 points of the average" in said
    assert "includes zero" in said
    assert ("/local/other") in [address for _, address in read.links]


def test_siblings_without_scores_are_only_named() -> None:
    family = making.family()
    sibling = replace(sibling_of(family, 0), runs=tuple(map(RunFacts, family.runs())))
    runs = [making.evaluated(family, run) for run in family.runs()]
    read = page(render_family(family, runs, siblings=(sibling,)))
    assert "Siblings" in read.headings
    assert not [table for table in read.tables if table[0][:2] == ["Task", "tiny"]]
    assert any("Scores are not compared" in text for text in read.paragraphs)


def test_scores_of_a_sibling_over_indices_are_not_compared() -> None:
    family = making.family()
    indices = {"pattern": "mix-{index}", "seeds": [], "indices": "0-1"}
    mixtures = {index: {"train_prose": 0.5, "train_sums": 0.5} for index in range(2)}
    sibling = sibling_of(making.family(mixture=None, mixtures=mixtures, revisions=indices, training={"seed": 3}), 0)
    runs = [making.evaluated(family, run) for run in family.runs()]
    read = page(render_family(family, runs, siblings=(sibling,)))
    assert read.table("Family", "Title")[0][0] == "local/other"
    assert not [table for table in read.tables if table[0][:2] == ["Task", "tiny"]]


def test_imported_scores_of_siblings_stand_side_by_side(tmp_path: Path) -> None:
    workspace = without_results(tmp_path)
    bring(workspace, 1)
    bring(workspace, 2)
    family = workspace.family()
    runs = gather_family(workspace, family).runs
    sibling = replace(sibling_of(family, 0), runs=runs)
    read = page(render_family(family, runs, siblings=(sibling,)))
    assert read.table("Task", "tiny", "other")[-1][1:] == ["62.50", "62.50"]
    assert any(text.startswith("Imported, mean ± sd over seeds:") for text in read.paragraphs)
    assert not any("Scores are not compared" in text for text in read.paragraphs)


def test_siblings_of_other_prompts_are_not_compared() -> None:
    family = making.family()
    other = sibling_of(family, 0)
    cells = [
        replace(facts, cells=tuple(replace(cell, task_hash=making.digest("other prompts")) for cell in facts.cells))
        for facts in other.runs
    ]
    runs = [making.evaluated(family, run) for run in family.runs()]
    read = page(render_family(family, runs, siblings=(replace(other, runs=tuple(cells)),)))
    assert any(
        text.startswith("tiny and other are not compared: Last word: different documents or prompts")
        for text in read.paragraphs
    )


def test_a_sibling_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    config = yaml.safe_load((tmp_path / "mixhub.yaml").read_text(encoding="utf-8"))
    config["families"]["tiny"]["card"]["siblings"] = ["humen-1b"]
    (tmp_path / "mixhub.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with refused("unknown-family", UnknownNameError, name="humen-1b") as caught:
        cards_of(Workspace.open(workspace.root))
    assert caught.value.nearest == "human-1b"


def write_manifest(workspace: Workspace) -> Manifest:
    """Token shards of the family, of which only the manifest is there."""
    family = workspace.family()
    one = {"documents": 1, "shards": [], "sources": []}
    data = {
        "corpus": family.data.corpus,
        "tokenizer": family.tokenizer.to_data(),
        "tokenizer_sha256": making.digest("tokenizer"),
        "dtype": "uint16",
        "eos_id": 0,
        "train": {name: {**one, "tokens": tokens} for name, tokens in
                  (("prose", 384), ("sums", 100_000), ("two-part", 608))},
        "valid": {name: {**one, "tokens": 10} for name in ("prose", "sums")},
    }  # fmt: skip
    manifest = Manifest.from_data(data, "manifest.json")
    write_json(workspace.tokens(family) / "manifest.json", manifest.to_data())
    return manifest


def with_corpus(workspace: Workspace, sha256: str) -> None:
    family = workspace.family()
    for run in family.runs():
        export = workspace.run_folder(run).export(family.training.steps)
        write_json(export / "lineage.json", making.lineage(family, run, corpus_sha256=sha256).to_data())


def test_epochs_are_told_where_the_shards_are_those_of_the_runs(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    manifest = write_manifest(workspace)
    with_corpus(workspace, manifest.for_family(workspace.family()).sha256())
    read = page(cards_of(workspace))
    assert read.table("Domain", "Share") == [
        ["prose", "50.00%", "768", "384", "2.00"],
        ["sums", "30.00%", "464", "100K", "0.00464"],
        ["two-part", "20.00%", "304", "608", "0.50"],
    ]
    with_corpus(workspace, making.digest("another corpus"))
    table = next(table for table in page(cards_of(workspace)).tables if table[0][0] == "Domain")
    assert table[0] == ["Domain", "Share", "Expected tokens"]


def test_compute_is_what_the_metrics_tell(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    for run, speed in zip(family.runs(), (128.0, 64.0), strict=True):
        lines = [{"step": step, "loss": 2.0, "tokens_per_second": speed} for step in range(1, 14)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        workspace.run_folder(run).metrics.write_text(text, encoding="utf-8")
    rows = page(cards_of(workspace)).table("Branch", "Device")
    assert rows == [["seed-1", "cpu", "1", "128", "12 s"], ["seed-2", "cpu", "1", "64", "24 s"]]  # 12 steps of 128


def with_lineages(workspace: Workspace, **changes: Any) -> None:
    family = workspace.family()
    for run in family.runs():
        export = workspace.run_folder(run).export(family.training.steps)
        write_json(export / "lineage.json", making.lineage(family, run, **changes).to_data())


def test_gpu_hours_and_mfu_are_shown_where_known(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    gpu = "NVIDIA A100-SXM4-40GB"
    with_lineages(workspace, device="cuda", processes=8, device_name=gpu, device_hours=383.7, mfu=0.5204)
    read = page(cards_of(workspace))
    [header] = [table[0] for table in read.tables if table[0][:2] == ["Branch", "Device"]]
    assert header == ["Branch", "Device", "Processes", "GPU-hours", "MFU"]
    assert read.table("Branch", "Device") == [[f"seed-{n}", gpu, "8", "384", "52.0%"] for n in (1, 2)]
    assert "took 767 GPU-hours" in cards_of(workspace)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "cuda"},
        {"device": "cpu", "device_hours": 0.25},
        {"device": "cuda", "device_hours": None, "mfu": None},
    ],
)
def test_gpu_hours_and_mfu_that_are_not_known_are_not_shown(tmp_path: Path, changes: dict[str, Any]) -> None:
    workspace = making.workspace(tmp_path)
    with_lineages(workspace, **changes)
    text = cards_of(workspace)
    assert "GPU-hours" not in text
    assert "MFU" not in text


def test_the_dtype_of_the_weights_is_that_of_the_export(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    for run in family.runs():
        export = workspace.run_folder(run).export(family.training.steps)
        write_json(export / "config.json", {"dtype": "float32"})
    assert "stored in float32;" in cards_of(workspace)


def test_chance_and_errors_come_from_samples() -> None:
    family = making.family()
    runs = [making.evaluated(family, run) for run in family.runs()]
    samples = SampleSummary(
        {(run.revision, "sums"): 1.25 for run in family.runs()},
        {(run.revision, "sums"): "" for run in family.runs()},
        {"sums": Baseline(25.0, 40.0)},
    )
    read = page(render_family(family, runs, samples=samples))
    assert read.table("Seed", "Average")[-1] == ["chance", "—", "—", "25.00"]
    rows = {row[0]: row for row in read.table("Task", "Name in lm-eval")}
    assert rows["Sums"][-3:] == ["1.25", "25.00", "40.00"]
    assert rows["Last word"][-2:] == ["—", "—"]


def test_an_audit_of_cells_names_what_does_not_fit() -> None:
    family = making.family()
    first, second = (making.evaluated(family, run) for run in family.runs())
    copied = tuple(replace(cell, weights_sha256=first.cells[0].weights_sha256) for cell in second.cells)
    said = page(render_family(family, [first, replace(second, cells=copied)])).paragraphs
    assert any("tiny seed-1 and tiny seed-2 were measured with the same weights" in text for text in said)
    clean = page(render_family(family, [first, second])).paragraphs
    assert any(text.endswith("It found no inconsistency.") for text in clean)
    assert any(text.endswith("It found no inconsistency.") for text in
               page(render_revision(family, first)).paragraphs)  # fmt: skip


def test_what_a_person_says_of_errata_compute_contact_and_base_model_is_shown() -> None:
    card = {
        "errata": ["Seed 2 was once called seed 3."],
        "compute": "A day on one machine.",
        "contact": "me@example.org",
        "base_model": "org/base",
        "license": "other",
        "license_name": "my-licence",
        "license_link": "https://example.org/licence",
    }
    family = making.family(card={**making.CHANGES["card"], **card})
    text = render_family(family, [RunFacts(run) for run in family.runs()])
    read = page(text)
    assert {"Seed 2 was once called seed 3.", "A day on one machine.", "me@example.org"} <= set(read.paragraphs)
    assert {"Errata", "Contact"} <= set(read.headings)
    assert ("org/base", "https://huggingface.co/org/base") in read.links
    assert ("my-licence", "https://example.org/licence") in read.links
    data = ModelCard(text).data
    assert (data.base_model, data.license, data.license_name) == ("org/base", "other", "my-licence")


def test_no_plots_where_none_are_wanted() -> None:
    family = making.family(card={**making.CHANGES["card"], "plots": False})
    assert "plots/" not in render_family(family, [making.evaluated(family, run) for run in family.runs()])


def test_what_is_gathered_is_what_is_there(tmp_path: Path) -> None:
    workspace = making.workspace(tmp_path)
    family = workspace.family()
    facts = gather_family(workspace, family)
    assert (facts.domain_tokens, facts.siblings, dict(facts.samples.stderrs)) == (None, (), {})
    assert re.fullmatch(r"[0-9a-f]{64}", facts.runs[0].cells[0].weights_sha256)


@pytest.mark.parametrize(("owner", "is_local"), [("local", True), ("tester", False)])
def test_a_repo_of_an_embedded_hub_says_where_it_is(owner, is_local):
    family = tiny_family(repo_id=f"{owner}/tiny")
    code = loading(FamilyFacts(family, tuple(RunFacts(run) for run in family.runs())))
    assert ["HF_ENDPOINT" in str(code[name]) for name in ("mixhub_code", "transformers_code")] == [is_local] * 2
