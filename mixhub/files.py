"""Atomic writes: if a process is killed, a file or folder is the old one or the new one, never a part."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import MixhubError, WorkspaceError

_TEMPORARY = ".tmp-"
_OUTGOING = ".outgoing"
"""Suffix of a folder that is being replaced."""
_OUTGOING_NAME = re.compile(rf"{re.escape(_TEMPORARY)}(.+)\.\d+-[0-9a-f]+{re.escape(_OUTGOING)}")


_DISK = {
    errno.ENOSPC: ("os error 28", "No space left on device", "Not enough disk space", "inline_container.cc"),
    errno.EDQUOT: ("os error 122", "Disk quota exceeded"),
    errno.EROFS: ("os error 30", "Read-only file system"),
}
"""How libraries word that a disk is full or read-only, by number of the error; `inline_container.cc` is torch.save."""


def natural(name: str) -> list[tuple[int, int, str]]:
    """Key to sort names as people count: `seed-2` before `seed-10`."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def disk_problem(error: BaseException) -> OSError | None:
    """Return the full or read-only disk behind an error, which a library may have wrapped or worded as text."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for one in chain:
        if isinstance(one, OSError) and one.errno in _DISK:
            return OSError(one.errno, os.strerror(one.errno), one.filename)
    for one in chain:
        for number, texts in _DISK.items():
            if any(text in str(one) for text in texts):
                return OSError(number, os.strerror(number))
    return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name `path` in the error if the disk is full or read-only, whatever library writes in the block.

    Raises:
        OSError: the disk is full or read-only.
    """
    try:
        yield
    except MixhubError:
        raise
    except Exception as error:
        problem = disk_problem(error)
        if problem is None:
            raise
        raise OSError(problem.errno, problem.strerror, str(path)) from error


def require_folder(path: Path) -> None:
    """Raise NotADirectoryError if `path` is something else, such as a link to a disk that is not mounted."""
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name, sync it, and rename it."""
    write_all({path: data})
    return path


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write several files under temporary names, then rename them; if one cannot be written, none is changed.

    Raises:
        IsADirectoryError: one of the paths is a folder.
        OSError: a file cannot be written.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            with writing(path):
                _make_folder(path.parent)
            temporary[path] = temporary_path(path)
            try:
                with temporary[path].open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:  # name the file to be written, not the temporary one
                raise OSError(error.errno, error.strerror, str(path)) from error
        for path in files:
            temporary[path].replace(path)
    except BaseException:
        for leftover in temporary.values():
            with suppress(OSError):  # a read-only disk refuses even what is not there
                leftover.unlink()
        raise


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text as `write_bytes` does."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> Path:
    """Write indented JSON as `write_bytes` does; raises ValueError for NaN, which JSON does not have."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, error: type[MixhubError] = WorkspaceError) -> Any:
    """Read a JSON file; raises `error` with the code `file-missing`, `file-unreadable` or `file-malformed`."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise error(f"{path}: no such file", code="file-missing", path=path) from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}", code="file-unreadable", path=path) from None
    except (ValueError, RecursionError) as problem:  # not UTF-8, not JSON, or a number with too many digits
        reason = "nested too deeply" if isinstance(problem, RecursionError) else problem
        raise error(f"{path}: not JSON: {reason}", code="file-malformed", path=path) from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path`, or replaces it, if the block succeeds, and is deleted otherwise.

    `clear_leftovers` deletes the temporary folders of killed processes, and restores a folder that was moved away but
    not yet replaced.
    """
    with writing(path):
        _make_folder(path.parent)
        temporary = temporary_path(path)
        temporary.mkdir()
    try:
        with writing(path):
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
        replace_folder(path, temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def replace_folder(path: Path, temporary: Path) -> None:
    """Rename a folder whose files are synced to `path`, in place of a folder that may be there."""
    require_folder(path)
    _sync(temporary)
    if path.exists():
        outgoing = temporary_path(path)
        outgoing = outgoing.with_name(outgoing.name + _OUTGOING)
        path.rename(outgoing)
        try:
            temporary.rename(path)
        except BaseException:
            outgoing.rename(path)
            raise
        _delete(outgoing)
    else:
        temporary.rename(path)
    _sync(path.parent)


def delete_folder(path: Path) -> None:
    """Delete a folder; if the process is killed, it is whole or gone, and `clear_leftovers` deletes what is left."""
    outgoing = temporary_path(path)
    path.rename(outgoing)
    _delete(outgoing)


def _delete(path: Path) -> None:
    """Delete a folder, or a link to one, which may be on another disk and stays there."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Delete the unfinished files of killed processes in `folder`, or those of one file, and restore what they moved.

    The caller must hold the lock of the folder or file.
    """
    if folder.is_dir():
        for leftover in folder.glob(f"{_TEMPORARY}*" if name is None else f"{_TEMPORARY}{glob.escape(name)}.*"):
            moved = _OUTGOING_NAME.fullmatch(leftover.name)
            if moved and not (folder / moved[1]).exists():
                leftover.rename(folder / moved[1])
            elif leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: str, *, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock file `path` for the block. A killed process releases its locks.

    Args:
        path: the lock file; it is created, and never deleted.
        busy: the error message if another process holds it, such as "runs/demo/seed-1 is being trained".
        timeout: seconds to wait for it; if negative, wait forever.

    Raises:
        WorkspaceError: another process holds the lock.
    """
    from filelock import FileLock, Timeout

    try:
        with writing(path):
            _make_folder(path.parent)
            lock = FileLock(path, timeout=timeout).acquire()
        with lock:
            yield
    except Timeout:
        hint = f"wait for it or stop it (lock: {path})"
        raise WorkspaceError(f"{busy} by another process", code="lock-held", hint=hint, path=path) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return a name that no other process has, for what will be renamed to `path`."""
    return path.with_name(f"{_TEMPORARY}{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


@dataclass(frozen=True)
class FileState:
    """Shows whether a file has changed, without reading it."""

    size: int
    """Bytes."""
    modified_ns: int
    """Time of the last change of its content, in nanoseconds."""
    changed_ns: int
    """Time of the last change of its inode, in nanoseconds; every write changes it."""

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Return the current state; raises OSError if the file is missing."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def file_states(folder: Path) -> dict[str, FileState]:
    """Return the state of each file below a folder, by path."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): FileState.of(path) for path in paths}
