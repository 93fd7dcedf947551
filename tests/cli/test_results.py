"""`mixhub results` as a user types it: what it prints, in each form, and what it says to mistakes."""

import csv
import io
import json
import shutil

import pytest

from tests.analysis.test_comparison import write_family
from tests.analysis.written import write_results
from tests.refusals import error_codes


@pytest.fixture
def mixhub(mixhub_here):
    return mixhub_here


def ran(result):
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_published_scores_of_the_catalog_need_no_workspace(mixhub):
    said = ran(mixhub("results", "human-1b"))
    assert "published, not measured again" in said
    assert "source: https://huggingface.co/sail/data-mixture-human-1b" in said
    average = next(line for line in said.splitlines() if line.strip().startswith("Average"))
    figures = ["46.50", "46.75", "46.97", "46.17", "46.52", "46.58", "0.30", "46.21", "…", "46.95"]
    assert average.split() == ["Average", *figures]


def test_markdown_is_a_table_of_seeds_and_tasks(mixhub):
    said = ran(mixhub("results", "human-1b", "--format", "markdown")).splitlines()
    row = next(line for line in said if line.startswith("| seed-5"))
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "seed-5", "66.67", "29.56", "51.58", "26.94", "33.22", "51.78", "29.03", "28.56", "65.00", "37.69", "81.78",
        "50.38", "52.60", "46.52",
    ]  # fmt: skip


def test_csv_and_json_hold_every_figure(mixhub, tmp_path):
    write_family(tmp_path / "out", accuracy=0.5, seeds=2, shots=(0, 5))
    lines = list(csv.DictReader(io.StringIO(ran(mixhub("results", "out", "--format", "csv")))))
    assert [line["revision"] for line in lines] == ["seed-1", "seed-2"]
    (table,) = json.loads(ran(mixhub("results", "out", "--format", "json")))
    figures = {(one["revision"], one["task"]): one for one in table["figures"]}
    for line in lines:
        assert float(line["PIQA"]) == pytest.approx(figures[line["revision"], "piqa"]["value"])
        assert line["standing"] == "measured"
    assert figures["seed-1", "piqa"]["expected"] == 2
    assert {one["task"]: one["chance"] for one in table["over_seeds"]}["piqa"] == 50


def test_csv_of_a_table_with_a_column_of_our_names(mixhub, tmp_path):
    (tmp_path / "one.csv").write_text("seed,PIQA,COPA,name,Average\n1,65.00,66.00,1.00,65.50\n")
    (tmp_path / "two.csv").write_text("seed,PIQA,COPA,Average\n1,65.00,66.00,65.50\n")
    lines = list(csv.DictReader(io.StringIO(ran(mixhub("results", "one.csv", "two.csv", "--format", "csv")))))
    assert [line["name"] for line in lines] == ["one.csv", "two.csv"]
    assert [line["name (column)"] for line in lines] == ["1.0", ""]


def test_what_is_missing_is_said_and_shown_only_when_asked(mixhub, tmp_path):
    write_family(tmp_path / "out", accuracy=0.5, seeds=2, shots=(0, 5))
    write_results(tmp_path / "out", {"piqa": [1] * 300}, revision="seed-3", model="org/out")
    said = ran(mixhub("results", "out"))
    assert "- (1 of 2 shot counts)" in said
    assert "cells: 9 of 12" in said
    assert "no mean over rows: 2 of 3 seeds are complete" in said
    assert "100.00 (1 of 2 shot counts)" in ran(mixhub("results", "out", "--allow-incomplete"))


def test_a_workspace_shows_its_own_family(mixhub, workspace):
    said = ran(mixhub("results", cwd=workspace.root))
    assert "cells: 2 of 2" in said
    assert "seed-2" in said
    assert "bits per byte" in ran(mixhub("results", "--measure", "bits_per_byte", cwd=workspace.root))


