"""`download.json` of a corpus: which of its files come from which dataset repo, and how many files that has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from mixhub.errors import CorpusError
from mixhub.files import read_json
from mixhub.spec.base import FrozenMap, Spec
from mixhub.spec.values import Count
from mixhub.workspace.lineage import DatasetPart

DOWNLOAD_FILE = "download.json"


class DownloadedFile(Spec):
    """A file of the corpus that was downloaded and verified."""

    repo_id: str
    """The dataset repo."""
    commit: str
    """Commit of the repo."""
    size: Count
    """Bytes."""
    content_id: str
    """The hub's hash of its content: sha256 of a large file, otherwise sha1 of git's blob."""


class DownloadRecord(Spec):
    """The content of `download.json`."""

    format: Literal[1] = 1
    """Version of this file's layout."""
    datasets: FrozenMap[str, FrozenMap[str, Count]] = Field(default_factory=dict, validate_default=True)
    """By dataset repo, its number of files of each domain, as `train/<domain>`."""
    files: FrozenMap[str, DownloadedFile] = Field(default_factory=dict, validate_default=True)
    """By path relative to the corpus."""

    def parts(self, domain: str, names: Iterable[str]) -> tuple[DatasetPart, ...] | None:
        """Return which part of each dataset's files of a domain is among `names`; None if none was downloaded.

        Args:
            domain: without prefix.
            names: paths relative to the corpus, of one split.
        """
        counts = Counter((self.files[name].repo_id, name.split("/")[0]) for name in names if name in self.files)
        parts = [
            DatasetPart(repo_id=repo_id, files=count, of=self.datasets[repo_id][f"{split}/{domain}"])
            for (repo_id, split), count in sorted(counts.items())
        ]
        return tuple(parts) or None


def read_downloads(corpus: Path) -> DownloadRecord:
    """Read the record of a corpus, empty if nothing was downloaded; raises SpecError if it is malformed."""
    path = corpus / DOWNLOAD_FILE
    return DownloadRecord.from_data(read_json(path, CorpusError), str(path)) if path.is_file() else DownloadRecord()
