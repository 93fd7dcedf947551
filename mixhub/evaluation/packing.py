"""Packs requests into rows of tokens: each input once, and inputs with a common start in one row. Needs no torch.

A row is a token trie in depth-first order: an input adds the tokens that it does not share with the one before it. In
that order the tokens below place i are those from i up to `ends[i]`, so place j attends to i exactly if
i <= j < ends[i]. A row with one input is an ordinary causal row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]
"""An array of integers of any width."""

_MIN_SHARED = 8
"""Tokens that inputs must share to go into one row: with fewer, the mask costs more than it saves."""
_MIN_SHARE = 4
"""An input must share at least one in this many of its tokens."""
_BEYOND_CONTEXT = 1024
"""A row may be this many tokens longer than the model's context, so that the longest inputs can share, too."""


@dataclass(frozen=True)
class Packing:
    """Rows of tokens, and the places in them where each request is scored."""

    tokens: Ints
    """(N,), token ids, row after row."""
    positions: Ints
    """(N,), the position of each token in its input: for the position embedding."""
    ends: Ints
    """(N,), the place in its row where the tokens that attend to this one end."""
    row_starts: Ints
    """(rows + 1,), the start of each row in `tokens`."""
    branching: NDArray[np.bool_]
    """(rows,), whether a row has more than one input."""
    request_rows: Ints
    """(R,), the row of each request."""
    scored: Ints
    """(S,), places in their row whose next token is scored, request after request."""
    targets: Ints
    """(S,), the token that is scored at each place."""
    request_starts: Ints
    """(R + 1,), the start of each request in `scored`."""
    truncated: NDArray[np.bool_]
    """(R,), whether the context of a request was cut at the left to fit the model's."""

    @property
    def requests(self) -> int:
        """Number of requests."""
        return len(self.request_rows)

    @property
    def lengths(self) -> Ints:
        """(rows,), number of tokens of each row."""
        return np.diff(self.row_starts)

    def straight(self) -> Packing:
        """Return the same requests with one row per input, for models that do not support a mask."""
        if not self.branching.any():
            return self
        rows: dict[tuple[int, int], int] = {}
        inputs: list[Ints] = []
        request_rows = np.empty(self.requests, np.int64)
        last = self.scored[self.request_starts[1:] - 1]
        for request, (row, place) in enumerate(zip(self.request_rows.tolist(), last.tolist(), strict=True)):
            if (row, place) not in rows:
                rows[row, place] = len(rows)
                start = int(self.row_starts[row])
                inputs.append(self.tokens[start + np.flatnonzero(self.ends[start : start + place + 1] > place)])
            request_rows[request] = rows[row, place]
        lengths = np.array([len(tokens) for tokens in inputs], np.int64)
        counts = np.diff(self.request_starts)
        before_end = np.repeat(self.request_starts[1:], counts) - np.arange(len(self.scored))
        return Packing(
            tokens=np.concatenate(inputs),
            positions=ranges(np.zeros_like(lengths), lengths),
            ends=np.repeat(lengths, lengths),
            row_starts=starts_of(lengths),
            branching=np.zeros(len(inputs), np.bool_),
            request_rows=request_rows,
            scored=np.repeat(lengths[request_rows], counts) - before_end,
            targets=self.targets,
            request_starts=self.request_starts,
            truncated=self.truncated,
        )


