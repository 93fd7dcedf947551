"""The suite: lm-eval's own tasks by name, and those of a workspace by path."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from mixhub.errors import ResultsError, SpecError, UnknownNameError
from mixhub.evaluation import suite, task_index
from mixhub.evaluation.datasets import Datasets
from mixhub.evaluation.lm_eval_private import quiet
from mixhub.spec import Task, catalog
from tests.evaluation.making import CopyFetch
from tests.refusals import refused

PUBLISHED = {
    "piqa": ("baber/piqa", "validation", ["acc", "acc_norm"]),
    "lambada_standard": ("cimec/lambada", "test", ["perplexity", "acc"]),
    "multirc": ("aps/super_glue (multirc)", "validation", ["acc"]),
    "logiqa": ("EleutherAI/logiqa (logiqa)", "test", ["acc", "acc_norm"]),
    "social_iqa": ("lighteval/siqa", "validation", ["acc"]),
    "winogrande": ("allenai/winogrande (winogrande_xl)", "validation", ["acc"]),
    "race": ("EleutherAI/race (high)", "test", ["acc"]),
    "openbookqa": ("allenai/openbookqa (main)", "test", ["acc", "acc_norm"]),
    "copa": ("aps/super_glue (copa)", "validation", ["acc"]),
    "hellaswag": ("Rowan/hellaswag", "validation", ["acc", "acc_norm"]),
    "sciq": ("allenai/sciq", "test", ["acc", "acc_norm"]),
    "arc_easy": ("allenai/ai2_arc (ARC-Easy)", "test", ["acc", "acc_norm"]),
    "qqp": ("nyu-mll/glue (qqp)", "validation", ["acc", "f1"]),
}
MOVED = {"allenai/social_i_qa": "lighteval/siqa"}
"""Datasets that lm-eval 0.4.12 reads from elsewhere."""


def test_the_published_suite_is_found_by_name_in_less_than_a_second():
    task_index.builtin_index()  # lm-eval's own index, which is kept
    for cached in (task_index.builtin_index, task_index._yaml_files, task_index._files_by_name):
        cached.cache_clear()
    tasks = catalog.get("human-1b").evaluation.tasks
    before = time.process_time()
    found = suite.resolve(tasks, {})
    assert time.process_time() - before < 1.0
    assert [task.name for task in found] == list(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_published_task_reads_the_dataset_split_and_metrics_that_are_known(name):
    (task,) = suite.resolve([Task(name=name, title=name)], {})
    split = task.config.get("test_split") or task.config["validation_split"]
    dataset = MOVED.get(task.dataset, task.dataset)
    assert (dataset, split, [metric["metric"] for metric in task.config["metric_list"]]) == PUBLISHED[name]
    assert task.source.startswith("lm_eval/tasks/")
    assert not task.is_custom
    assert task.data_sha256 == "unknown"
    assert task.load_arguments(Path("cache"))["cache_dir"] == "cache"


def test_a_function_of_a_task_is_part_of_its_hash():
    (task,) = suite.resolve([Task(name="race", title="RACE")], {})
    assert task.config["doc_to_text"]["function"] == "preprocess_race.doc_to_text"
    assert len(task.config["doc_to_text"]["sha256"]) == 64


def test_an_unknown_task_gets_the_nearest():
    with refused("unknown-task", UnknownNameError, name="hellaswagg") as caught:
        suite.resolve([Task(name="hellaswagg", title="?")], {})
    assert caught.value.nearest == "hellaswag"


@contextmanager
def refused_spec(code: str, key: str) -> Iterator[pytest.ExceptionInfo]:
    """Expects one problem of a YAML."""
    with pytest.raises(SpecError) as caught:
        yield caught
    assert [(problem.code, problem.key) for problem in caught.value.problems] == [(code, key)]


def _own(folder: Path, name: str = "own", **changes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "documents/own.jsonl"}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "doc_to_choice": "choices",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 2.0},
        **changes,
    }
    (folder / "documents").mkdir(exist_ok=True)
    row = {"question": "1, 2,", "choices": ["3", "5"], "answer": 0}
    (folder / "documents" / "own.jsonl").write_text(json.dumps(row) + "\n")
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config))
    return path


def _resolved(path: Path, name: str = "own") -> suite.SuiteTask:
    return suite.resolve([Task(name=name, title="Own")], {name: suite.TaskSource(path)})[0]


def test_data_files_are_relative_to_the_yaml_wherever_the_process_stands(tmp_path, monkeypatch):
    task = _resolved(_own(tmp_path / "tasks"))
    monkeypatch.chdir("/")
    with quiet():
        built = suite.build(task, Datasets(tmp_path / "cache", CopyFetch({})))
    assert built.task.eval_docs[0]["question"] == "1, 2,"
    assert built.fingerprint == task.data_sha256
    assert (task.version, task.source) == ("2.0", "own.yaml")
    assert any((tmp_path / "cache").rglob("*.arrow"))


def test_the_hash_of_a_task_is_of_its_content_and_not_of_its_place(tmp_path):
    here, there = _resolved(_own(tmp_path / "here")), _resolved(_own(tmp_path / "there"))
    assert (here.sha256, here.data_sha256) == (there.sha256, there.data_sha256)
    assert _resolved(_own(tmp_path / "there", doc_to_text="{{question}}?")).sha256 != here.sha256


def test_a_yaml_may_include_another_whose_files_lie_beside_that_one(tmp_path):
    _own(tmp_path / "base")
    path = tmp_path / "derived.yaml"
    path.write_text("include: base/own.yaml\ntask: derived\n")
    task = _resolved(path, "derived")
    assert task.data_files == (tmp_path / "base" / "documents" / "own.jsonl",)
    with quiet():
        assert len(suite.build(task, Datasets(tmp_path / "cache", CopyFetch({}))).task.eval_docs) == 1


def _folder(root: Path, rows: list[dict]) -> Path:
    """A folder that `load_dataset` opens."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


