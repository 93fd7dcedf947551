"""What `--tasks` names, and the scores of groups: as lm-eval finds and aggregates them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from mixhub.errors import ResultsError, SpecError, UnknownNameError, UsageError
from mixhub.evaluation import task_index
from mixhub.evaluation.calls.selection import Selection, select
from mixhub.evaluation.options import Options, Prompting
from mixhub.evaluation.suite import TaskSource, resolve
from mixhub.spec import Task
from mixhub.spec.base import to_yaml
from mixhub.workflow import Selection as AnalysisSelection
from mixhub.workflow import evaluate_model, score_tables
from tests.evaluation.making import family, write_export
from tests.refusals import refused

SIZES = {"small": 3, "middle": 5, "large": 11}


def _asked(*specs: str, **options: object) -> Selection:
    return select(specs, {"piqa": None}, (0, 1), **options)  # type: ignore[arg-type]


def _shots(found: Selection) -> dict[str, tuple[int, ...] | None]:
    return {name: source.num_fewshot for name, source in found.sources.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tasks with different numbers of documents, in nested groups."""
    folder = tmp_path_factory.mktemp("tasks")
    for name, size in SIZES.items():
        rows = [{"question": f"{n} +", "choices": [" 1", " 22", " 3"], "answer": n % 3} for n in range(size)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        metrics = [{"metric": metric, "aggregation": "mean"} for metric in ("acc", "acc_norm")]
        config = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
            "test_split": "test",
            "fewshot_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_target": "answer",
            "doc_to_choice": "choices",
            "metric_list": metrics[:1] if name == "small" else metrics,
            **({"num_fewshot": 2} if name == "middle" else {"num_fewshot": 0} if name == "large" else {}),
        }
        (folder / f"{name}.yaml").write_text(to_yaml(config))
    inner = {
        "group": "inner",
        "task": ["small", "middle"],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": False}],
    }
    outer = {
        "group": "outer",
        "group_alias": "All",
        "task": ["inner", {"group": "rest", "task": ["large"], "aggregate_metric_list": {"metric": "acc"}}],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}, {"metric": "acc_norm"}],
        "metadata": {"version": 3},
    }
    for group in (inner, outer):
        (folder / f"{group['group']}.yaml").write_text(to_yaml(group))
    return folder


@pytest.mark.parametrize(
    ("spec", "task", "count", "groups"),
    [
        ("mmlu_anatomy", "mmlu_anatomy", 1, []),  # quoted in its YAML
        ("ceval-valid_law", "ceval-valid_law", 1, []),
        ("darijammlu_arabic_language_(general)", "darijammlu_arabic_language_(general)", 1, []),
        ("ai2_arc", "arc_challenge", 2, []),
        ("truthfulqa", "truthfulqa_mc2", 3, []),
        ("mmlu", "mmlu_anatomy", 57, ["mmlu", "mmlu_stem", "mmlu_other", "mmlu_social_sciences", "mmlu_humanities"]),
        ("arc_[ce]*", "arc_easy", None, None),
    ],
)
def test_every_kind_of_name_of_lm_eval_is_found(spec, task, count, groups):
    found = _asked(spec)
    assert task in found.sources
    assert count is None or len(found.sources) == count
    assert groups is None or [group.name for group in found.groups] == groups


def test_the_index_is_lm_evals_and_is_kept(tmp_path, monkeypatch):
    from lm_eval.tasks import TaskManager

    index = task_index.builtin_index()
    manager = TaskManager()
    assert (sorted(index.tasks), sorted(index.groups), sorted(index.tags)) == (
        manager.all_subtasks,
        manager.all_groups,
        manager.all_tags,
    )
    assert {name: manager.task_index[name].yaml_path for name in index.tasks} == index.tasks
    monkeypatch.setattr(task_index, "_built", lambda folders: index)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for _ in range(2):
        task_index.builtin_index.cache_clear()
        assert task_index.builtin_index() == index
        monkeypatch.setattr(task_index, "_built", lambda folders: pytest.fail("built again"))
    task_index.builtin_index.cache_clear()


def test_shots_are_the_suites_or_else_the_tasks_own():
    assert _shots(_asked("piqa", "gsm8k", "arc_easy")) == {"piqa": (0, 1), "gsm8k": (5,), "arc_easy": (0,)}
    assert _shots(_asked("piqa", "gsm8k", num_fewshot=(3,))) == {"piqa": (3,), "gsm8k": (3,)}