def test_imported_results_have_a_table_of_their_own(mixhub, workspace):
    run = workspace.family().runs()[0]
    task = workspace.family().evaluation.tasks[0].name
    write_results(workspace.imported(run), {task: [0, 1, 1, 1]}, revision=run.revision, samples=False)
    tables = json.loads(ran(mixhub("results", "--json", "--allow-incomplete", cwd=workspace.root)))
    assert [table["standing"] for table in tables] == ["measured", "imported"]
    figures = {(one["revision"], one["task"]): one["value"] for one in tables[1]["figures"]}
    assert figures[run.revision, task] == 75
    for own in workspace.family().runs():
        shutil.rmtree(workspace.results(own), ignore_errors=True)
    (table,) = json.loads(ran(mixhub("results", "--json", "--allow-incomplete", cwd=workspace.root)))
    assert table["standing"] == "imported"


def test_tables_of_many_revisions_fit_the_width(mixhub, tmp_path, monkeypatch):
    for step in range(30):
        write_results(
            tmp_path / "out", {f"task_{n}": [0, 1, n % 2] for n in range(40)}, revision=f"step{step}000", samples=False
        )
    others = [f"questions-and-answers-of-the-run-{number}.json" for number in range(3)]
    for name in others:
        (tmp_path / "out" / name).write_text("[]")
    for width in (80, 132):
        monkeypatch.setenv("COLUMNS", str(width))
        said = ran(mixhub("results", "out")).splitlines()
        table = said[1 : said.index(next(line for line in said if line.startswith("cells: ")))]
        assert max(map(len, said[1:])) <= width
        assert "3 JSON files without results: " + ", ".join(others) in " ".join(" ".join(said).split())
        assert {f"step{step}000" for step in range(30)} <= {word for line in table for word in line.split()}
        assert [line for line in table if line.startswith("task_39 ")]


def test_a_limited_run_can_be_looked_at(mixhub, tmp_path):
    write_results(
        tmp_path / "out", {"piqa": [0, 1, 1, 1]}, changes={"n-samples": {"piqa": {"original": 1838, "effective": 4}}}
    )
    assert error_codes(refused := mixhub("results", "out")) == ["cells-unusable"]
    assert "--allow-incomplete" in refused.stderr
    assert "75.00 (limit 4)" in ran(mixhub("results", "out", "--allow-incomplete"))


def test_metrics_of_other_units_are_not_compared(mixhub, tmp_path):
    for name, value in (("a", 75), ("b", 50)):
        for seed in (1, 2):
            values = [1] * (value + seed) + [0] * (100 - value - seed)
            path = write_results(
                tmp_path / name, {"piqa": values, "wiki": values}, revision=f"seed-{seed}", model=f"org/{name}"
            )
            data = json.loads(path.read_text())
            data["results"]["wiki"] = {"word_perplexity,none": 30.0 + seed}
            path.write_text(json.dumps(data))
    (table,) = json.loads(ran(mixhub("results", "a", "--json")))
    assert [column["title"] for column in table["columns"]] == ["PIQA", "wiki (word_perplexity)"]
    said = json.loads(ran(mixhub("results", "--compare", "a", "b", "--format", "json")))
    assert [line["task"] for line in said["contrasts"]] == ["average", "piqa"]


def test_a_share_without_an_interval_has_none(mixhub, tmp_path):
    for name, shares in (("a", (50, 60)), ("b", (60, 50)), ("c", (52, 58))):
        for seed, right in enumerate(shares, 1):
            write_results(
                tmp_path / name,
                {"piqa": [1] * right + [0] * (100 - right)},
                revision=f"seed-{seed}",
                model=f"org/{name}",
            )
    said = ran(mixhub("results", "--compare", "a", "b", "c"))
    assert "0% … 0%" not in said
    assert "no interval of the share" in said


def test_a_comparison_says_first_what_could_be_detected(mixhub, tmp_path):
    write_family(tmp_path / "a", accuracy=0.60, seed_sd=0.01)
    write_family(tmp_path / "b", accuracy=0.45, seed_sd=0.01)
    lines = ran(mixhub("results", "--compare", "a", "b")).splitlines()
    assert lines[0].startswith("org/a minus org/b")
    assert lines[1].startswith("detectable: 5 and 5 seeds")
    assert lines[2].startswith("average, the primary endpoint")
    documents = next(line for line in lines if "over documents" in line)
    assert documents.strip().startswith("these checkpoints")
    assert "not a claim about mixtures" in documents
    assert "the interval over seeds and documents excludes 0: org/a is better" in lines
    assert any("claims about single tasks" in line for line in lines) is False, "2/252 times two tasks is below 0.05"


