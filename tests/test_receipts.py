"""The store of receipts: typed, and safe to write from several processes."""

import json
import subprocess
import sys

import pytest
from pydantic import Field

from mixhub.errors import SpecError, WorkspaceError
from mixhub.receipts import Store
from mixhub.spec.base import FrozenMap, Spec
from tests.refusals import broken, refused


class Counts(Spec):
    """Receipts for the tests."""

    format: int = 1
    counts: FrozenMap[str, int] = Field(default_factory=dict, validate_default=True)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "receipts" / "counts.json", Counts, tmp_path / "lock")


def test_a_missing_file_holds_the_defaults(store):
    assert store.read() == Counts()
    assert not store.path.exists()


def test_an_update_is_written_when_its_block_ends_well(store):
    with store.update() as data:
        data["counts"] = {"a": 1}
    assert dict(store.read().counts) == {"a": 1}

    def failing():
        with store.update() as data:
            data["counts"]["a"] = 2
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        failing()
    assert json.loads(store.path.read_text()) == {"format": 1, "counts": {"a": 1}}


def test_an_update_deletes_what_a_killed_one_left(store):
    store.path.parent.mkdir()
    store.path.with_name(".tmp-counts.json.1-00").write_text("{")
    store.path.with_name(".tmp-other.json.1-00").write_text("{")  # may be being written
    with store.update():
        pass
    assert {path.name for path in store.path.parent.iterdir()} == {"counts.json", ".tmp-other.json.1-00"}


def test_a_file_that_is_not_one_is_refused(store):
    store.path.parent.mkdir()
    store.path.write_text('{"counts": {"a": "x"}}')
    with refused("spec-invalid", SpecError, file=str(store.path)) as caught:
        store.read()
    assert broken(caught.value) == {"counts.a": "value-type"}
    store.path.write_text("{")
    with refused("file-malformed", WorkspaceError, path=store.path), store.update():
        pass
    assert store.path.read_text() == "{"


def test_updates_of_several_processes_are_all_kept(store, tmp_path):
    code = """
import sys
from pathlib import Path
from mixhub.receipts import Store
from tests.test_receipts import Counts
root = Path(sys.argv[1])
store = Store(root / "receipts" / "counts.json", Counts, root / "lock")
for number in range(20):
    with store.update() as data:
        data["counts"][f"{sys.argv[2]}-{number}"] = number
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [child.wait() for child in children] == [0, 0]
    assert len(store.read().counts) == 40


def test_a_lock_that_stays_taken_is_an_error(store, tmp_path, monkeypatch):
    from filelock import Timeout

    def never(*_, **__):
        raise Timeout(str(tmp_path / "lock"))

    monkeypatch.setattr("filelock.FileLock.acquire", never)
    with refused("lock-held", WorkspaceError, path=tmp_path / "lock"), store.update():
        pass
