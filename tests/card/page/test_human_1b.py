"""Our card of human-1b carries every fact and figure of the published one; they are typed here, from that card."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from pandas.testing import assert_frame_equal

import mixhub
from mixhub.card.page.render import render_catalog
from tests.card.reading import Page, page

TITLES = [
    *("PIQA", "LAMBADA", "MultiRC", "LogiQA", "SocialIQA", "Winogrande", "RACE", "OpenBookQA", "COPA", "HellaSwag"),
    *("SciQ", "ARC Easy", "QQP"),
]
SCORES = """
1 | 65.00 | 29.83 | 54.28 | 25.47 | 33.61 | 53.06 | 28.98 | 28.17 | 66.67 | 37.43 | 80.13 | 49.40 | 52.42 | 46.50
2 | 65.03 | 26.69 | 53.24 | 25.31 | 33.69 | 52.52 | 29.42 | 28.76 | 63.00 | 37.68 | 82.58 | 51.36 | 58.46 | 46.75
3 | 65.57 | 28.47 | 54.18 | 25.68 | 34.24 | 52.31 | 30.12 | 28.00 | 65.80 | 37.90 | 82.48 | 49.34 | 56.53 | 46.97
4 | 65.45 | 26.88 | 51.42 | 24.92 | 34.16 | 50.50 | 29.93 | 28.92 | 62.40 | 37.70 | 80.66 | 49.27 | 58.06 | 46.17
5 | 66.67 | 29.56 | 51.58 | 26.94 | 33.22 | 51.78 | 29.03 | 28.56 | 65.00 | 37.69 | 81.78 | 50.38 | 52.60 | 46.52
"""
ROWS = [
    [seed, *scores[-1:], *scores[:-1]] for seed, *scores in (line.split(" | ") for line in SCORES.strip().splitlines())
]
WEIGHTS = {
    "arxiv": 0.1052,
    "freelaw": 0.0386,
    "nih_exporter": 0.0052,
    "pubmed_central": 0.1071,
    "wikipedia_en": 0.0919,
    "dm_mathematics": 0.0198,
    "github": 0.0427,
    "philpapers": 0.0027,
    "stackexchange": 0.0929,
    "enron_emails": 0.0030,
    "gutenberg_pg_19": 0.0199,
    "pile_cc": 0.1121,
    "ubuntu_irc": 0.0074,
    "europarl": 0.0043,
    "hackernews": 0.0075,
    "pubmed_abstracts": 0.0845,
    "uspto_backgrounds": 0.0420,
}
HYPERPARAMETERS = {
    "Batch Size": "1M tokens",
    "Learning Rate": "4e-4",
    "Minimum Learning Rate": "1e-5",
    "Learning Rate Schedule": "Cosine",
    "Warmup Ratio": "4%",
    "Total Tokens": "25B",
}
CITATION = """\
@article{liu2024regmix,
  title={RegMix: Data Mixture as Regression for Language Model Pre-training},
  author={Liu, Qian and Zheng, Xiaosen and Muennighoff, Niklas and Zeng, Guangtao and Dou, Longxu and Pang, Tianyu and Jiang, Jing and Lin, Min},
  journal={arXiv preprint arXiv:2407.01492},
  year={2024}
}
"""  # noqa: E501
ADDRESSES = [
    "https://huggingface.co/papers/2407.01492",
    "https://huggingface.co/datasets/sail/regmix-data",
    "https://github.com/sail-sg/regmix/blob/main/mixture_config/config_1b/human.yaml",
    "https://github.com/EleutherAI/lm-evaluation-harness",
]


@pytest.fixture(scope="module")
def card() -> str:
    return render_catalog("human-1b").text


@pytest.fixture(scope="module")
def read(card: str) -> Page:
    return page(card)


def test_all_seventy_figures_of_the_results(read: Page) -> None:
    rows = read.table("Seed", "Average")
    assert rows[:5] == ROWS
    assert sum(len(row) - 1 for row in rows[:5]) == 70
    headers = next(table[0] for table in read.tables if table[0][:2] == ["Seed", "Average"])
    assert headers == ["Seed", "Average", *TITLES]


def test_mean_and_sd_come_from_the_printed_figures(read: Page) -> None:
    last = read.table("Seed", "Average")[5]
    assert last[0] == "mean ± sd"
    assert last[1] == "46.58 ± 0.30"
    assert last[2] == "65.54 ± 0.68"  # of 65.00, 65.03, 65.57, 65.45, 66.67


def test_the_table_parses_back_to_the_same_frame(tmp_path: Path, card: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(card, encoding="utf-8")
    read = mixhub.results(path)
    assert_frame_equal(read.rename(index=lambda number: f"seed-{number}"), mixhub.results("human-1b"))


def test_chance_stands_below_the_scores(read: Page) -> None:
    last = dict(zip(["Average", *TITLES], read.table("Seed", "Average")[6][1:], strict=True))
    assert (last["PIQA"], last["SocialIQA"], last["SciQ"]) == ("50.00", "33.33", "25.00")
    assert (last["LAMBADA"], last["Average"]) == ("—", "—")


def test_the_audit_is_told_as_it_is(read: Page) -> None:
    said = " ".join(read.paragraphs)
    assert "Each printed average is the plain mean of its row, to the last digit." in said
    assert "For 30 of the 65 printed figures, the tasks have few enough documents to test this." in said
    assert "14 of those cannot be the mean of 6 such accuracies." in said
    assert "was rounded to four decimals before the mean, 7 of them cannot." in said
    assert "seed-2: LogiQA 25.31, Winogrande 52.52, RACE 29.42 and OpenBookQA 28.76 are not means of 6 runs" in said
    assert "It does not show which one, or that the figure is wrong" in said


def test_siblings_and_errata(read: Page) -> None:
    named = [row[0] for row in read.table("Family", "Title")]
    assert named == [f"sail/data-mixture-{name}-1b" for name in ("doremi", "pile-cc", "regmix", "random")]
    assert any("Scores are not compared" in text for text in read.paragraphs)
    said = " ".join(read.paragraphs)
    assert "all five seeds share the one above" in said
    assert "AutoModelForCausalLM has it" in said


def test_the_mixture_as_trained_with(read: Page) -> None:
    config = yaml.safe_load(next(fence for fence in read.fences if fence.startswith("train:")))
    assert config == {
        "train": {f"train_the_pile_{domain}": weight for domain, weight in WEIGHTS.items()},
        "valid": {"valid_the_pile_pile_cc": 1.0},
        "model_name": "tinyllama_1_1b",
    }
    assert len(config["train"]) == 17


def test_shares_are_the_normalised_weights(read: Page) -> None:
    total = sum(WEIGHTS.values())
    shares = {row[0]: row[1] for row in read.table("Domain")}
    assert shares == {domain: f"{100 * weight / total:.2f}%" for domain, weight in WEIGHTS.items()}
    assert read.table("Domain")[0] == ["arxiv", "13.37%", "3.51B"]


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_six_hyperparameters(read: Page, name: str) -> None:
    values = {row[0]: row[1] for row in read.table("Hyperparameter")}
    assert values[name].partition(" (")[0] == HYPERPARAMETERS[name]
    assert {row[0]: row[2] for row in read.table("Hyperparameter")}[name] == "published"


def test_metadata(tmp_path: Path, card: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(card, encoding="utf-8")
    data = ModelCard.load(path).data
    assert data.license == "mit"
    assert data.datasets == ["sail/regmix-data", "sail/regmix-data-sample"]
    assert data.language == ["en"]
    assert data.library_name == "transformers"
    assert data.pipeline_tag == "text-generation"
    assert "arxiv:2407.01492" in data.tags


def test_model_index_has_each_figure_under_its_seed_with_its_source(card: str) -> None:
    results = ModelCard(card).data.eval_results
    assert results is not None
    found = {(r.dataset_name, r.metric_args["seed"]): r.metric_value for r in results if "seed" in r.metric_args}
    names = ["Average of 13 tasks", *TITLES]
    assert found == {(name, int(row[0])): float(row[i + 1]) for row in ROWS for i, name in enumerate(names)}
    means = {r.dataset_name: (r.metric_value, r.metric_args["sd"]) for r in results if "sd" in r.metric_args}
    assert means["PIQA"] == (65.54, 0.68)
    assert len(means) == 14
    assert {r.source_url for r in results} == {"https://huggingface.co/sail/data-mixture-human-1b"}
    assert {r.metric_args["num_fewshot"] for r in results} == {"0-5"}


def test_links_and_citation(read: Page) -> None:
    addresses = [address for _, address in read.links]
    for address in ADDRESSES:
        assert address in addresses
    assert CITATION in read.fences


def test_what_it_says_of_the_models(card: str, read: Page) -> None:
    said = " ".join(read.paragraphs)
    assert "Human selection" in read.headings[0]
    assert "Five language models" in said
    assert "RegMix" in said
    assert "baseline" in said
    assert "The Pile" in said
    assert "research" in said
    assert "quality varies by task and domain" in said
    assert "5 branches: seed-1 to seed-5." in said
    assert "scales them to sum to 1" in said
    assert "0-shot to 5-shot" in said
    assert read.table("Architecture")[2] == ["Parameters", "1,337,026,560"]


def test_its_two_slips_are_not_repeated(card: str) -> None:
    assert "random mixtures" not in card
    assert "different mixtures" not in card
    assert "AutoModel.from_pretrained" not in card
    assert 'AutoModelForCausalLM.from_pretrained("sail/data-mixture-human-1b", revision="seed-1")' in card


def test_its_sentences_are_our_own(card: str) -> None:
    published = [
        "This is a collection of the language models trained using Human selection",
        "This project aims to validate the generalization capabilities",
        "You can load any model using the corresponding branch",
        "Domain weights will be normalized to make sure",
        "We evaluated each model using",
    ]
    assert not [sentence for sentence in published if sentence in card]


def test_published_figures_are_labelled(read: Page) -> None:
    assert "Published, not re-measured" in read.headings
    assert "Measured here" not in read.headings


def test_the_values_behind_the_seeds_are_said_to_be_unpublished(read: Page) -> None:
    said = " ".join(read.paragraphs)
    assert "the random seeds behind the numbers are not published" in said