def test_a_group_sets_keys_over_those_of_its_tasks():
    found = _asked("openllm")
    assert found.sources["arc_challenge"].overrides == {"fewshot_split": "train", "num_fewshot": 25}
    assert _shots(found)["arc_challenge"] == (25,)
    assert _shots(found)["mmlu_anatomy"] == (5,)
    (task,) = resolve([Task(name="arc_challenge", title="ARC")], found.sources)
    (plain,) = resolve([Task(name="arc_challenge", title="ARC")], {})
    assert (task.config["num_fewshot"], plain.config.get("num_fewshot")) == (25, None)
    assert task.sha256 != plain.sha256
    with refused("task-ambiguous", ResultsError, task="arc_challenge"):
        _asked("openllm", "arc_challenge")


def test_tasks_of_a_group_that_fix_their_shots_stay_there(folder):
    found = _asked("outer", folders=[folder], num_fewshot=(1, 3))
    assert _shots(found) == {"small": (1, 3), "middle": (1, 3), "large": (0,)}
    assert [(group.name, group.num_fewshot) for group in found.groups] == [
        ("outer", None), ("outer", None), ("inner", 1), ("inner", 3), ("outer::rest", 0), ("outer::rest", 0),
    ]  # fmt: skip


@pytest.mark.parametrize("spec", ["{}/small.yaml", "{}/s*.yaml"])
def test_a_task_may_be_a_path(folder, spec):
    assert _asked(spec.format(folder)).sources == {"small": TaskSource(folder / "small.yaml", {}, (0,))}


def test_a_folder_is_its_yamls_and_a_group_may_be_a_path(folder):
    (folder / "folder").mkdir(exist_ok=True)
    (folder / "folder" / "alone.yaml").write_text(to_yaml({"include": "../small.yaml", "task": "alone"}))
    assert list(_asked(str(folder / "folder")).sources) == ["alone"]
    found = _asked(str(folder / "inner.yaml"), folders=[folder])
    assert (list(found.sources), [group.name for group in found.groups]) == (["small", "middle"], ["inner"])


@pytest.mark.parametrize("spec", ["a@b", "piqa@0", "nothing", "mmmlu_*x", "gsm8k@5shot", "[", "ä"])
def test_a_name_that_matches_nothing(spec):
    with refused("unknown-task", UnknownNameError, name=spec):
        _asked(spec)


@pytest.mark.parametrize("spec", ["./my.yaml", "/nowhere/*.yaml", "tasks/my"])
def test_a_path_that_is_not_there(spec):
    with refused("file-missing", ResultsError, path=spec):
        _asked(spec)


@pytest.mark.parametrize(
    ("text", "code"),
    [("- 1", "file-malformed"), ("output_type: x", "value-type"), ("task: [a]", "value-type"), ("{", "file-malformed")],
)
def test_a_yaml_that_is_no_task(tmp_path, text, code):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        _asked(str(tmp_path / "my.yaml"))
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"group": "g", "task": ["g"]}, "task-include-circular"),
        ({"group": "g", "task": [{"task": "mine", "doc_to_text": "x"}]}, "task-inline"),
        ({"group": "g", "task": ["no such task"]}, "task-inline"),
        ({"group": "g", "task": ["piqa"], "aggregate_metric_list": [{"metric": "acc", "aggregation": "x"}]},
         "group-malformed"),
        ({"group": "g", "task": ["piqa"], "aggregate_metric_list": [{"name": "acc"}]}, "group-malformed"),
    ],
)  # fmt: skip
def test_a_group_that_cannot_be_measured(tmp_path, config, code):
    (tmp_path / "g.yaml").write_text(to_yaml(config))
    with refused(code, ResultsError, group="g"):
        _asked("g", folders=[tmp_path])


def test_a_folder_of_yamls_that_is_not_there(tmp_path):
    with refused("option-value", UsageError, option="--include-path"):
        _asked("piqa", folders=[tmp_path / "none"])


@pytest.mark.parametrize(("name", "kind"), [("mmlu", "group"), ("glue", "tag")])
def test_a_suite_consists_of_single_tasks(name, kind):
    with refused("task-is-group", ResultsError, task=name) as caught:
        resolve([Task(name=name, title=name)], {})
    assert kind in caught.value.message


