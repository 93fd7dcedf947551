from __future__ import annotations

import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from mixhub.card.check.lint import lint_card
from mixhub.card.facts.runs import FamilyFacts, RunFacts
from mixhub.card.facts.withdrawal import Withdrawal
from mixhub.card.page.render import render, render_catalog
from tests.card import making
from tests.card.making import render_family, render_revision
from tests.card.reading import page

GOLDEN = Path(__file__).parent / "golden"
COMMITS = {"seed-1": "a" * 40, "seed-2": "b" * 40}


def _runs() -> list[RunFacts]:
    family = making.family()
    return [making.evaluated(family, run) for run in family.runs()]


def _compare(name: str, card: str) -> None:
    """With MIXHUB_WRITE_GOLDEN=1 the files are written anew: read the difference before it is kept."""
    path = GOLDEN / name
    if os.environ.get("MIXHUB_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(card, encoding="utf-8")
    assert card == path.read_text(encoding="utf-8")


def test_family_card_is_the_golden_one() -> None:
    _compare("family.md", render_family(making.family(), _runs(), commits=COMMITS))


def test_revision_card_is_the_golden_one() -> None:
    _compare("revision.md", render_revision(making.family(), _runs()[1]))


def test_scores_parse_back() -> None:
    rows = page(render_family(making.family(), _runs())).table("Seed", "Average")
    assert rows == [
        ["1", "25.00", "39.06", "10.94"],  # (1/4 + 1/2) / 2 + 1/64, and (1/8 + 1/16) / 2 + 1/64
        ["2", "26.56", "40.62", "12.50"],
        ["mean ± sd", "25.78 ± 1.10", "39.84 ± 1.10", "11.72 ± 1.10"],
    ]


def test_a_revision_carries_its_own_scores_only_and_no_commit() -> None:
    family = making.family()
    card = render_revision(family, _runs()[1])
    assert page(card).table("Seed", "Average") == [["2", "26.56", "40.62", "12.50"]]
    results = ModelCard(card).data.eval_results
    assert results is not None
    assert {result.metric_args["seed"] for result in results} == {2}
    assert making.digest("seed-2") in card
    assert not re.search(r"\b[0-9a-f]{40}\b", card)


def test_commits_and_weights_stand_beside_their_branch() -> None:
    table = page(render_family(making.family(), _runs(), commits={"seed-2": "b" * 40})).table("Branch", "Seed")
    assert table == [
        ["seed-1", "1", "12", making.digest("seed-1")[:12], "—"],
        ["seed-2", "2", "12", making.digest("seed-2")[:12], "b" * 40],
    ]


def test_a_withdrawn_run_is_named_at_the_head_and_beside_its_branch() -> None:
    first, second = _runs()
    withdrawal = Withdrawal(
        family="tiny", revision="seed-2", weights_sha256=making.digest("seed-2"), why="wrong data", date="2026-11-23"
    )
    runs = [first, replace(second, withdrawal=withdrawal)]
    facts = FamilyFacts(making.family(), tuple(runs), commits={"seed-2": "b" * 40}, withdrawals=(withdrawal,))
    card = render(facts).text
    head, _, rest = card.partition("\n## ")
    assert "**Withdrawn: `seed-2`.**" in head
    assert "## Errata" in rest
    assert [row[:3] for row in page(card).table("Branch", "Seed", "State")] == [
        ["seed-1", "1", "—"],
        ["seed-2", "2", "withdrawn"],
    ]
    assert "Withdrawn" not in render_family(making.family(), _runs())


def test_a_withdrawn_run_is_not_the_one_to_load() -> None:
    first, second = _runs()
    withdrawal = Withdrawal(
        family="tiny", revision="seed-1", weights_sha256=making.digest("seed-1"), why="wrong data", date="2026-11-23"
    )
    runs = [replace(first, withdrawal=withdrawal), second]
    assert 'revision="seed-2"' in render_family(making.family(), runs)
    card = render_family(making.family(), runs, commits=COMMITS)
    assert f'commit="{COMMITS["seed-2"]}"' in card
    assert f'commit="{COMMITS["seed-1"]}"' not in card


def test_seeds_with_equal_scores_have_no_sd_and_no_interval() -> None:
    """An interval of no width would read as certainty."""
    family = making.family()
    runs = []
    for run in family.runs():
        values = {key: value + run.label / 64 if key[0] == "last_word" else 0.0 for key, value in making.VALUES.items()}
        cells = tuple(making.cell(family, run, *key, value) for key, value in values.items())
        runs.append(replace(making.evaluated(family, run), cells=cells))
    card = render_family(family, runs)
    read = page(card)
    headers = next(table[0] for table in read.tables if table[0][0] == "Seed")
    means = dict(zip(headers, read.table("Seed", "Average")[2], strict=True))
    assert means["Sums"] == "0.00"
    assert "±" in means["Last word"]
    by_task = next(table for table in read.tables if table[0][:2] == ["Task", "Name in lm-eval"])
    column = by_task[0].index("95 % interval over seeds")
    assert {row[0]: row[column] == "—" for row in by_task[1:]} == {"Last word": False, "Sums": True, "Average": False}
    assert "On Sums, all seeds have the same score" in card
    assert lint_card(card) == ()


@pytest.mark.parametrize(("rate", "named"), [(4e-4, True), (5e-4, False)])
def test_published_values_name_the_recipe_that_they_are_of(rate: float, named: bool) -> None:
    recipe = {
        **making.family().training.to_data(),
        "learning_rate": rate,
        "min_learning_rate": 0.0,
        "origins": {"learning_rate": "published"},
    }
    family = making.family(training=recipe)
    card = render_family(family, [RunFacts(run) for run in family.runs()])
    assert ("by the authors of [human-1b](https://huggingface.co/sail/data-mixture-human-1b)" in card) is named
    assert ("by the authors of the recipe" in card) is not named


def test_a_score_that_lacks_cells_and_its_average_are_left_open() -> None:
    family = making.family()
    first, second = _runs()
    card = render_family(family, [first, replace(second, cells=second.cells[:-1])])
    read = page(card)
    rows = read.table("Seed", "Average")
    assert rows[1] == ["2", "— (1 of 2 tasks)", "40.62", "— (1 of 2 shot counts)"]
    assert rows[2] == ["mean ± sd", "—", "39.84 ± 1.10", "—"]
    assert "7 of 8 cells are present" in card
    assert ["Sums", "sums", "1", "acc", "64", "3 of 4"] in [row[:6] for row in read.table("Task")]
    results = ModelCard(card).data.eval_results
    assert results is not None
    sums = [(r.metric_name, r.metric_value) for r in results if r.dataset_type == "sums"]
    assert sums == [("score, seed 1", 10.94)]
    average = [r.metric_args["seed"] for r in results if r.dataset_type == "average"]
    assert average == [1]


def test_a_seed_that_is_not_evaluated_is_named() -> None:
    family = making.family()
    first, second = _runs()
    card = render_family(family, [first, RunFacts(second.run)])
    assert "Not evaluated: `seed-2`." in card
    assert "4 of 8 cells are present" in card
    assert page(card).table("Seed", "Average") == [["1", "25.00", "39.06", "10.94"]]


def test_cells_of_part_of_the_documents_do_not_count() -> None:
    family = making.family()
    first, second = _runs()
    cells = [making.cell(family, first.run, c.task, c.num_fewshot, 0.5, limit=4) for c in first.cells]
    card = render_family(family, [replace(first, cells=tuple(cells)), second])
    assert page(card).table("Seed", "Average")[0] == [
        "1", "— (0 of 2 tasks)", "— (0 of 2 shot counts)", "— (0 of 2 shot counts)",
    ]  # fmt: skip
    assert "4 other cells do not count" in card


def test_no_mean_over_rows_of_different_dtypes() -> None:
    family = making.family()
    first, second = _runs()
    values = {(c.task, c.num_fewshot): c.metrics["acc"] for c in second.cells}
    cells = [making.cell(family, second.run, *key, value, dtype="bfloat16") for key, value in values.items()]
    card = render_family(family, [first, replace(second, cells=tuple(cells))])
    assert len(page(card).table("Seed", "Average")) == 2
    assert "different dtypes" in card
    assert "bfloat16 on cpu by mixhub's backend and float32 on cpu by mixhub's backend" in card


def test_without_results_the_card_says_so() -> None:
    family = making.family()
    card = render_family(family, [RunFacts(run) for run in family.runs()])
    assert "No scores are known for this family" in card
    assert ModelCard(card).data.eval_results is None
    assert not [table for table in page(card).tables if "Average" in table[0]]


def test_published_and_measured_scores_stand_apart() -> None:
    printed = {
        "source": "https://example.org/table",
        "rule": "as printed",
        "scores": {"seed-1": {"last_word": 90.0, "sums": 80.0}, "seed-2": {"last_word": 70.0}},
        "average": {"seed-1": 85.0},
    }
    family = making.family(published_scores=printed)
    card = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    tables = [table[1:] for table in page(card).tables if table[0][:2] == ["Seed", "Average"]]
    assert tables[0][0] == ["1", "25.00", "39.06", "10.94"]
    assert tables[1] == [
        ["1", "85.00", "90.00", "80.00"],
        ["2", "—", "70.00", "—"],
        ["mean ± sd", "—", "80.00 ± 14.14", "—"],
    ]
    results = ModelCard(card).data.eval_results
    assert results is not None
    assert 90.0 not in [result.metric_value for result in results]


def test_seeds_that_are_set_apart_are_shown() -> None:
    family = making.family(training={"init_seed": 7})
    card = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    assert page(card).table("Seed", "Seed of the weights") == [["1", "7", "1"], ["2", "7", "2"]]


def test_an_adopted_run_says_what_is_unknown() -> None:
    family = making.family()
    run = family.runs()[0]
    unknown = dict.fromkeys(("init_seed", "order_seed", "steps", "corpus_sha256", "processes"), "unknown")
    read = page(render_revision(family, RunFacts(run, making.lineage(family, run, **unknown))))
    lineage = {row[0]: row[1] for row in read.table("Lineage")}
    assert lineage["Seed of the weights"] == "unknown"
    assert lineage["Token shards (sha256)"] == "unknown"
    assert lineage["Steps"] == "12 of unknown"


def test_a_family_over_indices_has_its_mixtures_and_no_mean() -> None:
    mixtures = {i: {"train_prose": i / 20, "train_sums": 1 - i / 20} for i in range(14)}
    family = making.family(
        mixture=None,
        mixtures=mixtures,
        revisions={"pattern": "mix-{index}", "seeds": [], "indices": "0-13"},
        training={"seed": 3},
    )
    card = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    read = page(card)
    assert read.table("Index", "prose", "sums")[3] == ["3", "0.15", "0.85"]
    assert len(read.table("Index", "Average")) == 14
    assert read.table("Seed of the weights") == [["3", "3"]]
    assert "mean ± sd" not in card
    assert "one mixture" not in card
    assert read.html == [
        "<details>\n<summary>All 14 branches</summary>",
        "</details>",
        "<details>\n<summary>The 14 mixtures</summary>",
        "</details>",
    ]


def test_a_table_of_few_branches_is_not_folded() -> None:
    family = making.family(revisions={"pattern": "seed-{seed}", "seeds": "1-14"})
    trained, *others = family.runs()
    card = render_family(family, [making.evaluated(family, trained), *map(RunFacts, others)])
    assert "branches</summary>" not in card


def test_domains_of_the_order_quota_are_not_said_to_be_drawn() -> None:
    family = making.family(training={"order": "quota"})
    card = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    assert "within 1.5 sequences" in card
    assert "drawn at random" not in card


def test_repo_of_ones_own_is_loaded_by_repo_id() -> None:
    card = render_family(making.family(), _runs())
    assert 'mixhub.load("local/data-mixture-tiny", revision="seed-1")' in card


def test_catalog_family_in_another_repo_is_not_loaded_by_name() -> None:
    from mixhub.spec import catalog

    family = catalog.get("human-1b").model_copy(update={"repo_id": "me/data-mixture-human-1b"})
    card = render_family(family, [RunFacts(run) for run in family.runs()])
    assert 'mixhub.load("me/data-mixture-human-1b", revision="seed-1")' in card
    assert "not published" in card.partition("### Seeds")[2].partition("## ")[0]


def test_same_inputs_same_bytes() -> None:
    cards = {render_family(making.family(), _runs(), commits=dict(order)) for order in
             (COMMITS.items(), reversed(COMMITS.items()))}  # fmt: skip
    assert len(cards) == 1


def test_rendering_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    render_family(making.family(), _runs())


def test_only_branches_that_are_there_are_listed() -> None:
    family = making.family(revisions={"seeds": "1-5"})
    runs = family.runs()
    trained = {2, 4}
    facts = [making.evaluated(family, run) if run.label in trained else RunFacts(run) for run in runs]
    card = render_family(family, facts)
    assert "2 of 5 models are trained, on `seed-2` and `seed-4`." in card
    assert "| 2 of 5 trained; one per seed, each on its own branch" in card
    assert "The sd is the sample standard deviation over 2 seeds." in card
    assert 'from_pretrained("local/data-mixture-tiny", revision="seed-2")' in card
    assert [row[0] for row in page(card).table("Branch", "Seed")] == ["seed-2", "seed-4"]
    untrained = render_family(family, [RunFacts(run) for run in runs])
    assert "No model is trained yet" in untrained
    assert "seed-5" not in untrained
    whole = render_family(family, [making.evaluated(family, run) for run in runs])
    assert "5 branches: `seed-1` to `seed-5`." in whole


def test_main_holds_only_the_card_where_mixhub_made_it() -> None:
    said = "`main` holds only this card, so `from_pretrained` needs `revision=`"
    assert render_family(making.family(), _runs()).count(said) == 1
    assert said not in render_catalog("human-1b").text


def test_a_known_commit_is_what_is_loaded() -> None:
    card = render_family(making.family(), _runs(), commits={"seed-2": "b" * 40})
    commit = "b" * 40
    assert f'mixhub.load("local/data-mixture-tiny", commit="{commit}")' in card
    assert "pinned to the commit that `seed-2` had" in card
    assert "resolves the branch to a commit and reports it" in render_family(making.family(), _runs())


def test_a_rate_that_was_set_per_micro_step_is_told() -> None:
    family = making.family(training={"lr_micro_steps": 16, "origins": {"schedule": "published"}})
    card = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    rows = {row[0]: row[1:] for row in page(card).table("Hyperparameter")}
    assert rows["Learning Rate Schedule"] == [
        "Cosine (set per micro-step, 16 per step)", "published; micro-steps chosen"
    ]  # fmt: skip


def test_of_models_that_are_not_there_yet_nothing_is_told_as_if_they_were() -> None:
    family = making.family()
    card = render_family(family, [RunFacts(run) for run in family.runs()])
    assert "No model is trained yet." in card
    assert "Training uses sequences of 16." in card
    for said in ("stored weights", "they were trained", "has its own branch", "energy of the runs"):
        assert said not in card
    trained = render_family(family, [making.evaluated(family, run) for run in family.runs()])
    assert "Training used sequences of 16. The dtype of the stored weights" in trained


def test_seeds_are_told_of_models_that_are_there() -> None:
    family = making.family(revisions={"seeds": "1-4"})
    unknown = making.lineage(family, family.runs()[1], init_seed="unknown", order_seed="unknown")
    runs = [RunFacts(run) for run in family.runs()]
    runs[0] = making.evaluated(family, family.runs()[0])
    runs[1] = replace(making.evaluated(family, family.runs()[1]), lineage=unknown)
    rows = page(render_family(family, runs)).table("Seed", "Seed of the weights")
    assert rows == [["1", "1", "1"], ["2", "unknown", "unknown"]]


def test_padding_of_models_that_others_made_is_not_made_up() -> None:
    card = render_catalog("human-1b").text
    assert "Special tokens: `<|endoftext|>` begins text (bos) and ends text (eos)." in card
    assert "pads" not in card


def test_a_tokenizer_without_special_tokens_is_not_said_to_use_those_of_the_recipe() -> None:
    family = making.family()
    facts = replace(making.evaluated(family, family.runs()[0]), special_tokens={})
    assert "Special tokens: the tokenizer names no token that begins, ends or pads text." in render_revision(
        family, facts
    )


def test_what_a_reader_of_the_mixture_must_know_stands_beside_it() -> None:
    said = "Its order was not confirmed."
    family = making.family(card={**making.CHANGES["card"], "mixture_note": said})
    facts = [RunFacts(run) for run in family.runs()]
    for card in (render_family(family, facts), render_revision(family, facts[0])):
        assert said in card.partition("## Data mixture")[2].partition("## Training")[0]
    assert (
        "It is likely, but not confirmed" in render_catalog("random-1b").text.partition("<summary>The 64 mixtures")[0]
    )


def test_of_one_domain_no_draw_and_no_scaling_are_told() -> None:
    card = render_catalog("pile-cc-1b").text
    assert "Only one domain is sampled." in card
    assert "drawn at random" not in card.partition("## Data mixture")[2].partition("## Training")[0]
    assert "scales them to sum to 1" not in card


def test_an_error_of_nothing_is_no_error() -> None:
    family = making.family()
    values = {**making.VALUES, ("sums", 0): 0.0, ("sums", 2): 0.0}
    own = [making.evaluated(family, run) for run in family.runs()]
    never = tuple(making.cell(family, family.runs()[0], task, shots, value) for (task, shots), value in values.items())
    card = render_revision(family, replace(own[0], cells=never))
    rows = {row[0]: row[-1] for row in page(card).table("Task", "Name in lm-eval")}
    assert rows["Sums"] == "—"
    assert rows["Last word"].startswith("at most")
