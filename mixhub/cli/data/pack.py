"""`mixhub data pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next, show_table
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace
from mixhub.phrases import magnitude

_TOKENIZER_HELP = "Tokenizer folder. [default: download the family's tokenizer]"


def pack(
    tokenizer: Annotated[Path | None, typer.Option(help=_TOKENIZER_HELP, metavar="DIR")] = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Pack the family's corpus into token shards, unless they exist.

    If the family's tokenizer has no repo_id, a tokenizer is first trained on the corpus.
    """
    from mixhub import workflow
    from mixhub.workspace.manifest import SPLITS

    workspace = find_workspace(workspace_dir)
    family = workspace.family(family_name)
    manifest = workflow.pack(workspace, family=family, tokenizer=tokenizer, progress=progress())
    domains = [(split, domain, part) for split in SPLITS for domain, part in manifest.domains(split).items()]
    rows = [(split, domain, part.documents, magnitude(part.tokens)) for split, domain, part in domains]
    show_table(["split", "domain", "documents", "tokens"], rows)
    say(f"packed in {workspace.tokens(family)}")
    run = family.runs()[0]
    say_next(f"mixhub train --{run.kind} {run.number}")
