"""Tables that `mixhub results --format csv` prints, read back."""

import pytest

import mixhub
from tests.analysis.losses.test_losses import write_family as write_losses
from tests.analysis.test_comparison import write_family
from tests.analysis.written import write_results
from tests.refusals import error_codes, refused


@pytest.fixture
def run(mixhub_here):
    def run(*arguments, **given):
        done = mixhub_here("results", *arguments, **given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def grid(printed):
    """The lines of the tables, without what is said below them."""
    return [line for line in printed.splitlines() if not line.startswith(("source:", "cells:", "losses:", "note:"))]


def test_scores_are_the_same_after_a_round_trip(run, tmp_path):
    one = write_family(tmp_path / "a", accuracy=0.5, seeds=3, seed_sd=0.02, shots=(0, 5))
    other = write_family(tmp_path / "b", accuracy=0.55, seeds=2, seed_sd=0.02, shots=(0, 5), tasks=("piqa", "sciq"))
    write_results(other, {"piqa": [1] * 300}, revision="seed-3", model="org/b")  # incomplete
    text = run(one, other, "human-1b", "--format", "csv")
    (tmp_path / "all.csv").write_text(text)
    assert run("all.csv", "--format", "csv") == text
    again = run("all.csv")
    for line in grid(run("human-1b")):
        assert line in again
    assert "org/a: scores in percent, measured" in again
    assert "no mean over rows: 2 of 3 seeds are complete" in again


def test_losses_keep_their_measure_step_and_direction(run, tmp_path):
    for name, shift in (("a", 0.0), ("b", 2.0)):
        write_losses(tmp_path / name, shift=shift)
    text = run("a", "b", "--measure", "loss", "--format", "csv")
    (tmp_path / "all.csv").write_text(text)
    for options in ([], ["--measure", "loss"], ["--step", "100", "--measure", "loss"]):
        assert run("all.csv", "--format", "csv", *options) == text
    assert grid(run("all.csv")) == grid(run("a", "b", "--measure", "loss"))
    compared = run("--compare", "all.csv", "--paired", "--measure", "loss")
    assert "-2.0000" in compared
    assert compared == run("--compare", "a", "b", "--measure", "loss", "--paired")
    assert "a is better" in run("--compare", "all.csv")
    write_losses(tmp_path / "c", shift=3.0)
    ranking = run("--compare", "all.csv", "c", "--measure", "loss", "--format", "csv").splitlines()
    assert [line.split(",")[1] for line in ranking[1:]] == ["a", "b", "c"]


def test_losses_of_several_steps_are_not_averaged_after_a_round_trip(run, tmp_path):
    write_losses(tmp_path / "a", seeds=(1, 2))
    write_losses(tmp_path / "a", seeds=(3,), steps=(0, 50))
    text = run("a", "--measure", "loss", "--format", "csv")
    (tmp_path / "a.csv").write_text(text)
    assert run("a.csv", "--format", "csv") == text
    assert "sd over seeds" not in run("a.csv")
    assert "50, 100" in run("a.csv")


def test_metrics_that_are_in_no_average_stay_out_of_it(run, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "name,standing,measure,over,revision,PIQA,wiki (word_perplexity),Average\n"
        "a,measured,score,seed,seed-1,60.0,31.0,60.0\na,measured,score,seed,seed-2,62.0,30.0,62.0\n"
    )
    assert run("a.csv", "--format", "csv") == path.read_text()
    assert run("a.csv", "--tasks", "piqa", "--format", "csv").splitlines()[1].endswith("60.0,60.0")


def test_python_reads_one_table(run, tmp_path):
    write_losses(tmp_path / "a")
    (tmp_path / "a.csv").write_text(run("a", "--measure", "loss", "--format", "csv"))
    frame = mixhub.results(tmp_path / "a.csv")
    assert frame.equals(mixhub.results(tmp_path / "a", measure="loss"))
    assert frame.attrs["measure"] == "loss"
    (tmp_path / "two.csv").write_text(run("human-1b", tmp_path / "a.csv", "--format", "csv"))
    with refused("models-mixed", mixhub.ResultsError):
        mixhub.results(tmp_path / "two.csv")


@pytest.mark.parametrize(
    ("old", "new", "options", "code"),
    [
        ("50.0", "fifty", [], "cell-malformed"),
        ("50.0", "inf", [], "cell-malformed"),
        ("measured", "guessed", [], "cell-malformed"),
        ("score", "goodness", [], "cell-malformed"),
        ("50.0", "50.0,1", [], "table-ragged"),
        ("50.0", "50.0", ["--num-fewshot", "0"], "measure-unpublished"),
        ("50.0", "50.0", ["--measure", "loss"], "measure-unpublished"),
        ("50.0", "50.0", ["--tasks", "copa"], "unknown-task"),
    ],
)
def test_what_was_changed_in_a_csv_is_said(mixhub_here, tmp_path, old, new, options, code):
    text = "name,standing,measure,over,revision,PIQA,Average\na,measured,score,seed,seed-1,50.0,50.0\n"
    (tmp_path / "a.csv").write_text(text.replace(old, new, 1))
    assert error_codes(mixhub_here("results", "a.csv", *options)) == [code]


def test_latex_is_escaped_and_has_as_many_cells_in_each_row(run, tmp_path):
    (tmp_path / "a.csv").write_text(
        "name,standing,measure,over,revision,PIQA,50 % & x_y {#$},Average\n"
        "a\\b,measured,score,seed,seed-1,60.0,31.0,45.5\na\\b,measured,score,seed,[2]~^,62.0,30.0,46.0\n"
    )
    printed = run("a.csv", "--format", "latex")
    assert printed.startswith("% a\\b: ")
    assert "50 \\% \\& x\\_y \\{\\#\\$\\}" in printed
    assert "{[}2]\\textasciitilde{}\\^{}" in printed
    body = [line for line in printed.splitlines() if line.endswith("\\\\")]
    assert len({line.replace("\\&", "").count("&") for line in body}) == 1
    assert {line for line in printed.splitlines() if not line.startswith(("%", "\\")) and line not in body} <= {""}
    write_losses(tmp_path / "x")
    write_losses(tmp_path / "y", shift=0.5)
    compared = run("--compare", "x", "y", "--measure", "loss", "--format", "latex")
    assert "$-$0.5000" in compared
    assert "$\\pm$" in compared
    (tmp_path / "z.csv").write_text(run("x", "y", "--measure", "loss", "--format", "csv").replace("x,", "z,"))
    assert run("--compare", "x", "z.csv", "--measure", "loss", "--format", "latex").count("toprule") > 1
