"""One repo: a bare git repository whose large files are pointers to blobs.

Reading needs no lock. Every write holds the repo's lock, and moves a ref only from the commit that it was read at, so
a killed process leaves the old commit or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import FileMode, ObjectType, SortMode

from mixhub.hubserver.storage.blobs import Blobs
from mixhub.hubserver.storage.names import RepoName, check_path, check_ref, is_commit_prefix
from mixhub.hubserver.storage.patterns import DEFAULT_ATTRIBUTES
from mixhub.hubserver.storage.refusals import BadRequest, Conflict, EntryNotFound, Forbidden, RevisionNotFound, Stale

USER = "local"
"""The single user, and the author of every commit."""
MAIN = "main"

_HEADS = "refs/heads/"
_PRIVATE = "mixhub.private"
_TAGS = "refs/tags/"
_POINTER_START = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER_MOST_BYTES = 1024


@dataclass(frozen=True)
class Pointer:
    """What git holds in place of a large file."""

    sha256: str
    size: int
    """Bytes of the large file."""
    pointer_size: int
    """Bytes of the pointer."""


@dataclass(frozen=True)
class Entry:
    """A file or folder at a commit."""

    path: str
    oid: str
    """Git's id of the blob (of the pointer, for a large file) or tree."""
    is_folder: bool
    size: int
    """Bytes of the content; 0 for a folder."""
    pointer: Pointer | None = None


@dataclass(frozen=True)
class Ref:
    """A branch or tag."""

    name: str
    ref: str
    commit: str


@dataclass(frozen=True)
class PutFile:
    """Sets `path` to a git blob that the repository holds already."""

    path: str
    oid: str


@dataclass(frozen=True)
class PutLarge:
    """Sets `path` to a large file that the blobs hold already."""

    path: str
    sha256: str
    size: int | None = None
    """Bytes, when the client says so; they must be the blob's."""


@dataclass(frozen=True)
class DeleteFile:
    """Deletes one file."""

    path: str


@dataclass(frozen=True)
class DeleteFolder:
    """Deletes a folder with all that is in it."""

    path: str


Lock = Callable[[], AbstractContextManager[None]]
Change = PutFile | PutLarge | DeleteFile | DeleteFolder
_Files = dict[str, tuple[str, int]]  # path -> (blob id, file mode)


def initialise(folder: Path, *, private: bool = False) -> None:
    """Makes a bare repository with a first commit on `main`, from which branches can start."""
    repository = pygit2.init_repository(str(folder), bare=True, initial_head=MAIN)
    try:
        attributes = repository.create_blob(DEFAULT_ATTRIBUTES.encode())
        tree = _write_tree(repository, {".gitattributes": (str(attributes), int(FileMode.BLOB))})
        author = _author()
        repository.create_commit(_HEADS + MAIN, author, author, "initial commit", tree, [])
        repository.config[_PRIVATE] = private
    finally:
        repository.free()


def pointer_text(sha256: str, size: int) -> bytes:
    """The pointer to a large file, as git-lfs writes it."""
    return _POINTER_START + f"oid sha256:{sha256}\nsize {size}\n".encode()


