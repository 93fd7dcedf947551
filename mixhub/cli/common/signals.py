"""Signals that ask a long command to stop at the next safe point."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STATUS = {signal.SIGTERM: 75, signal.SIGUSR2: 75, signal.SIGINT: 130}
"""Exit status after each signal; 75 (EX_TEMPFAIL) asks a scheduler to run the job again."""


class StopRequest:
    """The first signal that asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Record the first of the signals in `STATUS` instead of ending the process; a second one has its usual effect."""
    request = StopRequest()

    def record(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for one, handler in before.items():
            signal.signal(one, handler)

    before = {one: signal.signal(one, record) for one in STATUS}
    try:
        yield request
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
