"""The exception tree. Errors that the user can fix are `MixhubError`s; the command line prints them and exits with 2.

MixhubError
├── SpecError              a family, mixture or workspace file breaks its rules; carries every problem
├── UsageError             options that do not go together, or a value out of range
├── UnknownNameError       a name that nothing answers to: family, seed, index, task, revision
├── WorkspaceError         the folder is not a workspace, of a newer format, or in use by another process
├── CorpusError            text data is missing or malformed
├── RunError               a run cannot be started, resumed or exported
├── ExportError            an export is incomplete or contradicts itself
├── ResultsError           results are missing, malformed or made with other weights
└── HubError               a hub refused or cannot be understood
    ├── HubUnreachableError    nothing answers at the endpoint
    ├── RepoNotFoundError      the hub has no such repo, or hides it
    ├── RevisionNotFoundError  the repo has no such branch, tag or commit
    └── PushConflictError      the branch moved while a push was under way

Each error has a one-line message, a stable code (`docs/errors.md` lists them), a hint (what to do next) and `fields`:
the values that the message names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mixhub.phrases import listed, shown


class MixhubError(Exception):
    """An error that the user can fix.

    Args:
        message: one line: what, where, the value, and the rule that it breaks.
        code: the kind of mistake; None if the class names it.
        hint: the next step, if possible a command to type.
        fields: the values that the message names, for programs.
    """

    code: str
    """Stable name of the kind of mistake."""

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
        """The message, a line each, with its code behind it: as commands print it.

        If it lists findings first, each of those lines has the finding's code.
        """
        found: Any = self.fields.get("findings", ())
        codes = [finding.code for finding in found for _ in finding.message.splitlines()]
        lines = self.message.splitlines()
        return [f"{line}  [{code}]" for line, code in zip_longest(lines, codes, fillvalue=self.code)]

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`; fields that are not plain are given as text."""
        fields = {key: _plain(value) for key, value in self.fields.items()}
        return {"code": self.code, "message": self.message, "hint": self.hint, "fields": fields}


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
"""The value of a key that is not there."""


@dataclass(frozen=True)
class Problem:
    """One broken rule in a file of ours."""

    key: str
    """Dotted path of the key, as `training.learning_rate`; empty for the file as a whole."""
    value: object
    """What stands there."""
    rule: str
    """What the value must be, or why it is refused."""
    code: str
    """Stable name of the rule."""

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        value = {} if self.value is ABSENT else {"value": _plain(self.value)}
        return {"code": self.code, "key": self.key, **value, "rule": self.rule}

    def __str__(self) -> str:
        if not self.key:
            return self.rule
        if self.value is ABSENT:
            return f"{self.key}: {self.rule}"
        return f"{self.key} = {shown(self.value)}: {self.rule}"


class SpecError(MixhubError):
    """A file of ours breaks its rules; every problem is listed, one line each."""

    code = "spec-invalid"

    def __init__(self, file: str, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.file = file
        self.problems = tuple(problems)
        hint = hint or "mend what is named, then run the command again"
        super().__init__(
            "\n".join(f"{file}: {problem}" for problem in problems), hint=hint, file=file, problems=problems
        )

    def lines(self) -> list[str]:
        """A line for each problem, with the code of its rule behind it."""
        return [f"{self.file}: {problem}  [{problem.code}]" for problem in self.problems]


class UsageError(MixhubError):
    """Options or arguments that do not go together, or are out of range."""


class UnknownNameError(MixhubError):
    """Nothing is known by that name; the nearest known names are offered."""

    def __init__(
        self,
        kind: str,
        name: object,
        known: Iterable[object],
        *,
        near: str | None = None,
        where: str = "",
        hint: str | None = None,
        code: str | None = None,
    ) -> None:
        choices = [str(choice) for choice in known]
        near = near or (None if isinstance(name, int) else nearest(str(name), choices))
        self.kind, self.name, self.known, self.nearest = kind, name, tuple(choices), near
        place = f" in {where}" if where else ""
        meant = f"; did you mean {near}?" if near else ""
        super().__init__(
            f"unknown {kind} {shown(name)}{place}{meant}",
            hint=hint or (f"known: {listed(choices, most=12)}" if choices else f"there is no {kind} yet"),
            code=code or f"unknown-{kind.replace(' ', '-')}",
            kind=kind,
            name=name,
            known=self.known,
        )


class WorkspaceError(MixhubError):
    """The folder is not a workspace, has a newer format, or is in use."""


class CorpusError(MixhubError):
    """Text data is missing or malformed."""


class RunError(MixhubError):
    """A run cannot be started, resumed or exported."""


class ExportError(MixhubError):
    """An export is incomplete or contradicts itself."""


class ResultsError(MixhubError):
    """Results are missing, malformed, or were made with other weights."""


class HubError(MixhubError):
    """A hub refused a request, or answered what cannot be understood."""


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
    """The branch moved while a push was under way."""

    code = "push-conflict"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is near."""
    import difflib

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def _plain(value: object) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return value.to_data() if hasattr(value, "to_data") else str(value)
