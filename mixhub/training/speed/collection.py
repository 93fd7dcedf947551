"""Garbage collection between steps instead of in them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STEPS_BETWEEN = 1000


@contextmanager
def rare_collection() -> Iterator[Callable[[int], None]]:
    """Collect garbage only in the steps that are given to the function, every thousandth.

    Python would look through all its objects in the middle of steps, at other times in each process, and the slowest
    process sets the pace. What exists before the first step is not looked at again.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()

    def collect(step: int) -> None:
        if step % _STEPS_BETWEEN == 0:
            gc.collect()

    try:
        yield collect
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
