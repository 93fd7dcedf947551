"""Whether files are those that were packed, by their hashes."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Literal, NamedTuple

from pydantic import Field

from mixhub.data.tokenizer import TOKENIZER_FILE, TOKENIZER_FOLDER
from mixhub.errors import MixhubError
from mixhub.files import locked, read_json, write_json
from mixhub.phrases import plural, size
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.values import Count
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.manifest import Manifest, PackedDomain, index_file

TOKENIZER = f"{TOKENIZER_FOLDER}/{TOKENIZER_FILE}"
"""Path of the tokenizer in a folder of token shards."""

_LOG = logging.getLogger("mixhub.data")
"""Reports what is read, for users without a progress bar."""

_MOST_THREADS = 8
_CHUNK = 2**20


class PackedFile(NamedTuple):
    """A file as the manifest describes it."""

    content_sha256: str
    size: int | None
    """Bytes; None if the manifest does not say."""


Files = Mapping[str, PackedFile]
"""Files by their path relative to a folder."""


class HashedFile(Spec):
    """A file at the time when its content was last read."""

    size: Count
    """Bytes."""
    modified_ns: int
    """Date of its last change, in nanoseconds since 1970."""
    content_sha256: Sha256
    """Hash of its content."""


class HashedFiles(Spec):
    """The content of a file in `cache/tokens/`, which may be deleted at any time."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    files: FrozenMap[str, HashedFile] = Field({}, validate_default=True)
    """By path relative to the folder of token shards."""


def trained_files(manifest: Manifest) -> dict[str, PackedFile]:
    """Return the files that training reads: the shards, and the tokenizer, which goes into the export."""
    shards = [shard for domain in _domains(manifest) for shard in domain.shards]
    files = {shard.file: PackedFile(shard.content_sha256, shard.tokens * manifest.token_size) for shard in shards}
    return files | {TOKENIZER: PackedFile(manifest.tokenizer_sha256, None)}


def packed_files(manifest: Manifest) -> dict[str, PackedFile]:
    """Return all files that the manifest describes: also the ends of documents."""
    shards = [shard for domain in _domains(manifest) for shard in domain.shards]
    ends = {index_file(Path(shard.file)).as_posix(): shard.ends_sha256 for shard in shards}
    return trained_files(manifest) | {name: PackedFile(sha, None) for name, sha in ends.items() if sha is not None}


def source_files(manifest: Manifest) -> dict[str, PackedFile]:
    """Return the files of text that were packed, relative to the corpus, which imported tokens have none of."""
    sources = [source for domain in _domains(manifest) for source in domain.sources if source.format is None]
    return {source.name: PackedFile(source.content_sha256, source.size) for source in sources}


def _domains(manifest: Manifest) -> tuple[PackedDomain, ...]:
    return *manifest.train.values(), *manifest.valid.values()


def changed_files(
    folder: Path, files: Files, cache: Path, *, again: bool = False, progress: Progress = SILENT
) -> dict[str, str]:
    """Compare files with their hashes, except those that were not touched since they were last compared.

    Several processes may do this at once: one reads the files, and the others wait for its result.

    Args:
        folder: the folder of token shards.
        files: the files to compare.
        cache: remembers size and date of the files that were as described.
        again: read all of them.
        progress: counts bytes.

    Returns:
        What is wrong with each file that is not as described, by name.
    """
    with locked(cache.with_suffix(".lock"), f"{folder} is being read", timeout=-1):
        known = dict(_read(cache).files)
        states = {name: state for name in files if (state := _state(folder / name)) is not None}
        new = {
            name: file
            for name, file in files.items()
            if again or name not in states or known.get(name) != _hashed(states[name], file)
        }
        if not new:
            return {}
        wrong = {}
        for name in new:
            known.pop(name, None)
        try:
            for name, fault in compared(folder, new, progress):
                if fault is None:
                    known[name] = _hashed(states[name], files[name])
                else:
                    wrong[name] = fault
        finally:
            write_json(cache, HashedFiles(files=known).to_data())
    return {name: wrong[name] for name in files if name in wrong}


def remember_files(folder: Path, files: Files, cache: Path) -> None:
    """Remember size and date of files that were just written, so that `changed_files` does not read them again."""
    with locked(cache.with_suffix(".lock"), f"{folder} is being read", timeout=-1):
        new = {name: _hashed((folder / name).stat(), file) for name, file in files.items()}
        write_json(cache, HashedFiles(files={**_read(cache).files, **new}).to_data())


def compared(folder: Path, files: Files, progress: Progress = SILENT) -> Iterator[tuple[str, str | None]]:
    """Yield what is wrong with each file, None if nothing, in any order; several threads read the files."""
    sizes = {name: path.stat().st_size for name in files if (path := folder / name).is_file()}
    right = [name for name, actual in sizes.items() if files[name].size in (None, actual)]
    for name, file in files.items():
        if name not in sizes:
            yield name, "is missing"
        elif file.size not in (None, sizes[name]):
            yield name, f"has {sizes[name]:,} bytes, not {file.size:,}"
    total = sum(sizes[name] for name in right)
    _LOG.info("%s: reads %s of %s to compare hashes", folder.name, size(total), plural(len(right), "file"))
    with progress.start(f"read {folder.name}", total, "byte") as bar:
        for name, sha256 in _hashes(folder, right, bar):
            expected = files[name].content_sha256
            same = sha256 == expected
            yield name, None if same else f"has changed (sha256 {sha256[:12]}, not {expected[:12]})"


def _hashes(folder: Path, names: list[str], bar: Bar) -> Iterator[tuple[str, str]]:
    lock, stop = Lock(), Event()

    def sha256(path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while not stop.is_set() and (chunk := file.read(_CHUNK)):
                digest.update(chunk)
                with lock:
                    bar.advance(len(chunk))
        return digest.hexdigest()

    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
    try:
        futures = {pool.submit(sha256, folder / name): name for name in names}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _state(path: Path) -> os.stat_result | None:
    return path.stat() if path.is_file() else None


def _hashed(state: os.stat_result, file: PackedFile) -> HashedFile:
    return HashedFile(size=state.st_size, modified_ns=state.st_mtime_ns, content_sha256=file.content_sha256)


def _read(cache: Path) -> HashedFiles:
    with suppress(MixhubError):  # missing, damaged or of another version: the files are read again
        return HashedFiles.from_data(read_json(cache), str(cache))
    return HashedFiles()
