"""Rows, columns and revisions that repeat another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, TypeVar

Name = TypeVar("Name")
MIN_REPEATED = 3
"""Columns or tasks that must be equal: two often are by chance if tasks have few documents."""


def find_repeats(lines: Mapping[Name, Mapping[tuple[Any, ...], object]]) -> Iterator[tuple[Name, Name, int]]:
    """Lines that equal an earlier line everywhere that both have figures: the earlier, the later, equal figures.

    Args:
        lines: figures by name of the line and key within the line. The first parts of the keys must take at least
            MIN_REPEATED values.
    """
    repeated: set[Name] = set()
    for first, second in combinations(lines, 2):
        one, other = lines[first], lines[second]
        shared = one.keys() & other.keys()
        if second in repeated or len(shared) < MIN_REPEATED or any(one[key] != other[key] for key in shared):
            continue
        if len({key[0] for key in shared}) >= MIN_REPEATED:
            repeated.add(second)
            yield first, second, len(shared)
