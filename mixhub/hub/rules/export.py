"""An export, checked by itself: its files, its weights, and whether config and tokenizer fit them. Makes no request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding
from mixhub.hub.rules.config import CONFIG, code_findings, known_config
from mixhub.hub.rules.tensors import (
    dtype_findings,
    index_findings,
    not_finite_findings,
    shape_findings,
    stored_findings,
)
from mixhub.hub.rules.tokenizer import read_tokenizer, token_findings
from mixhub.hub.rules.weights import Scanned, Tensor, scan
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.export import (
    EXPORT_FILES,
    TOKENIZER_EXTRAS,
    WEIGHTS_FILE,
    WEIGHTS_INDEX_FILE,
    WeightsIndex,
    weight_files,
)
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, combined_sha256, file_sha256, read_lineage

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
"""Ends of names of files that run code when they are opened."""
_AGAIN = "make the export again, or adopt the folder anew"


@dataclass(frozen=True)
class ExportCheck:
    """What was found in an export, and what its files are."""

    findings: tuple[Finding, ...]
    hashes: Mapping[str, str]
    """sha256 by name, of the files that could be read."""
    weights_sha256: str | None
    """As `mixhub.workspace.lineage.weights_sha256`; None without weights that can be read."""
    config: Mapping[str, Any]
    """What its model is made with (see `effective_config`); empty if it describes none."""
    vocab_size: int | None
    """How many ids its tokenizer has; None if it cannot be read."""
    eos_token: str | None
    """The token that ends text, by its tokenizer."""


@dataclass(frozen=True)
class ExportUnderCheck:
    """An export whose every byte was read."""

    folder: Path
    where: str
    """The revision, as findings name it."""
    files: tuple[str, ...]
    """Paths of all files below the folder, sorted."""
    scanned: Mapping[str, Scanned]
    """Its safetensors files by name, those that could be read."""
    broken: Mapping[str, ExportError]
    """Why the other safetensors files could not be."""
    hashes: Mapping[str, str]
    """sha256 by path, of the files that could be read."""
    unreadable: Mapping[str, str]
    """What the system says of the other files that are no weights."""

    @classmethod
    def read(cls, folder: Path, where: str, progress: Progress) -> ExportUnderCheck:
        """Reads all files of a folder."""
        files = tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))
        weights = [name for name in files if _is_weights(name)]
        with progress.start(f"checking {where}", len(weights), "file") as bar:
            scanned, broken = _scan_all(folder, weights, bar)
        hashes, unreadable = {name: one.sha256 for name, one in scanned.items()}, {}
        for name in files:
            if name not in weights:
                try:
                    hashes[name] = file_sha256(folder / name)
                except OSError as error:
                    unreadable[name] = str(error.strerror)
        return cls(folder, where, files, scanned, broken, hashes, unreadable)

    @property
    def is_whole(self) -> bool:
        """Whether it has weights, and all of them could be read."""
        return bool(self.scanned) and not self.broken

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all files, by name."""
        return {name: tensor for one in self.scanned.values() for name, tensor in one.tensors.items()}

    @property
    def weights_sha256(self) -> str | None:
        """As `mixhub.workspace.lineage.weights_sha256`; None unless the weights are whole."""
        return combined_sha256((name, self.hashes[name]) for name in self.scanned) if self.is_whole else None

    @cached_property
    def lineage(self) -> Lineage | MixhubError | None:
        """Its lineage, or why it cannot be read; None without one."""
        try:
            return read_lineage(self.folder) if LINEAGE_FILE in self.files else None
        except MixhubError as error:
            return error


def files_missing(export: ExportUnderCheck) -> Iterator[Finding]:
    """Files that each export has."""
    if missing := [name for name in EXPORT_FILES if name not in export.files]:
        yield Finding("file-missing", export.where, f"lacks {', '.join(missing)}", _AGAIN, about=missing[0])


def files_foreign(export: ExportUnderCheck) -> Iterator[Finding]:
    """Pickles, and files that no export has."""
    known = {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE}
    for name in export.files:
        if is_pickle(name):
            message = f"{name}: a pickle, which runs code when it is opened"
            hint = "take it out of the folder; weights are published as safetensors"
            yield Finding("pickle-found", export.where, message, hint, about=name)
        elif name not in known and not _is_weights(name):
            message = f"{name}: not part of an export, so it is not published"
            yield Finding("file-foreign", export.where, message, "move it out of the folder", about=name)


def shards_missing(export: ExportUnderCheck) -> Iterator[Finding]:
    """One file of weights, or all shards that the index names, and no other."""
    try:
        weight_files(export.folder)
    except ExportError as error:
        message = error.message.removeprefix(f"{export.folder}: ")
        yield Finding(error.code, export.where, message, _AGAIN)


