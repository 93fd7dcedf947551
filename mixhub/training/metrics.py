"""Writing `metrics.jsonl`: a resumed run's file reads as one run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from mixhub.files import write_text
from mixhub.workspace.metrics import read_metrics


class MetricsWriter:
    """Appends to a run's metrics, after it has dropped what lies past the step that the run goes on from."""

    def __init__(self, path: Path, *, from_step: int | None) -> None:
        """`from_step`: the checkpoint's step; None when the run starts anew, and nothing is kept."""
        kept = [] if from_step is None else [line for line in read_metrics(path) if line["step"] <= from_step]
        write_text(path, "".join(_line(line) for line in kept))
        self._file: TextIO = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: Mapping[str, object]) -> None:
        """Appends one line, which a reader sees at once."""
        self._file.write(_line(line))
        self._file.flush()

    def sync(self) -> None:
        """Makes sure that the lines outlive a crash of the machine; called before a checkpoint relies on them."""
        os.fsync(self._file.fileno())


def _line(metrics: Mapping[str, object]) -> str:
    return json.dumps(metrics, allow_nan=False) + "\n"
