"""`mixhub audit` as a user types it: what it prints, its exit status, and what it says to mistakes."""

import json

import pytest

from mixhub.analysis.published.table import published_table
from mixhub.spec import catalog
from tests.analysis.audit.test_tables import POSSIBLE
from tests.analysis.audit.test_tables import made as true_means
from tests.analysis.written import write_results
from tests.made import copied
from tests.refusals import error_codes, printed_codes

TABLE = "human-1b.csv"


@pytest.fixture
def mixhub(mixhub_here):
    return mixhub_here


def csv_of(figures, titles):
    lines = [",".join(["seed", *titles])]
    lines += [",".join([str(number), *row]) for number, row in enumerate(figures, 1)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def fitting(tmp_path):
    """A table of true means of six runs."""
    tasks = catalog.get("human-1b").evaluation.tasks
    path = tmp_path / "fits.csv"
    path.write_text(csv_of(true_means(6, tasks=tasks), [task.title for task in tasks]))
    return path


def human_markdown():
    table = published_table(catalog.get("human-1b"))
    titles = [column.title for column in table.columns]
    lines = [f"| Seed | {' | '.join(titles)} | Average |", "|---" * (len(titles) + 2) + "|"]
    for number, row in enumerate(table.rows, 1):
        lines.append(f"| {number} | {' | '.join(row.figures[t].shown for t in titles)} | {row.average.shown} |")
    return "\n".join(lines) + "\n"


def test_a_family_is_shown_figure_by_figure(mixhub, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = mixhub("audit", "human-1b")
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    for title, shown in POSSIBLE.items():
        line = next(line for line in lines if line.strip().startswith(f"{title} ("))
        assert [cell.strip() for cell in line.partition(")")[2].split("  ") if cell.strip()] == shown
    assert lines[0] == "published scores: https://huggingface.co/sail/data-mixture-human-1b"
    assert "- runs were averaged unrounded" in lines
    assert printed_codes("\n".join(lines)) == ["runs-unfit"] * 4
    assert lines[-1] == "14 of 30 testable figures are not means of 6 runs; 1 row fits 6 runs, 4 rows fit 5 runs"
    assert sum("equal to the last digit" in line for line in lines) == 5


def test_rounded_runs(mixhub):
    said = mixhub("audit", "human-1b", "--run-decimals", 4).stdout.splitlines()
    assert said[-1] == "7 of 30 testable figures are not means of 6 runs; 1 row fits 6 runs, 4 rows fit 5 runs"


def test_a_card_says_the_same(mixhub, tmp_path):
    (tmp_path / "card.md").write_text(human_markdown())
    result = mixhub("audit", "card.md")
    assert result.returncode == 1
    assert result.stdout.splitlines()[0] == "published scores: card.md:1"
    assert result.stdout.splitlines()[-1].startswith("14 of 30 testable figures")
    assert "does not fit: seed 3: Winogrande 52.31, RACE 30.12 and COPA 65.80 are not means of 6 runs" in result.stdout


def test_what_fits_ends_with_0(mixhub, fitting):
    result = mixhub("audit", fitting)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "all figures fit: 65 figures, 30 testable"
    assert "suite: human-1b (13 tasks); to change it: --suite NAME" in result.stdout


def test_a_table_of_other_tasks_is_of_single_runs_whether_its_suite_is_named_or_not(mixhub, tmp_path):
    (tmp_path / "other.csv").write_text("model,PIQA,COPA,MMLU\nA,65.02,66.00,26.01\nB,64.80,64.00,25.10\n")
    plain, named = (mixhub("audit", "other.csv", *more) for more in ((), ("--suite", "human-1b")))
    assert (plain.returncode, plain.stderr) == (0, "")
    assert named.stdout == plain.stdout
    assert "expected: 1 run per score, because the table does not cover the whole suite" in plain.stdout
    (tmp_path / "other.csv").write_text("model,PIQA,COPA,MMLU\nA,65.02,66.50,26.01\n")
    result = mixhub("audit", "other.csv")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("1 of 2 testable figures is not a single run")


def test_what_lm_eval_printed_with_a_limit(mixhub, tmp_path):
    head = "|Tasks|Version|Filter|n-shot|Metric| |Value| |Stderr|\n|---|---|---|---|---|---|---|---|---|\n"
    lines = "|arc_easy|1|none|0|acc|↑|0.738|±|0.0139|\n|piqa|1|none|0|acc|↑|0.699|±|0.0145|\n"
    for limit, status in (("1000.0", 0), ("None", 1)):
        header = f"hf (pretrained=org/model), gen_kwargs: (None), limit: {limit}, num_fewshot: None, batch_size: 8\n"
        (tmp_path / "log.md").write_text(f"```\n{header}{head}{lines}```\n")
        assert mixhub("audit", "log.md").returncode == status


def test_a_warning_is_no_failure(mixhub, tmp_path):
    for number in (0, 1):
        write_results(
            tmp_path / "out", {task: [1, 0, 1, 1] * 25 for task in "abc"}, revision=f"step{number}", samples=False
        )
    result = mixhub("audit", "out")
    assert (result.returncode, printed_codes(result.stdout)) == (0, ["figures-repeated"])
    assert result.stdout.splitlines()[-1].endswith("; 1 warning")


def test_more_runs(mixhub, fitting):
    result = mixhub("audit", fitting, "--runs", 12)
    assert "1 to 12" in result.stdout
    assert mixhub("audit", fitting, "--runs", 1).returncode == 1


def test_many_rows_go_down_the_page(mixhub, tmp_path):
    tasks = catalog.get("human-1b").evaluation.tasks
    (tmp_path / "t.csv").write_text(csv_of(true_means(6, seeds=20, tasks=tasks), [task.title for task in tasks]))
    result = mixhub("audit", "t.csv", "--runs", 5)
    assert result.returncode == 1
    assert "20 rows fit 6 runs" in result.stdout.splitlines()[-1]
    assert any(line.strip().startswith("seed 20 ") for line in result.stdout.splitlines())


def test_json_is_one_document(mixhub):
    result = mixhub("audit", "human-1b", "--json")
    assert result.stdout == mixhub("audit", "human-1b", "--format", "json").stdout
    assert result.returncode == 1
    data = json.loads(result.stdout)
    assert (data["fits"], data["suite"], data["standing"], data["testable"]) == (False, "human-1b", "published", 30)
    assert [row["counts"] for row in data["rows"]] == [[6], [5], [5], [5], [5]]
    assert [(finding["code"], finding["where"]) for finding in data["findings"]] == [
        ("runs-unfit", f"seed-{number}") for number in (2, 3, 4, 5)
    ]
    assert {"row": "seed-3", "column": "COPA", "possible": [5], "fits": False}.items() <= next(
        counted for counted in data["counts"] if (counted["row"], counted["column"]) == ("seed-3", "COPA")
    ).items()


def test_results_of_lm_eval(mixhub, tmp_path):
    path = write_results(tmp_path / "out", {"piqa": [1, 0, 1, 1] * 25}, samples=True)
    result = mixhub("audit", "out")
    assert result.returncode == 1
    assert "measured scores: 1 cell of 1 revision" in result.stdout
    data = json.loads(path.read_text())
    assert "its split has 100 documents, but the suite's has 1,838" in result.stdout
    data["results"]["piqa"]["acc,none"] = 0.7512345
    path.write_text(json.dumps(data))
    said = mixhub("audit", path.relative_to(tmp_path)).stdout
    assert "does not fit: piqa 0-shot of seed-1: acc = 0.75123" in said
    assert " is 75.123 correct answers of 100, not a whole number" in said
    assert "the mean of acc over 100 documents is 75, but" in said


def test_a_workspace_audits_its_own_results(mixhub, made, tmp_path):
    place = copied(made, tmp_path)
    result = mixhub("audit", cwd=place.root)
    assert result.returncode in (0, 1), result.stderr
    assert result.stdout.startswith("measured scores: 2 cells of 2 revisions\nsuite: tiny (1 task)")
    assert "samples: 2 of 2 cells" in result.stdout
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        ([], "option-missing", ""),
        (["humn-1b"], "unknown-family", "'humn-1b'"),
        (["doremi-1b"], "scores-missing", "doremi-1b"),
        (["none.md"], "file-missing", "none.md"),
        (["some/folder"], "file-missing", "some/folder"),
        (["bad.md"], "label-repeated", "bad.md:1: the column 'piqa'"),
        (["empty.md"], "table-missing", "empty.md"),
        (["bad.md", "--suite", "humn"], "unknown-family", "'humn'"),
        (["human-1b", "--suite", "doremi-1b"], "option-conflict", "--suite"),
        (["human-1b", "--runs", 7, "--most-runs", 3], "option-conflict", "most_runs = 3"),
        (["out", "--runs", 7], "option-conflict", "--runs"),
        (["nothing"], "results-missing", "nothing"),
    ],
)
def test_mistakes(mixhub, tmp_path, arguments, code, value):
    (tmp_path / "bad.md").write_text("| Seed | PIQA | piqa |\n|-|-|-|\n| 1 | 65.00 | 80.13 |\n")
    (tmp_path / "empty.md").write_text("# A card\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "nothing").mkdir()
    result = mixhub("audit", *arguments)
    assert error_codes(result) == [code]
    lines = result.stderr.splitlines()
    assert (len(lines), result.stdout) == (2, ""), result
    assert value in lines[0]


def test_a_table_of_others_is_read_in_a_workspace_of_another_suite(mixhub, made, tmp_path):
    root = copied(made, tmp_path).root  # its one task is not in the table
    (root / "theirs.csv").write_text("model,PIQA,HellaSwag\na,70.11,50.22\n")
    done = mixhub("audit", "theirs.csv", cwd=root)
    assert done.returncode == 1, done.stderr
    assert printed_codes(done.stdout) == ["runs-unfit"]  # 70.11 % is no share of PIQA's 1,838 documents
