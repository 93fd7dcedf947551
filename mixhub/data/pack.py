"""Packing: text becomes token shards, a folder for each domain. An eos token ends each document."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mixhub.data.corpus import Corpus, rows_of
from mixhub.data.shards import check_shards, pack_again
from mixhub.data.tokenizer import TOKENIZER_FILE, eos_id, make_tokenizer, splitter
from mixhub.errors import CorpusError
from mixhub.files import clear_leftovers, locked, new_folder, write_json
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec.family import Family
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import (
    MANIFEST_FILE,
    SPLITS,
    Domains,
    Manifest,
    PackedDomain,
    Shard,
    SourceFile,
    Split,
    index_file,
    read_manifest,
    required_domains,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FOLDER = "tokenizer"

_BATCH_TEXTS = 1024
_BATCH_CHARACTERS = 2**20


def pack(
    family: Family, corpus: Path, tokens: Path, *, tokenizer_folder: Path | None = None, progress: Progress = SILENT
) -> Manifest:
    """Make the token shards that a family needs, unless they exist.

    Each document is its tokens and one eos token; there is no bos token. The text of the eos token within a document
    becomes its id too, as in the original runs. Domains that no run of the family reads are not packed. The folder is
    written atomically, and keeps the domains that were packed for other families.

    Args:
        family: has the domains and the tokenizer.
        corpus: folder with `train/` and `valid/`.
        tokens: folder for a shard per file of text, `train/<domain>/<file>.ds` and `valid/<domain>/<file>.ds` (raw
            little-endian uint16, or uint32 if the vocabulary needs it), the ends of its documents beside it
            (`.ds.index`, cumulative tokens, little-endian uint64), `tokenizer/` and `manifest.json`. datatrove reads
            such shards as they are.
        tokenizer_folder: the downloaded tokenizer of a family that names a repo; otherwise one is trained.
        progress: counts bytes of text.

    Returns:
        The manifest of the whole folder.

    Raises:
        CorpusError: files are missing or malformed, a domain has no text, or `tokens` was made from other text or
            for another tokenizer.
    """
    text = Corpus.open(corpus)
    needed = required_domains(family)
    text.require(needed)
    with locked(tokens.parent / ".lock", f"{tokens.parent} is being written", timeout=-1):
        clear_leftovers(tokens.parent)
        existing = read_manifest(tokens) if tokens.exists() else None
        if existing is not None:
            existing.require_tokenizer(family, str(tokens))
            check_shards(existing, tokens)
            _require_same_sources(existing, text, needed, tokens)
            if all(domain in existing.domains(split) for split in SPLITS for domain in needed[split]):
                return existing
        with new_folder(tokens) as building:
            if existing is None:
                make_tokenizer(family, text, building / TOKENIZER_FOLDER, tokenizer_folder)
            else:
                ignore = shutil.ignore_patterns(MANIFEST_FILE)
                shutil.copytree(tokens, building, copy_function=_link, ignore=ignore, dirs_exist_ok=True)
            manifest = _pack_into(building, family, text, existing, needed, progress)
            write_json(building / MANIFEST_FILE, manifest.to_data())
    return manifest


def _pack_into(
    building: Path, family: Family, text: Corpus, existing: Manifest | None, needed: Domains, progress: Progress
) -> Manifest:
    from tokenizers import Tokenizer

    tokenizer_file = building / TOKENIZER_FOLDER / TOKENIZER_FILE
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    eos, pieces = eos_id(tokenizer, family), splitter(tokenizer)
    dtype: Literal["uint16", "uint32"] = "uint16" if family.tokenizer.vocab_size <= 2**16 else "uint32"
    packed = {split: dict(existing.domains(split)) if existing else {} for split in SPLITS}
    new = [(split, domain) for split in SPLITS for domain in needed[split] if domain not in packed[split]]
    total = sum(text.size(split, domain) for split, domain in new)
    with progress.start(f"pack {family.data.corpus}", total, "byte") as bar:
        for split, domain in new:
            (building / split / domain).mkdir(parents=True)
            shards, sources = [], []
            for path in text.files[split][domain]:
                documents = _encoded(tokenizer, _batches(rows_of(path), pieces, bar, domain), eos)
                file = f"{split}/{domain}/{path.stem}.ds"
                number, size, digest, ends = _pack_file(building / file, documents, dtype)
                shards.append(Shard(file=file, tokens=size, content_sha256=digest, ends_sha256=ends))
                sources.append(_source(text, path, documents=number, tokens=size))
            packed[split][domain] = _packed_domain(text, split, domain, shards, sources)
    return Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=file_sha256(tokenizer_file),
        dtype=dtype,
        eos_id=eos,
        train=dict(sorted(packed["train"].items())),
        valid=dict(sorted(packed["valid"].items())),
    )


_Batch = list[tuple[str, bool]]
"""Texts, and whether a document ends with each."""


def _batches(
    rows: Iterable[tuple[str, int]], pieces: Callable[[str], Iterable[str]], bar: Bar, domain: str
) -> Iterator[_Batch]:
    batch: _Batch = []
    size = 0
    for text, length in rows:
        bar.advance(length, note=domain)
        parts = list(pieces(text))
        for number, piece in enumerate(parts, start=1):
            batch.append((piece, number == len(parts)))
            size += len(piece)
            if len(batch) == _BATCH_TEXTS or size >= _BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _encoded(tokenizer: Tokenizer, batches: Iterable[_Batch], eos: int) -> Iterator[tuple[list[int], bool]]:
    """Yield the tokens of each text, and whether a document ends with them."""
    for batch in batches:
        encodings = tokenizer.encode_batch_fast([text for text, _ in batch], add_special_tokens=False)
        for encoding, (_, ends) in zip(encodings, batch, strict=True):
            yield ([*encoding.ids, eos] if ends else encoding.ids), ends


def _pack_file(target: Path, encoded: Iterable[tuple[list[int], bool]], dtype: str) -> tuple[int, int, str, str]:
    """Write a shard and the ends of its documents; return documents, tokens, and the hashes of both files."""
    import numpy as np

    ends, total = [], 0
    digest = hashlib.sha256()
    with target.open("wb") as shard:
        for ids, is_end in encoded:
            part = np.array(ids, np.dtype(dtype).newbyteorder("<"))
            shard.write(part.data)
            digest.update(part.data)
            total += len(ids)
            if is_end:
                ends.append(total)
    index = np.array(ends, "<u8")
    index.tofile(index_file(target))
    return len(ends), total, digest.hexdigest(), hashlib.sha256(index.data).hexdigest()


def _packed_domain(
    text: Corpus, split: Split, domain: str, shards: list[Shard], sources: list[SourceFile]
) -> PackedDomain:
    documents, tokens = (sum(getattr(source, key) for source in sources) for key in ("documents", "tokens"))
    if tokens == documents:
        files = ", ".join(path.name for path in text.files[split][domain])
        message = f"{text.path / split}: domain {domain} has no text (in {files})"
        raise CorpusError(message, code="domain-empty", split=split, domain=domain)
    return PackedDomain(documents=documents, tokens=tokens, shards=tuple(shards), sources=tuple(sources))


def _source(text: Corpus, path: Path, **counts: int | None) -> SourceFile:
    name = path.relative_to(text.path).as_posix()
    return SourceFile(name=name, size=path.stat().st_size, content_sha256=file_sha256(path), **counts)


def _require_same_sources(manifest: Manifest, text: Corpus, needed: Domains, tokens: Path) -> None:
    pairs = [(split, domain) for split in SPLITS for domain in needed[split] if domain in manifest.domains(split)]
    for split, domain in pairs:
        packed = {source.name: source for source in manifest.domains(split)[domain].sources}
        current = {path.relative_to(text.path).as_posix(): path for path in text.files[split][domain]}
        for name in sorted({*packed, *current}):
            if name not in packed or name not in current:
                change = "removed" if name in packed else "added"
            elif _source(text, current[name]).content_sha256 != packed[name].content_sha256:
                change = "changed"
            else:
                continue
            path = text.path / name
            message = f"{path}: was {change} since {tokens} was packed"
            raise CorpusError(message, code="corpus-changed", hint=pack_again(tokens), path=path, change=change)


def _link(source: str, target: str) -> None:
    """Make a hard link, or a copy if the disk has no links; runs that read the old folder keep their bytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
