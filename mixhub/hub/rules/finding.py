"""What a check of a release finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "files",
    "index",
    "weights",
    "shapes",
    "tokenizer",
    "pickle",
    "repeated",
    "lineage",
    "recipe",
    "initial weights",
    "results",
    "card",
    "branch",
    "alike",
    "loading",
]
Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a revision, or that whoever publishes or loads it should know."""

    kind: Kind
    where: str
    """The revision, or `main`."""
    message: str
    """One line: what, the value, and the rule that it breaks."""
    hint: str = ""
    """The next step."""
    level: Level = "error"
    """A warning stops nothing."""

    def __str__(self) -> str:
        """`seed-2: what is wrong`."""
        return f"{'warning: ' if self.level == 'warning' else ''}{self.where}: {self.message}"


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stop a release."""
    return [finding for finding in findings if finding.level == "error"]


def hints(findings: Sequence[Finding]) -> list[str]:
    """What to do next, each said once."""
    return list(dict.fromkeys(finding.hint for finding in findings if finding.hint))
