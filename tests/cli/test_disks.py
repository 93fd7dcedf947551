"""Full and read-only disks: one line with the path, the right hint, and what was there stays whole."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from mixhub.files import disk_problem, new_folder, writing
from tests.refusals import error_codes, printed_codes


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "full"), errno.ENOSPC),
        (OSError(errno.EDQUOT, "quota"), errno.EDQUOT),
        (chained(RuntimeError("wrapped"), OSError(errno.EROFS, "read-only")), errno.EROFS),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 56192 vs 56084"), errno.ENOSPC),
        (Exception("Read-only file system (os error 30)"), errno.EROFS),
        (OSError("Not enough disk space. Needed: Unknown size"), errno.ENOSPC),
        (PermissionError(errno.EACCES, "denied"), None),
        (ValueError("another"), None),
    ],
)
def test_a_disk_behind_an_error(error: Exception, number: int | None, tmp_path: Path) -> None:
    problem = disk_problem(error)
    assert (problem and problem.errno) == number
    with pytest.raises(OSError if number else type(error)) as caught, writing(tmp_path / "x"):
        raise error
    if number:
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "x"))


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as building:
        (building / "x").write_text("old")

    def fail(building: Path) -> None:
        (building / "x").write_text("new")
        raise RuntimeError("No space left on device (os error 28)")

    with pytest.raises(OSError, match="No space") as caught, new_folder(tmp_path / "a") as building:
        fail(building)
    assert caught.value.filename == str(tmp_path / "a")
    assert [(path.name, path.read_text()) for path in (tmp_path / "a").iterdir()] == [("x", "old")]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def disk(tmp_path: Path):
    """A disk of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path, *, but: int = 0) -> None:
    """Fill the disk, but for some bytes."""
    size = shutil.disk_usage(disk).free - but
    (disk / "filling").write_bytes(bytes(size))


def test_a_full_disk_and_a_read_only_one(made, disk, mixhub_here):
    shutil.copytree(made, disk / "ws")
    root = disk / "ws"

    def refused(code: str, *command: object) -> None:
        done = mixhub_here(*command, cwd=root)
        assert error_codes(done) == [code], done.stderr
        assert str(disk) in done.stderr
        assert ("Free some space" in done.stderr) == (code == "disk-full")

    fill(disk, but=60_000)
    refused("disk-full", "train", "--seed", 3, "--device", "cpu")
    assert not list(root.glob("runs/tiny/seed-3/**/*.safetensors"))
    (disk / "filling").unlink()
    fill(disk)
    refused("disk-full", "card", "render")
    refused("disk-full", "push", "--seed", 1)
    refused("disk-full", "init", disk / "new")
    (disk / "filling").unlink()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        done = mixhub_here("check", "--all", cwd=root)
        assert done.returncode == 0, done.stderr
        assert printed_codes(done.stdout) == ["receipt-unwritable"] * 2
        assert mixhub_here("status", cwd=root).returncode == 0
        refused("disk-read-only", "train", "--seed", 3, "--device", "cpu")
        refused("disk-read-only", "push", "--seed", 1)
        refused("disk-read-only", "card", "render")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert mixhub_here("train", "--seed", 3, "--device", "cpu", cwd=root).returncode == 0
