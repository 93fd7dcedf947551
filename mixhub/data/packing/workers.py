"""Files packed on all cores, one file at a time in each process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from mixhub.data.packing.shards import Advance, Job, Packed, Settings, pack_file
from mixhub.errors import CorpusError
from mixhub.progress import Bar, Progress

_SMALL = 2**24
"""With fewer bytes of text, no processes are started."""
_POLL = 0.2
"""Seconds between two looks at what the processes have done."""

_Result = tuple[Packed, str | None]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pack_files(
    jobs: Sequence[Job], building: Path, settings: Settings, *, workers: int, what: str, progress: Progress
) -> list[Packed]:
    """Pack files; return what was made of each, in their order.

    The first error stops all processes. Files that are finished by then stay.

    Args:
        jobs: the files.
        building: gets the shards.
        settings: the tokenizer, and how to read the files.
        workers: number of processes; few files, or small ones, are packed in this one.
        what: the work, in a few words.
        progress: counts bytes of text, and shows warnings.

    Raises:
        CorpusError: a file is broken or changed, or a process was killed.
    """
    total = sum(job.size for job in jobs)
    workers = min(workers, len(jobs))
    with progress.start(what, total, "byte") as bar:
        if workers < 2 or total < _SMALL:
            results = [pack_file(job, building, settings, _advance(bar, job)) for job in jobs]
        else:
            results = _pack_in_processes(jobs, building, settings, workers, bar)
    for warning in sorted({warning for _, warning in results if warning}):
        progress.notice(warning)
    return [packed for packed, _ in results]


def _advance(bar: Bar, job: Job) -> Advance:
    return lambda amount: bar.advance(amount, note=job.domain)


def _pack_in_processes(
    jobs: Sequence[Job], building: Path, settings: Settings, workers: int, bar: Bar
) -> list[_Result]:
    context = multiprocessing.get_context("spawn")
    done, stop = context.Value("q", 0), context.Event()
    initial = (done, stop, max(1, cores() // workers))
    shown = 0
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=initial) as pool:
        by_size = sorted(jobs, key=lambda job: -job.size)  # a large file at the end would keep one core busy
        futures: dict[Job, Future[_Result]] = {job: pool.submit(_work, job, building, settings) for job in by_size}
        try:
            pending = set(futures.values())
            while pending:
                finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
                bar.advance(done.value - shown)
                shown = done.value
            return [futures[job].result() for job in jobs]
        except BrokenProcessPool:
            message = f"{building}: a process that packed text was killed; often there was too little memory"
            hint = "run the command again with fewer --workers; files that are finished are kept"
            raise CorpusError(message, code="worker-killed", hint=hint, path=building) from None
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


_done: Any = None
"""In a worker: bytes of text that all workers have read."""
_stop: Any = None
"""In a worker: set if the pack has failed."""


class _StoppedError(Exception):
    """Another file failed, or the user interrupted the pack."""


def _start_worker(done: Any, stop: Any, threads: int) -> None:
    global _done, _stop
    _done, _stop = done, stop
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of both tokenizers' libraries, which are not imported yet
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process is interrupted too, and stops the others
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job, building: Path, settings: Settings) -> _Result:
    return pack_file(job, building, settings, _count)


def _count(amount: int) -> None:
    if _stop.is_set():
        raise _StoppedError
    with _done.get_lock():
        _done.value += amount
