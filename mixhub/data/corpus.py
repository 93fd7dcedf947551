"""Text in RegMix's layout: `train/<domain>-<n>.jsonl` and `valid/<domain>-<n>.jsonl`, rows `{"text": …}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import CorpusError, nearest
from mixhub.workspace.manifest import SPLITS, Domains, Split

_FILE = re.compile(r"(?P<domain>.+)-(?P<number>\d+)\.jsonl")


@dataclass(frozen=True)
class Corpus:
    """The files of a corpus, by split and domain."""

    path: Path
    """The folder that holds `train/` and `valid/`."""
    files: Mapping[Split, Mapping[str, tuple[Path, ...]]]
    """Files of each domain, in the order of their numbers."""

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """List the files below a folder; raises CorpusError if it does not exist."""
        if not path.is_dir():
            hint = f"add {path}/train/<domain>-<n>.jsonl and {path}/valid/<domain>-<n>.jsonl"
            raise CorpusError(f"{path}: no such corpus", code="corpus-missing", hint=hint, path=path)
        return cls(path, {split: _files(path / split) for split in SPLITS})

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
            lines.append(f"{self.path / split}: no file {domain}-<n>.jsonl for domain {domain}{suggestion}")
        if lines:
            raise CorpusError("\n".join(lines), code="domains-missing", path=self.path, missing=tuple(missing))

    def documents(self, split: Split, domain: str) -> Iterator[str]:
        """Yield the text of each line as `rows_of` does."""
        return (text for path in self.files[split][domain] for text, _ in rows_of(path))

    def size(self, split: Split, domain: str) -> int:
        """Return the bytes of a domain's files."""
        return sum(path.stat().st_size for path in self.files[split][domain])


def rows_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield text and bytes of each line of a file that is not blank.

    Raises:
        CorpusError: a line is not UTF-8, not JSON, or has no text.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.isspace():
                yield _text(line, path, number), len(line)


def _files(folder: Path) -> dict[str, tuple[Path, ...]]:
    numbered: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if match := _FILE.fullmatch(path.name):
            numbered.setdefault(match["domain"], []).append((int(match["number"]), path))
    return {domain: tuple(path for _, path in sorted(files)) for domain, files in numbered.items()}


def _text(line: bytes, path: Path, number: int) -> str:
    try:
        row = json.loads(line.decode())
        text = row.get("text") if isinstance(row, dict) else None
        if isinstance(text, str):
            text.encode()
            return text
        code, rule = "row-text-missing", "must be an object with text under the key text"
    except UnicodeDecodeError as error:
        code, rule = "row-encoding", f"not UTF-8: {error.reason} at byte {error.start}"
    except UnicodeEncodeError:
        code, rule = "row-encoding", "text must be Unicode, but has an unpaired surrogate"
    except json.JSONDecodeError as error:
        code, rule = "row-malformed", f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number with too many digits, or too many brackets
        code, rule = "row-malformed", f"not JSON that can be read: {error}"
    hint = 'each line must be one JSON object: {"text": "the document"}'
    raise CorpusError(f"{path}:{number}: {rule}", code=code, hint=hint, path=path, line=number)
