"""A cache of sample summaries: a card is rendered many times, but gigabytes of samples are read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import msgspec

from mixhub.analysis.samples import (
    Baseline,
    SampleSummary,
    cells_with_samples,
    mean_over_shots,
    read_baseline,
    read_clusters,
)
from mixhub.analysis.scores import SCORE, Column
from mixhub.analysis.statistics.crossed import clustered_stderr
from mixhub.files import write_json
from mixhub.progress import SILENT, Bar, Progress
from mixhub.workspace.records import Record

_FORMAT = 1
"""Increase it when a summary of the same samples changes."""
_MAX_ENTRIES = 20_000
"""Scores; the oldest are dropped first."""


class _Entry(msgspec.Struct, omit_defaults=True):
    """The summary of one score; all None if the shot counts saw different documents."""

    stderr: float | None = None
    content: str | None = None
    chance: float | None = None
    constant: float | None = None


class _Cache(msgspec.Struct):
    format: Literal[1]
    entries: dict[str, _Entry]


def read_summary(
    records: Mapping[str, Sequence[Record]], columns: Sequence[Column], cache: Path, progress: Progress = SILENT
) -> SampleSummary:
    """Read what cards and tables need of samples, as far as there are samples.

    Args:
        records: cells, by revision.
        columns: the tasks, and the shot counts that a score is the mean over.
        cache: a file with earlier summaries, by name, size and date of the samples. It is updated, and may be deleted
            at any time.
        progress: shows the files that are read.

    Raises:
        ResultsError: samples are malformed, lack a value, or do not belong to their result.
    """
    scores = {key: (_cache_key(*key, cells), cells) for key, cells in cells_with_samples(records, columns).items()}
    known = _read_cache(cache)
    missing = {name: cells for name, cells in scores.values() if name not in known}
    with progress.start("samples", sum(map(len, missing.values())), "file") as bar:
        known |= {name: _summarize(cells, bar) for name, cells in missing.items()}
    used = {key: known[name] for key, (name, _) in scores.items()}
    if missing:
        for name, _ in scores.values():  # the newest last, so that the oldest are dropped
            known[name] = known.pop(name)
        entries = msgspec.to_builtins(dict(list(known.items())[-_MAX_ENTRIES:]))
        with suppress(OSError):  # the workspace may be read-only
            write_json(cache, {"format": _FORMAT, "entries": entries})
    baselines: dict[str, Baseline] = {}
    for (_, task), entry in used.items():
        if entry.content is not None:
            baselines.setdefault(task, Baseline(entry.chance, entry.constant))
    return SampleSummary(
        stderrs=MappingProxyType({key: entry.stderr for key, entry in used.items() if entry.content is not None}),
        contents=MappingProxyType({key: entry.content for key, entry in used.items() if entry.content is not None}),
        baselines=MappingProxyType(baselines),
    )


def _cache_key(revision: str, task: str, cells: Sequence[Record]) -> str:
    """Changes with the samples, and with the results that they belong to."""
    parts: list[object] = [_FORMAT, revision, task]
    for cell in cells:
        assert cell.samples is not None
        status = cell.samples.stat()
        state = [cell.samples.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        parts.append([*state, SCORE.metric(cell), cell.metrics])
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode()).hexdigest()


def _summarize(cells: Sequence[Record], bar: Bar) -> _Entry:
    documents = mean_over_shots(cells, SCORE, bar)
    if documents is None:
        return _Entry()
    baseline = read_baseline(cells[0])
    return _Entry(
        stderr=clustered_stderr(documents.values, read_clusters(cells[0], documents.ids)),
        content=documents.content,
        chance=baseline.chance,
        constant=baseline.constant,
    )


def _read_cache(cache: Path) -> dict[str, _Entry]:
    """The earlier summaries; none if the file is missing, malformed or of another format."""
    try:
        return msgspec.json.decode(cache.read_bytes(), type=_Cache).entries
    except (OSError, msgspec.MsgspecError):
        return {}
