"""One repo: a bare git repository that holds pointers in place of large files.

Reading needs no lock. Every write holds the repo's lock, and moves a ref only from the commit that it was read at, so
a killed process leaves the old commit or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pygit2
from pygit2.enums import FileMode, ObjectType, SortMode

from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.names import RepoName, check_ref, check_sha256, is_commit_prefix
from mixhub.hubserver.storage.patterns import DEFAULT_ATTRIBUTES
from mixhub.hubserver.storage.refusals import BadRequest, Conflict, EntryNotFound, Forbidden, RevisionNotFound, Stale

USER = "local"
"""The only user, and the author of every commit."""
MAIN = "main"

_FOLDERS = {"branch": "refs/heads/", "tag": "refs/tags/"}
_PRIVATE = "mixhub.private"
_POINTER_START = b"version https://git-lfs.github.com/spec/v1\n"
_MAX_POINTER_BYTES = 1024


@dataclass(frozen=True)
class Entry:
    """A file or folder at a commit."""

    path: str
    oid: str
    """Git's id of the tree or blob; for a large file, of the pointer."""
    is_folder: bool = False
    size: int = 0
    """Bytes of the content; 0 for a folder."""
    sha256: str | None = None
    """Hash of a large file."""
    pointer_size: int = 0
    """Bytes of the pointer to a large file."""


Lock = Callable[[], AbstractContextManager[None]]


def initialise(folder: Path, *, private: bool = False) -> None:
    """Make a bare repository with a first commit on `main`, from which branches can start."""
    repository = pygit2.init_repository(str(folder), bare=True, initial_head=MAIN)
    try:
        tree = _write_tree(repository, {".gitattributes": str(repository.create_blob(DEFAULT_ATTRIBUTES.encode()))})
        repository.create_commit(_FOLDERS["branch"] + MAIN, _author(), _author(), "initial commit", tree, [])
        repository.config[_PRIVATE] = private
    finally:
        repository.free()


