"""Writing `metrics.jsonl`, also of a resumed run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TextIO

from mixhub.files import write_text
from mixhub.workspace.metrics import read_metrics


class MetricsWriter:
    """Appends to a run's metrics, after deleting those past the checkpoint that the run resumes from."""

    def __init__(self, path: Path, *, from_step: int | None) -> None:
        """`from_step` is the checkpoint's step; None deletes everything."""
        lines = [] if from_step is None else [line for line in read_metrics(path) if line["step"] <= from_step]
        write_text(path, "".join(_line(line) for line in lines))
        self._file: TextIO = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, line: Mapping[str, object]) -> None:
        """Append one line, visible to readers at once."""
        self._file.write(_line(line))
        self._file.flush()

    def sync(self) -> None:
        """Sync the lines to disk; called before each checkpoint."""
        os.fsync(self._file.fileno())


def _line(metrics: Mapping[str, object]) -> str:
    return json.dumps(metrics, allow_nan=False) + "\n"
