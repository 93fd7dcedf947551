"""Samples are read once; what they come to is kept, and read anew when they change."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mixhub.analysis.evidence import find_evidence
from mixhub.analysis.samples import SampleSummary, read_scores, read_summary
from mixhub.analysis.scores import Column
from mixhub.errors import ResultsError
from mixhub.workspace.records import Record
from tests.analysis.written import write_results
from tests.refusals import refused

COLUMNS = (Column("sums", "Sums", (0, 1)), Column("multirc", "MultiRC", (0, 1)))
PASSAGES = [{"paragraph": f"passage {number // 2}"} for number in range(8)]


@pytest.fixture
def records(tmp_path: Path) -> dict[str, tuple[Record, ...]]:
    for seed in (1, 2):
        for shots in (0, 1):
            values = {"sums": [1, 0, 1, 1, 0, 0, seed - 1, shots], "multirc": [1, 1, 0, 0, 1, shots, 1, 0]}
            documents = {"multirc": PASSAGES, "sums": [{} for _ in range(8)]}
            write_results(tmp_path / "r", values, num_fewshot=shots, revision=f"seed-{seed}", documents=documents)
    return dict(find_evidence(str(tmp_path / "r")).records)


def summary(records: dict[str, tuple[Record, ...]], tmp_path: Path) -> SampleSummary:
    return read_summary(records, COLUMNS, tmp_path / "kept.json")


def test_a_summary_is_what_the_samples_say(records: dict[str, tuple[Record, ...]], tmp_path: Path) -> None:
    found = summary(records, tmp_path)
    assert found == read_scores(records, COLUMNS).summary()
    assert found.baselines["sums"].chance == 50
    assert set(found.stderrs) == {(f"seed-{seed}", column.task) for seed in (1, 2) for column in COLUMNS}


def test_what_was_kept_is_the_same_and_is_not_read_again(
    records: dict[str, tuple[Record, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = summary(records, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("mixhub.analysis.samples.mean_over_shots", lambda *_: pytest.fail("they are known"))
        assert summary(records, tmp_path) == first


def test_summaries_of_another_format_are_made_again_once(
    records: dict[str, tuple[Record, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary(records, tmp_path)
    monkeypatch.setattr("mixhub.analysis.samples._FORMAT", 2)
    first = summary(records, tmp_path)
    monkeypatch.setattr("mixhub.analysis.samples.mean_over_shots", lambda *_: pytest.fail("they are known"))
    assert summary(records, tmp_path) == first


def test_a_cache_that_names_its_format_is_read(
    records: dict[str, tuple[Record, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = summary(records, tmp_path)
    kept = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))
    (tmp_path / "kept.json").write_text(json.dumps({"format": 1, **kept}), encoding="utf-8")
    monkeypatch.setattr("mixhub.analysis.samples.mean_over_shots", lambda *_: pytest.fail("they are known"))
    assert summary(records, tmp_path) == first


def test_samples_of_the_same_size_and_date_are_read_anew(
    records: dict[str, tuple[Record, ...]], tmp_path: Path
) -> None:
    summary(records, tmp_path)
    path = records["seed-1"][0].samples
    assert path is not None
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with refused("samples-malformed", ResultsError, path=path):
        summary(records, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), True, "0.5"])
def test_a_figure_that_is_none_is_not_taken(
    records: dict[str, tuple[Record, ...]], tmp_path: Path, value: object
) -> None:
    first = summary(records, tmp_path)
    kept = json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))
    next(iter(kept["entries"].values()))["chance"] = value
    (tmp_path / "kept.json").write_text(json.dumps(kept), encoding="utf-8")
    assert summary(records, tmp_path) == first


def test_samples_that_changed_are_read_anew(records: dict[str, tuple[Record, ...]], tmp_path: Path) -> None:
    before = summary(records, tmp_path)
    samples = [record.samples for record in records["seed-1"] if record.task == "sums"]
    for path in samples:
        assert path is not None
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        lines[0]["doc_hash"] = "another document"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    after = summary(records, tmp_path)
    assert after.contents["seed-1", "sums"] != before.contents["seed-1", "sums"]
    assert after.contents["seed-2", "sums"] == before.contents["seed-2", "sums"]


def test_a_summary_of_one_run_keeps_those_of_the_others(records: dict[str, tuple[Record, ...]], tmp_path: Path) -> None:
    whole = summary(records, tmp_path)
    kept = (tmp_path / "kept.json").read_bytes()
    one = summary({"seed-1": records["seed-1"]}, tmp_path)
    assert set(one.stderrs) == {("seed-1", column.task) for column in COLUMNS}
    assert summary(records, tmp_path) == whole
    assert (tmp_path / "kept.json").read_bytes() == kept


@pytest.mark.parametrize("kept", ["nonsense", "[]", '{"format": 0, "entries": {}}', '{"format": 1, "entries": []}'])
def test_a_file_that_is_none_of_ours_is_written_anew(
    records: dict[str, tuple[Record, ...]], tmp_path: Path, kept: str
) -> None:
    (tmp_path / "kept.json").write_text(kept, encoding="utf-8")
    assert summary(records, tmp_path) == read_scores(records, COLUMNS).summary()
    assert len(json.loads((tmp_path / "kept.json").read_text(encoding="utf-8"))["entries"]) == 4


def test_without_samples_nothing_is_kept(tmp_path: Path) -> None:
    write_results(tmp_path / "r", {"sums": [1, 0]}, samples=False)
    records = dict(find_evidence(str(tmp_path / "r")).records)
    assert not summary(records, tmp_path).stderrs
    assert not (tmp_path / "kept.json").exists()


def test_where_nothing_can_be_kept_it_is_read_again(records: dict[str, tuple[Record, ...]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert read_summary(records, COLUMNS, tmp_path / "file" / "kept.json") == summary(records, tmp_path)