ROWS = [{"question": "1, 2,", "choices": ["3", "5"], "answer": 0}] * 3


def _built(task: suite.SuiteTask, cache: Path) -> suite.BuiltTask:
    with quiet():
        return suite.build(task, Datasets(cache, CopyFetch({})))


@pytest.mark.parametrize("is_absolute", [True, False])
def test_a_local_folder_is_known_by_its_content(tmp_path, is_absolute):
    folder = _folder(tmp_path / "tasks" / "animals", ROWS)
    path = str(folder) if is_absolute else "animals"
    written = _own(tmp_path / "tasks", dataset_path=path, dataset_kwargs=None)
    task = _resolved(written)
    first = _built(task, tmp_path / "cache")
    stat = (folder / "test.jsonl").stat()
    assert (len(first.task.eval_docs), first.fingerprint) == (3, task.data_sha256)
    assert (task.repo_id, str(task.dataset), first.task.config.dataset_path) == (None, "animals", "animals")
    changed = [*ROWS[:2], {**ROWS[0], "question": "4, 5,"}]
    _folder(folder, changed)
    os.utime(folder / "test.jsonl", ns=(stat.st_atime_ns, stat.st_mtime_ns))  # even with the same size and time
    again = _resolved(written)
    second = _built(again, tmp_path / "cache")
    assert second.fingerprint == again.data_sha256 != first.fingerprint
    assert list(second.task.eval_docs["question"]) == [row["question"] for row in changed]
    moved = shutil.move(tmp_path / "tasks", tmp_path / "moved")
    assert _resolved(Path(moved) / written.name).data_sha256 == second.fingerprint or is_absolute


def test_a_folder_with_the_name_of_a_repo_is_not_read_by_lm_evals_own_task(tmp_path, monkeypatch):
    _folder(tmp_path / "baber" / "piqa", ROWS)
    monkeypatch.chdir(tmp_path)
    (task,) = suite.resolve([Task(name="piqa", title="PIQA")], {})
    assert (task.repo_id, task.local_folder, task.data_files) == ("baber/piqa", None, ())