def parse_pointer(data: bytes) -> Pointer | None:
    """The pointer in a file's content, or None when it is an ordinary file."""
    if not data.startswith(_POINTER_START) or len(data) > _POINTER_MOST_BYTES:
        return None
    fields = dict(line.split(" ", 1) for line in data.decode("utf-8", "replace").splitlines() if " " in line)
    algorithm, _, sha256 = fields.get("oid", "").partition(":")
    if algorithm != "sha256" or not fields.get("size", "").isdecimal():
        return None
    return Pointer(sha256, int(fields["size"]), len(data))


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
        """Whether only who has a token may know of it."""
        return _PRIVATE in self._git.config and self._git.config.get_bool(_PRIVATE)

    def close(self) -> None:
        """Frees git's handles."""
        self._git.free()

    def resolve(self, revision: str) -> pygit2.Commit:
        """The commit of a branch, tag, full ref or commit id (7 digits or more); raises RevisionNotFound."""
        for ref in (_HEADS + revision, _TAGS + revision, revision if revision.startswith("refs/") else ""):
            commit = self._ref_commit(ref) if ref else None
            if commit is not None:
                return commit
        if is_commit_prefix(revision):
            try:
                found = self._git.get(revision)
            except ValueError:  # the prefix of several objects
                found = None
            if isinstance(found, pygit2.Commit):
                return found
        raise RevisionNotFound(f"{self.name} has no revision {revision!r}")

    def branches(self) -> list[Ref]:
        """All branches, sorted by name."""
        return self._refs(_HEADS)

    def tags(self) -> list[Ref]:
        """All tags, sorted by name."""
        return self._refs(_TAGS)

    def create_branch(self, branch: str, start: str) -> None:
        """Starts a branch at the revision `start`; raises Conflict, RevisionNotFound or BadRequest."""
        ref = _HEADS + check_ref(branch, "branch")
        with self._lock():
            self._refuse_existing(ref, f"branch {branch!r}")
            self._create_ref(ref, str(self.resolve(start).id))

    def delete_branch(self, branch: str) -> None:
        """Deletes a branch; raises RevisionNotFound, or Forbidden for `main`."""
        if branch == MAIN:
            raise Forbidden(f"the branch {MAIN!r} cannot be deleted")
        with self._lock():
            self._delete_ref(_HEADS + branch, branch)

    def create_tag(self, tag: str, revision: str, message: str) -> None:
        """Tags a revision, with an annotated tag if there is a message; raises as `create_branch` does."""
        ref = _TAGS + check_ref(tag, "tag")
        with self._lock():
            commit = self.resolve(revision)
            self._refuse_existing(ref, f"tag {tag!r}")
            if message:
                self._git.create_tag(tag, commit.id, ObjectType.COMMIT, _author(), message)
            else:
                self._create_ref(ref, str(commit.id))

    def delete_tag(self, tag: str) -> None:
        """Deletes a tag; raises RevisionNotFound."""
        with self._lock():
            self._delete_ref(_TAGS + tag, tag)

    def entry(self, commit: pygit2.Commit, path: str) -> Entry:
        """The file or folder at `path`; raises EntryNotFound."""
        found = _lookup(commit.tree, path)
        if found is None:
            raise EntryNotFound(f"{self.name} has no {path!r} at {commit.id}")
        return self._entry(path, found)

    def entries(self, commit: pygit2.Commit, folder: str = "", *, recursive: bool = True) -> Iterator[Entry]:
        """What a folder holds, in git's order, folders before what is in them; raises EntryNotFound."""
        tree: pygit2.Object | None = _lookup(commit.tree, folder) if folder else commit.tree
        if not isinstance(tree, pygit2.Tree):
            raise EntryNotFound(f"{self.name} has no folder {folder!r} at {commit.id}")
        yield from self._walk(tree, f"{folder}/" if folder else "", recursive)

    def read(self, entry: Entry) -> bytes:
        """The content that git holds for a file: of a large file, the pointer."""
        blob = self._git[entry.oid]
        if not isinstance(blob, pygit2.Blob):
            raise EntryNotFound(f"{entry.path!r} is no file")
        return blob.data

    def read_text(self, commit: pygit2.Commit, path: str) -> str:
        """The text of an ordinary file, or "" when there is none at `path`."""
        found = _lookup(commit.tree, path)
        return found.data.decode("utf-8", "replace") if isinstance(found, pygit2.Blob) else ""

    def history(self, commit: pygit2.Commit) -> Iterator[pygit2.Commit]:
        """The commit and its ancestors, newest first."""
        yield from self._git.walk(commit.id, SortMode.TOPOLOGICAL | SortMode.TIME)

    def last_commits(self, commit: pygit2.Commit, paths: Iterable[str]) -> dict[str, pygit2.Commit]:
        """For each path, the newest commit that changed it."""
        pending = {path: _id_at(commit, path) for path in paths}
        found: dict[str, pygit2.Commit] = {}
        for ancestor in self.history(commit):
            for path, oid in list(pending.items()):
                if all(_id_at(parent, path) != oid for parent in ancestor.parents):
                    found[path] = ancestor
                    del pending[path]
            if not pending:
                break
        return found

    def write_blob(self, data: bytes) -> str:
        """Stores the content of an ordinary file and returns its git id; no commit names it yet."""
        return str(self._git.create_blob(data))

    def commit(
        self, branch: str, changes: Sequence[Change], message: str, *, parent: str | None = None, empty_ok: bool = True
    ) -> str:
        """Makes one commit on a branch and returns its id.

        Deletions are made before additions, in whichever order they come, so that what is put is there afterwards.

        Args:
            branch: name, or full ref, of the branch.
            changes: what to do to the tree of its head.
            message: title, blank line, description.
            parent: the start of the commit id at which the branch must be.
            empty_ok: whether to make a commit that changes nothing; otherwise the head's id is returned.

        Raises:
            Stale: the branch is not at `parent`.
            RevisionNotFound: there is no such branch.
            EntryNotFound: what is to be deleted is not there.
            BadRequest: a path is not allowed, is a file and a folder at once, or a large file has not been uploaded.
        """
        with self._lock():
            ref, head = self._head(branch)
            if parent is not None and not (is_commit_prefix(parent) and str(head.id).startswith(parent)):
                raise Stale(
                    f"A commit has happened since: {branch} is at {head.id}, not {parent}; refresh and try again"
                )
            tree = _write_tree(self._git, self._changed(_flatten(head.tree), changes))
            if tree == head.tree.id and not empty_ok:
                return str(head.id)
            return self._commit_tree(ref, tree, message, [head.id])

    def squash(self, branch: str, message: str) -> str:
        """Replaces the history of a branch by one commit with the same files; returns its id."""
        with self._lock():
            ref, head = self._head(branch)
            squashed = self._commit_tree(None, head.tree.id, message, [])
            self._git.references[ref].set_target(squashed)
            return squashed

    def paths(self, commit: pygit2.Commit) -> list[str]:
        """The paths of all files."""
        return list(_flatten(commit.tree))

    def _changed(self, files: _Files, changes: Sequence[Change]) -> _Files:
        for change in changes:
            if isinstance(change, DeleteFile):
                _delete_file(files, change.path)
            elif isinstance(change, DeleteFolder):
                _delete_folder(files, change.path)
        for change in changes:
            if isinstance(change, PutFile):
                files[check_path(change.path)] = (change.oid, int(FileMode.BLOB))
            elif isinstance(change, PutLarge):
                files[check_path(change.path)] = (self._write_pointer(change), int(FileMode.BLOB))
        _refuse_file_and_folder(files)
        return files

    def _write_pointer(self, change: PutLarge) -> str:
        size = self._blobs.size(change.sha256)
        if size is None:
            raise BadRequest(f"{change.path!r}: the large file {change.sha256} has not been uploaded")
        if change.size is not None and change.size != size:
            raise BadRequest(f"{change.path!r}: the large file has {size} bytes, not {change.size}")
        return self.write_blob(pointer_text(change.sha256, size))

    def _commit_tree(self, ref: str | None, tree: pygit2.Oid, message: str, parents: list[pygit2.Oid]) -> str:
        author = _author()
        return str(self._git.create_commit(ref, author, author, message, tree, parents))

    def _head(self, branch: str) -> tuple[str, pygit2.Commit]:
        ref = branch if branch.startswith(_HEADS) else _HEADS + branch
        head = self._ref_commit(ref)
        if head is None:
            raise RevisionNotFound(f"{self.name} has no branch {branch!r}")
        return ref, head

    def _ref_commit(self, ref: str) -> pygit2.Commit | None:
        try:
            found = self._git.references.get(ref)
        except ValueError:  # not a name that a ref can have
            return None
        return found.peel(pygit2.Commit) if found is not None else None

    def _refs(self, prefix: str) -> list[Ref]:
        found = []
        for ref in sorted(name for name in self._git.references if name.startswith(prefix)):
            commit = self._ref_commit(ref)
            if commit is not None:  # not deleted meanwhile
                found.append(Ref(ref.removeprefix(prefix), ref, str(commit.id)))
        return found

    def _refuse_existing(self, ref: str, what: str) -> None:
        if self._ref_commit(ref) is not None:
            raise Conflict(f"{self.name} has the {what} already")

    def _create_ref(self, ref: str, target: str) -> None:
        try:
            self._git.references.create(ref, target)
        except (pygit2.GitError, OSError) as problem:  # git cannot hold both a and a/b
            raise BadRequest(f"{self.name}: {ref!r} cannot be made beside the refs that are there: {problem}") from None

    def _delete_ref(self, ref: str, name: str) -> None:
        if self._ref_commit(ref) is None:
            raise RevisionNotFound(f"{self.name} has no revision {name!r}")
        self._git.references.delete(ref)

    def _walk(self, tree: pygit2.Tree, prefix: str, recursive: bool) -> Iterator[Entry]:
        for item in tree:
            path = f"{prefix}{item.name}"
            yield self._entry(path, item)
            if recursive and isinstance(item, pygit2.Tree):
                yield from self._walk(item, f"{path}/", recursive)

    def _entry(self, path: str, item: pygit2.Object) -> Entry:
        if not isinstance(item, pygit2.Blob):
            return Entry(path, str(item.id), True, 0)
        size = item.size
        pointer = parse_pointer(item.data) if size <= _POINTER_MOST_BYTES else None
        return Entry(path, str(item.id), False, pointer.size if pointer else size, pointer)