class Repo:
    """An open repo; `Store.repo` opens and closes it."""

    def __init__(self, folder: Path, name: RepoName, lock: Lock, blobs: Blobs) -> None:
        self.name = name
        self.created_at = (folder / "HEAD").stat().st_mtime
        """Seconds since 1970."""
        self._git = pygit2.Repository(str(folder))
        self._lock = lock
        self._blobs = blobs

    @property
    def is_private(self) -> bool:
        """Whether the repo is hidden from requests without a token."""
        return _PRIVATE in self._git.config and self._git.config.get_bool(_PRIVATE)

    def close(self) -> None:
        """Free git's handles."""
        self._git.free()

    def resolve(self, revision: str) -> pygit2.Commit:
        """Return the commit of a branch, tag, full ref or commit id (7 digits or more); raises RevisionNotFound."""
        for ref in (*(folder + revision for folder in _FOLDERS.values()), revision):
            if ref.startswith("refs/") and (commit := self._ref_commit(ref)):
                return commit
        if is_commit_prefix(revision):
            try:
                named = self._git.get(revision)
            except ValueError:  # the prefix of several objects
                named = None
            if isinstance(named, pygit2.Commit):
                return named
        raise RevisionNotFound(f"{self.name} has no revision {revision!r}")

    def refs(self, kind: str) -> Iterator[tuple[str, str, str]]:
        """Yield name, full ref and commit id of each `branch` or `tag`, sorted."""
        for ref in sorted(name for name in self._git.references if name.startswith(_FOLDERS[kind])):
            if commit := self._ref_commit(ref):  # it may have been deleted meanwhile
                yield ref.removeprefix(_FOLDERS[kind]), ref, str(commit.id)

    def create_ref(self, kind: str, name: str, revision: str, message: str = "") -> None:
        """Create a branch or tag at a revision; a tag with a message is annotated.

        Raises Conflict, RevisionNotFound or BadRequest.
        """
        ref = _FOLDERS[kind] + check_ref(name, kind)
        with self._lock():
            commit = self.resolve(revision)
            if self._ref_commit(ref):
                raise Conflict(f"{self.name} already has the {kind} {name!r}")
            try:
                if message:
                    self._git.create_tag(name, commit.id, ObjectType.COMMIT, _author(), message)
                else:
                    self._git.references.create(ref, str(commit.id))
            except (pygit2.GitError, OSError) as problem:  # git cannot hold both a and a/b
                raise BadRequest(f"{self.name}: cannot create {ref!r}: {problem}") from None

    def delete_ref(self, kind: str, name: str) -> None:
        """Delete a branch or tag; raises RevisionNotFound, or Forbidden for `main`."""
        if (kind, name) == ("branch", MAIN):
            raise Forbidden(f"the branch {MAIN!r} cannot be deleted")
        with self._lock():
            if self._ref_commit(_FOLDERS[kind] + name) is None:
                raise RevisionNotFound(f"{self.name} has no revision {name!r}")
            self._git.references.delete(_FOLDERS[kind] + name)

    def entry(self, commit: pygit2.Commit, path: str) -> Entry:
        """Return the file or folder at `path`; raises EntryNotFound."""
        item = _lookup(commit, path)
        if item is None:
            raise EntryNotFound(f"{self.name} has no {path!r} at {commit.id}")
        return _entry(path, item)

    def entries(self, commit: pygit2.Commit, folder: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """List a folder in git's order, folders before their contents; raises EntryNotFound."""
        tree: pygit2.Object | None = _lookup(commit, folder) if folder else commit.tree
        if not isinstance(tree, pygit2.Tree):
            raise EntryNotFound(f"{self.name} has no folder {folder!r} at {commit.id}")
        yield from _walk(tree, f"{folder}/" if folder else "", recursive)

    def read(self, entry: Entry) -> bytes:
        """Return what git holds for a file: the pointer to a large file, else the content."""
        return self._git[entry.oid].data  # type: ignore[attr-defined, no-any-return]

    def read_text(self, commit: pygit2.Commit, path: str) -> str:
        """Return the text of an ordinary file; empty if there is none at `path`."""
        item = _lookup(commit, path)
        return item.data.decode("utf-8", "replace") if isinstance(item, pygit2.Blob) else ""

    def history(self, commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
        """Yield the commit and its ancestors, newest first."""
        yield from self._git.walk(commit.id, SortMode.TOPOLOGICAL | SortMode.TIME)

    def last_commits(self, commit: pygit2.Commit, paths: Iterable[str]) -> dict[str, pygit2.Commit]:
        """Return the newest commit that changed each path."""
        pending = {path: _id_at(commit, path) for path in paths}
        last: dict[str, pygit2.Commit] = {}
        for ancestor in self.history(commit):
            for path, oid in list(pending.items()):
                if all(_id_at(parent, path) != oid for parent in ancestor.parents):
                    last[path] = ancestor
                    del pending[path]
            if not pending:
                break
        return last

    def write_blob(self, data: bytes) -> str:
        """Store the content of an ordinary file and return its git id; no commit has it yet."""
        return str(self._git.create_blob(data))

    def write_pointer(self, path: str, sha256: object, size: object) -> str:
        """Store the pointer to an uploaded large file and return its git id; raises BadRequest.

        Args:
            path: where the file will be, for the error.
            sha256: of the file.
            size: bytes, as the client says; None if it does not.
        """
        sha256 = check_sha256(sha256)
        stored = self._blobs.size(sha256)
        if stored is None:
            raise BadRequest(f"{path!r}: the large file {sha256} was not uploaded")
        if size not in (None, stored):
            raise BadRequest(f"{path!r}: the large file has {stored} bytes, not {size}")
        return self.write_blob(_POINTER_START + f"oid sha256:{sha256}\nsize {stored}\n".encode())

    def commit(
        self,
        branch: str,
        puts: Mapping[str, str],
        deletions: Sequence[str],
        message: str,
        *,
        parent: str | None = None,
        empty_ok: bool = True,
    ) -> str:
        """Make one commit on a branch and return its id.

        Args:
            branch: name or full ref of the branch.
            puts: git ids of the files to add or replace, by valid path.
            deletions: paths to delete before that; the path of a folder ends with a slash.
            message: title, blank line, description.
            parent: the start of the commit id at which the branch must be.
            empty_ok: whether to make a commit that changes nothing; otherwise the head's id is returned.

        Raises:
            Stale: the branch is not at `parent`.
            RevisionNotFound: the branch does not exist.
            EntryNotFound: a path to delete does not exist.
            BadRequest: a path would be both a file and a folder.
        """
        with self._lock():
            ref, head = self._head(branch)
            if parent is not None and not (is_commit_prefix(parent) and str(head.id).startswith(parent)):
                raise Stale(f"{branch} is at {head.id}, not at {parent}: somebody committed; refresh and try again")
            files = _files(head)
            for path in deletions:
                doomed = (
                    [path] if path in files else [name for name in files if path[-1] == "/" and name.startswith(path)]
                )
                if not doomed:
                    raise EntryNotFound(f"{path!r} cannot be deleted: it does not exist")
                for name in doomed:
                    del files[name]
            files |= puts
            folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
            if both := sorted(folders & files.keys()):
                raise BadRequest(f"{both[0]!r} would be both a file and a folder")
            tree = _write_tree(self._git, files)
            if tree == head.tree.id and not empty_ok:
                return str(head.id)
            return str(self._git.create_commit(ref, _author(), _author(), message, tree, [head.id]))

    def squash(self, branch: str, message: str) -> None:
        """Replace the history of a branch by one commit with the same files."""
        with self._lock():
            ref, head = self._head(branch)
            squashed = self._git.create_commit(None, _author(), _author(), message, head.tree.id, [])
            self._git.references[ref].set_target(squashed)

    def paths(self, commit: pygit2.Commit) -> list[str]:
        """Return the paths of all files."""
        return list(_files(commit))

    def _head(self, branch: str) -> tuple[str, pygit2.Commit]:
        ref = _FOLDERS["branch"] + branch.removeprefix(_FOLDERS["branch"])
        head = self._ref_commit(ref)
        if head is None:
            raise RevisionNotFound(f"{self.name} has no branch {branch!r}")
        return ref, head

    def _ref_commit(self, ref: str) -> pygit2.Commit | None:
        try:
            reference = self._git.references.get(ref)
        except ValueError:  # not a name that a ref can have
            return None
        return reference.peel(pygit2.Commit) if reference is not None else None


def _walk(tree: pygit2.Tree, prefix: str, recursive: bool) -> Iterator[Entry]:
    for item in tree:
        path = f"{prefix}{item.name}"
        yield _entry(path, item)
        if recursive and isinstance(item, pygit2.Tree):
            yield from _walk(item, f"{path}/", recursive)


def _entry(path: str, item: pygit2.Object) -> Entry:
    if not isinstance(item, pygit2.Blob):
        return Entry(path, str(item.id), is_folder=True)
    if item.size <= _MAX_POINTER_BYTES and item.data.startswith(_POINTER_START):
        fields = dict(line.split(" ", 1) for line in item.data.decode("utf-8", "replace").splitlines() if " " in line)
        algorithm, _, sha256 = fields.get("oid", "").partition(":")
        if algorithm == "sha256" and fields.get("size", "").isdecimal():
            size = int(fields["size"])
            return Entry(path, str(item.id), size=size, sha256=sha256, pointer_size=item.size)
    return Entry(path, str(item.id), size=item.size)


def _author() -> pygit2.Signature:
    return pygit2.Signature(USER, f"{USER}@localhost")


def _lookup(commit: pygit2.Commit, path: str) -> pygit2.Object | None:
    try:
        return commit.tree[path.rstrip("/")]
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _id_at(commit: pygit2.Commit, path: str) -> pygit2.Oid | None:
    item = _lookup(commit, path)
    return item.id if item is not None else None


def _files(commit: pygit2.Commit) -> dict[str, str]:
    """Return the git id of each file by its path."""
    index = pygit2.Index()
    index.read_tree(commit.tree)
    return {entry.path: str(entry.id) for entry in index}


def _write_tree(repository: pygit2.Repository, files: Mapping[str, str]) -> pygit2.Oid:
    index = pygit2.Index()
    for path, oid in files.items():
        index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=oid), FileMode.BLOB))
    tree: pygit2.Oid = index.write_tree(repository)
    return tree