@pytest.mark.parametrize("data_files", [{"test": "{}/own.jsonl"}, {"test": ["{}/*.jsonl"]}])
def test_absolute_paths_of_documents_are_hashed_and_written_nowhere(tmp_path, data_files):
    written = _own(tmp_path)
    text = json.dumps(data_files).replace("{}", str(tmp_path / "documents"))
    task = _resolved(_own(tmp_path, dataset_kwargs={"data_files": json.loads(text)}))
    built = _built(task, tmp_path / "cache")
    assert built.fingerprint == _resolved(written).data_sha256 != "unknown"
    assert str(tmp_path) not in f"{built.task.dump_config()['dataset_kwargs']} {task.dataset}"
    other = json.loads(text.replace(str(tmp_path), "/elsewhere"))
    elsewhere = _resolved(_own(tmp_path, dataset_kwargs={"data_files": other}))
    assert elsewhere.sha256 == task.sha256


def test_documents_that_a_function_makes_are_known_by_their_content(tmp_path):
    lines = (
        "import json, pathlib, datasets",
        "def rows(**_):",
        f"    made = json.loads(pathlib.Path({str(tmp_path / 'rows.json')!r}).read_text())",
        "    return {'test': datasets.Dataset.from_list(made)}",
    )
    (tmp_path / "made.py").write_text("\n".join(lines))
    config = json.loads(_own(tmp_path).read_text())
    del config["dataset_path"], config["dataset_kwargs"]
    (tmp_path / "own.yaml").write_text(f"custom_dataset: !function made.rows\n{yaml.safe_dump(config)}")
    found = []
    for rows in (ROWS, ROWS, ROWS[:2]):
        (tmp_path / "rows.json").write_text(json.dumps(rows))
        task = _resolved(tmp_path / "own.yaml")
        found.append(suite.fingerprint(task, Datasets(tmp_path / "cache", CopyFetch({}))))
        assert task.data_sha256 == "unknown"
    assert found[0] == found[1] != found[2]
    assert "unknown" not in found


def test_yamls_that_include_each_other_are_refused(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{one}.yaml").write_text(f"include: {other}.yaml\ntask: a\n")
    with refused_spec("task-include-circular", "include"):
        _resolved(tmp_path / "a.yaml", "a")


def test_a_yaml_that_is_not_there_is_named(tmp_path):
    with refused("file-missing", ResultsError, task="own", path=tmp_path / "own.yaml"):
        _resolved(tmp_path / "own.yaml")


def test_a_yaml_of_another_task_is_refused(tmp_path):
    with refused_spec("task-misnamed", "task"):
        _resolved(_own(tmp_path, "other"), "own")


@pytest.mark.parametrize("text", ["task: [", "- own", "\x00"])
def test_a_yaml_that_is_none_is_named(tmp_path, text):
    (tmp_path / "own.yaml").write_text(text)
    with refused_spec("file-malformed", "") as caught:
        _resolved(tmp_path / "own.yaml")
    assert caught.value.file == str(tmp_path / "own.yaml")


def test_documents_that_are_not_there_are_named(tmp_path):
    task = _resolved(_own(tmp_path))
    (tmp_path / "documents" / "own.jsonl").unlink()
    with refused("documents-missing", ResultsError, task="own", path=tmp_path / "documents" / "own.jsonl"):
        suite.build(task, Datasets(tmp_path / "cache", CopyFetch({})))


def test_a_dataset_that_is_not_there_is_named_with_its_task_and_how_to_mirror_it(tmp_path):
    (task,) = suite.resolve([Task(name="piqa", title="PIQA")], {})
    with refused("dataset-missing", ResultsError, task="piqa", dataset="baber/piqa") as caught:
        suite.build(task, Datasets(tmp_path / "cache", CopyFetch({})))
    for part in ("--prefetch", "hf download --repo-type dataset baber/piqa", "--datasets-hub local"):
        assert part in str(caught.value.hint)


def test_a_dataset_that_is_not_what_the_task_reads_is_named(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "train.jsonl").write_text('{"other": 1}\n')
    (task,) = suite.resolve([Task(name="piqa", title="PIQA")], {})
    datasets = Datasets(tmp_path / "cache", CopyFetch({"baber/piqa": tmp_path / "repo"}))
    with quiet(), refused("dataset-unloadable", ResultsError, task="piqa", dataset="baber/piqa") as caught:
        suite.build(task, datasets)
    assert "download it again" in str(caught.value.hint)