def files_unreadable(export: ExportUnderCheck) -> Iterator[Finding]:
    """Files that cannot be read, and weights that are no safetensors."""
    for name, error in export.broken.items():
        message = error.message.replace(f"{export.folder}/", "")
        yield Finding(error.code, export.where, message, error.hint or "", about=name)
    for name, said in export.unreadable.items():
        yield Finding("file-unreadable", export.where, f"{name}: cannot be read: {said}", about=name)


def weights_not_finite(export: ExportUnderCheck) -> Iterator[Finding]:
    """NaN and infinite numbers."""
    bad = {name: count for one in export.scanned.values() for name, count in one.not_finite.items()}
    hint = "the run has diverged, or the file is damaged: do not publish it"
    yield from not_finite_findings(export.where, bad, hint)


def weights_wrong_dtype(export: ExportUnderCheck) -> Iterator[Finding]:
    """Tensors of integers, or of another dtype that no model of a family has."""
    yield from dtype_findings(export.where, export.tensors)


def index_differs(export: ExportUnderCheck) -> Iterator[Finding]:
    """The index beside the shards that it names, if those can all be read; `shards_missing` reports a broken index."""
    if WEIGHTS_INDEX_FILE not in export.files or WEIGHTS_FILE in export.files:
        return
    try:
        index = WeightsIndex.read(export.folder)
    except ExportError:
        return
    if set(index.shards) == set(export.scanned):
        shards = {name: one.tensors for name, one in export.scanned.items()}
        yield from index_findings(export.where, index, shards)


def shapes_differ(export: ExportUnderCheck) -> Iterator[Finding]:
    """Names and shapes of the tensors, and their dtype, beside `config.json`."""
    if export.is_whole:
        if CONFIG in export.files:
            yield from shape_findings(export.where, export.folder, export.tensors)
        yield from stored_findings(export.where, export.folder, export.tensors)


def tokenizer_unfit(export: ExportUnderCheck) -> Iterator[Finding]:
    """The tokenizer beside `config.json` and `generation_config.json`."""
    if {"tokenizer.json", "tokenizer_config.json", CONFIG, "generation_config.json"} <= set(export.files):
        yield from token_findings(export.where, export.folder)


def code_required(export: ExportUnderCheck) -> Iterator[Finding]:
    """Configs that ask for custom code."""
    yield from code_findings(export.where, export.folder)


def hashes_differ(export: ExportUnderCheck) -> Iterator[Finding]:
    """Weights and tokenizer by the hashes of the lineage."""
    lineage = export.lineage
    if isinstance(lineage, MixhubError):
        yield Finding("lineage-malformed", export.where, lineage.message)
    elif lineage is not None:
        own, tokenizer = export.weights_sha256, export.hashes.get("tokenizer.json")
        if own is not None and lineage.weights_sha256 != own:
            message = f"its weights are {own}, but {LINEAGE_FILE} says {lineage.weights_sha256}"
            hint = "these are not the weights that were exported: make the export again"
            yield Finding("weights-differ", export.where, message, hint)
        if tokenizer is not None and lineage.tokenizer_sha256 not in (UNKNOWN, tokenizer):
            message = f"tokenizer.json is {tokenizer}, but {LINEAGE_FILE} says {lineage.tokenizer_sha256}"
            hint = "this is not the tokenizer that it was trained with: make the export again"
            yield Finding("tokenizer-differs", export.where, message, hint)


RULES: tuple[Callable[[ExportUnderCheck], Iterator[Finding]], ...] = (
    files_missing,
    files_foreign,
    shards_missing,
    files_unreadable,
    weights_not_finite,
    weights_wrong_dtype,
    index_differs,
    shapes_differ,
    tokenizer_unfit,
    code_required,
    hashes_differ,
)
"""What each export must keep, in the order in which it is reported."""


def check_export(folder: Path, where: str, progress: Progress = SILENT) -> ExportCheck:
    """Reads every byte of an export once, and reports what is wrong with it.

    Args:
        folder: the export.
        where: the revision, as findings name it.
        progress: advances with each file of weights that is read.
    """
    export = ExportUnderCheck.read(folder, where, progress)
    findings = tuple(finding for rule in RULES for finding in rule(export))
    known = read_tokenizer(folder)
    size, eos = (known.size, known.eos_token) if known else (None, None)
    return ExportCheck(findings, export.hashes, export.weights_sha256, known_config(folder), size, eos)


def is_pickle(path: str) -> bool:
    """Whether a file of that name runs code when it is opened."""
    return path.lower().endswith(PICKLES)


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors") and "/" not in path


def _scan_all(folder: Path, names: list[str], bar: Bar) -> tuple[dict[str, Scanned], dict[str, ExportError]]:
    def one(name: str) -> Scanned | ExportError:
        try:
            return scan(folder / name)
        except ExportError as error:
            return error

    scanned, broken = {}, {}
    with ThreadPoolExecutor(max(1, min(len(names), os.cpu_count() or 1))) as pool:
        for name, result in zip(names, pool.map(one, names), strict=True):
            bar.advance()
            if isinstance(result, ExportError):
                broken[name] = result
            else:
                scanned[name] = result
    return scanned, broken
