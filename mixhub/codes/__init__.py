"""The codes of errors and findings, with their meaning and remedy.

Programs and tests rely on the codes, so a code is never renamed or reused. Each wing has a YAML file here.
`python -m mixhub.codes` prints `docs/errors.md` from them; `tests/test_house.py` compares them with the codes in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Code:
    """One kind of error or finding."""

    name: str
    """The name in errors, findings and `--json`."""
    meaning: str
    """What the code means, in a sentence or two."""
    remedy: str
    """How to fix it."""


TITLES = {
    "core": "Names, options, files and mixhub.yaml",
    "data": "Data",
    "training": "Training and exports",
    "evaluation": "Evaluation",
    "analysis": "Results and tables",
    "audit": "What an audit finds",
    "card": "Cards",
    "check": "What a check of a run or a repo finds",
    "hub": "The hub",
    "hubserver": "The embedded hub",
    "workflow": "Commands",
}
"""The heading of each file, in the order of the page."""


def all_codes() -> dict[str, Code]:
    """Return all codes by name, in the order of the page."""
    return {code.name: code for wing in TITLES for code in _codes(wing)}


def page() -> str:
    """Return the Markdown of `docs/errors.md`."""
    lines = [
        "# Errors and findings",
        "",
        "Every error and finding has a stable code. Commands print it in brackets after the message, `--json` has it",
        "under `code`, and in Python it is `error.code` or `finding.code`. An error ends a command with status 2.",
        "`check`, `verify`, `card check`, `data inspect`, `data verify` and `audit` report findings.",
        "",
        "This page is generated: `python -m mixhub.codes > docs/errors.md`.",
    ]
    for wing, title in TITLES.items():
        lines += ["", f"## {title}", "", "| code | meaning | what to do |", "|---|---|---|"]
        for code in sorted(_codes(wing), key=lambda code: code.name):
            lines.append(f"| `{code.name}` | {_cell(code.meaning)} | {_cell(code.remedy)} |")
    return "\n".join(lines) + "\n"


def _codes(wing: str) -> list[Code]:
    from mixhub.spec.base import parse_yaml

    file = resources.files(__name__).joinpath(f"{wing}.yaml")
    entries = parse_yaml(file.read_text(encoding="utf-8"), file.name)
    return [Code(name, **entry) for name, entry in entries.items()]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
