"""`mixhub data import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next, say_wrapped
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace
from mixhub.formats import Split, TokenFormat, TokenType
from mixhub.phrases import listed, plural

_TOKENIZER_HELP = "Tokenizer that made the ids: its folder, or its name or repo_id in the family."
_FORMAT_HELP = "Format of the files. [default: recognised by names and first bytes]"
_DTYPE_HELP = "Type of ids in files that do not record it. [default: uint16 if the vocabulary allows it]"


def import_(
    files: Annotated[list[Path], typer.Argument(help="Files of tokens, in the order of their tokens.", metavar="FILE")],
    domain: Annotated[str, typer.Option(help="Domain that the files become, without prefix.", metavar="NAME")],
    tokenizer: Annotated[str, typer.Option(help=_TOKENIZER_HELP, metavar="DIR|NAME")],
    split: Annotated[Split, typer.Option(help="Split of the domain.")] = "train",
    format: Annotated[TokenFormat | None, typer.Option(help=_FORMAT_HELP)] = None,
    dtype: Annotated[TokenType | None, typer.Option(help=_DTYPE_HELP)] = None,
    add_eos: Annotated[bool, typer.Option("--add-eos", help="Add the eos token to documents that lack it.")] = False,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Import token files of other tools as a domain, a shard for each file.

    The format is recognised by the names and first bytes of the files. Ids must be below the vocabulary size, and
    documents must end with the eos token. Formats that do not record documents are cut after each eos token.
    """
    from mixhub import workflow

    workspace = find_workspace(workspace_dir)
    family = workspace.family(family_name)
    imported = workflow.import_tokens(
        workspace,
        files,
        domain=domain,
        tokenizer=tokenizer,
        split=split,
        options=workflow.ImportOptions(format, dtype, add_eos),
        family=family,
        progress=progress(),
    )
    part = imported.domain
    counts = f"{plural(part.tokens, 'token')} in {plural(part.documents, 'document')}"
    say_wrapped(f"imported {split}/{domain}: {counts} from {plural(len(part.sources), 'file')}")
    for note in imported.notes:
        say_wrapped(f"note: {note}")
    say(f"packed in {workspace.tokens(family)}")
    if imported.missing:
        say_wrapped(f"to pack or import: {listed(imported.missing, most=12)}")
    else:
        run = family.runs()[0]
        say_next(f"mixhub train --{run.kind} {run.label}")
