"""Full and read-only disks: one line with the path, the right hint, and what was there stays whole."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path

import pytest

from mixhub.data.packing.pack import pack
from mixhub.data.shards import check_shards
from mixhub.endpoint import HubChoice
from mixhub.files import disk_problem, file_states, new_folder, writing
from mixhub.hub.remote.connect import open_hub
from mixhub.training.options import TrainOptions
from mixhub.workflow import train
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.paths import Workspace
from tests.made import copied
from tests.refusals import error_codes, printed_codes
from tests.tiny import tiny_family, write_rows, write_tiny_corpus


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
    """A disk of 4 MB. Only root may mount one: without, its tests are skipped."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)  # mapped weights may wait for the garbage collector


def fill(disk: Path, *, but: int = 0) -> None:
    """Fill the disk, but for some bytes."""
    size = shutil.disk_usage(disk).free - but
    (disk / "filling").write_bytes(bytes(size))


def refused(mixhub_here, code: str, root: Path, *command: object) -> None:
    """The command ends with this code, names a path on the disk once, and proposes to free space if that helps."""
    done = mixhub_here(*command, cwd=root)
    assert error_codes(done) == [code], done.stderr
    error = next(line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert str(root.parent) in error
    assert ".tmp-" not in error
    assert error.count(" on device") <= 1
    assert ("Free some space" in done.stderr) == (code == "disk-full")


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def test_a_full_disk_and_a_read_only_one(made, disk, mixhub_here):
    shutil.copytree(made, disk / "ws")
    root = disk / "ws"

    fill(disk, but=60_000)
    refused(mixhub_here, "disk-full", root, "train", "--seed", 3, "--device", "cpu")
    assert not list(root.glob("runs/tiny/seed-3/**/*.safetensors"))
    (disk / "filling").unlink()
    fill(disk)
    for command in ("card render", "push --seed 1", f"init {disk}/a", f"demo {disk}/b", f"hub serve --root {disk}/c"):
        refused(mixhub_here, "disk-full", root, *command.split())
    (disk / "filling").unlink()
    remount(disk, "ro")
    try:
        done = mixhub_here("check", "--all", cwd=root)
        assert done.returncode == 0, done.stderr
        assert printed_codes(done.stdout) == ["receipt-unwritable"] * 2
        assert mixhub_here("status", cwd=root).returncode == 0
        for command in (
            "train --seed 3 --device cpu",
            "push --seed 1",
            "card render",
            f"plot scores --output {disk}",
            f"demo {disk}/b",
        ):
            refused(mixhub_here, "disk-read-only", root, *command.split())
    finally:
        remount(disk, "rw")
    assert mixhub_here("train", "--seed", 3, "--device", "cpu", cwd=root).returncode == 0


def test_a_disk_that_is_full_at_a_checkpoint_keeps_the_one_before(made, disk, mixhub_here):
    root = shutil.copytree(made, disk / "ws")
    workspace = Workspace.open(root)
    folder = workspace.run_folder(workspace.family().run(seed=3))
    steps = iter(range(1, 100))
    train(root, seed=3, options=TrainOptions(device="cpu"), should_stop=lambda: next(steps) == 5)
    lines = folder.metrics.read_text().splitlines()
    before = file_states(folder.checkpoint(5))
    fill(disk, but=60_000)
    done = mixhub_here("train", "--seed", 3, "--device", "cpu", cwd=root)
    assert error_codes(done) == ["disk-full"], done.stderr
    assert str(folder.checkpoint(5)) in done.stderr
    assert [path.name for path in folder.checkpoints.iterdir()] == ["step-000005"]
    assert file_states(folder.checkpoint(5)) == before
    assert folder.metrics.read_text().splitlines()[: len(lines)] == lines
    (disk / "filling").unlink()
    assert mixhub_here("train", "--seed", 3, "--device", "cpu", cwd=root).returncode == 0


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_full_disk_ends_a_series(processes, made, disk, mixhub):
    root = shutil.copytree(made, disk / "ws")
    workspace = Workspace.open(root)
    folders = [workspace.run_folder(run).path for run in workspace.family().runs()]
    shutil.rmtree(folders[1])
    fill(disk, but=60_000)
    done = mixhub("train", "--seeds", "2-3", "--device", "cpu", "--num-processes", processes, cwd=root)
    assert error_codes(done) == ["disk-full"], done.stderr
    assert [folder.exists() for folder in folders] == [True, True, False]


@pytest.mark.filterwarnings("ignore:Not enough free disk space:UserWarning")
def test_a_full_disk_under_a_workspace_with_published_seeds(made, disk, mixhub_here, tmp_path):
    root, elsewhere = shutil.copytree(made, disk / "ws"), copied(made, tmp_path)
    with open_hub(HubChoice("local", "the test"), elsewhere) as other:
        address = "--hub", other.url
        assert mixhub_here("push", "--all", *address, cwd=root).returncode == 0
        fill(disk)
        for command in ("generate --seed 1 cat --hub", "withdraw --seed 1 --why bad --hub"):
            refused(mixhub_here, "disk-full", root, *command.split(), other.url)
        verified = mixhub_here("verify", *address, cwd=root)
        assert "receipt-unwritable" in printed_codes(verified.stdout)
        (disk / "filling").unlink()
        assert mixhub_here("push", "--all", cwd=root).returncode == 0
        fill(disk)
        refused(mixhub_here, "disk-full", root, "promote", "--from", "local", "--all", *address)
        (disk / "filling").unlink()
        for command in ("withdraw --seed 1 --why bad", "promote --from local --all --force"):
            done = mixhub_here(*command.split(), *address, cwd=root)
            assert done.returncode == 0, done.stderr


def test_a_pack_on_a_full_disk_keeps_the_tokens_and_goes_on(disk):
    corpus, tokens = write_tiny_corpus(disk / "words"), disk / "words.bpe300"
    before = pack(tiny_family(), corpus, tokens)
    rows = ["some more words " * 10_000 for _ in range(4)]
    write_rows(corpus / "valid" / "two-part-1.jsonl", rows)
    other = tiny_family(validation={"valid_two-part": 1.0})
    fill(disk, but=60_000)
    with pytest.raises(OSError, match="No space") as caught:
        pack(other, corpus, tokens)
    assert str(caught.value.filename).startswith(str(disk))
    assert read_manifest(tokens) == before
    check_shards(before, tokens)
    (disk / "filling").unlink()
    assert pack(other, corpus, tokens).valid["two-part"].documents == len(rows)
