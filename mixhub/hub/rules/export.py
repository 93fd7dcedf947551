"""An export checked by itself: its files, its weights, and whether config and tokenizer fit them. Makes no request."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.findings import Finding, from_error
from mixhub.hub.rules.config import CONFIG, code_findings, known_config
from mixhub.hub.rules.lineage import hash_findings
from mixhub.hub.rules.tensors import dtype_findings, index_findings, not_finite_findings, shape_findings, tied_findings
from mixhub.hub.rules.tokenizer import size_and_end, token_findings
from mixhub.hub.rules.weights import Scanned, scan
from mixhub.progress import SILENT, Progress
from mixhub.workspace.export import EXPORT_FILES, TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE, WeightsIndex, weight_files
from mixhub.workspace.lineage import LINEAGE_FILE, combined_sha256, file_sha256, read_lineage

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
"""Suffixes of files that run code when they are opened."""
_AGAIN = "make the export again, or adopt the folder again"


@dataclass(frozen=True)
class ExportCheck:
    """The findings in an export, and the facts read from it."""

    findings: tuple[Finding, ...]
    hashes: Mapping[str, str]
    """sha256 by name, of the files that could be read."""
    weights_sha256: str | None
    """As `mixhub.workspace.lineage.weights_sha256`; None unless all weights could be read."""
    config: Mapping[str, Any]
    """The config of its model (see `known_config`); empty if unknown."""
    vocab_size: int | None
    """Number of ids of its tokenizer; None if it cannot be read."""
    eos_token: str | None
    """Token that ends text, by its tokenizer."""


def check_export(folder: Path, where: str, progress: Progress = SILENT) -> ExportCheck:
    """Read every byte of an export once, and report what is wrong with it.

    Args:
        folder: the export.
        where: the revision, as findings name it.
        progress: advances with each file.
    """
    scanned, hashes, broken = _read_files(folder, where, progress)
    is_whole = bool(scanned) and not any(_is_weights(name) for name in broken)
    weights = combined_sha256((name, hashes[name]) for name in scanned) if is_whole else None
    findings = [*_file_findings(folder, where, sorted({*hashes, *broken}))]
    for name, error in broken.items():
        message = error.message.replace(f"{folder}/", "")
        findings.append(Finding(error.code, where, message, error.hint or "", about=name))
    findings += _weight_findings(folder, where, scanned, is_whole=is_whole)
    findings += _config_findings(folder, where, hashes, weights)
    return ExportCheck(tuple(findings), hashes, weights, known_config(folder), *size_and_end(folder))


def is_pickle(path: str) -> bool:
    """Whether a file of that name runs code when it is opened."""
    return path.lower().endswith(PICKLES)


def _is_weights(path: str) -> bool:
    return path.endswith(".safetensors") and "/" not in path


def _file_findings(folder: Path, where: str, files: Sequence[str]) -> Iterator[Finding]:
    """Missing and foreign files, and pickles."""
    if missing := [name for name in EXPORT_FILES if name not in files]:
        yield Finding("file-missing", where, f"lacks {', '.join(missing)}", _AGAIN, about=missing[0])
    for name in files:
        if is_pickle(name):
            message = f"{name}: a pickle, which runs code when it is opened"
            hint = "remove it from the folder; weights are published as safetensors"
            yield Finding("pickle-found", where, message, hint, about=name)
        elif name not in {*EXPORT_FILES, *TOKENIZER_EXTRAS, WEIGHTS_INDEX_FILE} and not _is_weights(name):
            message = f"{name}: not part of an export, so it is not published"
            yield Finding("file-foreign", where, message, "move it out of the folder", about=name)
    try:
        weight_files(folder)
    except ExportError as error:
        yield Finding(error.code, where, error.message.removeprefix(f"{folder}: "), _AGAIN)


def _weight_findings(folder: Path, where: str, scanned: Mapping[str, Scanned], *, is_whole: bool) -> Iterator[Finding]:
    """The numbers and dtypes of the weights, and their shapes compared with index and config."""
    bad = {name: count for one in scanned.values() for name, count in one.not_finite.items()}
    yield from not_finite_findings(where, bad, "the run diverged, or the file is damaged: do not publish it")
    try:
        index = WeightsIndex.read(folder) if (folder / WEIGHTS_INDEX_FILE).is_file() else None
    except ExportError:  # `weight_files` reports it
        index = None
    if index is not None and set(index.shards) == set(scanned):
        yield from index_findings(where, index, {name: one.tensors for name, one in scanned.items()})
    tensors = {name: tensor for one in scanned.values() for name, tensor in one.tensors.items()}
    if is_whole:
        yield from dtype_findings(where, folder, tensors)
    if is_whole and (folder / CONFIG).is_file():
        yield from shape_findings(where, folder, tensors)
        yield from tied_findings(where, folder, tensors)


def _config_findings(
    folder: Path, where: str, hashes: Mapping[str, str], weights_sha256: str | None
) -> Iterator[Finding]:
    """Tokenizer and configs, and the hashes that the lineage states."""
    if {"tokenizer.json", "tokenizer_config.json", CONFIG, "generation_config.json"} <= set(hashes):
        yield from token_findings(where, folder)
    yield from code_findings(where, folder)
    try:
        lineage = read_lineage(folder) if LINEAGE_FILE in hashes else None
    except MixhubError as error:
        yield from_error(error, where, code="lineage-malformed")
        return
    if lineage is not None:
        yield from hash_findings(where, lineage, weights_sha256, hashes.get("tokenizer.json"), "make the export again")


def _read_files(
    folder: Path, where: str, progress: Progress
) -> tuple[dict[str, Scanned], dict[str, str], dict[str, ExportError]]:
    """Return the safetensors files, the hashes of all files, and why others could not be read, by path."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    scanned: dict[str, Scanned] = {}
    hashes: dict[str, str] = {}
    broken: dict[str, ExportError] = {}

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
    return scanned, hashes, broken
