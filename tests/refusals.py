"""How tests look at errors and findings: by code and fields, never by prose."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from mixhub.errors import MixhubError, SpecError
from mixhub.findings import Finding


@contextmanager
def refused(code: str, kind: type[MixhubError] = MixhubError, /, **fields: object) -> Iterator[pytest.ExceptionInfo]:
    """Expects an error with this code, of this class, with at least these fields."""
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, error
    assert {name: error.fields.get(name) for name in fields} == fields


def broken(error: MixhubError) -> dict[str, str]:
    """Of an error about a file of ours, the code of the rule that each key breaks; "" for the file as a whole."""
    assert isinstance(error, SpecError), error
    return {problem.key: problem.code for problem in error.problems}


def codes(findings: Iterable[Finding]) -> list[str]:
    """The codes of findings, in their order."""
    return [finding.code for finding in findings]


def faults(error: MixhubError) -> list[tuple[str, str]]:
    """Of an error that lists findings, the code of each and where it is."""
    listed: tuple[Finding, ...] = error.fields["findings"]  # type: ignore[assignment]
    return [(finding.code, finding.where) for finding in listed]


def printed_codes(text: str) -> list[str]:
    """The codes at the ends of lines that a command printed."""
    return re.findall(r"  \[([a-z0-9-]+)\]$", text, re.MULTILINE)


def printed_faults(result: subprocess.CompletedProcess) -> list[tuple[str, str]]:
    """The codes of the mistakes that ended a command, each with the place that its line begins with."""
    assert result.returncode == 2, result
    lines = re.findall(r"^error: ([^:\n]+): .*  \[([a-z0-9-]+)\]$", result.stderr, re.MULTILINE)
    return [(code, place) for place, code in lines]


def error_codes(result: subprocess.CompletedProcess) -> list[str]:
    """The codes of the mistakes that ended a command, which has the status 2."""
    assert result.returncode == 2, result
    return printed_codes(result.stderr)
