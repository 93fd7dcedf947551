"""Importing: token files of other tools become the shards of a domain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixhub.data.corpus import Corpus
from mixhub.data.formats import format_named, guess_format, token_file
from mixhub.data.formats.base import Format, Vocabulary
from mixhub.data.formats.shard import ShardWriter, WrittenShard
from mixhub.data.packing.building import building_folder
from mixhub.data.tokenizer import (
    TOKENIZER_FILE,
    TOKENIZER_FOLDER,
    eos_id,
    make_tokenizer,
    open_tokenizer,
    require_same_tokenizer,
)
from mixhub.errors import CorpusError, UnknownNameError
from mixhub.files import clear_leftovers, locked, new_folder, write_json
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
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
    TokenFormat,
    TokenType,
    read_manifest,
    required_domains,
    token_type,
)


@dataclass(frozen=True)
class ImportOptions:
    """How token files are read."""

    format: TokenFormat | None = None
    """Their format; None: recognised by names and first bytes."""
    dtype: TokenType | None = None
    """Type of ids in files that do not record it; None: the smaller that holds all ids."""
    add_eos: bool = False
    """Whether to end documents that lack it with an eos token, instead of refusing them."""


@dataclass(frozen=True)
class Imported:
    """A domain that was imported."""

    domain: PackedDomain
    notes: tuple[str, ...]
    """What the files do not record, and what was left out; a line each."""
    missing: tuple[str, ...]
    """Domains that the family needs and that are neither packed nor imported, such as `valid/prose`."""


@dataclass(frozen=True)
class _Input:
    """A file to import."""

    name: str
    """Its path below the nearest folder that all files are in."""
    path: Path
    format: Format

    @property
    def stem(self) -> str:
        return Path(self.name).with_suffix("").as_posix()


def import_tokens(
    family: Family,
    tokens: Path,
    files: Sequence[Path],
    *,
    domain: tuple[Split, str],
    tokenizer: Path,
    options: ImportOptions,
    progress: Progress = SILENT,
) -> Imported:
    """Make a domain from token files of other tools: a shard for each file, in the order of `files`.

    Args:
        family: has the domains and the tokenizer.
        tokens: folder of token shards, as `pack` makes it; it need not exist.
        files: files of tokens; what belongs to one, such as its index, may be among them.
        domain: split and name of the domain.
        tokenizer: folder of the tokenizer that made the ids, which no format records.
        options: how the files are read.
        progress: counts tokens.

    Raises:
        CorpusError: a file is damaged, has ids that are not the tokenizer's, or documents without eos token; the
            tokenizer is not that of `tokens`; or `tokens` has the domain. It is then as it was.
        UnknownNameError: the family does not read the domain, or there is no such format.
    """
    split, name = domain
    if name not in (known := required_domains(family)[split]):
        raise UnknownNameError("domain", name, known, where=f"{split} of {family.name}")
    inputs = _inputs(files, options)
    with locked(tokens.parent / ".lock", f"{tokens.parent} is being written", timeout=-1):
        clear_leftovers(tokens.parent)
        if (unfinished := building_folder(tokens)).exists():
            hint = f"finish it with mixhub data pack, or delete {unfinished}"
            raise CorpusError(f"{unfinished}: an unfinished pack", code="pack-unfinished", hint=hint, path=unfinished)
        if not tokens.exists():
            with new_folder(tokens) as building:
                make_tokenizer(family, Corpus(tokens, {}), building / TOKENIZER_FOLDER, tokenizer)
                return _add_domain(
                    family, building, _empty_manifest(family, building), domain, inputs, options, progress
                )
        manifest = read_manifest(tokens)
        manifest.require_tokenizer(family, str(tokens))
        require_same_tokenizer(manifest, tokens, tokenizer)
        if name in manifest.domains(split):
            message = f"{tokens}: has the domain {split}/{name} already"
            raise CorpusError(message, code="domain-exists", split=split, domain=name)
        clear_leftovers(tokens / split)
        return _add_domain(family, tokens, manifest, domain, inputs, options, progress)


def _inputs(files: Sequence[Path], options: ImportOptions) -> list[_Input]:
    chosen = format_named(options.format) if options.format is not None else None
    absolute = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - links keep their names, as in caches
    paths = list(dict.fromkeys(token_file(path) for path in absolute))
    for path in paths:
        if not path.is_file():
            fault, hint = ("is a folder", f"pass its files: {path}/*") if path.is_dir() else ("no such file", None)
            raise CorpusError(f"{path}: {fault}", code="file-missing", hint=hint, path=path)
    if not paths:
        raise CorpusError("no files to import", code="file-missing", hint="pass at least one file of tokens")
    common = os.path.commonpath([path.parent for path in paths])
    inputs = [_Input(path.relative_to(common).as_posix(), path, chosen or guess_format(path)) for path in paths]
    names: dict[str, str] = {}
    for one in inputs:
        if (other := names.setdefault(one.stem, one.name)) != one.name:
            message = f"{common}: {other} and {one.name} would get the same shard, {one.stem}.ds"
            raise CorpusError(message, code="file-repeated", names=(other, one.name))
    return inputs


def _empty_manifest(family: Family, folder: Path) -> Manifest:
    path = folder / TOKENIZER_FOLDER / TOKENIZER_FILE
    return Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=file_sha256(path),
        dtype=token_type(family.tokenizer),
        eos_id=eos_id(open_tokenizer(path), family),
        train={},
        valid={},
    )


def _add_domain(
    family: Family,
    folder: Path,
    manifest: Manifest,
    domain: tuple[Split, str],
    inputs: Sequence[_Input],
    options: ImportOptions,
    progress: Progress,
) -> Imported:
    """Import files into a folder of token shards, and write its manifest with the domain in it."""
    split, name = domain
    spec, dtype = manifest.tokenizer, np.dtype(manifest.dtype)
    given = options.dtype
    vocabulary = Vocabulary(spec.vocab_size, manifest.eos_id, np.dtype(given or dtype), spec.name, given is not None)
    notes: list[str] = []
    shards: list[tuple[_Input, WrittenShard]] = []
    with new_folder(folder / split / name) as building, progress.start(f"import {name}", None, "token") as bar:
        for one in inputs:
            target = building / f"{one.stem}.ds"
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as shard:
                writer = ShardWriter(shard, one.path, vocabulary, dtype, add_eos=options.add_eos)
                for block in one.format.read(one.path, vocabulary, notes.append):
                    writer.add(block)
                    bar.advance(len(block.ids), note=one.name)
                shards.append((one, writer.finish()))
        packed = _packed(f"{split}/{name}", shards)
    domains: dict[str, dict[str, PackedDomain]] = {key: dict(manifest.domains(key)) for key in SPLITS}
    domains[split][name] = packed
    sorted_domains = {key: dict(sorted(parts.items())) for key, parts in domains.items()}
    try:
        write_json(folder / MANIFEST_FILE, manifest.model_copy(update={**sorted_domains, "format": 2}).to_data())
    except BaseException:  # the disk is full, or the user interrupts
        shutil.rmtree(folder / split / name)
        raise
    needed = required_domains(family)
    missing = tuple(f"{key}/{one}" for key in SPLITS for one in needed[key] if one not in domains[key])
    return Imported(packed, (*notes, *_notes(shards, manifest.eos_id)), missing)


def _packed(folder: str, written: Sequence[tuple[_Input, WrittenShard]]) -> PackedDomain:
    documents, tokens = (sum(getattr(shard, key) for _, shard in written) for key in ("documents", "tokens"))
    if tokens == documents:
        message = (
            f"{listed([one.name for one, _ in written], most=3)}: nothing to import but {plural(tokens, 'eos token')}"
        )
        raise CorpusError(message, code="domain-empty", domain=folder)
    shards = [
        Shard(
            file=f"{folder}/{one.stem}.ds",
            tokens=shard.tokens,
            content_sha256=shard.content_sha256,
            ends_sha256=shard.ends_sha256,
        )
        for one, shard in written
    ]
    sources = [
        SourceFile(
            name=one.name,
            size=one.path.stat().st_size,
            content_sha256=file_sha256(one.path),
            documents=shard.documents,
            tokens=shard.tokens,
            format=one.format.name,
        )
        for one, shard in written
    ]
    return PackedDomain(documents=documents, tokens=tokens, shards=tuple(shards), sources=tuple(sources))


def _notes(written: Sequence[tuple[_Input, WrittenShard]], eos_id: int) -> list[str]:
    notes = []
    if names := list(dict.fromkeys(one.format.name for one, _ in written if not one.format.keeps_ends)):
        notes.append(f"{listed(names)} does not record where documents end: taken from eos tokens (id {eos_id})")
    if cut := [one.name for one, shard in written if shard.is_cut]:
        notes.append(f"the last document has no eos token in {listed(cut, most=3)}: the file ends within a document")
    return notes
