"""What is run for a list of requests: the same inputs as lm-eval's backend, and those that begin alike together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mixhub.evaluation import packing
from mixhub.evaluation.packing import Packing, pack, ranges, starts_of

Request = tuple[list[int], list[int]]
"""Tokens of context and continuation."""

LETTERS = st.sampled_from((0, 1, 300, 70000))
TRUNKS = tuple([place * 7 % 5 for place in range(start, start + 40)] for start in range(3))


@st.composite
def _contexts(draw: st.DrawFn) -> list[int]:
    """At least one token; most begin like others do, for a while."""
    trunk = draw(st.sampled_from(TRUNKS))[: draw(st.integers(0, 40))]
    return trunk + draw(st.lists(LETTERS, min_size=0 if trunk else 1, max_size=6))


@st.composite
def _requests(draw: st.DrawFn) -> tuple[list[Request], int]:
    """Requests, some twice, and a context length, which many do not fit into."""
    max_length = draw(st.integers(4, 60))
    choices = st.lists(LETTERS, min_size=1, max_size=min(4, max_length))
    contexts = draw(st.lists(_contexts(), min_size=1, max_size=6))
    found = draw(st.lists(st.tuples(st.sampled_from(contexts), choices), min_size=1, max_size=16))
    again = draw(st.lists(st.sampled_from(found), max_size=3))
    return found + again, max_length


def _packed(requests: Sequence[Request], max_length: int) -> Packing:
    contexts, continuations = zip(*requests, strict=True)
    return pack(_arrays(contexts), _arrays(continuations), max_length)


def _arrays(lists: Sequence[Sequence[int]]) -> list[np.ndarray]:
    return [np.array(own, np.int32) for own in lists]


def _stock_input(request: Request, max_length: int) -> list[int]:
    context, continuation = request
    return (context + continuation)[-(max_length + 1) :][:-1]


def _require_right(found: Packing, requests: Sequence[Request], max_length: int) -> None:
    """Each request's path through its row is lm-eval's input, and its end is scored."""
    assert found.requests == len(requests)
    assert found.row_starts[0] == 0
    assert found.row_starts[-1] == len(found.tokens) == len(found.positions) == len(found.ends)
    assert found.request_starts[-1] == len(found.scored) == len(found.targets)
    for number, request in enumerate(requests):
        start, end = found.row_starts[found.request_rows[number] :][:2]
        own = slice(*found.request_starts[number:][:2])
        scored = found.scored[own]
        last = scored[-1]
        path = np.flatnonzero(found.ends[start:end][: last + 1] > last)
        assert found.tokens[start:end][path].tolist() == _stock_input(request, max_length)
        assert found.positions[start:end][path].tolist() == list(range(len(path)))
        assert found.targets[own].tolist() == request[1]
        assert scored.tolist() == path[-len(request[1]) :].tolist()


def _require_nested(found: Packing) -> None:
    """What attends to a place is what follows it, up to an end within the row and within its parent's."""
    for start, end in zip(found.row_starts[:-1], found.row_starts[1:], strict=True):
        open_ends = [end - start]
        for place, own in enumerate(found.ends[start:end]):
            while open_ends[-1] <= place:
                open_ends.pop()
            assert place < own <= open_ends[-1]
            open_ends.append(own)


ONE_IN_ANOTHER: tuple[list[Request], int] = (
    [(TRUNKS[0], [1]), (TRUNKS[0], [1, 1]), (TRUNKS[0], [1, 1, 300]), (TRUNKS[0], [300]), (TRUNKS[0], [1])],
    60,
)
NOTHING_TO_SHARE: tuple[list[Request], int] = ([([0], [1]), ([1], [0]), ([0], [0])], 4)
JUST_TOO_LONG: tuple[list[Request], int] = ([(TRUNKS[0], [1, 0, 1, 0]), (TRUNKS[0] + [1], [0, 1, 0])], 4)


