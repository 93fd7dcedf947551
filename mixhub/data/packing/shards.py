"""One file of text becomes one shard of tokens, its ends of documents, and a record of both."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

from mixhub.data.corpus import Corpus, Reading, read_documents, stem
from mixhub.data.packing.engines import Encoder, FastFailedError, Sample
from mixhub.data.packing.pieces import pieces
from mixhub.data.rows import Skipped
from mixhub.errors import CorpusError, MixhubError
from mixhub.files import FileState, read_json, write_json, writing
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import Shard, SkippedRows, SourceFile, Split, index_file

_STRIDE = 2**20
"""Bytes of text between two calls of `Advance`."""

Advance = Callable[[int], None]
"""Called with the number of bytes of text that were read since the last call."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all files of a pack."""

    tokenizer: Path
    """The file `tokenizer.json`."""
    tokenizer_sha256: str
    """Hash of it."""
    eos: int
    """Id that ends each document."""
    special_text: bool
    """Whether the name of a special token within a text is ordinary text."""
    normalizer: str | None
    """How the tokenizer normalizes text, such as `NFC`."""
    dtype: Literal["uint16", "uint32"]
    """Type of a token."""
    reading: Reading
    """How the text is read."""

    @property
    def counts_normalized(self) -> bool:
        """Whether it is counted how many documents the tokenizer changes."""
        return self.normalizer in ("NFC", "NFD", "NFKC", "NFKD")


@dataclass(frozen=True)
class Job:
    """One file of text to pack."""

    path: Path
    """The file."""
    name: str
    """Its path relative to the corpus."""
    split: Split
    """The split that the shard belongs to."""
    domain: str
    """The domain."""
    held_out: float | None
    """Share of the file's documents that belongs to `valid`; None if all belong to `split`."""
    size: int
    """Bytes."""

    @property
    def shard(self) -> str:
        """Path of the shard, relative to the manifest."""
        return f"{self.split}/{self.domain}/{stem(self.path)}.ds"


@dataclass(frozen=True)
class Packed:
    """A packed file."""

    source: SourceFile
    """The file of text."""
    shard: Shard
    """The file of tokens."""


def jobs(corpus: Corpus, split: Split, domain: str) -> list[Job]:
    """Return a job for each file of a domain."""
    share = corpus.held_out(domain)
    return [
        Job(path, path.relative_to(corpus.path).as_posix(), split, domain, share, path.stat().st_size)
        for path in corpus.files[split][domain]
    ]


def packed_before(job: Job, building: Path, settings: Settings) -> Packed | None:
    """Return what an earlier pack made of a file, if the file and the settings are the same now, and it is whole."""
    import numpy as np

    shard = building / job.shard
    if not job.path.is_file():
        return None
    try:
        record = read_json(_record_file(shard), CorpusError)
        inputs, source = record["inputs"], SourceFile.from_data(record["source"], str(shard))
        packed = Packed(source, Shard.from_data(record["shard"], str(shard)))
        sizes = [path.stat().st_size for path in (shard, index_file(shard))]
    except (MixhubError, LookupError, TypeError, FileNotFoundError):  # missing or damaged: it is packed again
        return None
    whole = [packed.shard.tokens * np.dtype(settings.dtype).itemsize, 8 * (packed.source.documents or 0)]
    return packed if inputs == _inputs(job, settings, FileState.of(job.path)) and sizes == whole else None


def pack_file(job: Job, building: Path, settings: Settings, advance: Advance) -> tuple[Packed, str | None]:
    """Pack a file, unless it was packed before; return what was made, and a warning.

    Raises:
        CorpusError: the file is broken, or it changed while it was read.
    """
    if (before := packed_before(job, building, settings)) is not None:
        advance(job.size)
        return before, None
    encoder = _encoder(settings.tokenizer, settings.tokenizer_sha256, settings.eos, settings.special_text)
    shard = building / job.shard
    shard.parent.mkdir(parents=True, exist_ok=True)
    with _unchanged(job) as state:
        try:
            packed = _pack(job, shard, settings, encoder, advance)
        except FastFailedError as error:
            encoder.drop_fast(f"{error}, in {job.path}")
            packed = _pack(job, shard, settings, encoder, lambda amount: None)
    data = {"source": packed.source.to_data(), "shard": packed.shard.to_data()}
    write_json(_record_file(shard), {"inputs": _inputs(job, settings, state), **data})
    return packed, encoder.warning