def test_the_tasks_of_a_comparison_stand_under_their_headings(mixhub, tmp_path):
    for name, accuracy in (("a", 0.6), ("b", 0.5)):
        write_family(tmp_path / name, accuracy=accuracy, seed_sd=0.01)
    said = json.loads(ran(mixhub("results", "--compare", "a", "b", "--format", "json")))
    frame = {line["task"]: line for line in said["contrasts"]}
    lines = ran(mixhub("results", "--compare", "a", "b", "--format", "markdown")).splitlines()
    (head,) = [line for line in lines if line.startswith("| task")]
    (row,) = [line for line in lines if line.startswith("| PIQA")]
    shown = dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)), strict=True))
    piqa = frame["piqa"]
    assert shown["detectable"] == f"{piqa['detectable']:.2f}"
    assert shown["org/a"] == f"{piqa['a_mean']:.2f} ± {piqa['a_sd']:.2f}"
    assert shown["difference"] == f"{piqa['difference']:+.2f}"
    assert shown["95 % over seeds"] == f"{piqa['welch_low']:+.2f} … {piqa['welch_high']:+.2f}"
    assert shown["seeds × documents"] == f"{piqa['two_level_low']:+.2f} … {piqa['two_level_high']:+.2f}"
    assert (shown["p"], shown["p (Holm)"]) == (f"{piqa['welch_p']:.2g}", f"{piqa['p_holm']:.2g}")


def test_seeds_without_spread_give_no_verdict(mixhub, tmp_path):
    for name, value in (("a", 75), ("b", 50)):
        for seed in (1, 2):
            values = [1] * value + [0] * (100 - value)
            write_results(tmp_path / name, {"piqa": values}, revision=f"seed-{seed}", model=f"org/{name}")
    said = ran(mixhub("results", "--compare", "a", "b"))
    assert "detectable: unknown" in said
    assert "no verdict" in said
    assert "is better" not in said


def test_two_folders_of_a_model_of_one_name_are_told_apart(mixhub, tmp_path):
    for name in "ab":
        write_family(tmp_path / name, accuracy=0.5, key=ord(name))
    for path in (tmp_path / "b").rglob("results_*.json"):
        path.write_text(path.read_text().replace("org/b", "org/a"))
    assert "org/a in a minus org/a in b" in ran(mixhub("results", "--compare", "a", "b"))


def test_identical_mixtures_are_not_told_apart(mixhub, tmp_path):
    for name in "ab":
        write_family(tmp_path / name, accuracy=0.5, seed_sd=0.02, key=ord(name))
    assert "these seeds do not distinguish org/a and org/b" in ran(mixhub("results", "--compare", "a", "b"))


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json"])
def test_several_families_in_every_form(mixhub, tmp_path, form):
    for number, name in enumerate("abc"):
        write_family(tmp_path / name, accuracy=0.4 + 0.1 * number, seeds=2, shots=(0, 5), seed_sd=0.01)
    said = ran(mixhub("results", "--compare", "a", "b", "c", "--format", form))
    assert "org/c" in said
    if form == "json":
        found = json.loads(said)
        assert [one["name"] for one in found["ranking"]] == ["org/c", "org/b", "org/a"]
        assert found["agreements"][0]["pairs"] == 3
    elif form != "csv":
        assert "too few mixtures" in said
        assert "seeds agree" in said


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        ([], "option-missing", ""),
        (["human-2b"], "unknown-source", "'human-2b'"),
        (["doremi-1b"], "results-missing", "doremi-1b"),
        (["human-1b", "--compare"], "mixtures-too-few", "human-1b"),
        (["human-1b", "human-1b", "--compare"], "source-repeated", "human-1b, human-1b"),
        (["human-1b", "a", "--compare"], "scores-mixed", "human-1b"),
        (["human-1b", "--against", "a"], "option-missing", "--against"),
        (["a", "--published"], "results-missing", "org/a"),
        (["human-1b", "--num-fewshot", "0"], "measure-unpublished", "human-1b"),
        (["a", "--tasks", ","], "option-value", "--tasks = ','"),
        (["a", "--tasks", "sciq"], "unknown-task", "'sciq'"),
        (["a", "--num-fewshot", "4-2"], "option-value", "--num-fewshot = '4-2'"),
        (["a", "--num-fewshot", "3"], "option-value", "num_fewshot = 3"),
        (["a", "--measure", "bits_per_byte"], "cells-unusable", "org/a has no bits_per_byte"),
        (["a", "b", "--compare", "--allow-incomplete"], "option-conflict", "--compare"),
        (["a", "--allow-incomplete", "--format", "csv"], "option-conflict", "CSV"),
        (["broken"], "file-malformed", "broken/results.json"),
    ],
)
def test_mistakes_are_one_line_and_a_hint(mixhub, tmp_path, arguments, code, value):
    write_family(tmp_path / "a", accuracy=0.5, seeds=2)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "results.json").write_text('{"results": {"pi')
    result = mixhub("results", *arguments)
    assert error_codes(result) == [code]
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert value in lines[0]
    assert len(lines) <= 2


