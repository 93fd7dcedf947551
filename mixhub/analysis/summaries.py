"""Summaries of samples, kept: a card is rendered many times, and gigabytes of samples are read once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mixhub.analysis.samples import (
    Baseline,
    SampleSummary,
    cells_with_samples,
    mean_over_shots,
    read_baseline,
    read_clusters,
)
from mixhub.analysis.scores import SCORE, Column
from mixhub.analysis.statistics import clustered_stderr
from mixhub.errors import MixhubError
from mixhub.files import read_json, write_json
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.records import Record

_FORMAT = 1
"""Changes when a summary of the same samples comes out otherwise."""
_MOST_KEPT = 20_000
"""Scores; those of runs that are gone or were measured again go first."""


def read_summary(
    records: Mapping[str, Sequence[Record]], columns: Sequence[Column], kept: Path, progress: Progress = SILENT
) -> SampleSummary:
    """What samples say of the scores of a table, as far as they are there.

    Args:
        records: cells, by revision.
        columns: the tasks, and the shot counts that a score is the mean over.
        kept: a file of summaries from before, by name, size and date of the samples; it is written again, and may be
            deleted at any time.
        progress: shows the files that are read.

    Raises:
        ResultsError: samples are malformed, lack a value, or are not those of their result.
    """
    wanted = list(_wanted(records, columns))
    known = _read(kept)
    missing = [one for one in wanted if one.key not in known]
    with progress.start("samples", sum(len(one.cells) for one in missing), "file") as bar:
        for one in missing:
            known[one.key] = one.entry(bar)
    used = {one.key: known[one.key] for one in wanted}
    if missing:  # the newest last, so that it is the oldest that go
        entries = {**{key: entry for key, entry in known.items() if key not in used}, **used}
        with suppress(OSError):  # a workspace may be read-only: it is read again then
            write_json(kept, {"format": _FORMAT, "entries": dict(list(entries.items())[-_MOST_KEPT:])})
    return _summary(wanted, used)


@dataclass(frozen=True)
class _Wanted:
    """The samples of one score."""

    revision: str
    task: str
    cells: Sequence[Record]

    @property
    def key(self) -> str:
        """Changes with the samples, and with the results that they belong to."""
        parts: list[object] = [_FORMAT, self.revision, self.task]
        for cell in self.cells:
            assert cell.samples is not None
            status = cell.samples.stat()
            parts.append(
                [
                    cell.samples.name,
                    status.st_size,
                    status.st_mtime_ns,
                    status.st_ctime_ns,
                    SCORE.metric(cell),
                    cell.metrics,
                ]
            )
        text = json.dumps(parts, sort_keys=True, default=dict)
        return hashlib.sha256(text.encode()).hexdigest()

    def entry(self, bar: Bar) -> dict[str, Any]:
        """What is kept: empty where the shot counts saw different documents."""
        documents = mean_over_shots(self.cells, SCORE, bar)
        if documents is None:
            return {}
        stderr = clustered_stderr(documents.values, read_clusters(self.cells[0], documents.ids))
        baseline = read_baseline(self.cells[0])
        return {
            "stderr": stderr,
            "content": documents.content,
            "chance": baseline.chance,
            "constant": baseline.constant,
        }


def _wanted(records: Mapping[str, Sequence[Record]], columns: Sequence[Column]) -> Iterator[_Wanted]:
    for column in columns:
        for revision, own in records.items():
            if cells := cells_with_samples(own, column):
                yield _Wanted(revision, column.task, cells)


def _read(kept: Path) -> dict[str, Any]:
    """What was kept; nothing of a file that is not whole or of another format."""
    try:
        data = read_json(kept)
    except MixhubError:
        return {}
    if not isinstance(data, dict) or data.get("format") != _FORMAT or not isinstance(data.get("entries"), dict):
        return {}
    return {key: entry for key, entry in data["entries"].items() if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    figures = ("stderr", "chance", "constant")
    return isinstance(entry, dict) and (
        not entry
        or (
            isinstance(entry.get("content"), str)
            and all(entry.get(name) is None or _is_finite(entry[name]) for name in figures)
        )
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)


def _summary(wanted: Sequence[_Wanted], entries: Mapping[str, Mapping[str, Any]]) -> SampleSummary:
    stderrs: dict[tuple[str, str], float | None] = {}
    contents: dict[tuple[str, str], str] = {}
    baselines: dict[str, Baseline] = {}
    for one in wanted:
        if entry := entries[one.key]:
            stderrs[one.revision, one.task] = entry.get("stderr")
            contents[one.revision, one.task] = entry["content"]
            baselines.setdefault(one.task, Baseline(entry.get("chance"), entry.get("constant")))
    return SampleSummary(MappingProxyType(stderrs), MappingProxyType(contents), MappingProxyType(baselines))
