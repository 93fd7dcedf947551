"""Folders of token shards with chosen ids, which no text would give."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixhub.data.exchange.exports import Exported, export_tokens
from mixhub.data.exchange.imports import Imported, ImportOptions, import_tokens
from mixhub.files import write_json
from mixhub.spec import Family
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import MANIFEST_FILE, Manifest, PackedDomain, Shard, SourceFile, index_file
from tests.tiny import tiny_family

Documents = Sequence[Sequence[int]]
"""Ids of documents, without eos."""

EOS = 0


def family(vocab_size: int = 300) -> Family:
    architecture = {"vocab_size": max(vocab_size, 320)}
    return tiny_family(tokenizer={"vocab_size": vocab_size}, architecture=architecture)


def write_folder(root: Path, files: Mapping[str, Documents], vocab_size: int = 300) -> Path:
    """Write a folder whose training domain `prose` has a shard for each file."""
    (root / "tokenizer").mkdir(parents=True)
    (root / "tokenizer" / "tokenizer.json").write_text("{}")
    spec = family(vocab_size).tokenizer
    dtype = "uint16" if vocab_size <= 2**16 else "uint32"
    shards, sources = [], []
    for stem, documents in files.items():
        path = root / "train" / "prose" / f"{stem}.ds"
        path.parent.mkdir(parents=True, exist_ok=True)
        ids = np.array([number for document in documents for number in (*document, EOS)], dtype)
        ids.tofile(path)
        np.cumsum([len(document) + 1 for document in documents], dtype=np.uint64).tofile(index_file(path))
        hashes = {"content_sha256": file_sha256(path), "ends_sha256": file_sha256(index_file(path))}
        shards.append(Shard(file=f"train/prose/{stem}.ds", tokens=len(ids), **hashes))
        text_sha256 = hashlib.sha256(stem.encode()).hexdigest()
        source = {"size": 1, "content_sha256": text_sha256, "documents": len(documents), "tokens": len(ids)}
        sources.append(SourceFile(name=f"train/{stem}.jsonl", **source))
    totals = {key: sum(getattr(source, key) for source in sources) for key in ("documents", "tokens")}
    prose = PackedDomain(**totals, shards=tuple(shards), sources=tuple(sources))
    manifest = Manifest(
        corpus="words",
        tokenizer=spec,
        tokenizer_sha256=file_sha256(root / "tokenizer" / "tokenizer.json"),
        dtype=dtype,
        eos_id=EOS,
        train={"prose": prose} if files else {},
        valid={},
    )
    write_json(root / MANIFEST_FILE, manifest.to_data())
    return root


def export(folder: Path, to: Path, format: str, vocab_size: int = 300, **options: object) -> Exported:
    return export_tokens(family(vocab_size), folder, to, format=format, **options)  # type: ignore[arg-type]


def bring_in(folder: Path, files: Sequence[Path], vocab_size: int = 300, **options: object) -> Imported:
    """Import files as the training domain `prose`."""
    return import_tokens(
        family(vocab_size),
        folder,
        files,
        domain=("train", "prose"),
        tokenizer=folder / "tokenizer",
        options=ImportOptions(**options),  # type: ignore[arg-type]
    )


def shards_of(folder: Path, part: PackedDomain, vocab_size: int = 300) -> list[tuple[list[int], list[int]]]:
    """Ids and ends of documents of each shard; their hashes and counts must be those of the manifest."""
    dtype = "<u2" if vocab_size <= 2**16 else "<u4"
    read = []
    for shard, source in zip(part.shards, part.sources, strict=True):
        path = folder / shard.file
        ids, ends = np.fromfile(path, dtype).tolist(), np.fromfile(index_file(path), "<u8").tolist()
        assert (shard.content_sha256, shard.ends_sha256) == (file_sha256(path), file_sha256(index_file(path)))
        assert (shard.tokens, source.tokens, source.documents) == (len(ids), len(ids), len(ends))
        assert ends[-1:] == [len(ids)] or not ids
        read.append((ids, ends))
    assert part.tokens == sum(shard.tokens for shard in part.shards)
    assert part.documents == sum(len(ends) for _, ends in read)
    return read