@given(_requests())
@example(ONE_IN_ANOTHER)
@example(NOTHING_TO_SHARE)
@example(JUST_TOO_LONG)
def test_what_is_scored_and_after_what_is_as_in_lm_eval(drawn: tuple[list[Request], int]):
    requests, max_length = drawn
    found = _packed(requests, max_length)
    _require_right(found, requests, max_length)
    _require_nested(found)
    assert found.lengths.min() > 0


@given(_requests())
@example(ONE_IN_ANOTHER)
@example(NOTHING_TO_SHARE)
@example(JUST_TOO_LONG)
def test_without_a_mask_each_input_has_one_row(drawn: tuple[list[Request], int]):
    requests, max_length = drawn
    packed = _packed(requests, max_length)
    straight = packed.straight()
    _require_right(straight, requests, max_length)
    rows = [straight.tokens[slice(*straight.row_starts[row:][:2])].tolist() for row in range(len(straight.lengths))]
    inputs = {tuple(_stock_input(request, max_length)) for request in requests}
    assert sorted(map(tuple, rows)) == sorted(inputs)
    assert not straight.branching.any()
    assert straight.ends.tolist() == np.repeat(straight.lengths, straight.lengths).tolist()
    assert len(packed.tokens) <= len(straight.tokens)
    assert packed.branching.any() == (len(packed.tokens) < len(straight.tokens))
    assert packed.branching.sum() <= len(straight.lengths) - len(packed.lengths)


@given(_requests(), st.integers(0, 12))
def test_no_row_is_longer_than_it_may_be(drawn: tuple[list[Request], int], beyond: int):
    requests, max_length = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_BEYOND_CONTEXT", beyond)
        found = _packed(requests, max_length)
    assert found.lengths.max() <= max_length + beyond
    _require_right(found, requests, max_length)
    _require_right(found.straight(), requests, max_length)


@given(_requests(), st.randoms())
def test_the_order_of_requests_does_not_change_the_rows(drawn: tuple[list[Request], int], draws):
    requests, max_length = drawn
    other = draws.sample(requests, len(requests))
    one, two = _packed(requests, max_length), _packed(other, max_length)
    for name in ("tokens", "positions", "ends", "row_starts", "branching"):
        assert getattr(one, name).tolist() == getattr(two, name).tolist()


def test_requests_of_one_long_context_share_a_row():
    context = TRUNKS[0]
    requests = [(context, [70000, 1, 2]), (context, [70000, 300]), (context, [1]), (context, [2])]
    other = ([9] * 20, [1, 1])
    found = _packed([*requests, other], 60)
    # 40 tokens of context, which also answer the choices of one token, then 70000 once, then 1
    assert found.lengths[found.request_rows].tolist() == [42, 42, 42, 42, 21]
    assert found.branching[found.request_rows].tolist() == [True, True, True, True, False]
    assert len(found.tokens) == 42 + 21
    assert len(found.straight().tokens) == 42 + 41 + 40 + 21
    assert found.scored.tolist() == [39, 40, 41, 39, 40, 39, 39, 19, 20]


@pytest.mark.parametrize(
    ("shared", "own", "rows"),
    [(8, 4, 1), (7, 4, 2), (10, 30, 1), (10, 31, 2)],
    ids=["8 tokens", "7 tokens", "a quarter", "less than a quarter"],
)
def test_inputs_that_share_little_stay_apart(shared: int, own: int, rows: int):
    found = _packed([([5] * shared + [number] * own, [1]) for number in (6, 7)], 60)
    assert len(found.lengths) == rows


@given(st.lists(st.integers(0, 5), max_size=8))
def test_starts_are_where_runs_begin_and_the_last_one_ends(counts: list[int]):
    found = starts_of(np.array(counts, np.int64)).tolist()
    assert found == [sum(counts[:number]) for number in range(len(counts) + 1)]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=8))
def test_ranges_are_the_numbers_from_each_start_on(runs: list[tuple[int, int]]):
    starts, counts = (np.array([run[part] for run in runs], np.int64) for part in (0, 1))
    assert ranges(starts, counts).tolist() == [
        number for start, count in runs for number in range(start, start + count)
    ]
