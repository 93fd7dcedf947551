"""`mixhub data pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.options import FamilyOption, WorkspaceOption, open_workspace

app = typer.Typer(no_args_is_help=True, help="Make text into token shards.")


@app.callback()
def _data() -> None:
    """Make text into token shards."""


@app.command()
def pack(
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="Folder of the family's tokenizer; else it is fetched from its repo.", metavar="DIR"),
    ] = None,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Tokenize the family's corpus into shards, with a manifest; what is packed already is left alone.

    A family whose tokenizer has no repo_id trains one on its corpus.
    """
    from mixhub.cli.common.console import count_shown, progress, say, show_table
    from mixhub.workflow.steps import pack_corpus

    place = open_workspace(workspace)
    chosen = place.family(family)
    manifest = pack_corpus(place, chosen, tokenizer, progress())
    show_table(
        ["split", "domain", "documents", "tokens"],
        [
            (split, domain, part.documents, count_shown(part.tokens))
            for split in ("train", "valid")
            for domain, part in manifest.domains(split).items()
        ],
    )
    say(f"packed in {place.tokens(chosen)}")
    run = chosen.runs()[0]
    say(f"next: mixhub train --{run.kind} {run.number}")
