"""Writing that a killed process cannot tear: a file or folder is the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import MixhubError, WorkspaceError

_TEMPORARY = ".tmp-"
_OUTGOING = ".outgoing"
"""End of the name of a folder whose place another takes."""
_OUTGOING_NAME = re.compile(rf"{re.escape(_TEMPORARY)}(.+)\.\d+-[0-9a-f]+{re.escape(_OUTGOING)}")


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes `data` under a temporary name beside `path`, syncs it, and renames it into place."""
    write_all({path: data})
    return path


def write_all(files: Mapping[Path, bytes]) -> None:
    """Writes several files: all under temporary names first, so that a full disk or a folder that cannot be written
    leaves all of them as they were; then each is renamed into place.

    Raises:
        IsADirectoryError: a folder lies at one of the paths.
        OSError: one cannot be written.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary[path] = _temporary(path)
            with _named(path), temporary[path].open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            temporary[path].replace(path)
    except BaseException:
        for left in temporary.values():
            left.unlink(missing_ok=True)
        raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of the system name the file that was to be written, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def write_text(path: Path, text: str) -> Path:
    """`write_bytes` of UTF-8 text."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> Path:
    """`write_bytes` of indented JSON with a final newline; NaN is refused (ValueError), since JSON has none."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, error: type[MixhubError] = WorkspaceError) -> Any:
    """Parses a JSON file; raises `error` with the file, line and column when it is not JSON or not there.

    Its code is `file-missing`, `file-unreadable` or `file-malformed`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path}: no such file", code="file-missing", path=path) from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}", code="file-unreadable", path=path) from None
    except (ValueError, RecursionError) as problem:  # no UTF-8, no JSON, or a number of more digits than Python reads
        reason = "nested too deeply" if isinstance(problem, RecursionError) else problem
        raise error(
            f"{path}: not JSON: {reason}",
            code="file-malformed",
            hint="mend the file, or restore it from where you keep copies",
            path=path,
        ) from None


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `path` when the block ends well, and is deleted when it does not.

    A folder already at `path` is replaced. Temporary folders that killed processes left beside it are cleared by
    `clear_leftovers`, which also puts a folder back that was taken away and not yet replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        if path.exists():
            outgoing = _temporary(path)
            outgoing = outgoing.with_name(outgoing.name + _OUTGOING)
            path.rename(outgoing)
            try:
                temporary.rename(path)
            except BaseException:
                outgoing.rename(path)
                raise
            shutil.rmtree(outgoing)
        else:
            temporary.rename(path)
        _sync(path.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Deletes what killed processes left half written in `folder`, or of one file in it; restores what they took away.

    The caller holds the lock of `folder`, or that of the file.
    """
    if folder.is_dir():
        for leftover in folder.glob(f"{_TEMPORARY}*" if name is None else f"{_TEMPORARY}{glob.escape(name)}.*"):
            taken = _OUTGOING_NAME.fullmatch(leftover.name)
            if taken and not (folder / taken[1]).exists():
                leftover.rename(folder / taken[1])
            elif leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, busy: str, *, timeout: float = 0.0) -> Iterator[None]:
    """Holds the lock file `path` for the block; it is released when the process ends, however it ends.

    Args:
        path: the lock file; it is made, and stays.
        busy: what to say when another process holds it, as "runs/demo/seed-1 is being trained".
        timeout: seconds to wait for it; negative waits for ever.

    Raises:
        WorkspaceError: another process holds the lock.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=timeout):
            yield
    except Timeout:
        raise WorkspaceError(
            f"{busy} by another process",
            code="lock-held",
            hint=f"wait for it, or stop it (lock: {path})",
            path=path,
        ) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{_TEMPORARY}{path.name}.{os.getpid()}-{secrets.token_hex(4)}")


@dataclass(frozen=True)
class FileState:
    """What shows that a file has changed, without reading it."""

    size: int
    """Bytes."""
    modified_ns: int
    """When its content changed last, nanoseconds."""
    changed_ns: int
    """When its inode changed last, nanoseconds; no write leaves it as it was."""

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state now; raises OSError if the file cannot be reached."""
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def file_states(folder: Path) -> dict[str, FileState]:
    """The state of each file below a folder, by path; taken before the files are read, it shows later whether they
    changed meanwhile."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): FileState.of(path) for path in paths}
