import threading
import time
from contextlib import closing

import pytest

from mixhub.data.prefetch import prefetched


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mixhub-prefetch")]


@pytest.mark.parametrize("indices", [range(0), range(1), range(2), range(3, 20)])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_every_item_comes_once_in_order_from_another_thread(indices: range, ahead: int) -> None:
    made = list(prefetched(lambda index: (index, threading.get_ident()), indices, ahead=ahead))
    assert [index for index, _ in made] == list(indices)
    assert threading.get_ident() not in {thread for _, thread in made}
    assert threads() == []


def test_no_more_is_made_than_is_asked_for() -> None:
    started: list[int] = []

    def make(index: int) -> int:
        started.append(index)
        return index

    with closing(prefetched(make, range(100), ahead=3)) as items:
        for expected in range(5):
            assert next(items) == expected
            time.sleep(0.01)
            assert max(started) <= expected + 3
    assert threads() == []


def test_an_error_is_raised_at_its_item() -> None:
    def make(index: int) -> int:
        if index == 4:
            raise ValueError("item 4")
        return index

    with closing(prefetched(make, range(10), ahead=3)) as items:
        assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
        with pytest.raises(ValueError, match="item 4"):
            next(items)
    assert threads() == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_with_the_loop(error: type[BaseException]) -> None:
    def stopped_at_3() -> None:
        with closing(prefetched(lambda index: index, range(1000), ahead=2)) as items:
            for item in items:
                assert threads()
                if item == 3:
                    raise error

    with pytest.raises(error):
        stopped_at_3()
    assert threads() == []


def test_items_that_are_never_asked_for_are_not_made() -> None:
    started: list[int] = []
    with closing(prefetched(started.append, range(1000), ahead=2)):
        pass
    assert started == []
