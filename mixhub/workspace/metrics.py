"""`metrics.jsonl` of a run, read back: one line of JSON a step and a validation."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mixhub.errors import RunError

_NUMBERS = ("loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; a last line that a killed process left unfinished is passed over.

    A step's line has `step` (counted from 1, the update that it ends), `loss` (nats a token, mean of the global batch
    before the update), `learning_rate`, `grad_norm` (before clipping), `tokens` (seen so far) and `tokens_per_second`.
    A validation's line has `step` and `validation`: domain key to loss; the first one is of step 0.

    Raises:
        RunError: another line is not JSON, has no step, or holds what is no finite number; names it.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [_line(path, number, text) for number, text in enumerate(lines[:-1], start=1)]


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except json.JSONDecodeError as error:
        rule = f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise _malformed(path, number, rule) from None
    if not isinstance(line, dict) or not isinstance(line.get("step"), int):
        raise _malformed(path, number, "no step")
    validation = line.get("validation", {})
    if not isinstance(validation, dict):
        raise _malformed(path, number, f"validation = {validation!r}: must be domains and losses")
    for key, value in {**{key: line[key] for key in _NUMBERS if key in line}, **validation}.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise RunError(
                f"{path}:{number}: {key} = {value}: must be a finite number",
                code="metrics-not-finite",
                hint="a run that has diverged is not published; a line that is no step's can be deleted",
                path=path,
                line=number,
                key=key,
            )
    return line


def _malformed(path: Path, number: int, rule: str) -> RunError:
    return RunError(
        f"{path}:{number}: {rule}", code="metrics-malformed", hint="delete the line", path=path, line=number
    )
