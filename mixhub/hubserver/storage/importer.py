"""Imports folders into a hub: each `<namespace>/<name>` below a folder becomes a repo."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import HubError, UsageError
from mixhub.files import disk_problem
from mixhub.hubserver.storage.names import REPO_TYPES, RepoName, check_path, repo_name
from mixhub.hubserver.storage.patterns import DEFAULT_ATTRIBUTES, SAMPLE_BYTES, is_large
from mixhub.hubserver.storage.refusals import Conflict, Refusal
from mixhub.hubserver.storage.repo import MAIN
from mixhub.hubserver.storage.storage import Store

_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True)
class ImportedRepo:
    """One imported folder."""

    repo_id: str
    repo_type: str
    commit: str
    """The head of `main` afterwards."""
    changed: bool
    """Whether a commit was made."""
    files: int
    size: int
    """Bytes of all files."""
    skipped: tuple[str, ...]
    """Symbolic links that lead out of the folder."""


def import_folder(
    folder: Path, root: Path, repo_type: str = "model", on_repo: Callable[[ImportedRepo], None] | None = None
) -> list[ImportedRepo]:
    """Make a repo of each `<namespace>/<name>` below `folder`, with exactly its files on `main`.

    Each import is one commit, or none if nothing has changed. Hidden files and folders are skipped, except
    `.gitattributes`.

    Args:
        folder: holds the folders of namespaces.
        root: the hub's storage.
        repo_type: "model" or "dataset".
        on_repo: called after each repo.

    Raises:
        UsageError: the folder does not exist or holds nothing to import.
        WorkspaceError: the storage has a newer format, is damaged, or cannot be written.
        HubError: a file cannot be read, or the hub refuses it or the name of its repo.
    """
    if repo_type not in REPO_TYPES:
        rule = f"repo type {repo_type!r} must be 'model' or 'dataset'"
        raise UsageError(rule, code="option-value", option="repo_type", value=repo_type)
    folder = Path(folder)
    with _import_errors(folder):
        sources = [source for namespace in _subfolders(folder) for source in _subfolders(namespace)]
    names = []
    for source in sources:
        with _import_errors(source):
            names.append(repo_name(repo_type, f"{source.parent.name}/{source.name}"))
    if not sources:
        hint = "pass a folder of <namespace>/<name> folders"
        raise UsageError(f"{folder}: has no <namespace>/<name> folder", code="import-missing", hint=hint, path=folder)
    store = Store.open(root)
    imported = []
    for name, source in zip(names, sources, strict=True):
        with _import_errors(source):
            imported.append(_import_repo(store, name, source))
        if on_repo is not None:
            on_repo(imported[-1])
    return imported


@contextmanager
def _import_errors(source: Path) -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        hint = "rename or move the file; if the branch moved, import again"
        raise HubError(f"{source}: {refusal.message}", code="import-refused", hint=hint, path=source) from refusal
    except OSError as problem:
        if disk_problem(problem):
            raise
        path, hint = problem.filename or source, "check its permissions and the disk"
        reason = problem.strerror or problem
        raise HubError(f"{path}: {reason}", code="file-unreadable", hint=hint, path=path) from problem


def _subfolders(folder: Path) -> list[Path]:
    paths = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in paths if path.is_dir() and not path.name.startswith("."))


def _import_repo(store: Store, name: RepoName, source: Path) -> ImportedRepo:
    files, skipped = _files(source)
    attributes = files.get(_ATTRIBUTES)
    text = attributes.read_text(encoding="utf-8") if attributes else DEFAULT_ATTRIBUTES
    with suppress(Conflict):  # it exists already
        store.create(name)
    with store.repo(name) as repo:
        puts = {_ATTRIBUTES: repo.write_blob(text.encode())}
        for path, file in files.items():
            with file.open("rb") as opened:
                sample = opened.read(SAMPLE_BYTES)
            if is_large(path, file.stat().st_size, sample, text):
                puts[path] = repo.write_pointer(path, *store.blobs.add_file(file))
            else:
                puts[path] = repo.write_blob(file.read_bytes())
        before = repo.resolve(MAIN)
        deletions = sorted(set(repo.paths(before)) - puts.keys())
        message = f"Import {name.repo_id}"
        commit = repo.commit(MAIN, puts, deletions, message, parent=str(before.id), empty_ok=False)
    size = sum(file.stat().st_size for file in files.values())
    changed = commit != str(before.id)
    return ImportedRepo(name.repo_id, name.repo_type, commit, changed, len(files), size, tuple(skipped))


def _files(source: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the files of a folder by path, and the links that lead out of it."""

    def fail(problem: OSError) -> None:
        raise problem

    files: dict[str, Path] = {}
    skipped: list[str] = []
    for folder, subfolders, names in os.walk(source, onerror=fail):
        links = [name for name in subfolders if Path(folder, name).is_symlink()]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in links)
        for name in sorted([*names, *links]):
            path = Path(folder, name)
            if name.startswith(".") and name != _ATTRIBUTES:
                continue
            if path.is_file() and path.resolve().is_relative_to(source.resolve()):
                files[check_path(path.relative_to(source).as_posix())] = path
            elif path.is_symlink():
                skipped.append(path.relative_to(source).as_posix())
    return files, sorted(skipped)
