"""Kinds of values that several fields share: numbers in bounds, names, repo ids, lists of numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from mixhub.spec.base import FrozenList, rule_error
from mixhub.spec.identifiers import repo_id_problem

Origin = Literal["published", "inferred", "chosen"]
"""Where a value is from: its authors say so, it follows from what they say, or whoever wrote the family chose it."""

PositiveInt = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]


def ruled(problem: Callable[[str], str | None]) -> AfterValidator:
    """Refuses text in which `problem` finds one."""

    def checked(text: str) -> str:
        if rule := problem(text):
            raise rule_error(rule, code="value-format")
        return text

    return AfterValidator(checked)


RepoId = Annotated[str, ruled(repo_id_problem)]

_MOST_NUMBERS = 10_000


def _expand_range(value: object) -> object:
    if not isinstance(value, str) or not (match := re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", value)):
        return value
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise rule_error(f"is empty; write {last}-{first}", code="value-range")
    if last - first >= _MOST_NUMBERS:
        raise rule_error(f"must hold at most {_MOST_NUMBERS:,} numbers", code="value-range")
    return tuple(range(first, last + 1))


def _compact_range(values: tuple[int, ...]) -> str | list[int]:
    if len(values) > 2 and values == tuple(range(values[0], values[-1] + 1)):
        return f"{values[0]}-{values[-1]}"
    return list(values)


Numbers = Annotated[
    FrozenList[Count], BeforeValidator(_expand_range), PlainSerializer(_compact_range, return_type=str | list[int])
]
"""A list of numbers, or a range as `1-64`."""