def pack(contexts: Sequence[Ints], continuations: Sequence[Ints], max_length: int) -> Packing:
    """Pack requests; the same tokens are scored, in the same contexts, as by lm-eval's own backend.

    The input of a request is the last `max_length` + 1 tokens of context and continuation, without the last one.

    Args:
        contexts: R arrays of token ids.
        continuations: R arrays of token ids, each with 1 to `max_length`.
        max_length: the model's context length, tokens.
    """
    inputs, request_inputs = _inputs(contexts, continuations, max_length)
    counts = np.array([len(continuation) for continuation in continuations], np.int64)
    tails = np.zeros(len(inputs), np.int64)
    np.maximum.at(tails, request_inputs, counts)
    keys = [tokens.astype(">i4").tobytes() for tokens in inputs]
    rows = _Rows(max_length + _BEYOND_CONTEXT)
    for number in sorted(range(len(inputs)), key=keys.__getitem__):  # inputs with a common start are neighbours
        rows.add(number, inputs[number], int(tails[number]))
    rows.close()
    scored = [rows.tails[number][-count:] for number, count in zip(request_inputs, counts.tolist(), strict=True)]
    lengths = np.array(rows.lengths, np.int64)
    row_of_input = np.array([rows.row_of[number] for number in range(len(inputs))], np.int64)
    return Packing(
        tokens=_concatenate(rows.tokens),
        positions=_concatenate(rows.positions),
        ends=_concatenate(rows.ends),
        row_starts=starts_of(lengths),
        branching=np.array(rows.branching, np.bool_),
        request_rows=row_of_input[request_inputs],
        scored=_concatenate(scored),
        targets=_concatenate(continuations),
        request_starts=starts_of(counts),
        truncated=np.array([len(context) for context in contexts], np.int64) + counts > max_length + 1,
    )


def starts_of(counts: Ints) -> Ints:
    """Return (n + 1,), the start of each of n runs, and the end of the last one."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Return `counts` numbers from each start on, run after run."""
    before: Ints = np.repeat(starts_of(counts)[:-1] - starts, counts)
    return np.arange(len(before)) - before


def _inputs(contexts: Sequence[Ints], continuations: Sequence[Ints], max_length: int) -> tuple[list[Ints], Ints]:
    """Return the different inputs, and the number of each request's input."""
    positions: dict[bytes, int] = {}
    inputs: list[Ints] = []
    numbers = np.empty(len(contexts), np.int64)
    for request, (context, continuation) in enumerate(zip(contexts, continuations, strict=True)):
        tokens = np.concatenate([context, continuation])[-(max_length + 1) :][:-1]
        number = positions.setdefault(tokens.tobytes(), len(inputs))
        if number == len(inputs):
            inputs.append(tokens)
        numbers[request] = number
    return inputs, numbers


class _Rows:
    """Rows under construction; inputs are added in trie order."""

    def __init__(self, longest: int) -> None:
        self.tokens: list[Ints] = []
        self.positions: list[Ints] = []
        self.ends: list[Ints] = []
        self.lengths: list[int] = []
        self.branching: list[bool] = []
        self.row_of: dict[int, int] = {}
        self.tails: dict[int, Ints] = {}
        self._longest = longest
        self._open_ends = np.zeros(longest, np.int32)
        self._path = np.zeros(0, np.int32)
        self._before = np.zeros(0, np.int32)
        self._size = self._inputs = 0

    def add(self, number: int, tokens: Ints, tail: int) -> None:
        """Add an input whose last `tail` places are scored."""
        share = _shared(self._before, tokens) if self._inputs else 0
        fits = self._size + len(tokens) - share <= self._longest
        if share < _MIN_SHARED or share * _MIN_SHARE < len(tokens) or not fits:
            self.close()
            share = 0
        new = np.arange(self._size, self._size + len(tokens) - share, dtype=np.int32)
        self._open_ends[self._path[share:]] = self._size
        self._path = np.concatenate([self._path[:share], new])
        self._before = tokens
        self._size += len(new)
        self._inputs += 1
        self.tokens.append(tokens[share:])
        self.positions.append(np.arange(share, len(tokens), dtype=np.int32))
        self.row_of[number] = len(self.lengths)
        self.tails[number] = self._path[-tail:]

    def close(self) -> None:
        """End the row."""
        if not self._inputs:
            return
        self._open_ends[self._path] = self._size
        self.ends.append(self._open_ends[: self._size].copy())
        self.lengths.append(self._size)
        self.branching.append(self._inputs > 1)
        self._path = self._path[:0]
        self._size = self._inputs = 0


def _shared(one: Ints, other: Ints) -> int:
    """Return the number of tokens at the start that two inputs share."""
    least = min(len(one), len(other))
    different = np.flatnonzero(one[:least] != other[:least])
    return int(different[0]) if len(different) else least


def _concatenate(parts: Sequence[Ints]) -> Ints:
    return np.concatenate(parts) if len(parts) else np.zeros(0, np.int32)
