"""Tasks made from held-out text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mixhub.demo.tasks import write_tasks
from mixhub.errors import CorpusError
from tests.evaluation.making import DOCUMENTS, TASKS, write_held_out
from tests.refusals import refused


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_held_out(tmp_path / "corpus")


@pytest.fixture
def tasks(corpus: Path, tmp_path: Path) -> Path:
    write_tasks(corpus, tmp_path / "tasks", documents=DOCUMENTS)
    return tmp_path / "tasks"


def test_the_same_text_gives_the_same_files(corpus: Path, tasks: Path, tmp_path: Path):
    made = write_tasks(corpus, tmp_path / "again", documents=DOCUMENTS)
    assert [(task.name, task.documents, task.config) for task in made] == [
        (name, DOCUMENTS, f"{name}.yaml") for name in TASKS
    ]
    files = {path.name: path.read_bytes() for path in tasks.iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert len(files) == 9
    write_tasks(corpus, tmp_path / "other", documents=DOCUMENTS, seed=1)
    assert {path.read_bytes() for path in (tmp_path / "other").glob("*.jsonl")}.isdisjoint(files.values())


def test_what_is_right_is_left_alone_and_so_are_other_files(corpus: Path, tasks: Path):
    (tasks / "mine.yaml").write_text("task: mine\n")
    (tasks / "demo_arithmetic.yaml").write_text("task: changed\n")
    before = {path: path.stat().st_mtime_ns for path in tasks.iterdir()}
    write_tasks(corpus, tasks, documents=DOCUMENTS)
    after = {path: path.stat().st_mtime_ns for path in tasks.iterdir()}
    assert {path.name for path in before if before[path] != after[path]} == {"demo_arithmetic.yaml"}


@pytest.mark.parametrize("name", TASKS)
def test_shots_are_drawn_from_documents_that_are_not_evaluated(tasks: Path, name: str):
    test, fewshot = _rows(tasks / f"{name}.test.jsonl"), _rows(tasks / f"{name}.fewshot.jsonl")
    assert (len(test), len(fewshot)) == (DOCUMENTS, 16)
    key = "question" if name == "demo_arithmetic" else "passage"
    assert len({row[key] for row in test + fewshot}) == len(test) + len(fewshot)


def test_one_of_four_continuations_follows_and_the_others_follow_elsewhere(corpus: Path, tasks: Path):
    texts = [row["text"] for path in (corpus / "valid").glob("*.jsonl") for row in _rows(path)]
    for row in _rows(tasks / "demo_continuation.test.jsonl"):
        assert len(set(row["choices"])) == 4
        follows = [any(f"{row['passage']} {choice}" in text for text in texts) for choice in row["choices"]]
        assert follows == [place == row["answer"] for place in range(4)]
        assert all(any(choice in text for text in texts) for choice in row["choices"])


def test_the_last_word_has_been_used_before(corpus: Path, tasks: Path):
    texts = [row["text"] for path in (corpus / "valid").glob("*.jsonl") for row in _rows(path)]
    for row in _rows(tasks / "demo_last_word.test.jsonl"):
        assert row["word"] in row["passage"]
        assert any(f"{row['passage']} {row['word']}" in text for text in texts)


def test_sums_have_one_right_answer(tasks: Path):
    rows = _rows(tasks / "demo_arithmetic.test.jsonl")
    for row in rows:
        a, b = row["question"].split(" + ")
        assert [int(choice) == int(a) + int(b) for choice in row["choices"]] == [
            place == row["answer"] for place in range(4)
        ]
        assert len(set(row["choices"])) == 4
    assert len({row["answer"] for row in rows}) > 1


def test_prompts_are_short(tasks: Path):
    for name in TASKS:
        for row in _rows(tasks / f"{name}.test.jsonl"):
            shown = row.get("passage", "") + " " + max(row.get("choices", [row.get("word", "")]), key=len)
            assert len(shown) <= 170


@pytest.mark.parametrize(("documents", "what"), [(10_000, "passages to continue"), (70, "lines like 17 + 5 = 22")])
def test_too_little_text_is_said(corpus: Path, tmp_path: Path, documents: int, what: str):
    with refused("held-out-insufficient", CorpusError, path=corpus, what=what, needed=documents + 16):
        write_tasks(corpus, tmp_path / "tasks", documents=documents)
    assert not (tmp_path / "tasks").exists()


def test_no_held_out_text_is_said(tmp_path: Path):
    with refused("held-out-missing", CorpusError, path=tmp_path):
        write_tasks(tmp_path, tmp_path / "tasks")


def test_a_line_that_is_no_row_is_named(corpus: Path, tmp_path: Path):
    path = corpus / "valid" / "prose-2.jsonl"
    for second, code in (('{"txt": "b"}', "row-text-missing"), ("[]", "row-text-missing"), ('{"text', "row-malformed")):
        path.write_text(f'{{"text": "a"}}\n{second}\n')
        with refused(code, CorpusError, path=path, line=2):
            write_tasks(corpus, tmp_path / "tasks")
