"""The score table: its figures, what is said of what is missing, and what it refuses to mix."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import mixhub
from mixhub.analysis.building import measured_tables, published_scores
from mixhub.analysis.evidence import family_evidence, find_evidence
from mixhub.analysis.scores import measure_named
from mixhub.analysis.selection import Selection
from mixhub.analysis.statistics.crossed import clustered_stderr
from mixhub.analysis.tables import AVERAGE, ScoreTable
from mixhub.errors import ResultsError, UnknownNameError, UsageError
from mixhub.spec import catalog
from mixhub.workflow import score_tables
from tests.analysis.written import DATE, write_results
from tests.made import copied
from tests.refusals import refused

SAME_WEIGHTS = hashlib.sha256(b"org/model seed-1").hexdigest()[:40]
PUBLISHED_MEANS = {
    "PIQA": (65.54, 0.68), "LAMBADA": (28.29, 1.46), "MultiRC": (52.94, 1.38), "LogiQA": (25.66, 0.77),
    "SocialIQA": (33.78, 0.42), "Winogrande": (52.03, 0.97), "RACE": (29.50, 0.52), "OpenBookQA": (28.48, 0.39),
    "COPA": (64.57, 1.82), "HellaSwag": (37.68, 0.17), "SciQ": (81.53, 1.09), "ARC Easy": (49.95, 0.91),
    "QQP": (55.61, 2.92), "Average": (46.58, 0.30),
}  # fmt: skip


def table(path: Path, **wanted) -> ScoreTable:
    (found,) = measured_tables([find_evidence(str(path))], Selection(**wanted))
    return found


def write_seeds(folder: Path, seeds: int = 3, documents: int = 40, shots=(0, 5), tasks=("piqa", "copa"), **options):
    """Random answers, a file a seed and shot count; the answers by seed, task and shots."""
    draws = np.random.default_rng(0)
    given = {}
    for seed in range(1, seeds + 1):
        for count in shots:
            values = {task: draws.integers(0, 2, documents).tolist() for task in tasks}
            write_results(folder, values, num_fewshot=count, revision=f"seed-{seed}", **options)
            given |= {(seed, task, count): np.array(own) for task, own in values.items()}
    return given


def test_the_published_table_of_human_1b_to_the_last_digit():
    found = published_scores(family_evidence(catalog.get("human-1b"), None))
    assert found is not None
    assert found.standing == "published"
    printed = catalog.get("human-1b").published_scores
    assert printed is not None
    for row in found.rows:
        assert {task: score.value for task, score in row.scores.items()} == printed.scores[row.revision]
        assert row.average.value == printed.average[row.revision]
    headings = found.headings
    for column, over in found.over_seeds.items():
        assert over.spread is not None
        assert (round(over.spread.mean, 2), round(over.spread.sd or 0, 2)) == PUBLISHED_MEANS[headings[column]]


def test_the_average_of_human_1b_is_the_plain_mean_of_its_tasks():
    frame = mixhub.results("human-1b")
    assert frame.attrs["standing"] == "published"
    again = frame.drop(columns="Average").mean(axis=1).round(2)
    assert again.tolist() == frame["Average"].tolist() == [46.50, 46.75, 46.97, 46.17, 46.52]


def test_scores_are_means_over_shots_and_tasks(tmp_path: Path):
    given = write_seeds(tmp_path)
    found = table(tmp_path)
    assert [row.revision for row in found.rows] == ["seed-1", "seed-2", "seed-3"]
    for number, row in enumerate(found.rows, 1):
        expected = {t: 100 * np.mean([given[number, t, k].mean() for k in (0, 5)]) for t in ("piqa", "copa")}
        assert {task: score.value for task, score in row.scores.items()} == pytest.approx(expected)
        assert row.average.value == pytest.approx(np.mean(list(expected.values())))
        assert (row.average.present, row.average.expected) == (2, 2)
    over = found.over_seeds["piqa"]
    assert over.spread is not None
    assert over.interval is not None
    values = found.values("piqa")
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (over.interval.low, over.interval.high) == pytest.approx((low, high))


def test_the_standard_error_knows_that_shot_counts_share_documents(tmp_path: Path):
    given = write_seeds(tmp_path)
    row = table(tmp_path).rows[0]
    documents = 50 * (given[1, "piqa", 0] + given[1, "piqa", 5])
    exact = documents.std(ddof=1) / math.sqrt(40)
    assert row.scores["piqa"].stderr == pytest.approx(exact)
    assert not row.scores["piqa"].stderr_is_bound
    both = [row.scores[task].stderr for task in ("piqa", "copa")]
    assert row.average.stderr == pytest.approx(math.hypot(*both) / 2)
    bound = table(tmp_path, samples=False).rows[0].scores["piqa"]
    stderrs = [100 * given[1, "piqa", k].std(ddof=1) / math.sqrt(40) for k in (0, 5)]
    assert bound.stderr == pytest.approx(np.mean(stderrs))
    assert bound.stderr_is_bound
    assert bound.stderr >= exact


def test_documents_that_share_a_passage_count_as_one_draw(tmp_path: Path):
    values = [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    documents = [{"paragraph": str(number // 3)} for number in range(12)]
    write_results(tmp_path, {"multirc": values}, documents={"multirc": documents})
    score = table(tmp_path).rows[0].scores["multirc"]
    clusters = np.arange(12) // 3
    assert score.stderr == pytest.approx(clustered_stderr(100 * np.array(values), clusters))
    assert score.stderr > 1.5 * 100 * np.std(values, ddof=1) / math.sqrt(12)


def test_what_is_not_whole_has_no_value_and_says_what_is_there(tmp_path: Path):
    write_seeds(tmp_path)
    write_results(tmp_path, {"piqa": [0, 1] * 20, "sciq": [1, 1]}, revision="seed-4")
    found = table(tmp_path)
    row = found.rows[-1]
    assert (row.scores["piqa"].value, row.scores["piqa"].reason) == (None, "1 of 2 shot counts")
    assert (row.scores["copa"].present, row.scores["copa"].expected) == (0, 2)
    assert (row.average.value, row.average.reason) == (None, "1 of 3 tasks")
    assert found.over_seeds[AVERAGE].spread is None
    assert "of 4 seeds are complete" in found.over_seeds["piqa"].reason


def test_an_incomplete_mean_is_marked_when_it_is_asked_for(tmp_path: Path):
    write_seeds(tmp_path, seeds=2)
    write_results(tmp_path, {"piqa": [1] * 40}, revision="seed-3")
    found = table(tmp_path, allow_incomplete=True)
    score = found.rows[-1].scores["piqa"]
    assert (score.value, score.complete, score.reason) == (100, False, "1 of 2 shot counts")
    average = found.rows[-1].average
    assert (average.value, average.complete, average.reason) == (100, False, "0 of 2 tasks")
    assert "seed-3: incomplete means: piqa (1 of 2 shot counts), average (0 of 2 tasks)" in found.notes
    assert found.over_seeds["piqa"].spread is None, "no mean over seeds of different shots"
    frame = found.scores_frame().set_index(["revision", "task"])
    assert frame.loc[("seed-3", "piqa"), ["present", "expected"]].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"config": {"model_dtype": "torch.bfloat16"}}, "bfloat16 and float32 cannot be mixed"),
        ({"versions": {"piqa": 2.0}, "task_hashes": {}}, "versions 1.0 and 2.0 of the task cannot be mixed"),
        ({"lm_eval_version": "0.4.12", "task_hashes": {}}, "lm-eval 0.4.12 and 0.4.13 cannot be mixed"),
        ({"task_hashes": {"piqa": "0" * 64}}, "different documents or prompts cannot be mixed"),
        ({"configs": {"piqa": {"dataset_path": "else"}}, "task_hashes": {}}, "data else and org/piqa cannot be mixed"),
        (
            {"n-samples": {"piqa": {"original": 60, "effective": 60}}, "task_hashes": {}},
            "40 and 60 documents cannot be mixed",
        ),
        (
            {
                "system_instruction_sha": "ab" * 32,
                "chat_template_sha": None,
                "fewshot_as_multiturn": None,
                "task_hashes": {},
            },
            "prompts with plain and system_instruction abababab cannot be mixed",
        ),
        ({"results": {"piqa": {"acc_norm,none": 0.5}}}, "acc and acc_norm cannot be mixed"),
        ({"config": {"model_sha": SAME_WEIGHTS}}, "seed-1 and seed-3 have the same weights"),
    ],
)
def test_seeds_that_were_measured_differently_have_no_mean(tmp_path: Path, changes, reason):
    write_seeds(tmp_path, seeds=2, shots=(0,), tasks=("piqa",))
    path = write_results(tmp_path, {"piqa": [0, 1] * 20}, revision="seed-3")
    data = json.loads(path.read_text())
    for key, value in changes.items():
        data[key] = {**data[key], **value} if key == "config" else value
    path.write_text(json.dumps(data))
    found = table(tmp_path, samples=False)
    assert all(row.scores["piqa"].complete for row in found.rows), "each by itself is a score"
    assert found.over_seeds["piqa"].reason == reason
    assert found.over_seeds[AVERAGE].reason == reason
    assert found.over_seeds["piqa"].spread is None


def test_samples_of_different_documents_have_no_mean_even_without_hashes_in_the_results(tmp_path: Path):
    for seed, word in ((1, "one"), (2, "other")):
        write_results(
            tmp_path,
            {"piqa": [0, 1] * 20},
            revision=f"seed-{seed}",
            documents={"piqa": [{"question": f"{word} {number}"} for number in range(40)]},
            changes={"task_hashes": {}},
        )
    assert table(tmp_path).over_seeds["piqa"].reason == "different documents cannot be mixed"
    assert table(tmp_path, samples=False).over_seeds["piqa"].spread is not None, "nothing tells"


@pytest.mark.parametrize(
    ("old", "new", "rows"),
    [
        ("torch.float32", "torch.bfloat16", ["seed-1 (float32)", "seed-1 (bfloat16)"]),
        ('"fewshot_seed": 1234', '"fewshot_seed": 7', ["seed-1 (1234)", "seed-1 (7)"]),
    ],
)
def test_the_same_cell_in_two_settings_has_a_row_for_each(tmp_path: Path, old, new, rows):
    write_results(tmp_path, {"piqa": [0, 1], "copa": [0, 1]})
    path = write_results(tmp_path, {"piqa": [1, 1]}, date=DATE + 9)
    path.write_text(path.read_text().replace(old, new))
    found = table(tmp_path)
    assert [row.revision for row in found.rows] == rows
    assert [row.scores["piqa"].value for row in found.rows] == [50, 100]
    assert found.rows[0].average.value == 50


def test_passages_are_those_of_each_revision(tmp_path: Path):
    values = [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    for seed, length in ((1, 1), (2, 4)):
        documents = [{"paragraph": f"{seed} {number // length}"} for number in range(12)]
        write_results(tmp_path, {"multirc": values}, revision=f"seed-{seed}", documents={"multirc": documents})
    alone, shared = (row.scores["multirc"].stderr for row in table(tmp_path).rows)
    assert shared > 1.5 * alone
    bound = table(tmp_path, samples=False).rows[0].scores["multirc"]
    assert bound.stderr is None, "without samples nobody knows which documents go together"


def test_versions_that_measured_different_tasks_are_said(tmp_path: Path):
    write_results(tmp_path, {"piqa": [0, 1]})
    write_results(tmp_path, {"copa": [0, 1]}, date=DATE + 1, changes={"lm_eval_version": "0.4.12"})
    assert "measured with lm-eval 0.4.12 and 0.4.13" in table(tmp_path).notes


def test_a_cell_in_the_folder_of_another_run_is_refused(workspace):
    one, other = (workspace.results(run) for run in workspace.family().runs()[:2])
    shutil.rmtree(other)
    shutil.copytree(one, other)
    with refused("cell-misplaced", ResultsError, path=min(other.glob("*.json"))):
        mixhub.results("tiny", workspace=workspace.root)


def test_cells_of_other_weights_than_the_export_are_noted(made, tmp_path: Path):
    workspace = copied(made, tmp_path)
    run = workspace.family().runs()[0]
    for path in workspace.results(run).glob("*shot.json"):
        data = json.loads(path.read_text())
        data["mixhub"]["weights_sha256"] = "0" * 64
        path.write_text(json.dumps(data))
    notes = mixhub.results("tiny", workspace=workspace.root).attrs["notes"]
    assert [note.split()[0] for note in notes if "its export has" in note] == [run.revision]


def test_another_version_with_the_same_documents_and_prompts_mixes(tmp_path: Path):
    write_seeds(tmp_path, seeds=2, shots=(0,), tasks=("piqa",))
    write_results(tmp_path, {"piqa": [0, 1] * 20}, revision="seed-3", changes={"lm_eval_version": "0.4.12"})
    assert table(tmp_path).over_seeds["piqa"].spread is not None


def test_cells_of_one_revision_with_different_weights_are_refused(tmp_path: Path):
    write_results(tmp_path, {"piqa": [0, 1]})
    path = write_results(tmp_path, {"piqa": [0, 1]}, num_fewshot=5)
    path.write_text(path.read_text().replace('"model_sha": "', '"model_sha": "f'))
    with refused("results-weights-differ", ResultsError, revision="seed-1") as caught:
        table(tmp_path)
    assert path in caught.value.fields["paths"]


def test_models_in_one_folder_are_rows(tmp_path: Path):
    for number, model in enumerate(("../models/qwen2-1", "../models/qwen2-2", "org/other")):
        values = [0, 1] * 18 + [1] * number + [0] * (4 - number)
        path = write_results(tmp_path, {"piqa": values}, model=model, revision="main")
        if model.startswith("."):
            path.write_text(path.read_text().replace('"revision": "main", ', ""))
    found = table(tmp_path)
    assert (found.kind, found.name) == ("model", str(tmp_path))
    assert {row.revision: row.scores["piqa"].value for row in found.rows} == {
        "../models/qwen2-1": 45,
        "../models/qwen2-2": 47.5,
        "org/other": 50,
    }
    assert table(tmp_path, rows_are_seeds=True).over_seeds["piqa"].spread.n == 3
    assert list(mixhub.results(tmp_path).index) == ["../models/qwen2-1", "../models/qwen2-2", "org/other"]


def test_models_of_several_revisions_have_a_table_each(tmp_path: Path):
    for model in ("org/a", "org/b"):
        for seed in (1, 2):
            write_results(tmp_path, {"piqa": [0, 1, seed - 1]}, model=model, revision=f"seed-{seed}")
    tables = score_tables([str(tmp_path)])
    assert [(one.name, one.kind, len(one.rows)) for one in tables] == [("org/a", "seed", 2), ("org/b", "seed", 2)]
    assert all(one.over_seeds["piqa"].spread for one in tables)
    rows = mixhub.results(tmp_path)
    assert list(rows.index) == ["org/a seed-1", "org/a seed-2", "org/b seed-1", "org/b seed-2"]


def test_cells_cut_short_are_shown_when_asked_for_and_in_no_average(tmp_path: Path):
    write_results(tmp_path, {"piqa": [0, 1]})
    write_results(
        tmp_path,
        {"copa": [1, 1, 0, 1]},
        date=DATE + 1,
        changes={"n-samples": {"copa": {"original": 100, "effective": 4}}},
    )
    assert "copa" not in table(tmp_path).rows[0].scores
    row = table(tmp_path, allow_incomplete=True).rows[0]
    copa = row.scores["copa"]
    assert (copa.value, copa.complete, copa.is_limited, copa.reason) == (75, False, True, "limit 4")
    assert (row.average.value, row.average.reason) == (50, "1 of 2 tasks")


@pytest.mark.parametrize("change", [{"metric": "acc_norm"}, {"changes": {"versions": {"copa": 2.0}}}])
def test_cells_cut_short_are_not_mixed_either(tmp_path: Path, change):
    def write(shots: int, **options) -> None:
        options["changes"] = {
            "n-samples": {"copa": {"original": 100, "effective": 2}},
            **options.get("changes", {}),
        }
        write_results(tmp_path, {"copa": [1, 0]}, num_fewshot=shots, **options)

    write(0)
    write(5)
    assert table(tmp_path, allow_incomplete=True).rows[0].scores["copa"].value == 50
    write(5, **change, date=DATE + 1)
    copa = table(tmp_path, allow_incomplete=True).rows[0].scores["copa"]
    assert (copa.value, copa.reason.endswith("be mixed")) == (None, True)


def own_figures(path: Path, results: dict, **more: object) -> Path:
    """Replace the figures of a file."""
    data = json.loads(path.read_text())
    names = {"configs": {}, "versions": 1, "n-shot": 0, "n-samples": dict.fromkeys(("original", "effective"), 9)}
    for key, value in names.items():
        data[key] = dict.fromkeys(results, value)
    path.write_text(json.dumps({**data, "results": results, "group_subtasks": {}, **more}))
    return path


def test_every_task_has_its_own_main_metric(tmp_path: Path):
    path = own_figures(
        write_results(tmp_path, {"x": [0, 1]}, samples=False),
        {
            "gsm8k": {"exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.01,
                      "exact_match,flexible-extract": 0.5},
            "cola": {"mcc,none": -0.125, "mcc_stderr,none": 0.02},
            "truthfulqa_mc": {"mc1,none": 0.25, "mc2,none": 0.375},
            "wikitext": {"word_perplexity,none": 30.5, "bits_per_byte,none": 0.75},
            "crows": {"likelihood_diff,none": 3.5, "pct_stereotype,none": 0.625},
            "piqa": {"acc,none": 0.5, "acc_stderr,none": 0.01, "f1,none": 0.75},
            "translation": {"bleu,none": 0.5, "ter,none": 120.0},
        },
    )  # fmt: skip
    found = table(path)
    scores = found.rows[0].scores
    assert {task: (score.metric, score.value) for task, score in scores.items()} == {
        "piqa": ("acc", 50),
        "gsm8k": ("exact_match,strict-match", 25),
        "cola": ("mcc", -12.5),
        "truthfulqa_mc": ("mc1", 25),
        "wikitext": ("word_perplexity", 30.5),
        "crows": ("likelihood_diff", 3.5),
        "translation": ("bleu", 0.5),
    }
    assert scores["gsm8k"].stderr == 1
    assert found.headings["gsm8k"] == "gsm8k (exact_match,strict-match)"
    assert found.rows[0].average.value == (50 + 25 - 12.5 + 25) / 4
    assert not any("not in the suite" in note or "outside" in note for note in found.notes)
    cells = mixhub.results(path, frame="cells").set_index("task")
    assert cells.loc["wikitext", "word_perplexity"] == 30.5
    assert cells.loc["truthfulqa_mc", "mc2"] == 0.375


def test_the_score_of_a_group_stands_for_its_tasks(tmp_path: Path):
    figures = {"mmlu": 0.375, "mmlu_a": 0.25, "mmlu_b": 0.5, "piqa": 0.75}
    results = {task: {"acc,none": value, "acc_stderr,none": 0.01} for task, value in figures.items()}
    path = own_figures(
        write_results(tmp_path, {"x": [0, 1]}, samples=False),
        results,
        groups={"mmlu": results["mmlu"]},
        group_subtasks={"mmlu": ["mmlu_a", "mmlu_b"]},
    )
    found = table(path)
    assert {task: score.value for task, score in found.rows[0].scores.items()} == {"piqa": 75, "mmlu": 37.5}
    assert found.rows[0].average.value == 56.25
    assert any("1 task and 1 group" in note for note in found.notes)
    assert list(table(path, tasks=("mmlu_a",)).rows[0].scores) == ["mmlu_a"]
    assert set(mixhub.results(path, frame="cells")["task"]) == set(figures)


def test_rows_that_are_no_seeds_have_no_spread(tmp_path: Path):
    for step in ("step1", "step2"):
        write_results(tmp_path, {"piqa": [0, 1]}, revision=step)
    assert table(tmp_path).over_seeds["piqa"].reason == "the rows are not seeds"
    assert table(tmp_path, rows_are_seeds=True).over_seeds["piqa"].spread is not None


def test_limited_and_superseded_cells_are_said(tmp_path: Path):
    write_results(tmp_path, {"piqa": [0, 1]})
    write_results(tmp_path, {"piqa": [1, 1]}, date=DATE + 60)
    write_results(
        tmp_path, {"copa": [1]}, changes={"n-samples": {"copa": {"original": 100, "effective": 1}}}, date=DATE + 1
    )
    found = table(tmp_path)
    assert [column.task for column in found.columns] == ["piqa"]
    assert found.rows[0].scores["piqa"].value == 100
    said = " / ".join(found.notes)
    assert "1 cell, because a limit cut them short" in said
    assert "not used, because measured again: 1 cell" in said


def test_tasks_and_shots_can_be_chosen(tmp_path: Path):
    write_seeds(tmp_path)
    found = table(tmp_path, tasks=("piqa",), num_fewshot=(5,))
    assert found.columns == (found.columns[0]._replace(task="piqa", title="PIQA", num_fewshot=(5,)),)
    with refused("unknown-task", UnknownNameError, name="piqaa") as caught:
        table(tmp_path, tasks=("piqaa",))
    assert caught.value.nearest == "piqa"
    with refused("option-value", UsageError, option="num_fewshot", value=(3,)):
        table(tmp_path, num_fewshot=(3,))


def test_only_what_is_asked_for_is_looked_at(tmp_path: Path):
    write_seeds(tmp_path)
    for path in tmp_path.rglob("samples_copa*"):
        path.write_text("broken")
    assert set(table(tmp_path, tasks=("piqa",)).cells_frame()["task"]) == {"piqa"}
    with refused("samples-malformed", ResultsError):
        table(tmp_path)


def test_a_suite_says_what_is_expected(tmp_path: Path):
    write_seeds(tmp_path)
    found = table(tmp_path, suite=catalog.get("human-1b").evaluation)
    assert len(found.columns) == 13
    assert (found.rows[0].scores["piqa"].present, found.rows[0].scores["piqa"].expected) == (2, 6)
    assert found.rows[0].average.expected == 13


def test_measures_that_no_cell_has_are_refused(tmp_path: Path):
    write_seeds(tmp_path)
    with refused("cells-unusable", ResultsError, measure="bits_per_byte", reasons=("no metric",)):
        table(tmp_path, measure=measure_named("bits_per_byte"))


def test_the_frames_of_a_folder(tmp_path: Path):
    write_seeds(tmp_path)
    scores = mixhub.results(tmp_path)
    assert list(scores.columns) == ["PIQA", "COPA", "Average"]
    assert list(scores.index) == ["seed-1", "seed-2", "seed-3"]
    spread = mixhub.results(tmp_path, frame="spread").set_index("title")
    assert spread.loc["PIQA", "mean"] == pytest.approx(scores["PIQA"].mean())
    assert spread.loc["PIQA", "sd"] == pytest.approx(scores["PIQA"].std())
    assert spread.loc["PIQA", "chance"] == 50
    cells = mixhub.results(tmp_path, frame="cells")
    assert len(cells) == 12
    assert set(cells["dtype"]) == {"float32"}
    figures = mixhub.results(tmp_path, frame="figures")
    assert len(figures) == 9
    assert (figures["present"] == figures["expected"]).all()


def test_published_scores_are_scores_and_nothing_else():
    with refused("measure-unpublished", UsageError, measure="bits_per_byte"):
        mixhub.results("human-1b", measure="bits_per_byte")
    found = published_scores(family_evidence(catalog.get("human-1b"), None), Selection(tasks=("piqa", "copa")))
    assert found is not None
    assert [column.task for column in found.columns] == ["piqa", "copa"]
    assert found.rows[0].average.value is None, "what is printed is the average of thirteen"


def test_names_that_nothing_answers_to():
    with refused("unknown-source", UnknownNameError, name="human1b") as caught:
        mixhub.results("human1b")
    assert caught.value.nearest == "human-1b"
    with refused("unknown-measure", UnknownNameError, name="scores") as caught:
        mixhub.results("human-1b", measure="scores")
    assert caught.value.nearest == "score"
    with refused("option-value", UsageError, option="frame", value="table"):
        mixhub.results("human-1b", frame="table")
    with refused("results-missing", ResultsError, name="doremi-1b"):
        mixhub.results("doremi-1b")
    with refused("results-missing", ResultsError, name="doremi-1b"):
        mixhub.results("doremi-1b", published=True)


def test_why_nothing_makes_a_score_is_said(tmp_path: Path):
    path = write_results(tmp_path, {"piqa": [0, 1]}, changes={"n-samples": {"piqa": {"original": 9, "effective": 2}}})
    with refused("cells-unusable", ResultsError, path=path, reasons=("limited",)):
        table(path)
    path = write_results(tmp_path, {"piqa": [0, 1]}, changes={"n-shot": {}, "configs": {"piqa": {}}})
    with refused("cells-unusable", ResultsError, path=path, reasons=("shots unknown",)):
        table(path)


def test_what_is_no_share_is_said(tmp_path: Path):
    path = write_results(tmp_path, {"piqa": [0, 1]}, samples=False)
    path.write_text(path.read_text().replace('"acc,none": 0.5', '"acc,none": -3.0'))
    assert "outside 0 to 100: -300, -300; see mixhub audit" in table(path).notes


def test_a_published_table_of_a_file(tmp_path: Path):
    path = tmp_path / "scores.csv"
    path.write_text("seed,PIQA,COPA,Average\n1,65.00,66.00,65.50\n2,66.00,64.00,65.00\n")
    found = published_scores(find_evidence(str(path)))
    assert found is not None
    assert found.values("piqa") == [65.0, 66.0]
    assert found.over_seeds[AVERAGE].spread is not None


def test_a_named_suite_demands_no_more_columns(tmp_path: Path):
    path = tmp_path / "scores.csv"
    path.write_text("seed,PIQA,COPA,Loss,Average\n1,65.00,66.00,2.50,65.50\n")
    assert list(mixhub.results(path, suite="human-1b").columns) == ["PIQA", "COPA", "Average"]
