"""Types of values that several fields share: numbers in bounds, names, repo ids, lists of numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from mixhub.phrases import ranges, strides
from mixhub.spec.base import FrozenList, rule_error

V = TypeVar("V")

Origin = Literal["published", "inferred", "chosen"]
"""Where a value comes from: its authors publish it, it follows from what they publish, or the family chose it."""

PositiveInt = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=96)]


TaskName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:()-]*$", max_length=128)]
"""lm-eval's names of tasks; `outer::inner` in groups."""


def ruled(problem: Callable[[str], str | None]) -> AfterValidator:
    """Refuse text for which `problem` returns a rule."""

    def check(text: str) -> str:
        if rule := problem(text):
            raise rule_error(rule, code="value-format")
        return text

    return AfterValidator(check)


def matching(pattern: str, rule: str) -> AfterValidator:
    """Refuse text that does not match a pattern."""
    return ruled(lambda text: None if re.fullmatch(pattern, text) else rule)


def repo_id_problem(repo_id: str) -> str | None:
    """Return the rule of the Hub that a repo_id breaks; None if it is valid."""
    parts = repo_id.split("/")
    if len(parts) != 2 or not all(re.fullmatch(r"[A-Za-z0-9._-]+", part) for part in parts):
        return "must be <namespace>/<name>, each of letters, digits, '.', '_' and '-'"
    if len(repo_id) > 96:
        return "must have at most 96 characters"
    if any(part[0] in ".-" or part[-1] in ".-" for part in parts) or "--" in repo_id or ".." in repo_id:
        return "must not contain '--' or '..', or begin or end a part with '.' or '-'"
    return "must not end in .git" if repo_id.endswith(".git") else None


def repo_pattern_problem(pattern: str) -> str | None:
    """Return the same for a repo_id that may hold `{seed}` or `{index}`."""
    return repo_id_problem(re.sub(r"\{(?:seed|index)\}", "1", pattern))


RepoId = Annotated[str, ruled(repo_id_problem)]
RepoIdPattern = Annotated[str, ruled(repo_pattern_problem)]
"""A repo_id, maybe with `{seed}` or `{index}`."""

Commit = Annotated[str, matching(r"[0-9a-f]{40}", "must be a commit: 40 hexadecimal digits")]

# Only the Hub knows all licences: `card check` warns of unfamiliar ones, and `--validate` asks the hub.
LICENSE = r"[a-z0-9][a-z0-9.+-]*(?<!-or-later)(?<!-only)"
License = Annotated[
    str,
    matching(
        LICENSE,
        "must be an identifier of the Hub such as apache-2.0 (without -only or -or-later), or other",
    ),
]
LicenseName = Annotated[str, matching(r"[a-z0-9][a-z0-9.-]{0,95}", "must be lower-case letters, digits, '-' and '.'")]
LicenseLink = Annotated[
    str,
    matching(
        r"https?://[^\s/]+(?:/\S*)?|LICEN[CS]E[\w-]*(?:\.(?:md|txt|rst|pdf|html))?",
        "must be an address (https://…) or the name of a file, such as LICENSE",
    ),
]
Language = Annotated[
    str,
    matching(
        r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*|code|multilingual",
        "must be a language code such as en (ISO 639) or zh-Hant (BCP 47), or code, or multilingual",
    ),
]
Tag = Annotated[str, matching(r"(?=.*\S).{1,96}", "must be 1 to 96 characters on one line")]


def _check_unique(values: tuple[V, ...]) -> tuple[V, ...]:
    if len(set(values)) != len(values):
        raise rule_error("each value must be unique", code="value-repeated")
    return values


UniqueList = Annotated[FrozenList[V], AfterValidator(_check_unique)]
"""A list without repeated values."""

_MAX_NUMBERS = 10_000


def _expand_range(value: object) -> object:
    if not isinstance(value, str) or not (match := re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", value)):
        return value
    first, last = int(match[1]), int(match[2])
    if last < first:
        raise rule_error(f"is empty; write {last}-{first}", code="value-range")
    if last - first >= _MAX_NUMBERS:
        raise rule_error(f"must have at most {_MAX_NUMBERS:,} numbers", code="value-range")
    return tuple(range(first, last + 1))


def range_or_list(values: Sequence[V]) -> str | list[V]:
    """Return `1-5`, or the list itself if it has gaps."""
    text = ranges(values)
    return text if re.fullmatch(r"\d+-\d+", text) else list(values)


_STRIDE = re.compile(r"\s*(\d{1,12})\s*-\s*(\d{1,12})\s*(?::\s*(\d{1,12})\s*)?")


def _expand_steps(value: object) -> object:
    """Return the steps of a list of numbers and ranges, ascending."""
    found: set[int] = set()
    others: list[object] = []
    for part in value if isinstance(value, list | tuple) else [value]:
        match = _STRIDE.fullmatch(part) if isinstance(part, str) else None
        if isinstance(part, int) and not isinstance(part, bool):
            found.add(part)
            continue
        if match is None:
            others.append(part)
            continue
        first, last, stride = int(match[1]), int(match[2]), int(match[3] or 1)
        if last < first or stride == 0:
            raise rule_error(f"{part} is empty; write first-last:stride", code="value-range")
        if (last - first) // stride >= _MAX_NUMBERS:
            raise rule_error(f"{part} must have at most {_MAX_NUMBERS:,} numbers", code="value-range")
        found |= {*range(first, last + 1, stride)}
    return (*sorted(found), *others)


def steps_and_strides(steps: Sequence[int]) -> list[int | str]:
    """Return ascending steps as numbers and ranges such as `1000-143000:1000`."""
    return [int(part) if part.isdecimal() else part for part in strides(steps)]


Steps = Annotated[
    FrozenList[Count], BeforeValidator(_expand_steps), PlainSerializer(steps_and_strides, return_type=list[int | str])
]
"""Steps, ascending, as a list of numbers and ranges such as `0-10` and `1000-143000:1000`."""


def _check_label(label: object) -> object:
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        return label
    if isinstance(label, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,63}", label):
        return label
    rule = "must be a number, or a word of letters, digits, '.', '_' and '-'"
    if label is None or isinstance(label, bool):
        rule += ", in quotes if YAML reads it as true, false or null"
    raise rule_error(rule, code="value-format")


Label = Annotated[int | str, BeforeValidator(_check_label)]
"""What the publishers call a run: a number, or a word such as `default`."""
Labels = Annotated[
    UniqueList[Label], BeforeValidator(_expand_range), PlainSerializer(range_or_list, return_type=str | list[int | str])
]
"""A list of numbers and words, or a range such as `1-5`."""

Numbers = Annotated[
    UniqueList[Count], BeforeValidator(_expand_range), PlainSerializer(range_or_list, return_type=str | list[int])
]
"""A list of numbers, or a range such as `1-64`."""
