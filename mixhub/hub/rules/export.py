"""An export checked by itself: its files, its weights, and whether config and tokenizer fit them. Makes no request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import CONFIG, code_findings, known_config
from mixhub.hub.rules.lineage import hash_findings
from mixhub.hub.rules.tensors import dtype_findings, index_findings, not_finite_findings, shape_findings
from mixhub.hub.rules.tokenizer import read_tokenizer, token_findings
from mixhub.hub.rules.weights import Scanned, Tensor, scan
from mixhub.progress import SILENT, Progress
from mixhub.workspace.export import (
    EXPORT_FILES,
    TOKENIZER_EXTRAS,
    WEIGHTS_FILE,
    WEIGHTS_INDEX_FILE,
    WeightsIndex,
    weight_files,
)
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256, file_sha256, read_lineage

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
"""Suffixes of files that run code when they are opened."""
_AGAIN = "make the export again, or adopt the folder again"


@dataclass(frozen=True)
class ExportCheck:
    """The findings in an export, and the facts that were read."""

    findings: tuple[Finding, ...]
    hashes: Mapping[str, str]
    """sha256 by name, of the files that could be read."""
    weights_sha256: str | None
    """As `mixhub.workspace.lineage.weights_sha256`; None unless all weights could be read."""
    config: Mapping[str, Any]
    """What its model is made with (see `known_config`); empty if unknown."""
    vocab_size: int | None
    """Number of ids of its tokenizer; None if it cannot be read."""
    eos_token: str | None
    """Token that ends text, by its tokenizer."""


@dataclass(frozen=True)
class _Export:
    """An export of which every byte was read."""

    folder: Path
    where: str
    scanned: Mapping[str, Scanned]
    """Its safetensors files by name."""
    hashes: Mapping[str, str]
    """sha256 by path, of the files that could be read."""
    broken: Mapping[str, ExportError]
    """Why the other files could not be read."""

    @property
    def files(self) -> list[str]:
        """Paths of all files, sorted."""
        return sorted({*self.hashes, *self.broken})

    @property
    def is_whole(self) -> bool:
        """Whether it has weights, and all of them could be read."""
        return bool(self.scanned) and not any(_is_weights(name) for name in self.broken)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all files, by name."""
        return {name: tensor for one in self.scanned.values() for name, tensor in one.tensors.items()}

    @property
    def weights_sha256(self) -> str | None:
        """As `mixhub.workspace.lineage.weights_sha256`; None unless the weights are whole."""
        return combined_sha256((name, self.hashes[name]) for name in self.scanned) if self.is_whole else None


def check_export(folder: Path, where: str, progress: Progress = SILENT) -> ExportCheck:
    """Read every byte of an export once, and report what is wrong with it.

    Args:
        folder: the export.
        where: the revision, as findings name it.
        progress: advances with each file.
    """
    export = _read_export(folder, where, progress)
    findings = (*_file_findings(export), *_weight_findings(export), *_config_findings(export))
    tokenizer = read_tokenizer(folder)
    size, eos = (tokenizer.size, tokenizer.eos_token) if tokenizer else (None, None)
    return ExportCheck(findings, export.hashes, export.weights_sha256, known_config(folder), size, eos)


def is_pickle(path: str) -> bool:
    """Whether a file of that name runs code when it is opened."""
    return path.lower().endswith(PICKLES)


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors") and "/" not in path


def _file_findings(export: _Export) -> Iterator[Finding]:
    """Missing and foreign files, pickles, and files that cannot be read."""
    if missing := [name for name in EXPORT_FILES if name not in export.files]:
        yield Finding("file-missing", export.where, f"lacks {', '.join(missing)}", _AGAIN, about=missing[0])
    for name in export.files:
        if is_pickle(name):
            message = f"{name}: a pickle, which runs code when it is opened"
            hint = "remove it from the folder; weights are published as safetensors"
            yield Finding("pickle-found", export.where, message, hint, about=name)
        elif name not in {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE} and not _is_weights(name):
            message = f"{name}: not part of an export, so it is not published"
            yield Finding("file-foreign", export.where, message, "move it out of the folder", about=name)
    try:
        weight_files(export.folder)
    except ExportError as error:
        yield Finding(error.code, export.where, error.message.removeprefix(f"{export.folder}: "), _AGAIN)
    for name, broken in export.broken.items():
        message = broken.message.replace(f"{export.folder}/", "")
        yield Finding(broken.code, export.where, message, broken.hint or "", about=name)


def _weight_findings(export: _Export) -> Iterator[Finding]:
    """The numbers and dtypes of the weights, and their shapes compared with index and config."""
    where, folder = export.where, export.folder
    bad = {name: count for one in export.scanned.values() for name, count in one.not_finite.items()}
    yield from not_finite_findings(where, bad, "the run diverged, or the file is damaged: do not publish it")
    if WEIGHTS_INDEX_FILE in export.files and WEIGHTS_FILE not in export.files:
        shards = {name: one.tensors for name, one in export.scanned.items()}
        try:
            index = WeightsIndex.read(folder)
        except ExportError:  # `weight_files` reports it
            index = None
        if index is not None and set(index.shards) == set(shards):
            yield from index_findings(where, index, shards)
    yield from dtype_findings(where, folder, export.tensors)
    if export.is_whole and CONFIG in export.files:
        yield from shape_findings(where, folder, export.tensors)


def _config_findings(export: _Export) -> Iterator[Finding]:
    """Tokenizer and configs, and the hashes that the lineage states."""
    if {"tokenizer.json", "tokenizer_config.json", CONFIG, "generation_config.json"} <= set(export.files):
        yield from token_findings(export.where, export.folder)
    yield from code_findings(export.where, export.folder)
    if LINEAGE_FILE in export.files:
        try:
            lineage = read_lineage(export.folder)
        except MixhubError as error:
            yield from_error(error, export.where, code="lineage-malformed")
            return
        weights, tokenizer = export.weights_sha256, export.hashes.get("tokenizer.json")
        yield from hash_findings(export.where, lineage, weights, tokenizer, "make the export again")


def _read_export(folder: Path, where: str, progress: Progress) -> _Export:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    scanned, hashes, broken = {}, {}, {}

    def read(name: str) -> Scanned | str | ExportError:
        try:
            return scan(folder / name) if _is_weights(name) else file_sha256(folder / name)
        except ExportError as error:
            return error
        except OSError as error:
            return ExportError(f"{name}: cannot be read: {error.strerror}", code="file-unreadable")

    with progress.start(f"checking {where}", len(names), "file") as bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in zip(names, pool.map(read, names), strict=True):
            bar.advance()
            if isinstance(result, ExportError):
                broken[name] = result
            elif isinstance(result, Scanned):
                scanned[name], hashes[name] = result, result.sha256
            else:
                hashes[name] = result
    return _Export(folder, where, scanned, hashes, broken)