@lru_cache(maxsize=1)
def _encoder(tokenizer: Path, sha256: str, eos: int, special_text: bool) -> Encoder:
    return Encoder(tokenizer, eos, special_text)


def _pack(job: Job, shard: Path, settings: Settings, encoder: Encoder, advance: Advance) -> Packed:
    import numpy as np

    texts, sample = _Texts(job, settings, advance), Sample(job.size)
    parts = [_New(shard), _New(index_file(shard))]
    documents = tokens = 0
    dtype = np.dtype(settings.dtype).newbyteorder("<")
    try:
        with parts[0].writing() as write_ids, parts[1].writing() as write_ends:
            for ids, ends in encoder.documents(texts.read(), sample):
                write_ids(ids.astype(dtype).data)
                write_ends((ends + tokens).astype("<u8").data)
                documents += len(ends)
                tokens += len(ids)
        encoder.check(sample)
        for part in parts:
            part.commit()
    finally:
        for part in parts:
            part.temporary.unlink(missing_ok=True)
    source = SourceFile(
        name=job.name,
        size=job.size,
        content_sha256=file_sha256(job.path),
        documents=documents,
        tokens=tokens,
        **texts.facts(),
    )
    file = Shard(file=job.shard, tokens=tokens, content_sha256=parts[0].sha256, ends_sha256=parts[1].sha256)
    return Packed(source, file)


class _Texts:
    """The documents of a file that belong to its split, and what is counted while they are read."""

    def __init__(self, job: Job, settings: Settings, advance: Advance) -> None:
        self._job, self._settings, self._advance = job, settings, advance
        self._skipped = Skipped()
        self._normalized = 0

    def read(self) -> Iterator[str]:
        job, done = self._job, 0
        form: Any = self._settings.normalizer if self._settings.counts_normalized else None
        rows = read_documents(job.path, self._settings.reading, job.split, job.held_out, self._skipped)
        for text, position in rows:
            if form is not None and not text.isascii():
                self._normalized += not all(unicodedata.is_normalized(form, piece) for piece in pieces(text))
            yield text
            if position - done >= _STRIDE:
                self._advance(position - done)
                done = position
        self._advance(job.size - done)

    def facts(self) -> dict[str, Any]:
        """Return the fields of the source that are absent in the usual case."""
        key = self._settings.reading.text_key
        skipped = SkippedRows(count=self._skipped.count, first=tuple(self._skipped.first))
        return {
            "text_key": None if key == "text" else key,
            "held_out": self._job.held_out,
            "skipped": skipped if skipped.count else None,
            "normalized": self._normalized or None,
        }


class _New:
    """A file that is written under a temporary name."""

    def __init__(self, path: Path) -> None:
        self.path, self.temporary = path, path.with_name(f"{path.name}.{os.getpid()}.part")
        self.sha256 = ""

    @contextmanager
    def writing(self) -> Iterator[Callable[[memoryview], None]]:
        digest = hashlib.sha256()
        with writing(self.path), self.temporary.open("wb") as file:
            yield lambda data: _write(file, digest, data)
            file.flush()
            os.fsync(file.fileno())
        self.sha256 = digest.hexdigest()

    def commit(self) -> None:
        self.temporary.replace(self.path)


def _write(file: IO[bytes], digest: Any, data: memoryview) -> None:
    file.write(data)
    digest.update(data)


@contextmanager
def _unchanged(job: Job) -> Iterator[FileState]:
    """Raise CorpusError if the file of a job is another at the end of the block."""
    change = "removed"
    try:
        before = FileState.of(job.path)
        yield before
        if FileState.of(job.path) == before and before.size == job.size:
            return
        change = "changed"
    except FileNotFoundError as error:
        if error.filename != str(job.path):
            raise
    message = f"{job.path}: was {change} while it was packed"
    raise CorpusError(message, code="corpus-changed", hint="pack again", path=job.path, change=change)


def _record_file(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.json")


def _inputs(job: Job, settings: Settings, state: FileState) -> dict[str, Any]:
    """Return all that a shard depends on, as JSON."""
    data = {key: value for key, value in asdict(settings).items() if key not in ("tokenizer", "reading")}
    reading = {"text_key": settings.reading.text_key, "skip_bad": settings.reading.skip_bad}
    return {**data, **reading, "held_out": job.held_out, "size": state.size, "modified_ns": state.modified_ns}
