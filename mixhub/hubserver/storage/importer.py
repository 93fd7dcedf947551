"""Brings folders into a hub: each `<namespace>/<name>` below a folder becomes a repo."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import HubError, UsageError
from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.names import REPO_TYPES, RepoName, check_path, repo_name
from mixhub.hubserver.storage.patterns import DEFAULT_ATTRIBUTES, LARGE_BYTES, SAMPLE_BYTES, is_large
from mixhub.hubserver.storage.refusals import BadRequest, Conflict, Refusal, Stale
from mixhub.hubserver.storage.repo import MAIN, Change, DeleteFile, PutFile, PutLarge, Repo
from mixhub.hubserver.storage.storage import Store

_ATTRIBUTES = ".gitattributes"


@dataclass(frozen=True)
class ImportedRepo:
    """What became of one folder."""

    repo_id: str
    repo_type: str
    commit: str
    """The head of `main` afterwards."""
    changed: bool
    """Whether a commit was made; not when the folder is as it was."""
    files: int
    size: int
    """Bytes of all files."""
    skipped: tuple[str, ...]
    """Symbolic links that lead out of the folder; they are left out."""


def import_folder(
    folder: Path,
    root: Path,
    repo_type: str = "model",
    on_repo: Callable[[ImportedRepo], None] | None = None,
) -> list[ImportedRepo]:
    """Makes a repo of each `<namespace>/<name>` below `folder`, with `main` holding exactly its files.

    Each is one commit, or none if nothing has changed. Hidden files and folders are left out, but `.gitattributes`.

    Args:
        folder: holds folders of folders.
        root: the hub's storage.
        repo_type: "model" or "dataset".
        on_repo: called after each repo.

    Raises:
        UsageError: there is no such folder, nothing in it to import, or a name that a repo cannot have.
        WorkspaceError: the storage has a newer format, is damaged, or cannot be written.
        HubError: a file cannot be read, or the hub refuses it.
    """
    found = _repos_below(Path(folder), repo_type)
    store = Store.open(root)
    imported = []
    for name, source in found:
        try:
            result = _import_repo(store, name, source)
        except Refusal as refusal:
            hint = "run it again" if isinstance(refusal, Stale) else "rename or move it"
            raise HubError(f"{source}: {refusal.message}", code="import-refused", hint=hint, path=source) from refusal
        except OSError as problem:
            place = problem.filename or source
            reason = problem.strerror or str(problem)
            raise HubError(
                f"{place}: {reason}", code="file-unreadable", hint="check its permissions and the disk", path=place
            ) from problem
        imported.append(result)
        if on_repo is not None:
            on_repo(result)
    return imported


def _repos_below(folder: Path, repo_type: str) -> list[tuple[RepoName, Path]]:
    if repo_type not in REPO_TYPES:
        message = f"repo type {repo_type!r} must be 'model' or 'dataset'"
        raise UsageError(message, code="option-value", option="repo_type", value=repo_type)
    if not folder.is_dir():
        raise UsageError(
            f"{folder}: no such folder",
            code="import-missing",
            hint="give a folder of <namespace>/<name> folders",
            path=folder,
        )
    sources = [source for namespace in _folders(folder) for source in _folders(namespace)]
    if not sources:
        raise UsageError(
            f"{folder}: no <namespace>/<name> folder in it",
            code="import-empty",
            hint="give the folder above the namespaces",
            path=folder,
        )
    return [(_name_of(source, repo_type), source) for source in sources]


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as problem:
        raise HubError(
            f"{folder}: {problem.strerror}", code="file-unreadable", hint="check its permissions", path=folder
        ) from problem


def _name_of(source: Path, repo_type: str) -> RepoName:
    try:
        return repo_name(repo_type, f"{source.parent.name}/{source.name}")
    except BadRequest as refusal:
        raise UsageError(
            f"{source}: {refusal.message}", code="import-name", hint="rename the folder", path=source
        ) from None


def _import_repo(store: Store, name: RepoName, source: Path) -> ImportedRepo:
    files, skipped = _files_of(source)
    attributes = files.get(_ATTRIBUTES)
    text = attributes.read_text(encoding="utf-8") if attributes else DEFAULT_ATTRIBUTES
    if not store.exists(name):
        with suppress(Conflict):  # another process was faster
            store.create(name)
    with store.repo(name) as repo:
        puts = [_put(repo, store.blobs, path, file, text) for path, file in files.items()]
        if attributes is None:
            puts.append(PutFile(_ATTRIBUTES, repo.write_blob(text.encode())))
        before = repo.resolve(MAIN)
        gone = set(repo.paths(before)) - {put.path for put in puts}
        changes: list[Change] = [*(DeleteFile(path) for path in sorted(gone)), *puts]
        commit = repo.commit(MAIN, changes, f"Import {name.repo_id}", parent=str(before.id), empty_ok=False)
    size = sum(file.stat().st_size for file in files.values())
    return ImportedRepo(
        name.repo_id, name.repo_type, commit, commit != str(before.id), len(files), size, tuple(skipped)
    )


def _files_of(source: Path) -> tuple[dict[str, Path], list[str]]:
    files: dict[str, Path] = {}
    skipped: list[str] = []
    for path in _walk(source):
        name = path.relative_to(source).as_posix()
        inside = path.resolve().is_relative_to(source.resolve())
        if inside and path.is_file():
            files[check_path(name)] = path
        elif path.is_symlink():
            skipped.append(name)
    return files, sorted(skipped)


def _walk(source: Path) -> Iterator[Path]:
    def fail(problem: OSError) -> None:
        raise problem

    for folder, subfolders, names in os.walk(source, onerror=fail):
        linked = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in linked)
        for name in sorted([*names, *linked]):
            if not name.startswith(".") or name == _ATTRIBUTES:
                yield Path(folder) / name


def _put(repo: Repo, blobs: Blobs, path: str, file: Path, attributes: str) -> PutFile | PutLarge:
    size = file.stat().st_size
    with file.open("rb") as opened:
        sample = opened.read(SAMPLE_BYTES)
    if is_large(path, size, sample, attributes):
        sha256, size = blobs.add_file(file)
        return PutLarge(path, sha256, size)
    assert size <= LARGE_BYTES
    return PutFile(path, repo.write_blob(file.read_bytes()))
