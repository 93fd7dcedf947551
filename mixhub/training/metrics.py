"""Writing `metrics.jsonl`, also of a resumed run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from mixhub.files import write_text
from mixhub.workspace.metrics import read_metrics


def open_metrics(path: Path, step: int) -> TextIO:
    """Open a run's metrics to append lines, after deleting those past the checkpoint to resume from; 0: all lines."""
    lines = [line for line in read_metrics(path) if line["step"] <= step] if step else []
    write_text(path, "".join(_line(line) for line in lines))
    return path.open("a", encoding="utf-8")


def write_metrics(file: TextIO, line: Mapping[str, object]) -> None:
    """Append one line, visible to readers at once."""
    file.write(_line(line))
    file.flush()


def _line(metrics: Mapping[str, object]) -> str:
    return json.dumps(metrics, allow_nan=False) + "\n"
