"""How long a command may take."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from mixhub.errors import UsageError

STARTED = "MIXHUB_STARTED"
"""Environment variable: when the command started that this process is a part of, in seconds since 1970."""
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_LIMIT_HELP = "Save and stop with status 75 after this time, such as 90s, 10m, 1h or 1h30m. [default: no limit]"
_BEFORE_HELP = (
    "Save and stop with status 75 when less than this time is left of --time-limit, otherwise of the Slurm job. "
    "[default: not before]"
)


TimeLimitOption = Annotated[str | None, typer.Option(help=_LIMIT_HELP, metavar="TIME")]
StopBeforeOption = Annotated[str | None, typer.Option(help=_BEFORE_HELP, metavar="TIME")]


def started(environment: Mapping[str, str] = os.environ) -> float:
    """Return when the command started that this process is a part of."""
    return float(environment.get(STARTED, time.time()))


def deadline(time_limit: str | None, stop_before: str | None) -> Callable[[], bool]:
    """Return a function that says whether it is time to stop.

    Args:
        time_limit: value of `--time-limit`.
        stop_before: value of `--stop-before`.

    Raises:
        UsageError: a value is not a duration, `--stop-before` is not less than the whole time, or it is not known when
            that ends.
    """
    limit, margin = _seconds("--time-limit", time_limit), _seconds("--stop-before", stop_before)
    if not limit and not margin:
        return lambda: False
    first = started()
    last = first + limit
    if not limit:
        first, last = _slurm_job()
    if margin >= last - first:
        message = f"--stop-before = {stop_before}: must be less than the whole time, {last - first:.0f}s"
        raise UsageError(message, code="option-value", option="--stop-before", value=stop_before)
    return lambda: time.time() >= last - margin


def _seconds(option: str, text: str | None) -> int:
    """Return a duration such as `90s` or `1h30m` in seconds; 0 if the option is absent."""
    if text is None:
        return 0
    match = re.fullmatch("".join(rf"(?:([0-9]+){unit})?" for unit in _UNITS), text)
    numbers = match.groups() if match else ()
    total = sum(int(number or 0) * size for number, size in zip(numbers, _UNITS.values(), strict=False))
    if total == 0:
        message = f"{option} = {text!r}: must be numbers with units, such as 90s, 10m, 1h30m or 2d"
        raise UsageError(message, code="option-value", option=option, value=text)
    return total


def _slurm_job() -> tuple[float, float]:
    """Return when the Slurm job of this process started, and when its time ends."""
    job, names = os.environ.get("SLURM_JOB_ID"), ("SLURM_JOB_START_TIME", "SLURM_JOB_END_TIME")
    times = [os.environ[name] for name in names if name in os.environ]
    if job and len(times) < 2:  # which Slurm sets since 23.02
        times = _asked_slurm(job)
    try:
        start, end = map(float, times)
    except ValueError:
        what = "squeue does not report when the job ends" if job else "this is not a Slurm job"
        message = f"--stop-before needs a time limit, but {what}"
        hint = "pass --time-limit too, such as --time-limit 12h"
        raise UsageError(message, code="option-missing", hint=hint) from None
    return start, end


def _asked_slurm(job: str) -> list[str]:
    command = ["squeue", "--noheader", "--job", job, "--format", "%S %e"]
    environment = {**os.environ, "SLURM_TIME_FORMAT": "%s"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split()
