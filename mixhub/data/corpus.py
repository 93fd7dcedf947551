"""Text in RegMix's layout: `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`, rows `{"text": …}`.

A file may also be compressed (`.jsonl.gz`, `.jsonl.zst`) or a table (`.parquet`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixhub.data.rows import Skipped, read_rows
from mixhub.errors import CorpusError, UsageError, nearest
from mixhub.formats import TEXT_FILE, TEXT_SUFFIXES
from mixhub.workspace.manifest import SPLITS, Domains, Split

_FILE = re.compile(TEXT_FILE)


@dataclass(frozen=True)
class Reading:
    """How the files of a corpus are read.

    Raises:
        UsageError: the fraction is not between 0 and 1.
    """

    text_key: str = "text"
    """Key of the text in a line, or column of a parquet file."""
    valid_fraction: float | None = None
    """Share of the training documents that is held out, in domains without files in `valid/`."""
    skip_bad: bool = False
    """Whether to skip and count broken rows; otherwise the first is an error."""

    def __post_init__(self) -> None:
        if self.valid_fraction is not None and not 0 < self.valid_fraction < 1:
            message = f"--valid-fraction {self.valid_fraction}: must be between 0 and 1"
            raise UsageError(message, code="option-value", option="--valid-fraction", value=self.valid_fraction)


PLAIN = Reading()
"""Text under the key `text`, nothing held out, nothing skipped."""


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus, by split and domain."""

    path: Path
    """The folder that holds `train/` and `valid/`."""
    files: Mapping[Split, Mapping[str, tuple[Path, ...]]]
    """Files of each domain, in the order of their numbers. A held-out part has the files it is taken from."""
    reading: Reading = PLAIN
    """How the files are read."""
    unread: tuple[Path, ...] = ()
    """What else lies beside the files: of another format, without a number, or in a folder."""

    @classmethod
    def open(cls, path: Path, reading: Reading = PLAIN, dataset: str | None = None) -> Corpus:
        """List the files below a folder.

        Raises:
            CorpusError: the folder does not exist, a file is a folder or a broken link, or two are the same file.
        """
        if not path.is_dir():
            hint = f"run mixhub data download for the text of {dataset}, or " if dataset else ""
            hint += f"add {path}/train/<domain>-<n>.jsonl and {path}/valid/<domain>-<n>.jsonl"
            raise CorpusError(f"{path}: no such corpus", code="corpus-missing", hint=hint, path=path)
        train, valid = (_files(path / split) for split in SPLITS)
        if reading.valid_fraction is not None:
            valid = train | valid
        beside = [one for split in SPLITS if (path / split).is_dir() for one in sorted((path / split).iterdir())]
        unread = tuple(one for one in beside if not _FILE.fullmatch(one.name) and not one.name.startswith("."))
        return cls(path, {"train": train, "valid": valid}, reading, unread)

    def domains(self, split: Split) -> list[str]:
        """Return the domains that have files, sorted."""
        return sorted(self.files[split])

    def require(self, domains: Domains) -> None:
        """Raise a CorpusError that lists all domains without a file, each with the most similar name."""
        missing = [(split, domain) for split in SPLITS for domain in domains[split] if domain not in self.files[split]]
        lines = []
        for split, domain in missing:
            near = nearest(domain, self.files[split])
            suggestion = f"; the nearest is {near}" if near else ""
            beside = [one.name for one in self.unread if one.parent.name == split and one.name.startswith(domain)]
            if beside:
                suggestion = f"; {beside[0]} is not read, because of its name"
            lines.append(f"{self.path / split}: no file {domain}-<n>.jsonl for domain {domain}{suggestion}")
        if lines:
            hint = None
            if all(split == "valid" and domain in self.files["train"] for split, domain in missing):
                hint = "add the files, or hold out a part of the training text: mixhub data pack --valid-fraction 0.01"
            fields = {"path": self.path, "missing": tuple(missing)}
            raise CorpusError("\n".join(lines), code="domains-missing", hint=hint, **fields)

    def held_out(self, domain: str) -> float | None:
        """Return the share of a domain's training documents that is held out; None if it has files in `valid/`."""
        is_part = self.files["valid"].get(domain) == self.files["train"].get(domain)
        return self.reading.valid_fraction if is_part else None

    def documents(self, split: Split, domain: str) -> Iterator[str]:
        """Yield the text of each document; raises CorpusError as `read_documents` does."""
        share = self.held_out(domain)
        for path in self.files[split][domain]:
            for text, _ in read_documents(path, self.reading, split, share, Skipped()):
                yield text

    def size(self, split: Split, domain: str) -> int:
        """Return the bytes of a domain's files."""
        return sum(path.stat().st_size for path in self.files[split][domain])


def read_documents(
    path: Path, reading: Reading, split: Split, held_out: float | None, skipped: Skipped
) -> Iterator[tuple[str, int]]:
    """Yield the text of each document of a split, and how many bytes of the file are read.

    Which documents are held out depends on a hash of the file's name without suffix and the number of the row. So it
    does not change if other rows do, or if the file is compressed.

    Args:
        path: the file.
        reading: how to read it.
        split: which part to yield, if a part is held out.
        held_out: share of the documents that belongs to `valid`; None if the whole file belongs to `split`.
        skipped: counts the rows that are skipped, if `reading` skips bad ones.

    Raises:
        CorpusError: a row is broken, or the file.
    """
    name, wanted = f"{stem(path)}:", split == "valid"
    for number, text, position in read_rows(path, reading.text_key, skipped if reading.skip_bad else None):
        if held_out is None or (_draw(f"{name}{number}") < held_out) == wanted:
            yield text, position


def stem(path: Path) -> str:
    """Return `<domain>-<n>`: the name of a file without the suffixes of its format."""
    return path.name.removesuffix(next(suffix for suffix in TEXT_SUFFIXES if path.name.endswith(suffix)))


def _draw(key: str) -> float:
    """Return a number in [0, 1) that depends on nothing but `key`."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48


def _files(folder: Path) -> dict[str, tuple[Path, ...]]:
    numbered: dict[str, dict[int, Path]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := _FILE.fullmatch(path.name):
            if not path.is_file():
                fault = "a folder" if path.is_dir() else "a device" if path.exists() else "a link to nothing"
                message, hint = f"{path}: {fault}, not a file of text", "remove it, or give it another name"
                raise CorpusError(message, code="file-unreadable", hint=hint, path=path)
            other = numbered.setdefault(match["domain"], {}).setdefault(int(match["number"]), path)
            if other != path:
                message = f"{path}: {other.name} has the same domain and number"
                hint = "delete one of them if they hold the same text; otherwise give it another number"
                raise CorpusError(message, code="corpus-file-twice", hint=hint, path=path, other=other)
    return {domain: tuple(path for _, path in sorted(files.items())) for domain, files in numbered.items()}
