"""`mixhub plot` as a user types it: the files that it writes, what it says, and what it says to mistakes."""

import json

import pytest

from mixhub.card.plots.plot import drawn_sha256
from tests.analysis.losses.test_losses import write_family as write_losses
from tests.analysis.test_comparison import write_family
from tests.analysis.written import write_results
from tests.refusals import error_codes
from tests.tiny import tiny_workspace_yaml


@pytest.fixture
def mixhub(mixhub_here):
    return mixhub_here


def ran(result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.splitlines()


def refused(result, code):
    """The line that says what is wrong, which has this code and a hint below it."""
    assert error_codes(result) == [code]
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert hint.startswith("hint: ")
    return error


@pytest.fixture
def workspace(tmp_path):
    """A folder with mixhub.yaml and the metrics of two runs."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "mixhub.yaml").write_text(tiny_workspace_yaml())
    return folder


def test_published_scores_need_no_workspace(mixhub, tmp_path):
    said = ran(mixhub("plot", "scores", "human-1b"))
    assert said[:2] == ["human-1b-scores.svg", "human-1b-scores.png"]
    assert said[2].startswith("Dot plot of the scores of human-1b.")
    assert "Average 46.58 (95 % over seeds 46.21 to 46.95)" in said[2]
    shas = {drawn_sha256((tmp_path / name).read_bytes()) for name in said[:2]}
    assert len(shas) == 1
    assert None not in shas


def test_one_file_is_of_the_form_of_its_suffix(mixhub, tmp_path):
    assert ran(mixhub("plot", "mixture", "human-1b", "-o", "new/it.PNG"))[0] == "new/it.PNG"
    assert (tmp_path / "new" / "it.PNG").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["it.PNG"]


def test_mixtures_of_several_families_stand_side_by_side(mixhub, tmp_path):
    said = ran(mixhub("plot", "mixture", "human-1b", "doremi-1b", "--output", "plots"))
    assert said[0] == "plots/human-1b-doremi-1b-mixture.svg"
    assert "human-1b and doremi-1b" in said[2]
    assert (tmp_path / said[0]).is_file()


def test_measured_results_are_drawn_by_shots_and_by_difference(mixhub, tmp_path):
    for name, accuracy in (("one", 0.5), ("two", 0.6)):
        write_family(tmp_path / name, accuracy=accuracy, seeds=2, shots=(0, 5), seed_sd=0.02)
    said = ran(mixhub("plot", "shots", "one", "--tasks", "piqa"))
    assert said[0] == "org-one-shots.svg"
    assert "PIQA" in said[2]
    assert "COPA" not in said[2]
    said = ran(mixhub("plot", "difference", "two", "one"))
    assert said[0] == "org-two-org-one-difference.svg"
    assert "95 % over seeds and documents" in said[2]
    assert "95 % over seeds +" in ran(mixhub("plot", "difference", "two", "one", "--no-samples"))[2].replace("-", "+")


def test_losses_are_those_of_the_workspace(mixhub, workspace):
    assert "tiny" in refused(mixhub("plot", "losses", cwd=workspace), "plot-empty")
    for seed in (1, 2):
        run = workspace / "runs" / "tiny" / f"seed-{seed}"
        run.mkdir(parents=True)
        lines = [{"step": step, "loss": 6.0 - step / 10, "tokens": 128 * step} for step in range(1, 11)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = ran(mixhub("plot", "losses", cwd=workspace))
    assert said[:2] == ["tiny-losses.svg", "tiny-losses.png"]
    assert "2 runs. Training goes from 5.900 to 5.000." in said[2]
    assert "tiny" in refused(mixhub("plot", "losses", "--domains", cwd=workspace), "plot-empty")
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10, "validation": {"valid_prose": 4.5}}) + "\n")
    said = ran(mixhub("plot", "losses", "--domains", cwd=workspace))
    assert said[:2] == ["tiny-domain-losses.svg", "tiny-domain-losses.png"]
    assert "prose 4.500" in said[2]


def test_without_a_name_it_is_the_family_of_the_workspace(mixhub, workspace):
    said = ran(mixhub("plot", "mixture", "--workspace", workspace))
    assert said[0] == "tiny-mixture.svg"
    assert "prose 50.00%" in said[2]


def test_a_difference_is_of_measured_or_of_published_scores(mixhub, tmp_path):
    write_family(tmp_path / "one", accuracy=0.5, seeds=2)
    assert "human-1b" in refused(mixhub("plot", "difference", "one", "human-1b"), "scores-mixed")


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        (["mixture", "human-1b", "-o", "it.jpg"], "option-value", "--output = it.jpg"),
        (["mixture", "human-1b", "-o", "file"], "option-value", "--output = file"),
        (["shots", "human-1b"], "plot-empty", "human-1b"),
        (["shots", "out"], "plot-empty", "org/model"),
        (["scores", "doremi-1b"], "results-missing", "doremi-1b"),
        (["scores"], "option-missing", ""),
        (["mixture", "human-1"], "unknown-family", "'human-1'"),
        (["scores", "human-1b", "--tasks", "piqaa"], "unknown-task", "'piqaa'"),
    ],
)
def test_mistakes_are_named_with_the_next_step(mixhub, tmp_path, arguments, code, value):
    (tmp_path / "file").write_text("mine")
    write_results(tmp_path / "out", {"piqa": [0, 1] * 20})
    assert value in refused(mixhub("plot", *arguments), code)
    assert (tmp_path / "file").read_text() == "mine"
    assert not list(tmp_path.glob("*.[sp][vn]g"))


def test_a_score_that_is_not_whole_is_no_plot(mixhub, tmp_path):
    write_results(tmp_path / "out", {"piqa": [0, 1] * 20}, revision="seed-1", num_fewshot=0)
    write_results(tmp_path / "out", {"piqa": [0, 1] * 20}, revision="seed-2", num_fewshot=5)
    assert "org/model" in refused(mixhub("plot", "scores", "out"), "plot-empty")


def test_validation_losses_of_several_families_and_logs(mixhub, tmp_path, workspace):
    for name, shift in (("one", 0.0), ("two", 0.5)):
        write_losses(tmp_path / name, shift=shift, steps=(0, 50, 100))
    said = ran(mixhub("plot", "validation", "one", "two", "-o", "it.pdf"))
    assert said[0] == "it.pdf"
    assert drawn_sha256((tmp_path / "it.pdf").read_bytes())
    assert "Average of domains one 2.8750, two 3.3750" in said[1]
    assert "arxiv one 2.5000, two 3.0000" in said[1]
    assert ran(mixhub("plot", "validation", "one"))[0] == "one-validation.svg"
    assert "tiny" in refused(mixhub("plot", "validation", cwd=workspace), "losses-missing")
    (tmp_path / "last.csv").write_text("seed,arxiv\n1,2.5\n2,2.25\n")
    assert "last.csv" in refused(mixhub("plot", "validation", "last.csv"), "plot-empty")


def test_losses_are_plotted_with_their_direction(mixhub, tmp_path):
    for name, shift in (("one", 0.0), ("two", 2.0)):
        write_losses(tmp_path / name, shift=shift)
    said = ran(mixhub("plot", "difference", "one", "two", "--measure", "loss", "-o", "it.svg"))
    assert "in nats per token" in said[1]
    assert "Average -2.0000 (95 % over seeds" in said[1]
    assert "Domains from" in said[1]
    said = ran(mixhub("plot", "scores", "one", "--measure", "loss", "--step", "0", "-o", "it.svg"))
    assert "Average 3.8750" in said[1]
    refused(mixhub("plot", "scores", "one", "--step", "0"), "option-conflict")
    refused(mixhub("plot", "difference", "one", "two", "--measure", "loss", "--published"), "option-conflict")
