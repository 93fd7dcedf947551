"""`metrics.jsonl` of a run: a line of JSON for each step and validation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mixhub.errors import RunError

_NUMBERS = ("loss", "learning_rate", "grad_norm", "tokens", "tokens_per_second", "mfu")
_DECODER = msgspec.json.Decoder()
_FIGURES = {int, float}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a run's metrics, without an unfinished last line.

    A step's line has `step` (the number of the update, from 1), `loss` (nats per token, mean of the global batch before
    the update), `learning_rate`, `grad_norm` (before clipping), `tokens` (seen so far), `tokens_per_second` and
    `domains`, the mean loss of the tokens of each domain in the batch, by domain key. It has `mfu`, the share of the
    devices' peak that was used, if that is known, and `spike`, which is true, if the loss is one. A validation's line
    has `step` and `validation`, losses by domain key; the first one has step 0.

    Raises:
        RunError: a line is not JSON, has no step, or holds a figure that is not a finite number.
    """
    return list(iterate_metrics(path))


def iterate_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what `read_metrics` returns, for runs of millions of steps whose lines do not fit into memory."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if text.endswith(b"\n"):
                yield _plain_line(text) or _line(path, number, text.decode(errors="replace").removesuffix("\n"))


def _plain_line(text: bytes) -> dict[str, Any] | None:
    """Parse a line quickly; None if it has to be looked at."""
    try:
        line = _DECODER.decode(text)
    except msgspec.DecodeError:  # also for numbers that are not finite
        return None
    if type(line) is not dict or type(line.get("step")) is not int:
        return None
    figures = [line.get(key, 0) for key in _NUMBERS]
    for part in ("domains", "validation"):
        if type(losses := line.get(part, {})) is not dict:
            return None
        figures += losses.values()
    return line if _FIGURES.issuperset(map(type, figures)) else None


def _line(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except json.JSONDecodeError as error:
        rule = f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise _malformed(path, number, rule) from None
    except (ValueError, RecursionError) as error:  # a number with too many digits, or too many brackets
        raise _malformed(path, number, f"not JSON that can be read: {error}") from None
    if not isinstance(line, dict) or not isinstance(line.get("step"), int):
        raise _malformed(path, number, "no step")
    figures = {key: line[key] for key in _NUMBERS if key in line}
    for part in ("domains", "validation"):
        losses = line.get(part, {})
        if not isinstance(losses, dict):
            raise _malformed(path, number, f"{part} = {losses!r}: must be losses by domain")
        figures |= losses
    for key, value in figures.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            message = f"{path}:{number}: {key} = {value}: must be a finite number"
            raise RunError(message, code="metrics-not-finite", path=path, line=number, key=key)
    return line


def _malformed(path: Path, number: int, rule: str) -> RunError:
    message = f"{path}:{number}: {rule}"
    return RunError(message, code="metrics-malformed", hint="delete the line", path=path, line=number)
