"""Text to token shards: documents, each ended by the eos token, one after another, a folder a domain."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from mixhub.data.corpus import Corpus, Row
from mixhub.data.tokenizer import TOKENIZER_FILE, eos_id, make_tokenizer, tokenizer_sha256
from mixhub.errors import CorpusError
from mixhub.files import clear_leftovers, locked, new_folder, write_json
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec.family import Family
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import (
    MANIFEST_FILE,
    SPLITS,
    Manifest,
    PackedDomain,
    Shard,
    SourceFile,
    Split,
    read_manifest,
    required_domains,
)

if TYPE_CHECKING:
    import tokenizers

TOKENIZER_FOLDER = "tokenizer"
SHARD_TOKENS = 64 * 2**20
"""Tokens of a shard, at most."""

_BATCH_DOCUMENTS = 1024
_BATCH_BYTES = 4 * 2**20


def pack(
    family: Family,
    corpus: Path,
    destination: Path,
    *,
    tokenizer_folder: Path | None = None,
    progress: Progress = SILENT,
) -> Manifest:
    """Makes the token shards that a family needs, or finds that they are there.

    Each document is its tokens and one eos token; there is no bos token. The eos token's text within a document becomes
    its id too, as in the original runs. Training and validation domains that no run of the family reads are not packed.
    The folder appears whole or not at all; domains that were packed for another family stay in it.

    Args:
        family: says which domains, and the tokenizer.
        corpus: folder with `train/` and `valid/`.
        destination: `train/<domain>/00000.bin`, `valid/<domain>/00000.bin` (raw little-endian uint16, or uint32 where
            the vocabulary needs it), `tokenizer/` and `manifest.json`.
        tokenizer_folder: the fetched tokenizer, for a family that names a repo; else one is trained on the corpus.
        progress: counts bytes of text.

    Returns:
        The manifest of the whole folder.

    Raises:
        CorpusError: files are missing or malformed, a domain has no text, or `destination` was made from other text or
            for another tokenizer.
    """
    text = Corpus.open(corpus)
    wanted = required_domains(family)
    text.require(wanted)
    with locked(destination.parent / ".lock", f"{destination.parent} is being written", timeout=-1):
        clear_leftovers(destination.parent)
        there = read_manifest(destination) if destination.exists() else None
        if there is not None:
            there.require_tokenizer(family, str(destination))
            check_shards(there, destination)
            _same_sources(there, text, wanted, destination)
            if all(domain in there.domains(split) for split in SPLITS for domain in wanted[split]):
                return there
        with new_folder(destination) as building:
            if there is None:
                make_tokenizer(family, text, building / TOKENIZER_FOLDER, tokenizer_folder)
            else:
                _link(destination, building)
            manifest = _pack_into(building, family, text, there, wanted, progress)
            write_json(building / MANIFEST_FILE, manifest.to_data())
    return manifest


def check_shards(manifest: Manifest, tokens: Path) -> None:
    """Raises CorpusError when a shard is missing or not of its size."""
    width = int(manifest.dtype.removeprefix("uint")) // 8
    for split in SPLITS:
        for domain in manifest.domains(split).values():
            for shard in domain.shards:
                path = tokens / shard.file
                size = path.stat().st_size if path.is_file() else None
                if size != shard.tokens * width:
                    found = "is missing" if size is None else f"has {size} bytes, not {shard.tokens * width}"
                    message = f"{path}: the shard {found}"
                    raise CorpusError(message, code="tokens-damaged", hint=_remake(tokens), path=path, size=size)


def _pack_into(
    building: Path,
    family: Family,
    text: Corpus,
    there: Manifest | None,
    wanted: Mapping[Split, list[str]],
    progress: Progress,
) -> Manifest:
    from tokenizers import Tokenizer as FastTokenizer

    tokenizer = FastTokenizer.from_file(str(building / TOKENIZER_FOLDER / TOKENIZER_FILE))
    eos = eos_id(tokenizer, family)
    dtype: Literal["uint16", "uint32"] = "uint16" if family.tokenizer.vocab_size <= 2**16 else "uint32"
    packed = {split: dict(there.domains(split)) if there else {} for split in SPLITS}
    new = [(split, domain) for split in SPLITS for domain in wanted[split] if domain not in packed[split]]
    total = sum(text.size(split, domain) for split, domain in new)
    with progress.start(f"pack {family.data.corpus}", total, "byte") as bar:
        for split, domain in new:
            encoded = _encoded(tokenizer, _reported(text.rows(split, domain), bar, domain), eos)
            packed[split][domain] = _pack_domain(building, split, domain, encoded, dtype, text)
    return Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=tokenizer_sha256(building / TOKENIZER_FOLDER),
        dtype=dtype,
        eos_id=eos,
        train=dict(sorted(packed["train"].items())),
        valid=dict(sorted(packed["valid"].items())),
    )


def _reported(rows: Iterator[Row], bar: Bar, domain: str) -> Iterator[Row]:
    for row in rows:
        yield row
        bar.advance(row.size, note=domain)


def _encoded(tokenizer: tokenizers.Tokenizer, rows: Iterable[Row], eos: int) -> Iterator[list[int]]:
    for batch in _batches(rows):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield [*encoding.ids, eos]


def _batches(rows: Iterable[Row]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for row in rows:
        batch.append(row.text)
        size += row.size
        if len(batch) == _BATCH_DOCUMENTS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pack_domain(
    building: Path, split: Split, domain: str, encoded: Iterator[list[int]], dtype: str, text: Corpus
) -> PackedDomain:
    writer = _ShardWriter(building, f"{split}/{domain}", dtype)
    documents = 0
    with writer:
        for ids in encoded:
            writer.write(ids)
            documents += 1
    if writer.tokens == documents:
        files = ", ".join(path.name for path in text.files[split][domain])
        raise CorpusError(
            f"{text.path / split}: the domain {domain} has no text (in {files})",
            code="domain-empty",
            hint="add text, or give the domain a weight of 0",
            split=split,
            domain=domain,
        )
    sources = tuple(_source(text, path) for path in text.files[split][domain])
    return PackedDomain(documents=documents, tokens=writer.tokens, shards=tuple(writer.shards), sources=sources)


class _ShardWriter:
    """Writes one stream of tokens as shards of at most SHARD_TOKENS."""

    def __init__(self, building: Path, folder: str, dtype: str) -> None:
        self._building, self._folder, self._dtype = building, folder, dtype
        self._file: BinaryIO | None = None
        self._left = 0
        self._hash = hashlib.sha256()
        self.shards: list[Shard] = []
        self.tokens = 0
        (building / folder).mkdir(parents=True)

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, ids: Sequence[int]) -> None:
        import numpy as np

        tokens = np.asarray(ids, dtype=np.dtype(self._dtype).newbyteorder("<"))
        while len(tokens):
            if self._file is None:
                self._open()
            part, tokens = tokens[: self._left], tokens[self._left :]
            data = part.tobytes()
            assert self._file is not None
            self._file.write(data)
            self._hash.update(data)
            self._left -= len(part)
            self.tokens += len(part)
            if not self._left:
                self._close()

    def _name(self) -> str:
        return f"{self._folder}/{len(self.shards):05d}.bin"

    def _open(self) -> None:
        self._file = (self._building / self._name()).open("xb")
        self._left, self._hash = SHARD_TOKENS, hashlib.sha256()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            tokens = SHARD_TOKENS - self._left
            self.shards.append(Shard(file=self._name(), tokens=tokens, content_sha256=self._hash.hexdigest()))


def _source(text: Corpus, path: Path) -> SourceFile:
    return SourceFile(
        name=path.relative_to(text.path).as_posix(), size=path.stat().st_size, content_sha256=file_sha256(path)
    )


def _same_sources(manifest: Manifest, text: Corpus, wanted: Mapping[Split, list[str]], destination: Path) -> None:
    for split in SPLITS:
        for domain in wanted[split]:
            if domain not in manifest.domains(split):
                continue
            packed = {source.name: source for source in manifest.domains(split)[domain].sources}
            current = {path.relative_to(text.path).as_posix(): path for path in text.files[split][domain]}
            for name in sorted({*packed, *current}):
                if change := _change(packed.get(name), current.get(name), text):
                    raise CorpusError(
                        f"{text.path / name}: was {change} since {destination} was packed from it",
                        code="corpus-changed",
                        hint=_remake(destination),
                        path=text.path / name,
                        change=change,
                    )


def _change(packed: SourceFile | None, current: Path | None, text: Corpus) -> str | None:
    if packed is None:
        return "added"
    if current is None:
        return "removed"
    if current.stat().st_size != packed.size or _source(text, current) != packed:
        return "changed"
    return None


def _remake(tokens: Path) -> str:
    return f"delete or rename {tokens}, and it is packed anew; runs on the old tokens cannot go on with the new"


def _link(source: Path, building: Path) -> None:
    """Hard links, or copies where the disk has none; a run that reads the old folder goes on reading the same bytes."""
    for path in source.rglob("*"):
        target = building / path.relative_to(source)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.name != MANIFEST_FILE:
            target.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                os.link(path, target)
            if not target.exists():
                shutil.copyfile(path, target)
