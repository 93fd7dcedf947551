"""An export without fault is noted, and read again only if it, or what was looked for, has changed."""

import json
import os

import numpy as np
import pytest

from mixhub.errors import ExportError
from mixhub.files import file_states
from mixhub.findings import errors
from mixhub.hub.check import receipts, run
from mixhub.hub.check.receipts import valid_receipt
from mixhub.hub.rules import export as export_rules
from mixhub.hub.rules.weights import scan
from mixhub.workflow import status
from mixhub.workspace.lineage import file_sha256, read_lineage
from mixhub.workspace.paths import Workspace
from tests.hub.bench import WEIGHTS, Bench
from tests.refusals import refused


def test_runs_without_fault_pass_and_are_not_read_again(workspace, monkeypatch):
    bench = Bench(workspace, workspace.family())
    first = [bench.check(seed) for seed in (1, 2)]
    assert [checked.findings for checked in first] == [(), ()]
    assert not any(checked.was_known for checked in first)
    read = []
    monkeypatch.setattr(export_rules, "scan", lambda path: read.append(path) or scan(path))
    again = bench.check(1)
    assert (again.was_known, again.findings, read) == (True, (), [])
    assert again.content == first[0].content


def test_loading_is_noted_too(bench, monkeypatch):
    bench.check(1)
    assert not bench.check(1).loaded
    assert bench.check(1, load=True).loaded
    monkeypatch.setattr(run, "loading_findings", lambda *_: pytest.fail("it is known to load"))
    assert bench.check(1, load=True).loaded
    assert bench.check(1).loaded


def test_what_was_wrong_when_it_was_loaded_is_not_forgotten(bench):
    bench.weights(lambda tensors: tensors["lm_head.weight"].fill_(3e38))
    assert bench.seen() == []
    for load in (True, False):
        assert bench.seen(load=load) == ["load-failed"]
    bench.weights(lambda tensors: tensors["lm_head.weight"].fill_(0.1))
    assert bench.seen() == []


def test_the_receipt_as_it_lies_on_disk(bench):
    """Its layout is a format of ours: older ones must be read."""
    checked = bench.check(load=True)
    data = json.loads(bench.workspace.check_receipts.read_text())
    (weights, receipt), *others = data["exports"].items()
    assert (data["format"], weights, others) == (1, checked.content.weights_sha256, [])
    assert list(receipt) == ["checks", "files", "config", "vocab_size", "eos_token", "loaded", "errors"]
    state = checked.states[WEIGHTS]
    assert receipt["files"][WEIGHTS] == {
        "size": state.size,
        "modified_ns": state.modified_ns,
        "changed_ns": state.changed_ns,
        "digest": file_sha256(bench.export() / WEIGHTS),
    }
    assert (receipt["loaded"], receipt["errors"]) == (True, 0)


def test_nothing_is_written_when_all_is_noted_already(bench):
    bench.check()
    path = bench.workspace.check_receipts
    before = path.stat()
    bench.check()
    assert path.stat() == before
    bench.edit("lineage.json", lambda lineage: lineage.update(tokens=1))
    assert errors(bench.check().findings)
    assert path.stat() != before


def test_a_receipt_of_another_check_is_not_believed(bench, monkeypatch):
    bench.check()
    assert bench.check().was_known
    monkeypatch.setattr(receipts, "CHECKS", receipts.CHECKS + 1)
    assert not bench.check().was_known


def test_a_receipt_of_other_weights_is_not_believed(bench):
    """Somebody may have moved it below another hash."""
    bench.check()
    path = bench.workspace.check_receipts
    data = json.loads(path.read_text())
    [receipt] = data["exports"].values()
    path.write_text(json.dumps({"format": 1, "exports": {"0" * 64: receipt}}))
    assert valid_receipt(bench.workspace, bench.export(), "0" * 64) is None


def test_receipts_that_cannot_be_written(bench, monkeypatch):
    """As on a compute node that may only read."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied", "receipts")

    monkeypatch.setattr(run, "write_receipt", refuse)
    assert bench.seen() == ["warning: receipt-unwritable"]


def test_files_that_come_or_go_meanwhile(bench, monkeypatch):
    def read(folder, *options):
        (folder / "new").write_text("x")
        return check_export(folder, *options)

    check_export = run.check_export
    monkeypatch.setattr(run, "check_export", read)
    with refused("export-changed", ExportError, path=bench.export()):
        bench.check()


def test_any_change_of_a_file_shows_in_its_state(tmp_path):
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "a"
    path.write_bytes(b"one")
    before = file_states(tmp_path)
    assert list(before) == ["sub/a"]
    assert before["sub/a"].size == 3
    path.write_bytes(b"two")
    os.utime(path, ns=(before["sub/a"].modified_ns, before["sub/a"].modified_ns))
    after = file_states(tmp_path)["sub/a"]
    assert after != before["sub/a"]
    assert (after.size, after.modified_ns) == (before["sub/a"].size, before["sub/a"].modified_ns)


def test_a_receipt_does_not_hold_for_a_file_that_changed(bench):
    assert bench.check().findings == ()
    path = bench.export() / WEIGHTS
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-4:] = np.float32("nan").tobytes()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    checked = bench.check()
    assert not checked.was_known
    assert [finding.code for finding in checked.findings] == ["weights-not-finite", "weights-differ"]


def test_status_knows_what_the_last_check_found_around_an_export(bench):
    def checked() -> bool:
        return status(bench.workspace)[0].checked

    bench.check()
    assert checked()
    path = bench.workspace.path("mixhub.yaml")
    text = path.read_text()
    assert "learning_rate: 0.01" in text
    path.write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    changed = Bench(bench.workspace, Workspace.open(bench.workspace.root).family())
    assert errors(changed.check().findings)
    assert not checked()
    path.write_text(text)
    bench.check()
    assert checked()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_receipt_that_somebody_wrote_into_is_not_believed(bench, name):
    bench.check(1)
    bench.check(2)
    assert bench.check(1).was_known
    path = bench.workspace.check_receipts
    data = json.loads(path.read_text())
    data["exports"][read_lineage(bench.export(1)).weights_sha256]["files"][name]["digest"] = "a" * 64
    path.write_text(json.dumps(data))
    again = bench.check(1)
    assert (again.was_known, again.findings) == (False, ())
    assert again.content.hashes[name] == file_sha256(bench.export(1) / name)
