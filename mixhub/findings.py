"""Findings: what the checks of runs, exports, repos, cards and tables report."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mixhub.errors import MixhubError

Level = Literal["error", "warning", "unchecked"]

EXIT_WRONG = 1
EXIT_UNCHECKED = 3


@dataclass(frozen=True)
class Finding:
    """What is wrong with a model, or what could not be checked, for those who publish or load it."""

    code: str
    """Stable name of the kind of finding, such as `weights-repeated`; `docs/errors.md` lists them."""
    where: str
    """Where it is: a revision, `main`, a card as the user names it, a row of a table."""
    message: str
    """One line: what is wrong, the value, and the rule it breaks."""
    hint: str = ""
    """The next step."""
    level: Level = "error"
    """A warning does not stop a push; `unchecked`: a check that could not run, such as without a package."""
    line: int = 0
    """Line of the file, from 1; 0 for a whole file or anything else."""
    about: str = ""
    """The affected part of `where`: a key of the metadata, an address, a cell, a column."""
    assumptions: tuple[str, ...] = ()
    """Assumptions of the check, a sentence each."""

    def __str__(self) -> str:
        """`seed-2: what is wrong`, or `README.md:12: what is wrong`."""
        prefix = {"error": "", "warning": "warning: ", "unchecked": "not checked: "}[self.level]
        return f"{prefix}{self._located}"

    @property
    def _located(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.where}{line}: {self.message}"

    def within(self, where: str) -> Finding:
        """Move the finding from a part to the whole, such as from a card to its branch; the message names the part."""
        return replace(self, where=where, message=self._located, line=0)

    def to_data(self) -> dict[str, Any]:
        """Return plain data for `--json`; without line, about and assumptions if empty."""
        data = {name: getattr(self, name) for name in ("code", "level", "where", "message", "hint")}
        more = {"line": self.line, "about": self.about, "assumptions": list(self.assumptions)}
        return data | {key: value for key, value in more.items() if value}


def from_error(error: MixhubError, where: str, *, code: str = "", hint: str = "", about: str = "") -> Finding:
    """Turn an error into a finding; `code` and `hint` replace those of the error."""
    return Finding(code or error.code, where, error.message, hint or error.hint or "", about=about)


def unchecked(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that say that something could not be checked."""
    return [finding for finding in findings if finding.level == "unchecked"]


def exit_status(findings: Iterable[Finding]) -> int:
    """Return the exit status of a check: 1 if anything is wrong, else 3 if something could not be checked, else 0."""
    levels = {finding.level for finding in findings}
    return EXIT_WRONG if "error" in levels else EXIT_UNCHECKED if "unchecked" in levels else 0


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that are errors."""
    return [finding for finding in findings if finding.level == "error"]
