"""Fill the pages that are made from the code: a page holds a marker, `mkdocs build` puts the text in its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_WIDTH = 80


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each `<!-- generated: NAME -->` by what `NAME` generates."""
    pages = {"commands": commands, "fields": fields}
    return re.sub(r"^<!-- generated: (\w+) -->$", lambda match: pages[match[1]](), markdown, flags=re.M)


def commands() -> str:
    """The help of every command, a section each."""
    return "\n".join(f"## mixhub {name}\n\n```text\n{text}\n```\n" for name, text in _helps())


def fields() -> str:
    """Every field of `mixhub.yaml`, its default and its meaning, as two tables."""
    from mixhub.spec import Family
    from mixhub.spec.fields import described
    from mixhub.workspace.paths import WorkspaceConfig

    family = [field for field in described(Family) if field.key != "name"]
    return (
        f"## The file\n\n{_table(described(WorkspaceConfig))}\n## A family, below `families.<name>`\n\n{_table(family)}"
    )


def command_names() -> list[str]:
    """The words after `mixhub` that call a command, as `card render`."""
    import typer

    from mixhub.cli.app import app

    names = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        names += [f"{name} {below}" for below in getattr(command, "commands", ())] or [name]
    return names


def _helps() -> Iterator[tuple[str, str]]:
    from typer.testing import CliRunner

    from mixhub.cli.app import app

    for name in command_names():
        shown = CliRunner().invoke(
            app, [*name.split(), "--help"], prog_name="mixhub", env={"COLUMNS": str(_WIDTH)}, catch_exceptions=False
        )
        yield name, shown.output.rstrip()


def _table(rows: Any) -> str:
    lines = ["| field | default | meaning |", "|---|---|---|"]
    for key, default, meaning in rows:
        shown = f"`{default}`" if default not in ("-", "required") else default.replace("-", "–")
        lines.append(f"| `{key}` | {shown} | {meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"
