"""What each document contributed, and what knowing nothing scores."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mixhub.analysis.lm_eval_files import read_outputs
from mixhub.analysis.samples import read_baseline, read_clusters, read_documents, read_scores
from mixhub.analysis.scores import Column, measure_named
from mixhub.errors import ResultsError
from mixhub.workspace.cells import read_cells
from mixhub.workspace.records import Record
from tests.analysis.written import write_results
from tests.evaluation.making import Place
from tests.refusals import refused


def record(folder: Path, values: list[float], **options) -> Record:
    (found,) = read_outputs([write_results(folder, {options.pop("task", "qqp"): values}, **options)]).records
    return found


def rewritten(found: Record, change) -> Record:
    assert found.samples is not None
    lines = found.samples.read_text().splitlines(keepends=True)
    found.samples.write_text("".join(change(lines)))
    return found


def test_values_are_by_document_in_the_unit_of_the_score(tmp_path: Path):
    found = read_documents(record(tmp_path, [1, 0, 0, 1]), "acc")
    assert found.values.tolist() == [100, 0, 0, 100]
    assert found.ids.tolist() == [0, 1, 2, 3]


def test_documents_in_another_order_are_sorted(tmp_path: Path):
    found = read_documents(rewritten(record(tmp_path, [1, 0, 0, 1]), lambda lines: lines[::-1]), "acc")
    assert found.values.tolist() == [100, 0, 0, 100]
    assert found.ids.tolist() == [0, 1, 2, 3]


def test_other_filters_repeat_documents_and_do_not_count(tmp_path: Path):
    def add(lines):
        return [*lines, *(line.replace('"filter": "none"', '"filter": "strict"') for line in lines)]

    assert len(read_documents(rewritten(record(tmp_path, [1, 0, 1]), add), "acc").values) == 3


@pytest.mark.parametrize(
    ("change", "code", "fields"),
    [
        (lambda lines: [*lines[:2], lines[2][:40]], "samples-malformed", {"line": 3}),
        (lambda lines: [*lines, lines[0]], "document-repeated", {}),
        (lambda lines: [line.replace('"acc":', '"accuracy":') for line in lines], "metric-missing", {"metric": "acc"}),
        (lambda lines: [lines[0].replace('"acc": 1.0', '"acc": "yes"')], "samples-malformed", {"line": 1}),
        (lambda lines: [], "metric-missing", {"metric": "acc"}),
        (lambda lines: [lines[0].replace('"doc_id": 0', f'"doc_id": {2**63}')], "samples-malformed", {"line": 1}),
        (lambda lines: ["[{]"], "samples-malformed", {"line": 0}),
    ],
)
def test_samples_that_are_not_whole_are_refused_by_name(tmp_path: Path, change, code, fields):
    found = rewritten(record(tmp_path, [1, 0, 1]), change)
    with refused(code, ResultsError, path=found.samples, **fields) as caught:
        read_documents(found, "acc")
    assert caught.value.hint


def test_a_record_without_samples_says_so(tmp_path: Path):
    found = record(tmp_path, [1, 0], samples=False)
    with refused("samples-missing", ResultsError, path=found.path):
        read_documents(found, "acc")


def test_documents_that_share_a_passage_are_clustered(tmp_path: Path):
    documents = [{"paragraph": text} for text in ("a", "a", "b", "a", "c")]
    multirc = record(tmp_path, [1, 1, 0, 0, 1], task="multirc", documents={"multirc": documents})
    ids = read_documents(multirc, "acc").ids
    clusters = read_clusters(multirc, ids)
    assert clusters is not None
    assert clusters.tolist() == [0, 0, 1, 0, 2]
    assert read_clusters(record(tmp_path / "other", [1, 0]), np.arange(2)) is None


def test_a_constant_answer_is_the_commonest_label(tmp_path: Path):
    labels = [0, 1, 1, 0, 1, 1, 1, 0]
    documents = [{"label": label} for label in labels]
    for values in ([1] * 8, [0] * 8, [1, 0] * 4):
        folder = tmp_path / "".join(map(str, values))
        found = read_baseline(record(folder, values, documents={"qqp": documents}))
        assert (found.chance, found.constant) == (50, 62.5), "whatever the model answered"


def test_labels_may_follow_the_text_of_the_document(tmp_path: Path):
    documents = [
        {"label": label, "choices": [f"{word}\nIs the answer correct? yes", f"{word}\nIs the answer correct? no"]}
        for label, word in zip([0, 0, 1], ["one", "two", "three"], strict=True)
    ]
    found = read_baseline(record(tmp_path, [1, 0, 1], task="multirc", documents={"multirc": documents}))
    assert found.constant == pytest.approx(200 / 3)


def test_choices_that_are_no_labels_have_chance_only(tmp_path: Path):
    documents = [{"label": 0, "choices": [f"right {n}", f"wrong {n}", "x"][: 2 + n % 2]} for n in range(4)]
    found = read_baseline(record(tmp_path, [1, 0, 1, 1], documents={"qqp": documents}))
    assert found.chance == pytest.approx(100 * (1 / 2 + 1 / 3) / 2)
    assert found.constant is None, "the first of three is no answer"


def test_choices_that_read_alike_are_no_labels(tmp_path: Path):
    documents = [{"label": number % 2, "choices": [" same end", " same end"]} for number in range(6)]
    found = read_baseline(record(tmp_path, [1, 0, 1, 1, 0, 0], documents={"qqp": documents}))
    assert (found.chance, found.constant) == (50, None)


def test_answers_that_count_in_parts_have_no_baseline(tmp_path: Path):
    found = read_baseline(record(tmp_path, [1, 0.25, 0.5, 0]))
    assert (found.chance, found.constant) == (None, None)


def test_the_same_documents_in_another_order_are_the_same(tmp_path: Path):
    found = record(tmp_path, [1, 0, 0, 1])
    before = read_documents(found, "acc").content
    assert before
    assert read_documents(rewritten(found, lambda lines: lines[::-1]), "acc").content == before


@pytest.mark.parametrize("arguments", ["null", "5", '"text"', "[]"])
def test_samples_without_arguments_have_no_constant_answer(tmp_path: Path, arguments: str):
    found = rewritten(
        record(tmp_path, [1, 0]),
        lambda lines: [re.sub(r'"arguments": \{.*?\}\}', f'"arguments": {arguments}', line) for line in lines],
    )
    assert read_baseline(found).constant is None


def test_tasks_without_choices_have_no_chance(measured: Place):
    by_task = {cell.task: read_baseline(cell) for cell in read_cells(measured.results)}
    assert by_task["demo_last_word"].chance is None
    assert by_task["demo_arithmetic"].chance == 25


def test_scores_of_documents_are_the_mean_over_shots(tmp_path: Path):
    zero = record(tmp_path, [1, 0, 1, 1])
    five = record(tmp_path, [1, 0, 0, 1], num_fewshot=5)
    column = Column("qqp", "QQP", (0, 5))
    found = read_scores({"seed-1": [zero, five], "seed-2": [zero]}, [column])
    assert found.values["seed-1", "qqp"].values.tolist() == [100, 0, 50, 100]
    assert ("seed-2", "qqp") not in found.values, "a shot count is missing"
    other = record(tmp_path / "fewer", [1, 0, 1], num_fewshot=5)
    assert not read_scores({"seed-1": [zero, other]}, [column]).values, "other documents"


def test_samples_of_another_result_are_refused_by_name(tmp_path: Path):
    column = Column("qqp", "QQP", (0,))
    found = record(tmp_path, [1, 0, 1, 1])
    assert read_scores({"seed-1": [found]}, [column]).values
    rewritten(found, lambda lines: [line.replace('"acc": 1.0', '"acc": 0.0') for line in lines[:1]] + lines[1:])
    with refused("samples-differ", ResultsError, paths=(found.samples, found.path), mean=50, reported_mean=75):
        read_scores({"seed-1": [found]}, [column])


def test_samples_that_were_cut_short_are_refused_though_their_mean_is_right(tmp_path: Path):
    found = rewritten(record(tmp_path, [1, 0] * 10), lambda lines: lines[:4])
    with refused("samples-differ", ResultsError, documents=4, reported_documents=20):
        read_scores({"seed-1": [found]}, [Column("qqp", "QQP", (0,))])


def test_shot_counts_of_different_documents_have_no_common_score(tmp_path: Path):
    zero = record(tmp_path, [1, 0, 1])
    documents = [{"question": f"other {number}"} for number in range(3)]
    five = record(tmp_path, [1, 0, 1], num_fewshot=5, documents={"qqp": documents})
    assert not read_scores({"seed-1": [zero, five]}, [Column("qqp", "QQP", (0, 5))]).values


def test_a_target_that_does_not_tell_is_told_by_the_answer(tmp_path: Path):
    documents = [{"label": label} for label in (0, 1, 1)]
    for values in ([1, 1, 1], [0, 0, 0]):
        found = rewritten(
            record(tmp_path / str(values[0]), values, documents={"qqp": documents}),
            lambda lines: [re.sub(r'"target": "\d"', '"target": "the text"', line) for line in lines],
        )
        assert read_baseline(found).constant == pytest.approx(200 / 3)


def test_our_measures_are_read_by_document(measured: Place):
    cells = [cell for cell in read_cells(measured.results) if cell.task == "demo_continuation"]
    for name in ("bits_per_byte", "answer_probability"):
        measure = measure_named(name)
        for cell in cells:
            found = read_documents(cell, name, measure)
            assert found.values.mean() == pytest.approx(measure.scale * cell.measures[name], rel=1e-12)
