"""The exception tree. Errors that the user can fix are `MixhubError`s; the command line prints them and exits with 2.

MixhubError
├── SpecError              a family, mixture or workspace file breaks its rules; lists every problem
├── UsageError             options that cannot be combined, or a value out of range
├── UnknownNameError       an unknown family, seed, index, task or revision
├── WorkspaceError         the folder is not a workspace, has a newer format, or is in use by another process
├── CorpusError            text data is missing or malformed
├── RunError               a run cannot be started, resumed or exported
├── ExportError            an export is incomplete or inconsistent
├── ResultsError           results are missing, malformed or belong to other weights
│   └── CellsFailedError       cells could not be measured, and the others were; lists each reason
└── HubError               a hub refused a request or sent an invalid response
    ├── HubUnreachableError    nothing answers at the endpoint
    ├── RepoNotFoundError      the hub has no such repo, or hides it
    ├── RevisionNotFoundError  the repo has no such branch, tag or commit
    └── PushConflictError      the branch moved during a push

Each error has a one-line message, a stable code (`docs/errors.md` lists them), a hint (what to do next) and `fields`:
the values in the message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mixhub.phrases import listed, preview


class MixhubError(Exception):
    """An error that the user can fix.

    Args:
        message: one line: what is wrong, where, the value, and the rule it breaks.
        code: the kind of error; None if the class defines it.
        hint: the next step, if possible a command to type.
        fields: the values in the message, for programs.
    """

    code: str
    """Stable name of the kind of error."""

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.hint = hint
        self.fields = fields
        if hint:
            self.add_note(f"hint: {hint}")  # shown below a traceback, for users of the library

    def lines(self) -> list[str]:
        """Return the lines of the message as commands print them, each followed by its code.

        The lines of findings, which come first, have the codes of the findings.
        """
        findings: Any = self.fields.get("findings", ())
        codes = [finding.code for finding in findings for _ in finding.message.splitlines()]
        return [
            f"{line}  [{code}]" for line, code in zip_longest(self.message.splitlines(), codes, fillvalue=self.code)
        ]

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`; other fields become text."""
        fields = {key: _plain(value) for key, value in self.fields.items()}
        return {"code": self.code, "message": self.message, "hint": self.hint, "fields": fields}


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
"""The value of a missing key."""


@dataclass(frozen=True)
class Problem:
    """One broken rule in a file."""

    key: str
    """Dotted path of the key, such as `training.learning_rate`; empty for the whole file."""
    value: object
    """The value in the file."""
    rule: str
    """What the value must be, or why it is refused."""
    code: str
    """Stable name of the rule."""

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`."""
        value = {} if self.value is ABSENT else {"value": _plain(self.value)}
        return {"code": self.code, "key": self.key, **value, "rule": self.rule}

    def __str__(self) -> str:
        value = "" if self.value is ABSENT else f" = {preview(self.value)}"
        return f"{self.key}{value}: {self.rule}" if self.key else self.rule


class SpecError(MixhubError):
    """A file breaks its rules; the message has one line for each problem."""

    code = "spec-invalid"

    def __init__(self, file: str, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.file = file
        self.problems = tuple(problems)
        message = "\n".join(f"{file}: {problem}" for problem in problems)
        hint = hint or "fix the problems above and run the command again"
        super().__init__(message, hint=hint, file=file, problems=problems)

    def lines(self) -> list[str]:
        """Return a line for each problem, followed by the code of its rule."""
        return [f"{self.file}: {problem}  [{problem.code}]" for problem in self.problems]


class UsageError(MixhubError):
    """Options or arguments that cannot be combined, or are out of range."""


class UnknownNameError(MixhubError):
    """An unknown name; the message suggests the nearest known one.

    Args:
        kind: what is named, such as `family`; the code is `unknown-family`.
        name: the unknown name.
        known: the known names.
        near: the name to suggest, if not the most similar one.
        where: where the name was looked up.
        hint: the next step, if not the list of known names.
    """

    def __init__(
        self, kind: str, name: object, known: Iterable[object], *, near: str = "", where: str = "", hint: str = ""
    ) -> None:
        choices = tuple(str(choice) for choice in known)
        self.nearest = near or (None if isinstance(name, int) else nearest(str(name), choices))
        location = f" in {where}" if where else ""
        suggestion = f"; did you mean {self.nearest}?" if self.nearest else ""
        message = f"unknown {kind} {preview(name)}{location}{suggestion}"
        hint = hint or (f"known: {listed(choices, most=12)}" if choices else f"no {kind} is known")
        code = f"unknown-{kind.replace(' ', '-')}"
        super().__init__(message, hint=hint, code=code, kind=kind, name=name, known=choices)


class WorkspaceError(MixhubError):
    """The folder is not a workspace, has a newer format, or is in use."""


class CorpusError(MixhubError):
    """Text data is missing or malformed."""


class RunError(MixhubError):
    """A run cannot be started, resumed or exported."""


class ExportError(MixhubError):
    """An export is incomplete or inconsistent."""


class ResultsError(MixhubError):
    """Results are missing, malformed, or belong to other weights."""


class CellsFailedError(ResultsError):
    """Cells could not be measured, and the others were.

    The message has one line for each reason; the code is that of the reasons, or `cells-failed` if they differ.
    """

    def __init__(self, errors: Sequence[ResultsError], evaluated: object = None) -> None:
        self.errors = tuple(errors)
        self.evaluated = evaluated
        """What was measured: `Evaluated` or `EvaluatedModel`, if a function of the workflow raises this."""
        same = len({error.code for error in errors}) == 1
        hint = errors[0].hint if same else "fix these, or leave the tasks out, and run the command again"
        fields = errors[0].fields if len(errors) == 1 else {}
        code = errors[0].code if same else "cells-failed"
        super().__init__("\n".join(error.message for error in errors), code=code, hint=hint, **fields)

    def lines(self) -> list[str]:
        """Return a line for each reason, followed by its code."""
        return [line for error in self.errors for line in error.lines()]


class HubError(MixhubError):
    """A hub refused a request, or sent an invalid response."""


class HubUnreachableError(HubError):
    """Nothing answers at the endpoint."""

    code = "hub-unreachable"


class RepoNotFoundError(HubError):
    """The hub has no such repo, or hides it from this token."""

    code = "repo-not-found"


class RevisionNotFoundError(HubError):
    """The repo has no such branch, tag or commit."""

    code = "revision-not-found"


class PushConflictError(HubError):
    """The branch moved during a push."""

    code = "push-conflict"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to `name`; None if none is similar."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)), None)


def _plain(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return value.to_data() if hasattr(value, "to_data") else str(value)
