"""What a check finds: one class for every check of runs, exports, repos, cards and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mixhub.errors import MixhubError

Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that whoever publishes or loads a model should know."""

    code: str
    """Stable name of the kind of fault, as `weights-repeated`; `docs/errors.md` lists them."""
    where: str
    """What it was found in: a revision, `main`, a card as the user names it, a row of a table."""
    message: str
    """One line: what, the value, and the rule that it breaks."""
    hint: str = ""
    """The next step."""
    level: Level = "error"
    """A warning stops nothing."""
    line: int = 0
    """Line of the file, from 1; 0 if it is about the file as a whole, or not about a file."""
    about: str = ""
    """The part of `where` that it is about: a key of the metadata, an address, a cell, a column."""
    assumptions: tuple[str, ...] = ()
    """What it takes for granted, a sentence each."""

    def __str__(self) -> str:
        """`seed-2: what is wrong`, or `README.md:12: what is wrong`."""
        return f"{'warning: ' if self.level == 'warning' else ''}{self._located}"

    @property
    def _located(self) -> str:
        """The message after the place."""
        return f"{self.where}:{self.line}: {self.message}" if self.line else f"{self.where}: {self.message}"

    def within(self, where: str) -> Finding:
        """The same finding in a larger place, as that of a card in its branch; the message names the smaller one."""
        return replace(self, where=where, message=self._located, line=0)

    def to_data(self) -> dict[str, Any]:
        """Plain data for `--json`; line, about and assumptions only where there are some."""
        data = {name: getattr(self, name) for name in ("code", "level", "where", "message", "hint")}
        more = {"line": self.line, "about": self.about, "assumptions": list(self.assumptions)}
        return data | {key: value for key, value in more.items() if value}


def from_error(error: MixhubError, where: str, *, code: str = "", hint: str = "", about: str = "") -> Finding:
    """The finding that says the same as an error.

    Args:
        error: what was raised.
        where: what it was found in.
        code: another code than the error's.
        hint: another hint than the error's.
        about: the part of `where` that it is about.
    """
    return Finding(code or error.code, where, error.message, hint or error.hint or "", about=about)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are errors."""
    return [finding for finding in findings if finding.level == "error"]


def hints(findings: Sequence[Finding]) -> list[str]:
    """What to do next, each once."""
    return list(dict.fromkeys(finding.hint for finding in findings if finding.hint))


def with_codes(findings: Iterable[Finding]) -> Iterator[str]:
    """A line for each finding, its code behind it, as commands print them."""
    return (f"{finding}  [{finding.code}]" for finding in findings)
