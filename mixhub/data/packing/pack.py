"""Packing: text becomes token shards, a folder for each domain. An eos token ends each document."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from mixhub.data.corpus import PLAIN, Corpus, Reading
from mixhub.data.packing.building import WHOLE, Part, building_folder, link, locked_part, prepare_tokenizer
from mixhub.data.packing.shards import Job, Packed, Settings, jobs, packed_before
from mixhub.data.packing.workers import cores, pack_files
from mixhub.data.shards import check_shards, pack_again
from mixhub.data.tokenizer import (
    TOKENIZER_FILE,
    TOKENIZER_FOLDER,
    eos_id,
    normalizer,
    open_tokenizer,
    require_same_tokenizer,
)
from mixhub.errors import CorpusError
from mixhub.files import clear_leftovers, locked, new_folder, write_json
from mixhub.phrases import listed, plural
from mixhub.progress import SILENT, Progress
from mixhub.spec.family import Family
from mixhub.workspace.downloads import read_downloads
from mixhub.workspace.lineage import file_sha256
from mixhub.workspace.manifest import (
    MANIFEST_FILE,
    SPLITS,
    Domains,
    Manifest,
    PackedDomain,
    Split,
    index_file,
    read_manifest,
    required_domains,
    token_type,
)

_LISTED = 20
"""Skipped rows to print."""


def pack(
    family: Family,
    corpus: Path,
    tokens: Path,
    *,
    part: Part = WHOLE,
    tokenizer_folder: Path | None = None,
    reading: Reading = PLAIN,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Manifest | None:
    """Make the token shards that a family needs, or a part of them, unless they exist; the last part completes them.

    Each document is its tokens and one eos token; there is no bos token. The name of a special token within a document
    becomes its id, as in the original runs, unless the tokenizer's `text_of_special_tokens` is `text`.

    Finished shards lie in `<tokens>.packing` until all are, so a pack that was killed goes on. Then `tokens` is written
    atomically, and keeps the domains of other families. A script that calls this needs `if __name__ == "__main__"`.

    Args:
        family: has the domains and the tokenizer.
        corpus: folder with `train/` and `valid/`.
        tokens: gets a shard per file of text, `<split>/<domain>/<file>.ds` (raw little-endian uint16, or uint32 if
            the vocabulary needs it), the ends of its documents beside it (`.ds.index`, cumulative tokens,
            little-endian uint64), as datatrove reads them, `tokenizer/` and `manifest.json`.
        part: which of the files to pack; others are packed by other calls, also at the same time.
        tokenizer_folder: the downloaded tokenizer of a family that names a repo; otherwise one is trained.
        reading: how the text is read.
        workers: number of processes; None: one for each core.
        progress: counts bytes of text, and shows what was skipped or normalized.

    Returns:
        The manifest of the whole folder; None if other parts are not finished.

    Raises:
        CorpusError: files are missing or malformed, a domain has no text, or `tokens` are of other text or options.
        WorkspaceError: another process packs the same part.
    """
    text, needed = require_text(family, corpus, tokens, reading)
    building = building_folder(tokens)
    _say_unread(text, progress)
    with ExitStack() as stack:
        with _locked(tokens):
            clear_leftovers(tokens.parent)
            existing = _existing(family, text, needed, tokens, tokenizer_folder)
            if existing is not None and not _missing(existing, needed):
                progress.notice(f"nothing to pack: {tokens.name} has all domains of {family.name}")
                return existing
            stack.enter_context(locked_part(building, part))
            tokenizer = (building if existing is None else tokens) / TOKENIZER_FOLDER
            if existing is None:
                prepare_tokenizer(family, text, tokenizer, tokenizer_folder)
        settings = _settings(family, tokenizer / TOKENIZER_FILE, text.reading)
        files = [job for split, domain in _missing(existing, needed) for job in jobs(text, split, domain)]
        mine = part.jobs(files)
        what = f"pack {family.data.corpus}{part}"
        packed = pack_files(mine, building, settings, workers=workers or cores(), what=what, progress=progress)
        _report(packed, settings, family, progress)
        with _locked(tokens):
            return _complete(family, files, dict(zip(mine, packed, strict=True)), tokens, settings)


def _complete(
    family: Family, files: Sequence[Job], made: Mapping[Job, Packed], tokens: Path, settings: Settings
) -> Manifest | None:
    """Write the folder of tokens if all files are packed, by this part or others; return its manifest."""
    existing = read_manifest(tokens) if tokens.exists() else None
    if existing is not None and not _missing(existing, required_domains(family)):
        return existing  # another part was the last
    if existing is not None and existing.tokenizer_sha256 != settings.tokenizer_sha256:
        message = f"{tokens}: was made by another command meanwhile, with another tokenizer"
        raise CorpusError(message, code="tokens-differ", hint=pack_again(tokens), key="tokenizer_sha256")
    packed = {job: made.get(job) or packed_before(job, building_folder(tokens), settings) for job in files}
    finished = {job: one for job, one in packed.items() if one is not None}
    return _finish(family, existing, finished, tokens, settings) if len(finished) == len(files) else None


def require_text(family: Family, corpus: Path, tokens: Path, reading: Reading) -> tuple[Corpus, Domains]:
    """Open a corpus; return it and the domains that a family needs of it, which are not those that were imported.

    If `tokens` exist, a part that was held out before is held out again.

    Raises:
        CorpusError: there is no such corpus, or it lacks domains.
    """
    needed = required_domains(family)
    if (tokens / MANIFEST_FILE).is_file():
        manifest = read_manifest(tokens)
        packed = {split: manifest.domains(split) for split in SPLITS}
        if reading.valid_fraction is None:
            shares = {source.held_out for domain in manifest.valid.values() for source in domain.sources} - {None}
            reading = replace(reading, valid_fraction=next(iter(shares), None))
        needed = {
            split: [name for name in needed[split] if name not in packed[split] or _is_text(packed[split][name])]
            for split in SPLITS
        }
    text = Corpus.open(corpus, reading, family.data.dataset)
    text.require(needed)
    return text, needed


def _is_text(domain: PackedDomain) -> bool:
    return all(source.format is None for source in domain.sources)


def _locked(tokens: Path) -> AbstractContextManager[None]:
    return locked(tokens.parent / ".lock", f"{tokens.parent} is being written", timeout=-1)


def _existing(family: Family, text: Corpus, needed: Domains, tokens: Path, tokenizer: Path | None) -> Manifest | None:
    """Return the manifest of tokens that exist, once it is sure that they were made of this text for this family."""
    if not tokens.exists():
        return None
    existing = read_manifest(tokens)
    existing.require_tokenizer(family, str(tokens))
    check_shards(existing, tokens)
    _require_same_sources(existing, text, needed, tokens)
    _require_same_share(existing, text, needed, tokens)
    if tokenizer is not None:
        require_same_tokenizer(existing, tokens, tokenizer)
    if not _missing(existing, needed):
        _require_key(existing, needed, tokens, text.reading.text_key)
    return existing


def _missing(existing: Manifest | None, needed: Domains) -> list[tuple[Split, str]]:
    pairs = [(split, domain) for split in SPLITS for domain in needed[split]]
    return [(split, domain) for split, domain in pairs if existing is None or domain not in existing.domains(split)]


def _settings(family: Family, tokenizer_file: Path, reading: Reading) -> Settings:
    tokenizer = open_tokenizer(tokenizer_file)
    return Settings(
        tokenizer=tokenizer_file,
        tokenizer_sha256=file_sha256(tokenizer_file),
        eos=eos_id(tokenizer, family),
        special_text=family.tokenizer.text_of_special_tokens == "text",
        normalizer=normalizer(tokenizer),
        dtype=token_type(family.tokenizer),
        reading=reading,
    )


def _say_unread(corpus: Corpus, progress: Progress) -> None:
    if corpus.unread:
        names = listed([path.relative_to(corpus.path).as_posix() for path in corpus.unread], most=5)
        progress.notice(f"not read: {names}; a file of text has a name such as train/<domain>-1.jsonl")


def _report(made: Sequence[Packed], settings: Settings, family: Family, progress: Progress) -> None:
    """Say what was skipped, and what the tokens do not keep."""
    skipped = {one.source.name: one.source.skipped for one in made if one.source.skipped is not None}
    lines = [f"skipped {name}:{line}" for name, rows in skipped.items() for line in rows.first]
    count = sum(rows.count for rows in skipped.values())
    for line in lines[:_LISTED]:
        progress.notice(line)
    if count > _LISTED:
        progress.notice(f"skipped {plural(count - _LISTED, 'more broken row')}; the manifest lists 20 of each file")
    if settings.normalizer is not None:
        documents, changed = (sum(getattr(one.source, key) or 0 for one in made) for key in ("documents", "normalized"))
        effect = f"which changed {changed:,} of {plural(documents, 'document')}"
        effect = effect if settings.counts_normalized else "so tokens do not give back every text"
        progress.notice(f"tokenizer {family.tokenizer.name} normalizes text ({settings.normalizer}), {effect}")


def _finish(
    family: Family, existing: Manifest | None, packed: Mapping[Job, Packed], tokens: Path, settings: Settings
) -> Manifest:
    """Write the folder of tokens: what exists, and the finished shards."""
    building = building_folder(tokens)
    domains = {split: dict(existing.domains(split)) if existing else {} for split in SPLITS}
    for split, domain in dict.fromkeys((job.split, job.domain) for job in packed):
        parts = {job: one for job, one in packed.items() if (job.split, job.domain) == (split, domain)}
        domains[split][domain] = _packed_domain(parts)
    manifest = Manifest(
        corpus=family.data.corpus,
        tokenizer=family.tokenizer,
        tokenizer_sha256=settings.tokenizer_sha256,
        dtype=settings.dtype,
        eos_id=settings.eos,
        train=dict(sorted(domains["train"].items())),
        valid=dict(sorted(domains["valid"].items())),
    )
    with new_folder(tokens) as folder:
        if existing is not None:
            ignore = shutil.ignore_patterns(MANIFEST_FILE)
            shutil.copytree(tokens, folder, copy_function=_link, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copytree(building / TOKENIZER_FOLDER, folder / TOKENIZER_FOLDER)
        for one in packed.values():
            for file in (Path(one.shard.file), index_file(Path(one.shard.file))):
                link(building / file, folder / file)
        write_json(folder / MANIFEST_FILE, manifest.to_data())
    shutil.rmtree(building)
    return manifest


def _packed_domain(parts: Mapping[Job, Packed]) -> PackedDomain:
    """Return the domain that files make together, in the order of their jobs."""
    first = next(iter(parts))
    sources, shards = tuple(one.source for one in parts.values()), tuple(one.shard for one in parts.values())
    documents, tokens = (sum(getattr(source, key) for source in sources) for key in ("documents", "tokens"))
    if tokens == documents:
        files = listed([job.path.name for job in parts], most=5)
        message = f"{first.path.parent}: domain {first.domain} has no text for {first.split} (in {files})"
        raise CorpusError(message, code="domain-empty", split=first.split, domain=first.domain)
    downloads = read_downloads(first.path.parents[first.name.count("/")])
    datasets = downloads.parts(first.domain, [source.name for source in sources])
    return PackedDomain(documents=documents, tokens=tokens, shards=shards, sources=sources, datasets=datasets)


def _require_same_sources(manifest: Manifest, text: Corpus, needed: Domains, tokens: Path) -> None:
    pairs = [(split, domain) for split in SPLITS for domain in needed[split] if domain in manifest.domains(split)]
    with ThreadPoolExecutor(cores()) as pool:
        for split, domain in pairs:
            packed = {source.name: source for source in manifest.domains(split)[domain].sources}
            current = {path.relative_to(text.path).as_posix(): path for path in text.files[split][domain]}
            same = [name for name in packed if name in current]
            hashes = dict(zip(same, pool.map(file_sha256, [current[name] for name in same]), strict=True))
            for name in sorted({*packed, *current}):
                if name not in packed or name not in current:
                    change = "removed" if name in packed else "added"
                elif hashes[name] != packed[name].content_sha256:
                    change = "changed"
                else:
                    continue
                path = text.path / name
                message = f"{path}: was {change} since {tokens} was packed"
                raise CorpusError(message, code="corpus-changed", hint=pack_again(tokens), path=path, change=change)


def _require_same_share(manifest: Manifest, text: Corpus, needed: Domains, tokens: Path) -> None:
    """Raise CorpusError if a document would be both in `train` and in `valid`."""
    for domain in {*needed["train"], *needed["valid"]}:
        wanted = text.held_out(domain)
        for split in SPLITS:
            for source in manifest.domains(split)[domain].sources if domain in manifest.domains(split) else ():
                if source.held_out != wanted:
                    message = f"{tokens}: packed {split}/{domain} with --valid-fraction {source.held_out}, not {wanted}"
                    fields = {"key": "valid_fraction", "packed": source.held_out, "wanted": wanted}
                    raise CorpusError(message, code="tokens-differ", hint=pack_again(tokens), **fields)


def _require_key(manifest: Manifest, needed: Domains, tokens: Path, key: str) -> None:
    """Raise CorpusError if a key of the text was chosen that no file was packed with."""
    packed = {
        source.text_key or PLAIN.text_key
        for split in SPLITS
        for domain in needed[split]
        for source in manifest.domains(split)[domain].sources
    }
    if key not in {PLAIN.text_key, *packed}:
        message = f"{tokens}: packed with --text-key {listed(sorted(packed))}, not {key}"
        hint = pack_again(tokens)
        raise CorpusError(message, code="tokens-differ", hint=hint, key="text_key", packed=sorted(packed), wanted=key)


def _link(source: str, target: str) -> None:
    link(Path(source), Path(target))