def test_json_is_the_format_of_that_name(mixhub):
    assert ran(mixhub("results", "human-1b", "--json")) == ran(mixhub("results", "human-1b", "--format", "json"))
    refused = mixhub("results", "human-2b", "--json")
    assert error_codes(refused) == ["unknown-source"]
    error = json.loads(refused.stdout)["error"]
    assert (error["code"], error["fields"]["name"]) == ("unknown-source", "human-2b")


def write_single(folder, right, *, model, revision="main", **given):
    """One model's results in a folder of its own; its weights are not known, as lm-eval has it for local folders."""
    values = {"piqa": [1] * right + [0] * (100 - right)}
    path = write_results(folder, values, model=model, revision=revision, samples=False, **given)
    data = json.loads(path.read_text())
    data["config"]["model_sha"] = ""
    path.write_text(json.dumps(data))


def test_folders_of_single_models_are_rows_of_one_table(mixhub, tmp_path):
    for number, right in enumerate((50, 56, 53), 1):
        write_single(tmp_path / f"a-{number}", right, model=f"../models/a-seed{number}")
        write_single(tmp_path / f"b-{number}", right + 20, model="./model")
        write_single(tmp_path / "all", right + 30, model=f"../models/x-{number}")
    (table,) = json.loads(ran(mixhub("results", "a-1", "a-2", "a-3", "--seeds", "--json")))
    assert (table["name"], table["over"]) == ("../models/a", "seed")
    shown = {one["revision"]: one["value"] for one in table["figures"] if one["task"] == "piqa"}
    assert shown == pytest.approx({"seed-1": 50, "seed-2": 56, "seed-3": 53})
    (spread, _) = table["over_seeds"]
    assert (spread["n"], spread["mean"]) == (3, 53)
    assert spread["low"] < 53 < spread["high"]
    (table,) = json.loads(ran(mixhub("results", "b-1", "b-2", "b-3", "--seeds", "--json")))
    assert [one["revision"] for one in table["figures"][::2]] == [f"./model in b-{number}" for number in (1, 2, 3)]
    (table,) = json.loads(ran(mixhub("results", "all", "--seeds", "--json")))
    assert table["over_seeds"][0]["mean"] == 83
    assert len(json.loads(ran(mixhub("results", "a-1", "a-2", "a-3", "--json")))) == 3
    compared = ("results", "--seeds", "--compare", "a-1,a-2,a-3", "b-1,b-2,b-3")
    said = json.loads(ran(mixhub(*compared, "--json")))
    assert said["contrasts"][0]["difference"] == pytest.approx(-20)
    assert said["contrasts"][0]["welch_low"] < -20 < said["contrasts"][0]["welch_high"]
    assert error_codes(mixhub("results", "--seeds", "--compare", "a-1,missing", "b-1")) == ["unknown-source"]
    assert error_codes(mixhub("results", "--seeds", "--compare", "a-1,human-1b", "b-1")) == ["option-value"]


def test_logs_of_single_runs_are_rows_of_one_table(mixhub, tmp_path):
    for name, losses in (("a", (2.5, 2.75)), ("b", (2.25, 2.375))):
        for number, loss in enumerate(losses, 1):
            (tmp_path / f"{name}-{number}.csv").write_text(f"step,eval_loss\n10,9.5\n20,{loss}\n")
    (table,) = json.loads(ran(mixhub("results", "a-1.csv", "a-2.csv", "--seeds", "--measure", "loss", "--json")))
    assert table["over_seeds"][0]["mean"] == 2.625
    assert table["steps"] == {"loss": [20]}
    said = mixhub(
        "results", "--measure", "loss", "--seeds", "--compare", "a-1.csv,a-2.csv", "b-1.csv,b-2.csv", "--json"
    )
    assert json.loads(ran(said))["contrasts"][0]["difference"] == 0.3125


