"""The folder of an unfinished pack: shards that are finished, and what processes that share the work agree on."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mixhub.data.corpus import Corpus
from mixhub.data.packing.shards import Job
from mixhub.data.tokenizer import TOKENIZER_FILE, make_tokenizer, training_sample
from mixhub.errors import UsageError
from mixhub.files import locked, new_folder, write_text
from mixhub.spec.family import Family

_TOKENIZER_INPUTS = "tokenizer.inputs"
"""File with a hash of what the tokenizer was made of."""
_LOCK = re.compile(r"part-\d+-of-(\d+)\.lock")


@dataclass(frozen=True)
class Part:
    """One of several commands that pack a corpus together.

    Raises:
        UsageError: it is not one of them.
    """

    number: int = 1
    """Which one, from 1."""
    parts: int = 1
    """How many there are."""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.parts:
            rule = f"1/{self.parts} to {self.parts}/{self.parts}" if self.parts else "i/n, such as 1/8"
            message = f"--shard {self.number}/{self.parts}: must be {rule}"
            raise UsageError(message, code="option-value", option="--shard", value=f"{self.number}/{self.parts}")

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `i/n`."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if match is None:
            message = f"--shard {text}: must be i/n, such as 1/8"
            raise UsageError(message, code="option-value", option="--shard", value=text)
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f" {self.number}/{self.parts}" if self.parts > 1 else ""

    def jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs of this part: each part gets about the same number of bytes."""
        sizes = [0] * min(self.parts, len(jobs))  # further parts get no file
        mine = []
        for job in sorted(jobs, key=lambda job: (-job.size, job.shard)):
            lightest = sizes.index(min(sizes))
            sizes[lightest] += max(job.size, 1)
            if lightest == self.number - 1:
                mine.append(job)
        return mine


WHOLE = Part()
"""All files."""


def building_folder(tokens: Path) -> Path:
    """Return the folder of an unfinished pack of `tokens`."""
    return tokens.with_name(f"{tokens.name}.packing")


@contextmanager
def locked_part(building: Path, part: Part) -> Iterator[None]:
    """Hold the lock of a part; call it with the lock of the folder above.

    Raises:
        WorkspaceError: another process packs the same part, or divides the files into another number of parts.
    """
    busy = f"{building} is being packed"
    with ExitStack() as others:
        for path in building.glob("part-*.lock"):
            if (match := _LOCK.fullmatch(path.name)) and int(match[1]) != part.parts:
                others.enter_context(locked(path, busy))
    with locked(building / f"part-{part.number}-of-{part.parts}.lock", busy):
        yield


def prepare_tokenizer(family: Family, corpus: Corpus, folder: Path, source: Path | None) -> None:
    """Make the tokenizer of a new pack; one that was trained on the same text stays.

    Raises:
        CorpusError: it cannot be made, as `make_tokenizer` says.
    """
    digest = hashlib.sha256(repr((family.tokenizer, family.architecture.context)).encode())
    file = source and source / TOKENIZER_FILE
    if file is not None and file.is_file():
        digest.update(file.read_bytes())
    elif family.tokenizer.repo_id is None:
        for text in training_sample(corpus):
            digest.update(text.encode())
    made = folder.with_name(_TOKENIZER_INPUTS)
    if folder.is_dir() and made.is_file() and made.read_text() == digest.hexdigest():
        return
    made.unlink(missing_ok=True)
    with new_folder(folder) as new:
        make_tokenizer(family, corpus, new, source)
    write_text(made, digest.hexdigest())


def link(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if the disk has no links; runs that read the old file keep its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
