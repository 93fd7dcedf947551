"""What measured cells allow: every check fires where it should, and keeps still where all is well."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mixhub.analysis.audit.records import audit_records
from mixhub.workspace.lineage import UNKNOWN
from mixhub.workspace.records import Record
from tests.analysis.audit.test_tables import TASKS, says
from tests.refusals import codes


def record(task="copa", right=65, of=100, **given):
    """A cell as lm-eval would write it; `given` replaces fields."""
    acc = right / of
    fields = {
        "path": Path("results.json"),
        "model": "a/model",
        "revision": "seed-1",
        "task": task,
        "num_fewshot": 0,
        "metrics": {"acc": acc},
        "stderrs": {"acc": (acc * (1 - acc) / (of - 1)) ** 0.5},
        "measures": {},
        "documents": of,
        "documents_in_split": of,
        "limit": None,
        "fewshot_seed": 1234,
        "task_version": "1.0",
        "task_hash": UNKNOWN,
        "dataset": UNKNOWN,
        "prompting": UNKNOWN,
        "weights_sha256": UNKNOWN,
        "dtype": "float32",
        "device": "cpu",
        "harness": "0.4.9",
        "date": None,
        "seconds": None,
        "samples": None,
    }
    return Record(**(fields | given))


def test_cells_that_fit():
    cells = [record(right=65 + number, revision=f"seed-{number}") for number in range(3)]
    found = audit_records([*cells, record("sciq", 813, 1000)], TASKS)
    assert found.fits, found.findings
    assert (found.figures, found.testable, found.source) == (4, 4, "4 cells of 3 revisions")


@pytest.mark.parametrize(
    ("cell", "code", "values"),
    [
        (record(metrics={"acc": 1.25}), "score-out-of-range", ["1.25"]),
        (record(metrics={"acc": 0.654321987}), "figure-impossible", ["65.432", "100"]),
        (record(stderrs={"acc": 0.0312345678}), "stderr-unfit", ["0.0479372", "0.0312346"]),
        (record(documents_in_split=400), "documents-differ", ["400", "100"]),
        (record(documents_in_split=90), "documents-differ", ["100", "90"]),
        (record("sciq", documents=UNKNOWN, documents_in_split=UNKNOWN), "stderr-unfit", ["1,000"]),
    ],
)
def test_cells_that_do_not(cell, code, values):
    finding = next(finding for finding in audit_records([cell], TASKS).findings if finding.code == code)
    assert (finding.where, finding.about) == ("seed-1", f"{cell.task} 0-shot")
    assert says(finding, *values)
    assert finding.message.startswith(f"{cell.task} 0-shot of seed-1: ")


def test_a_suite_that_stands_in_is_an_assumption():
    unsized = record(documents=UNKNOWN, documents_in_split=UNKNOWN)
    found = audit_records([unsized, replace(unsized, metrics={"acc": 0.654321987})], TASKS)
    assert "copa has 100 documents, as the suite says" in found.findings[0].assumptions
    assert "2 cells without a number of documents: assuming that of the suite's task" in found.notes
    limited = replace(unsized, limit=10, metrics={"acc": 0.654321987}, stderrs={})
    assert audit_records([limited], TASKS).fits


def test_a_task_that_counts_parts_of_documents_is_not_tested():
    cell = record("other", metrics={"acc": 0.41234567891}, stderrs={"acc": 0.01398765432})
    found = audit_records([cell], TASKS)
    assert found.fits
    assert "not tested, because documents are not counted, or not as 0 or 1: other" in found.notes


def test_a_task_without_accuracies_is_not_tested():
    found = audit_records([record("other", metrics={"f1": 0.5}, stderrs={}), record()], TASKS)
    assert found.notes == (
        "not tested, because they have neither acc nor acc_norm: other",
        "samples: 0 of 2 cells",
    )


@pytest.mark.parametrize(("documents", "fits"), [(1, True), (2, False)])
def test_one_document_has_no_standard_error(documents, fits):
    cell = record(metrics={"acc": 1.0}, stderrs={"acc": 0.123456789}, documents=documents)
    assert ("stderr-unfit" not in codes(audit_records([cell], TASKS).findings)) == fits


def test_figures_that_were_rounded_when_written():
    found = audit_records([record("piqa", of=1838, metrics={"acc": 0.7106}, stderrs={"acc": 0.0106})], TASKS)
    assert found.fits, found.findings


def cells_of(revision, tasks=TASKS, *, right=0.6, shots=(0,), **given):
    return [
        record(
            task.name, int(task.documents * right) + 3 * at, task.documents, revision=revision, num_fewshot=k, **given
        )
        for at, task in enumerate(tasks)
        for k in shots
    ]


def test_a_revision_that_repeats_another():
    one, other = cells_of("seed-1"), cells_of("seed-2", right=0.61)
    assert audit_records([*one, *other], TASKS).fits
    found = audit_records([*one, *other, *cells_of("seed-3")], TASKS)
    (finding,) = found.findings
    assert (finding.code, finding.where) == ("figures-repeated", "seed-3")
    assert says(finding, "a/model seed-1", "5 cells")


def test_the_first_step_may_repeat_what_was_before_it():
    for first, level in (("step0", "warning"), ("step-000", "warning"), ("step1", "error"), ("step10", "error")):
        found = audit_records([*cells_of(first), *cells_of("step2")], TASKS)
        assert [(finding.code, finding.where, finding.level) for finding in found.findings] == [
            ("figures-repeated", "step2", level)
        ]
        assert found.fits == (level == "warning")


def test_the_score_of_a_group_is_not_tested():
    found = audit_records([*cells_of("seed-1"), record("mmlu", metrics={"acc": 0.29123}, is_group=True)], TASKS)
    assert found.fits
    assert any("mmlu" in note for note in found.notes)


def test_a_single_task_may_be_equal():
    assert audit_records([*cells_of("seed-1", TASKS[:1]), *cells_of("seed-2", TASKS[:1])], TASKS).fits


@pytest.mark.parametrize(("tasks", "fits"), [(2, True), (3, False)])
def test_two_tasks_may_be_equal_by_chance(tasks, fits):
    cells = [*cells_of("seed-1", TASKS[:tasks], shots=(0, 5)), *cells_of("seed-2", TASKS[:tasks], shots=(0, 5))]
    cells = [replace(cell, metrics={"acc": cell.metrics["acc"] + cell.num_fewshot / 50}, stderrs={}) for cell in cells]
    assert codes(audit_records(cells, TASKS).findings) == ([] if fits else ["figures-repeated"])


def test_shots_that_repeat():
    found = audit_records(cells_of("seed-1", shots=(0, 5)), TASKS)
    (finding,) = found.findings
    assert (finding.code, finding.where) == ("shots-repeated", "seed-1")
    assert says(finding, "5-shot", "0-shot", "5 tasks")
    different = [*cells_of("seed-1"), *cells_of("seed-1", right=0.61, shots=(5,))]
    assert audit_records(different, TASKS).fits


def test_revisions_of_the_same_weights():
    one, other = (cells_of(f"seed-{n}", right=0.6 + n / 100, weights_sha256=f"{n}" * 64) for n in (1, 2))
    assert audit_records([*one, *other], TASKS).fits
    other = cells_of("seed-2", right=0.62, weights_sha256="1" * 64)
    found = audit_records([*one, *other], TASKS)
    (finding,) = found.findings
    assert (finding.code, finding.where) == ("weights-measured-twice", "seed-2")
    assert says(finding, "a/model seed-1", "a/model seed-2", "1" * 12)


def with_samples(path, right, documents=100):
    lines = [{"doc_id": at, "filter": "none", "acc": float(at < right), "target": "x"} for at in range(documents)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return record(samples=path)


@pytest.mark.parametrize(
    ("right", "documents", "values"),
    [(65, 100, None), (64, 100, [" is 64", "65 over 100"]), (65, 99, ["99 documents", "over 100"])],
)
def test_samples(tmp_path, right, documents, values):
    found = audit_records([with_samples(tmp_path / "samples.jsonl", right, documents)], TASKS)
    assert codes(found.findings) == ([] if values is None else ["samples-differ"])
    assert all(says(finding, *values) for finding in found.findings)
    assert "samples: 1 of 1 cell" in found.notes


def test_samples_that_cannot_be_read_do_not_fit(tmp_path):
    cell = with_samples(tmp_path / "samples.jsonl", 65)
    (tmp_path / "samples.jsonl").write_text("{")
    assert codes(audit_records([cell], TASKS).findings) == ["samples-malformed"]
    (tmp_path / "samples.jsonl").unlink()
    assert audit_records([cell], TASKS).fits
