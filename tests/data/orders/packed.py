"""Packed domains that only a manifest describes."""

from collections.abc import Mapping

from mixhub.workspace.manifest import Manifest, PackedDomain, Shard, SourceFile
from tests.tiny import tiny_family

_HASH = "0" * 64


def packed(domain: str, tokens: Mapping[int, int]) -> PackedDomain:
    """A domain with a file of that many tokens for each number."""
    files = sorted(tokens.items())
    return PackedDomain(
        documents=len(files),
        tokens=sum(tokens.values()),
        shards=tuple(
            Shard(file=f"train/{domain}/{domain}-{n}.ds", tokens=size, content_sha256=_HASH, ends_sha256=_HASH)
            for n, size in files
        ),
        sources=tuple(
            SourceFile(name=f"train/{domain}-{n}.jsonl", size=1, content_sha256=_HASH, documents=1, tokens=size)
            for n, size in files
        ),
    )


def manifest(**domains: Mapping[int, int]) -> Manifest:
    """A manifest of training domains, with the tokens of each file by number, of the tiny family's corpus."""
    return Manifest(
        corpus="words",
        tokenizer=tiny_family().tokenizer,
        tokenizer_sha256=_HASH,
        dtype="uint16",
        eos_id=0,
        train={name.removeprefix("train_"): packed(name, files) for name, files in domains.items()},
        valid={},
    )
