"""Several processes of one command on this machine, which start and end together; without torch.

torch's own launchers hide the exit statuses of their processes, kill what does not end within 30 seconds, and leave
processes behind when they are killed.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType, MappingProxyType
from typing import IO, Any, NamedTuple

from mixhub.errors import RunError

PARENT, ERRORS = "MIXHUB_PARENT", "MIXHUB_ERRORS"
"""Environment variables of the processes that are started here: the number of the process that owns them, and the file
descriptor for the error that ends them."""
LAUNCHER_VARIABLES = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets for each of several processes."""
LAUNCH_HINT = "pass --num-processes N, or launch with torchrun --nproc-per-node N; otherwise unset WORLD_SIZE and RANK"
_SRUN_HINT = (
    "let srun start one torchrun per node: srun --ntasks-per-node 1 torchrun --nnodes $SLURM_NNODES "
    "--nproc-per-node N --node-rank $SLURM_NODEID --rdzv-backend static --master-addr HOST -m mixhub train"
)
STOPPED = (0, 75, 130)
"""Exit statuses of a process that reached the last step, or was asked to stop."""
REPEATED = 3.0
"""Seconds in which a signal that comes again is the same request: schedulers signal all processes of a job, and
launchers then pass it on."""
_GRACE = 10.0
"""Seconds that the others have to end by themselves after one has failed."""


@dataclass(frozen=True)
class Ended:
    """How processes ended."""

    status: int
    """Exit status of the first that failed, otherwise of the first process."""
    asked: signal.Signals | None = None
    """The signal that was passed on to them."""
    errors: tuple[tuple[str, int | None], ...] = ()
    """What is still to be printed of those that failed, and in which process it happened; None: in several."""


class _Files(NamedTuple):
    """Where a process writes."""

    error: IO[bytes]
    """The error of the command that ends it."""
    stderr: IO[bytes]
    """Everything else, unless it is the first process."""


def world_size() -> int:
    """Return the number of processes that train together, which their launcher has set.

    Raises:
        RunError: a variable is missing or wrong, or `srun` started several processes that do not know of each other.
    """
    if {"RANK", "WORLD_SIZE"}.isdisjoint(os.environ):
        tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
        if tasks != "1":
            message = f"srun starts {tasks} tasks, which would each train the whole run: nothing connects them"
            raise RunError(message, code="launcher-missing", hint=_SRUN_HINT, tasks=tasks)
        return 1
    if os.environ.get("WORLD_SIZE") == "1":
        return 1
    missing = tuple(name for name in LAUNCHER_VARIABLES if name not in os.environ)
    if missing:
        given = ", ".join(f"{name} = {os.environ[name]}" for name in ("WORLD_SIZE", "RANK") if name in os.environ)
        message = f"{given}, but {', '.join(missing)} is not set, which the processes need to connect"
        raise RunError(message, code="launch-incomplete", hint=LAUNCH_HINT, missing=missing)
    world, rank = launcher_number("WORLD_SIZE", 1), launcher_number("RANK", 0)
    if rank >= world:
        message = f"RANK = {rank}: must be below WORLD_SIZE, {world}"
        raise RunError(message, code="launch-invalid", hint=LAUNCH_HINT, variable="RANK", value=str(rank))
    return world


def is_launched() -> bool:
    """Return whether a launcher started this process, possibly with others."""
    return "RANK" in os.environ or os.environ.get("WORLD_SIZE", "1") != "1"


def launcher_number(name: str, least: int) -> int:
    """Return a variable of the launcher; raises RunError if it is missing or not an integer from `least`."""
    text = os.environ.get(name)
    if text is None:
        message = f"{name} is not set; launchers set it for each process"
        raise RunError(message, code="launch-incomplete", hint=LAUNCH_HINT, missing=(name,))
    if not text.isdecimal() or int(text) < least:
        message = f"{name} = {text!r}: must be an integer from {least}"
        raise RunError(message, code="launch-invalid", hint=LAUNCH_HINT, variable=name, value=text)
    return int(text)


