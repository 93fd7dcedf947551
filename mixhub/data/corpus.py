"""Text on disk, in RegMix's layout: `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`, rows `{"text": …}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mixhub.errors import CorpusError, nearest
from mixhub.workspace.manifest import SPLITS, Split

_FILE = re.compile(r"(?P<domain>.+)-(?P<number>\d+)\.jsonl")


class Row(NamedTuple):
    """One line of a file."""

    text: str
    """The document."""
    size: int
    """Bytes of the line, for progress."""


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus, by split and domain."""

    path: Path
    """The folder that holds `train/` and `valid/`."""
    files: Mapping[Split, Mapping[str, tuple[Path, ...]]]
    """Files of each domain, in the order of their numbers."""

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Lists the files below `path`; raises CorpusError when there is no such folder."""
        if not path.is_dir():
            raise CorpusError(
                f"{path}: no such corpus",
                code="corpus-missing",
                hint=f"put {path}/train/<domain>-<n>.jsonl and {path}/valid/<domain>-<n>.jsonl there",
                path=path,
            )
        return cls(path, {split: _files(path / split) for split in SPLITS})

    def domains(self, split: Split) -> list[str]:
        """Domains that have files, sorted."""
        return sorted(self.files[split])

    def require(self, domains: Mapping[Split, list[str]]) -> None:
        """Raises one CorpusError that lists every one of `domains` without a file, with the nearest that has some."""
        missing = [(split, domain) for split in SPLITS for domain in domains[split] if domain not in self.files[split]]
        if not missing:
            return
        lines = []
        for split, domain in missing:
            near = nearest(domain, self.files[split])
            meant = f"; the nearest there is {near}" if near else ""
            lines.append(f"{self.path / split}: no file {domain}-<n>.jsonl for domain {domain}{meant}")
        raise CorpusError(
            "\n".join(lines),
            code="domains-missing",
            hint="add the files, or give the domains a weight of 0",
            path=self.path,
            missing=tuple(missing),
        )

    def rows(self, split: Split, domain: str) -> Iterator[Row]:
        """Reads a domain line by line, file after file.

        Raises:
            CorpusError: a line is not UTF-8, not JSON, or has no text; names file, line and rule.
        """
        for path in self.files[split][domain]:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    yield Row(_text(line, path, number), len(line))

    def documents(self, split: Split, domain: str) -> Iterator[str]:
        """The documents of a domain; raises as `rows`."""
        return (row.text for row in self.rows(split, domain))

    def size(self, split: Split, domain: str) -> int:
        """Bytes of a domain's files."""
        return sum(path.stat().st_size for path in self.files[split][domain])


def _files(folder: Path) -> dict[str, tuple[Path, ...]]:
    if not folder.is_dir():
        return {}
    numbered: dict[str, list[tuple[int, str]]] = {}
    for path in folder.iterdir():
        if match := _FILE.fullmatch(path.name):
            numbered.setdefault(match["domain"], []).append((int(match["number"]), path.name))
    return {domain: tuple(folder / name for _, name in sorted(found)) for domain, found in numbered.items()}


def _text(line: bytes, path: Path, number: int) -> str:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        rule = f"not UTF-8: {error.reason} at byte {error.start}"
        raise _bad_row(path, number, rule, code="row-encoding") from None
    except json.JSONDecodeError as error:
        rule = f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise _bad_row(path, number, rule, code="row-malformed") from None
    if not isinstance(row, dict) or "text" not in row:
        rule = "no text: a row must be an object with the key text"
        raise _bad_row(path, number, rule, code="row-text-missing")
    text = row["text"]
    if not isinstance(text, str):
        raise _bad_row(path, number, f"text must be text, not {type(text).__name__}", code="row-text-type")
    try:
        text.encode()
    except UnicodeEncodeError:
        rule = "text must be Unicode, but has half of a surrogate pair"
        raise _bad_row(path, number, rule, code="row-encoding") from None
    return text


def _bad_row(path: Path, number: int, rule: str, *, code: str) -> CorpusError:
    hint = 'each line must be one JSON object: {"text": "the document"}'
    return CorpusError(f"{path}:{number}: {rule}", code=code, hint=hint, path=path, line=number)
