"""`mixhub data pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.groups import group
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace

app = group("Make text into token shards.")


@app.command()
def pack(
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder of the family's tokenizer; else it is fetched from its repo.", metavar="DIR"),
    ] = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Tokenize the family's corpus into shards, with a manifest; what is packed already is left alone.

    A family whose tokenizer has no repo_id trains one on its corpus.
    """
    from mixhub import workflow
    from mixhub.cli.common.console import progress, say, show_table
    from mixhub.phrases import magnitude

    workspace = find_workspace(workspace_dir)
    family = workspace.family(family_name)
    manifest = workflow.pack(workspace, family=family, tokenizer=tokenizer, progress=progress())
    show_table(
        ["split", "domain", "documents", "tokens"],
        [
            (split, domain, part.documents, magnitude(part.tokens))
            for split in ("train", "valid")
            for domain, part in manifest.domains(split).items()
        ],
    )
    say(f"packed in {workspace.tokens(family)}")
    run = family.runs()[0]
    say(f"next: mixhub train --{run.kind} {run.number}")