def run_processes(
    command: Sequence[str],
    count: int,
    *,
    signals: Sequence[signal.Signals],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run a command in several processes that can connect with each other, until all have ended.

    The first process has the output and errors of this one. Each has a session of its own, so that Ctrl-C reaches only
    this process, which passes signals on. If a process fails, the others are ended.

    Args:
        command: program and arguments, the same for all; RANK and the other variables of a launcher tell them apart.
        count: number of processes.
        signals: to pass on once. The processes start with these blocked, and unblock them when they can handle them. A
            second signal kills the processes and has its usual effect on this one.
        environment: further variables for the processes.

    Raises:
        RunError: a process was killed.
    """
    with ExitStack() as stack:
        port = stack.enter_context(_reserved_port())
        files = [_Files(*(stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))) for _ in range(count)]
        children: list[subprocess.Popen[bytes]] = []
        stack.callback(_kill, children)
        asked = stack.enter_context(_passed_on(children, signals))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            for rank, own in enumerate(files):
                children.append(_start(command, rank, count, port, own, environment))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        failed = _wait(children)
        statuses = [child.returncode for child in children]
        if failed is not None:
            failed = _cause(failed, statuses, files)
        status = 2 if _text(files[failed or 0].error) else statuses[failed or 0]
        if failed is None or (asked and status == -asked[0]):
            return Ended(abs(status), asked[0] if asked else None)
        if status < 0:
            name = signal.Signals(-status).name
            message = f"process {failed} of {count} was killed by {name}; the others were ended"
            raise RunError(message, code="process-killed", rank=failed, signal=name)
        return Ended(status, errors=_errors(failed, statuses, files))


def _start(
    command: Sequence[str], rank: int, count: int, port: int, files: _Files, more: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        **os.environ,
        **more,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        PARENT: str(os.getpid()),
        ERRORS: str(files.error.fileno()),
    }
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=None if rank == 0 else subprocess.DEVNULL,
        stderr=None if rank == 0 else files.stderr,
        pass_fds=(files.error.fileno(),),
        start_new_session=True,
    )


@contextmanager
def _reserved_port() -> Iterator[int]:
    """Reserve a free port: only a program that asks for this very one can listen on it."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@contextmanager
def _passed_on(
    children: Sequence[subprocess.Popen[bytes]], signals: Sequence[signal.Signals]
) -> Iterator[list[signal.Signals]]:
    """Pass the first signal on to all children, and kill them after a second; yields those that came."""
    asked: list[signal.Signals] = []
    first = 0.0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if asked and time.monotonic() - first < REPEATED:
            return
        first = time.monotonic()
        asked.append(signal.Signals(number))
        if len(asked) == 1:
            for child in children:
                child.send_signal(number)
            return
        _kill(children)
        end_by(number, before[signal.Signals(number)])

    before = {one: signal.signal(one, pass_on) for one in signals}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def end_by(number: int, handler: Any) -> None:
    """Let a signal end this process as a handler does, or at once if it is ignored, as SIGINT is in background jobs."""
    signal.signal(number, signal.SIG_DFL if handler == signal.SIG_IGN else handler)
    os.kill(os.getpid(), number)


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Wait until all have ended; after one failed, the others must end soon. Returns the number of that one."""
    ended: SimpleQueue[int] = SimpleQueue()

    def watch(rank: int) -> None:
        children[rank].wait()
        ended.put(rank)

    for rank in range(len(children)):
        threading.Thread(target=watch, args=(rank,), daemon=True).start()
    failed, deadline = None, None
    for _ in children:
        try:
            rank = ended.get(timeout=None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            _kill(children)
            rank = ended.get()
        if failed is None and children[rank].returncode not in STOPPED:
            failed, deadline = rank, time.monotonic() + _GRACE
            for child in children:
                child.send_signal(signal.SIGTERM)
    return failed


def _kill(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.kill()
    for child in children:
        child.wait()


def _cause(failed: int, statuses: Sequence[int], files: Sequence[_Files]) -> int:
    """Return the first process that failed by itself, not because it lost the connection with one that did."""
    if not _is_connection_lost(files[failed]):
        return failed
    others = range(len(statuses))
    own = (rank for rank in others if _text(files[rank].error) or statuses[rank] not in (*STOPPED, -signal.SIGTERM))
    return next((rank for rank in own if not _is_connection_lost(files[rank])), failed)


def _is_connection_lost(files: _Files) -> bool:
    return "[connection-lost]" in _text(files.error)


def _errors(failed: int, statuses: Sequence[int], files: Sequence[_Files]) -> tuple[tuple[str, int | None], ...]:
    """Return the errors that commands ended with, each once, and what else the process printed that failed first."""
    ranks: dict[str, list[int]] = {}
    for rank, status in enumerate(statuses):
        text = _text(files[rank].error) or (_text(files[rank].stderr) if rank == failed else "")
        if text and status not in STOPPED and (rank == failed or not _is_connection_lost(files[rank])):
            ranks.setdefault(text, []).append(rank)
    return tuple((text, own[0] if len(own) == 1 else None) for text, own in ranks.items())


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
