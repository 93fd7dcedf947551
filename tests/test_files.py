"""Atomic writes of files and folders."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixhub.errors import ResultsError, WorkspaceError
from mixhub.files import clear_leftovers, delete_folder, locked, new_folder, read_json, write_json, write_text
from tests.refusals import refused


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text()) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_files_get_the_usual_rights(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert write_text(tmp_path / "ours", "x").stat().st_mode == plain.stat().st_mode


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def interrupted():
        with new_folder(tmp_path / "a") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    for content in ("1", "2"):
        with new_folder(tmp_path / "a") as folder:
            (folder / "file").write_text(content)
            (folder / content).mkdir()
        assert (tmp_path / "a" / "file").read_text() == content
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["2", "file"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_killed_writer_leaves_the_old_folder_and_leftovers_that_can_be_cleared(tmp_path):
    with new_folder(tmp_path / "a") as folder:
        (folder / "file").write_text("old")
    code = f"""
import pathlib, time
from mixhub.files import new_folder
with new_folder(pathlib.Path({str(tmp_path / "a")!r})) as folder:
    (folder / "file").write_text("new")
    print("in", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "in\n"
        child.send_signal(signal.SIGKILL)
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    clear_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_lock_is_held_by_one_process_and_ends_with_it(tmp_path):
    lock = tmp_path / "lock"
    code = f"""
import pathlib, time
from mixhub.files import locked
with locked(pathlib.Path({str(lock)!r}), "the run is being trained"):
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "held\n"
        with (
            refused("lock-held", WorkspaceError, path=lock) as caught,
            locked(lock, "the run is being trained"),
        ):
            pass
        assert caught.value.message.startswith("the run is being trained")
        os.kill(child.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    with locked(lock, "busy", timeout=deadline - time.monotonic()):
        pass


def test_json_that_is_none_names_the_file_and_the_place(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": ')
    with refused("file-malformed", ResultsError, path=path) as caught:
        read_json(path, ResultsError)
    assert "line 1 column 7" in caught.value.message
    with refused("file-missing", ResultsError, path=tmp_path / "b.json"):
        read_json(tmp_path / "b.json", ResultsError)
    with refused("file-unreadable", WorkspaceError, path=tmp_path):
        read_json(tmp_path)


@pytest.mark.parametrize("content", [b'"\xff"', b"[" * 100_000, b"9" * 5000])
def test_json_that_python_does_not_read_is_malformed(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with refused("file-malformed", ResultsError, path=path):
        read_json(path, ResultsError)


def test_a_folder_that_was_taken_away_and_not_replaced_comes_back(tmp_path):
    with new_folder(tmp_path / "a") as folder:
        (folder / "file").write_text("old")
    code = f"""
import os, pathlib
from mixhub.files import new_folder
rename = pathlib.Path.rename
def then_die(path, target):
    rename(path, target)
    os._exit(9)
with new_folder(pathlib.Path({str(tmp_path / "a")!r})) as folder:
    (folder / "file").write_text("new")
    pathlib.Path.rename = then_die
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not (tmp_path / "a").exists()
    clear_leftovers(tmp_path)
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_whose_place_cannot_be_taken_stays(tmp_path, monkeypatch):
    with new_folder(tmp_path / "a") as folder:
        (folder / "file").write_text("old")
    rename = Path.rename

    def refused(path, target):
        if (path / "file").read_text() == "new":
            raise PermissionError(1, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)

    def replaced():
        with new_folder(tmp_path / "a") as folder:
            (folder / "file").write_text("new")

    with pytest.raises(PermissionError):
        replaced()
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_cannot_be_written_is_named_by_its_own_name(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError) as caught:
        write_text(tmp_path / "a.json", "x")
    assert caught.value.filename == str(tmp_path / "a.json")


def test_a_file_where_a_folder_must_be_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(NotADirectoryError) as caught:
        write_text(file / "a.txt", "y")
    assert caught.value.filename == str(file)
    with pytest.raises(NotADirectoryError) as caught, new_folder(file / "folder"):
        pass
    assert caught.value.filename == str(file)


def test_a_file_in_the_place_of_a_folder_stays(tmp_path):
    write_text(tmp_path / "a", "mine")
    with pytest.raises(NotADirectoryError), new_folder(tmp_path / "a") as building:
        write_text(building / "x", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "mine")]


def test_a_link_to_a_folder_is_replaced_and_deleted_and_that_folder_stays(tmp_path):
    write_text(tmp_path / "disk" / "x", "old")
    folder, link = tmp_path / "folder", tmp_path / "folder" / "a"
    folder.mkdir()
    link.symlink_to(tmp_path / "disk")
    with new_folder(link) as building:
        write_text(building / "x", "new")
    assert (link / "x").read_text() == "new"
    (folder / "b").symlink_to(tmp_path / "disk")
    delete_folder(folder / "b")
    (folder / ".tmp-c.1-a").symlink_to(tmp_path / "disk")
    clear_leftovers(folder)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (tmp_path / "disk" / "x").read_text() == "old"