def test_imported_results_are_compared_and_plotted(mixhub, workspace, tmp_path):
    family = workspace.family()
    task = family.evaluation.tasks[0].name
    for run, right in zip(family.runs(), (60, 70, 65), strict=True):
        values = [1] * right + [0] * (100 - right)
        write_results(workspace.imported(run), {task: values}, revision=run.revision, samples=False)
        write_single(tmp_path / "other", right - 10, model="org/other", revision=run.revision)
        shutil.rmtree(workspace.results(run), ignore_errors=True)
    other = tmp_path / "other"
    for path in other.rglob("results_*.json"):
        path.write_text(path.read_text().replace("piqa", task))
    said = json.loads(ran(mixhub("results", "--compare", family.name, other, "--json", cwd=workspace.root)))
    assert said["contrasts"][0]["reason"] == ""
    assert said["contrasts"][0]["difference"] == pytest.approx(10)
    assert "imported" in ran(mixhub("plot", "scores", "-o", tmp_path / "scores.svg", cwd=workspace.root))


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["--step", "3"], ["option-conflict"]),
        (["--measure", "loss", "--num-fewshot", "0"], ["option-conflict"]),
        (["--measure", "loss", "--suite", "human-1b"], ["option-conflict"]),
        (["--measure", "loss", "--published"], ["option-conflict"]),
        (["--paired"], ["option-missing"]),
        (["--measure", "loss"], ["losses-missing"]),
    ],
)
def test_options_of_losses_and_of_scores_are_not_mixed(mixhub, options, codes):
    assert error_codes(mixhub("results", "human-1b", *options)) == codes


def test_a_workspace_shows_the_losses_of_its_family(mixhub, workspace):
    said = ran(mixhub("results", "--measure", "loss", cwd=workspace.root))
    assert "nats per token" in said
    assert "step 12" in said
    assert "not trained yet: seed-3" in said
    assert "step 6" in ran(mixhub("results", "--measure", "loss", "--step", "6", cwd=workspace.root))


def test_records_are_written_into_a_folder(mixhub, tmp_path):
    write_results(tmp_path / "out", {"piqa": [1, 0], "sciq": [1, 1]}, model="gpt2")
    command = ("results", "out", "--format", "every-eval-ever", "--output", "records")
    first = ran(mixhub(*command)).splitlines()
    assert first[0] == "wrote 2 records and 2 files of samples to records"
    assert "--organization" in " ".join(first[1:])
    assert ran(mixhub(*command)).splitlines()[1] == "already there: 4 files"
    assert len(list((tmp_path / "records").rglob("*_samples.jsonl"))) == 2
    said = ran(mixhub(*command, "--organization", "us", "--tasks", "piqa", "--no-samples"))
    assert said == "wrote 1 record and 0 files of samples to records\n"
    assert (tmp_path / "records/data/piqa/us/gpt2").is_dir()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--format", "every-eval-ever"], "option-missing"),
        (["--output", "records"], "option-conflict"),
        (["--format", "csv", "--organization", "us"], "option-conflict"),
        (["--format", "every-eval-ever", "--output", "records", "--measure", "bits_per_byte"], "option-conflict"),
        (["--format", "every-eval-ever", "--output", "records", "--seeds"], "option-conflict"),
    ],
)
def test_records_and_tables_have_options_of_their_own(mixhub, tmp_path, options, code):
    write_results(tmp_path / "out", {"piqa": [1, 0]})
    result = mixhub("results", "out", *options)
    assert result.returncode == 2
    assert error_codes(result) == [code]
    assert not (tmp_path / "records").exists()


def test_records_cannot_replace_a_file(mixhub, tmp_path):
    write_results(tmp_path / "out", {"piqa": [1, 0]})
    (tmp_path / "records").write_text("mine")
    result = mixhub("results", "out", "--format", "every-eval-ever", "--output", "records")
    assert result.returncode == 2
    assert (tmp_path / "records").read_text() == "mine"
