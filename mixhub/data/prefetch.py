"""Work that is done by a thread before its result is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetched(make: Callable[[int], Item], indices: range, *, ahead: int) -> Generator[Item, None, None]:
    """Yield `make(index)` for each index, made by a thread up to `ahead` items before they are asked for.

    If `make` raises an error, it is raised in place of the item. Closing the generator ends the thread, so use it as
    `with closing(prefetched(…)) as items`.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="mixhub-prefetch")
    try:
        made = deque(pool.submit(make, index) for index in indices[:ahead])
        for number in range(len(indices)):
            made.extend(pool.submit(make, index) for index in indices[number + ahead : number + ahead + 1])
            yield made.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
