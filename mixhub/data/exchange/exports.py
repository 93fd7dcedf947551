"""Exporting: the shards of domains become files that other tools read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixhub.data.formats import format_named
from mixhub.data.formats.base import Format, Stream, Vocabulary, WrittenFile
from mixhub.data.shards import check_shards
from mixhub.errors import CorpusError, UnknownNameError, WorkspaceError
from mixhub.files import new_folder
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Bar, Progress
from mixhub.spec.family import Family
from mixhub.spec.parts import Loader
from mixhub.workspace.manifest import SPLITS, Manifest, Shard, Split, TokenFormat, read_manifest

_VALID_CHUNK_SEQUENCES = 64
"""Sequences in a chunk of RegMix's validation data."""


@dataclass(frozen=True)
class ExportedDomain:
    """What was written of one domain of a split."""

    split: Split
    domain: str
    files: tuple[Path, ...]
    tokens: int
    """Tokens in the files, without padding."""
    size: int
    """Bytes of the files."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    domains: tuple[ExportedDomain, ...]
    notes: tuple[str, ...]
    """What the format does not hold, and what it adds; a line each."""


def export_tokens(
    family: Family,
    tokens: Path,
    to: Path,
    *,
    format: TokenFormat,
    domains: Sequence[str] | None = None,
    split: Split | None = None,
    progress: Progress = SILENT,
) -> Exported:
    """Write packed domains as files of another tool, to `to/train/…` and `to/valid/…`.

    The files are copies, also where their bytes are those of the shards: a tool that changes them in place must not
    change what runs are trained on.

    Args:
        family: has the length of a sequence, which the size of lit-gpt's chunks depends on.
        tokens: the folder of token shards.
        to: a new or empty folder; it is written as a whole, or not at all.
        format: name of the format.
        domains: the domains; None: all.
        split: `train` or `valid`; None: both.
        progress: counts tokens.

    Raises:
        CorpusError: there are no tokens, shards are damaged, or nothing would be written.
        UnknownNameError: there is no such format, or no such domain in the splits.
        WorkspaceError: `to` is not empty.
    """
    chosen_format = format_named(format)
    manifest = read_manifest(tokens)
    manifest.require_tokenizer(family, str(tokens))
    check_shards(manifest, tokens)
    splits = SPLITS if split is None else (split,)
    known = {domain for each in splits for domain in manifest.domains(each)}
    for domain in domains or ():
        if domain not in known:
            raise UnknownNameError("domain", domain, sorted(known), where=" and ".join(splits))
    chosen = [
        (each, domain) for each in splits for domain in manifest.domains(each) if domains is None or domain in domains
    ]
    if chosen_format.keeps_ends:
        for each, domain in chosen:
            manifest.domains(each)[domain].require_ends(f"{each}/{domain}")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        message = f"{to}: exists, and is not an empty folder"
        hint = "pass a new folder; --domain can be repeated to export several domains at once"
        raise WorkspaceError(message, code="folder-not-empty", hint=hint, path=to)
    total = sum(manifest.domains(each)[domain].tokens for each, domain in chosen)
    with new_folder(to.absolute()) as building, progress.start(f"export {format}", total, "token") as bar:
        return _Exporter(chosen_format, family, tokens, manifest, building, bar).write(chosen)


@dataclass(frozen=True)
class _Exporter:
    """Writes the files of one export."""

    format: Format
    family: Family
    tokens: Path
    manifest: Manifest
    folder: Path
    bar: Bar

    def write(self, chosen: Sequence[tuple[Split, str]]) -> Exported:
        spec, dtype = self.manifest.tokenizer, np.dtype(self.manifest.dtype)
        vocabulary = Vocabulary(spec.vocab_size, self.manifest.eos_id, dtype, spec.repo_id or spec.name)
        notes: list[str] = []
        domains, padding = [], 0
        for split, domain in chosen:
            files: list[WrittenFile] = []
            for target, stream in self._streams(split, domain):
                target.parent.mkdir(parents=True, exist_ok=True)
                files += self.format.write(target, stream, vocabulary, notes.append)
            paths = tuple(file.path.relative_to(self.folder) for file in files)
            size = sum(file.path.stat().st_size for file in files)
            domains.append(ExportedDomain(split, domain, paths, sum(file.tokens for file in files), size))
            padding += sum(file.padding for file in files)
        if not any(each.files for each in domains):
            message = (
                f"{self.tokens}: no file has more tokens than a chunk of {self.format.name}, so nothing is written"
            )
            raise CorpusError(
                message, code="chunks-missing", hint="pass --format litgpt, which fills up the last chunk"
            )
        return Exported(tuple(domains), (*dict.fromkeys(notes), *self._notes(domains, padding)))

    def _streams(self, split: Split, domain: str) -> Iterator[tuple[Path, Stream]]:
        """Yield the parts of a domain that become files, with the paths of those without suffix."""
        domains = self.manifest.domains(split)
        shards = domains[domain].shards
        if self.format.unit == "domain":
            yield self.folder / split / domain, self._stream(split, shards)
            return
        first = sum(len(domains[name].shards) for name in sorted(domains) if name < domain)
        for number, shard in enumerate(shards, start=first):
            stem = Path(shard.file).relative_to(f"{split}/{domain}").with_suffix("").as_posix()
            name = Path(domain) / stem
            if self.format.unit == "chunks":  # RegMix looks for its domains by the beginnings of names in one folder
                prefix = self.family.data.train_prefix if split == "train" else self.family.data.valid_prefix
                own = stem if stem.startswith(f"{domain}-") else f"{domain}-{stem}"
                name = Path(f"{prefix}{own.replace('/', '_')}_{number}")
            yield self.folder / split / name, self._stream(split, [shard])

    def _stream(self, split: Split, shards: Sequence[Shard]) -> Stream:
        training = self.family.training
        sequences = (training.loader or Loader()).chunk_sequences if split == "train" else _VALID_CHUNK_SEQUENCES
        return Stream(
            shards=[self.tokens / shard.file for shard in shards],
            sizes=[shard.tokens for shard in shards],
            dtype=np.dtype(self.manifest.dtype),
            chunk_tokens=(training.sequence_length + 1) * sequences,
            advance=self.bar.advance,
        )

    def _notes(self, domains: Sequence[ExportedDomain], padding: int) -> Iterator[str]:
        name, eos = self.format.name, self.manifest.eos_id
        if not self.format.keeps_ends:
            yield f"{name} does not record where documents end: each ends with eos (id {eos})"
        if padding:
            yield f"{plural(padding, 'eos token')} fill up the last chunks"
        left = [self.manifest.domains(each.split)[each.domain].tokens - each.tokens for each in domains]
        if lost := sum(left):
            yield f"{plural(lost, 'token')} behind the last full chunks of files are left out, as in RegMix"
        if vanished := [f"{each.split}/{each.domain}" for each in domains if not each.files]:
            yield f"no full chunk, so no file: {listed(vanished)}"
