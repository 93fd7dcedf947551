"""Token folders that are made without text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixhub.files import write_json
from mixhub.spec import Family
from mixhub.workspace.manifest import SPLITS, Manifest, PackedDomain, Shard, SourceFile, index_file
from tests.tiny import tiny_family

Documents = Sequence[Sequence[int] | npt.NDArray[np.int64]]
"""The tokens of each document of a file, with its eos token."""


def write_tokens(
    folder: Path,
    files: Mapping[str, Mapping[str, Sequence[Documents]]],
    *,
    dtype: str = "uint16",
    family: Family | None = None,
) -> dict[str, dict[str, npt.NDArray[np.int64]]]:
    """Write a folder of token shards with the documents of each file, by split and domain; return the streams."""
    streams: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    domains: dict[str, dict[str, PackedDomain]] = {split: {} for split in SPLITS}
    for split, of_split in files.items():
        streams[split] = {}
        for domain, of_domain in of_split.items():
            (folder / split / domain).mkdir(parents=True)
            parts = [
                _write_file(folder, f"{split}/{domain}/{domain}-{n}", docs, dtype) for n, docs in enumerate(of_domain)
            ]
            shards, sources, ids = zip(*parts, strict=True)
            streams[split][domain] = np.concatenate(ids)
            documents, tokens = sum(map(len, of_domain)), len(streams[split][domain])
            domains[split][domain] = PackedDomain(documents=documents, tokens=tokens, shards=shards, sources=sources)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    family = family or tiny_family()
    manifest = Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=_sha256(b"{}"),
        dtype=dtype,
        eos_id=0,
        train=domains["train"],
        valid=domains["valid"],
    )
    write_json(folder / "manifest.json", manifest.to_data())
    return streams


def _write_file(
    folder: Path, name: str, documents: Documents, dtype: str
) -> tuple[Shard, SourceFile, npt.NDArray[np.int64]]:
    ids = np.concatenate([np.zeros(0, np.int64), *(np.asarray(document, np.int64) for document in documents)])
    ends = np.cumsum([len(document) for document in documents], dtype="<u8")
    path = folder / f"{name}.ds"
    data, index = ids.astype(np.dtype(dtype).newbyteorder("<")).tobytes(), ends.tobytes()
    path.write_bytes(data)
    index_file(path).write_bytes(index)
    file = path.relative_to(folder).as_posix()
    shard = Shard(file=file, tokens=len(ids), content_sha256=_sha256(data), ends_sha256=_sha256(index))
    split, _, stem = name.split("/")
    source = SourceFile(
        name=f"{split}/{stem}.jsonl", size=0, content_sha256=_sha256(b""), documents=len(documents), tokens=len(ids)
    )
    return shard, source, ids


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
