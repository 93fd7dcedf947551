"""`mixhub data export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import progress, say, say_wrapped, show_table
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace
from mixhub.formats import Split, TokenFormat
from mixhub.phrases import magnitude, size


def export(
    format: Annotated[TokenFormat, typer.Option(help="Format of the files.")],
    to: Annotated[Path, typer.Option(help="New folder for the files.", metavar="DIR")],
    domains: Annotated[
        list[str] | None, typer.Option("--domain", help="Domain, repeatable. [default: all]", metavar="NAME")
    ] = None,
    split: Annotated[Split | None, typer.Option(help="Split. [default: both]")] = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Export packed tokens as files that other tools read."""
    from mixhub import workflow

    workspace = find_workspace(workspace_dir)
    exported = workflow.export_tokens(
        workspace,
        to,
        format=format,
        domains=domains,
        split=split,
        family=workspace.family(family_name),
        progress=progress(),
    )
    rows = [
        (each.split, each.domain, len(each.files), magnitude(each.tokens), size(each.size)) for each in exported.domains
    ]
    show_table(["split", "domain", "files", "tokens", "size"], rows)
    for note in exported.notes:
        say_wrapped(f"note: {note}")
    say(f"exported to {to}")