def _author() -> pygit2.Signature:
    return pygit2.Signature(USER, f"{USER}@localhost")


def _lookup(tree: pygit2.Tree, path: str) -> pygit2.Object | None:
    try:
        return tree[path.rstrip("/")]
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _id_at(commit: pygit2.Commit, path: str) -> pygit2.Oid | None:
    found = _lookup(commit.tree, path)
    return found.id if found is not None else None


def _flatten(tree: pygit2.Tree) -> _Files:
    index = pygit2.Index()
    index.read_tree(tree)
    return {entry.path: (str(entry.id), int(entry.mode)) for entry in index}


def _write_tree(repository: pygit2.Repository, files: _Files) -> pygit2.Oid:
    index = pygit2.Index()
    for path, (oid, mode) in files.items():
        index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=oid), FileMode(mode)))
    return index.write_tree(repository)


def _delete_file(files: _Files, path: str) -> None:
    if files.pop(path, None) is None:
        raise EntryNotFound(f"A file with this name doesn't exist: {path!r}")


def _delete_folder(files: _Files, path: str) -> None:
    prefix = f"{path.rstrip('/')}/"
    doomed = [name for name in files if name.startswith(prefix)]
    if not doomed:
        raise EntryNotFound(f"A folder with this name doesn't exist: {path!r}")
    for name in doomed:
        del files[name]


def _refuse_file_and_folder(files: _Files) -> None:
    for path in files:
        end = path.rfind("/")
        while end > 0:
            if path[:end] in files:
                raise BadRequest(f"{path[:end]!r} would be a file and, for {path!r}, a folder")
            end = path.rfind("/", 0, end)
