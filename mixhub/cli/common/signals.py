"""Signals that ask a long command to stop at the next safe point."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from mixhub.training.processes import PARENT, REPEATED, end_by

STATUS = {signal.SIGTERM: 75, signal.SIGUSR2: 75, signal.SIGINT: 130}
"""Exit status after each signal; 75 (EX_TEMPFAIL) asks a scheduler to run the job again."""
_ORPHAN_GRACE = 600.0
"""Seconds that a process has to stop after the launcher that started it has died, before it is killed."""


class StopRequest:
    """The first signal that asked to stop."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Record the first of the signals in `STATUS` instead of ending the process; a later one has its usual effect.

    A signal within `REPEATED` seconds is the same request. The death of the launcher that started this process is a
    request too, as by SIGTERM.
    """
    request = StopRequest()
    first = 0.0

    def record(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if request.signal is None:
            request.signal, first = signal.Signals(number), time.monotonic()
            if os.environ.get("RANK", "0") == "0":  # not by print, which a handler must not call within a print
                with suppress(OSError):  # the terminal is gone, or the reader of a pipe
                    line = f"{request.signal.name}: stops after this step; a later signal ends it at once\n"
                    os.write(2, line.encode())
        elif time.monotonic() - first > REPEATED:
            end_by(number, before[signal.Signals(number)])

    def stop() -> None:
        request.signal = request.signal or signal.SIGTERM

    before = {one: signal.signal(one, record) for one in STATUS}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STATUS)
    try:
        with launcher_watched(stop):
            yield request
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def launcher_watched(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function once the launcher of this process is dead, and end the process if the block still goes on."""
    ended = threading.Event()
    if _is_launched():
        parent = int(os.environ.get(PARENT, os.getppid()))
        threading.Thread(target=_watch, args=(parent, stop, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _is_launched() -> bool:
    """Whether a launcher started this process, which it should not outlive."""
    return not {"RANK", "ACCELERATE_MIXED_PRECISION"}.isdisjoint(os.environ)


def _watch(parent: int, stop: Callable[[], None], ended: threading.Event) -> None:
    """Ask this process to stop once its parent is dead, and end it if it does not."""
    while os.getppid() == parent:
        if ended.wait(0.5):
            return
    stop()
    if not ended.wait(_ORPHAN_GRACE):  # such as one that waits for a process that is dead
        os.kill(os.getpid(), signal.SIGKILL)