@pytest.mark.parametrize("shots", [None, 1])
def test_the_score_of_a_group_is_lm_evals(folder, tmp_path, monkeypatch, shots):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    of = family()
    write_export(tmp_path / "export", of, of.runs()[0])
    options = Options(tasks=["outer"], include_path=[folder], device="cpu", num_fewshot=shots and [shots])
    done = evaluate_model(tmp_path / "export", tmp_path / "out", options=options)
    monkeypatch.setenv("DISABLE_MULTIPROC", "1")
    monkeypatch.setattr(logging.getLogger("lm_eval"), "level", logging.ERROR)
    monkeypatch.chdir(folder)  # lm-eval looks for data files there
    stock = lm_eval.simple_evaluate(
        model=HFLM(pretrained=str(tmp_path / "export"), device="cpu", dtype="float32"),
        tasks=["outer"],
        task_manager=TaskManager(include_defaults=False, include_path=str(folder)),
        num_fewshot=shots,
    )
    assert {one.group.name for one in done.groups} == {"outer", "inner", "outer::rest"} == set(stock["groups"])
    for one in done.groups:
        theirs = stock["groups"][one.group.name]
        assert set(one.figures) == set(theirs)
        for key, value in theirs.items():
            assert one.figures[key] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value), key
        written = json.loads(one.path.read_text())
        assert written["group_subtasks"] == {one.group.name: stock["group_subtasks"][one.group.name]}
        assert written["versions"][one.group.name] == stock["versions"][one.group.name]
        assert written["n-shot"].get(one.group.name) == one.group.num_fewshot
        assert (written["results"], written["groups"]) == ({one.group.name: one.figures},) * 2
    assert [name for name, _ in done.requested] == ["small", "middle", "large"]
    assert {(cell.task, cell.num_fewshot) for cell in done.cells} == set(done.requested)
    assert dict(done.requested) == {task: stock["n-shot"][task] for task in SIZES}


def test_results_have_the_score_of_a_group_in_place_of_its_tasks_and_a_row_for_each_setting(folder, tmp_path):
    of = family()
    write_export(tmp_path / "export", of, of.runs()[0])
    out = tmp_path / "out"
    asked = {"include_path": [folder], "device": "cpu"}
    plain = evaluate_model(tmp_path / "export", out, options=Options(["outer"], **asked))
    kind = Options(["inner"], prompting=Prompting(system_instruction="Be kind."), **asked)
    kind_done = evaluate_model(tmp_path / "export", out, options=kind)
    evaluate_model(tmp_path / "export", out, options=Options(["large"], dtype="bfloat16", **asked))
    (table,) = score_tables([str(out)])
    assert {column.task for column in table.columns} == {"outer", "inner", "large"}  # the last two measured alone too
    values = {row.revision: {task: score.value for task, score in row.scores.items()} for row in table.rows}
    (settings,) = {cell.prompting for cell in kind_done.cells}
    figures = {one.group.name: one.figures for one in (*kind_done.groups, *plain.groups)}
    assert values["local (float32, plain)"]["outer"] == pytest.approx(100 * figures["outer"]["acc_norm,none"])
    assert values[f"local (float32, {settings})"]["outer"] is None
    assert set(values) == {f"local (float32, {settings})", "local (float32, plain)", "local (bfloat16, plain)"}
    (shown,) = score_tables([str(out)], selection=AnalysisSelection(tasks=("small", "inner")))
    rows = {row.revision: row.scores for row in shown.rows}
    theirs = {one.group.name: one.figures for one in kind_done.groups}["inner"]
    assert rows[f"local (float32, {settings})"]["inner"].value == pytest.approx(100 * theirs["acc,none"])
    assert {cell.weights_sha256 for own in table.records.values() for cell in own} == {plain.cells[0].weights_sha256}


def test_the_score_of_a_group_counts_only_with_its_cells(folder, tmp_path):
    of = family()
    write_export(tmp_path / "export", of, of.runs()[0])
    options = Options(["inner"], include_path=[folder], device="cpu", num_fewshot=[1])
    done = evaluate_model(tmp_path / "export", tmp_path / "out", options=options)
    (table,) = score_tables([str(tmp_path / "out")])
    assert [column.task for column in table.columns] == ["inner"]
    assert table.rows[0].average.value == pytest.approx(100 * done.groups[0].figures["acc,none"])
    done.cells[0].path.unlink()
    (table,) = score_tables([str(tmp_path / "out")])
    assert [column.task for column in table.columns] == [done.cells[1].task]
