"""`mixhub data pack`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import progress, say, say_next, show_table
from mixhub.cli.common.options import FamilyOption, WorkspaceOption, find_workspace
from mixhub.phrases import magnitude

_TOKENIZER_HELP = "Tokenizer folder. [default: download the family's tokenizer]"
_KEY_HELP = "Key of the text in a line of JSON, or column of a parquet file."
_VALID_HELP = "Share of the training documents to hold out, in domains without files in valid/."
_SKIP_HELP = "Skip and list broken rows. [default: stop at the first]"
_WORKERS_HELP = "Number of processes. [default: one for each core]"
_SHARD_HELP = "Pack only the i-th of n parts of the files; n commands, on any machines, pack all. [default: all files]"


def pack(
    tokenizer: Annotated[Path | None, typer.Option(help=_TOKENIZER_HELP, metavar="DIR")] = None,
    text_key: Annotated[str, typer.Option("--text-key", help=_KEY_HELP, metavar="NAME")] = "text",
    valid_fraction: Annotated[float | None, typer.Option("--valid-fraction", help=_VALID_HELP, metavar="F")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help=_SKIP_HELP)] = False,
    workers: Annotated[int | None, typer.Option(help=_WORKERS_HELP, metavar="N", min=1)] = None,
    shard: Annotated[str | None, typer.Option(help=_SHARD_HELP, metavar="i/n")] = None,
    family_name: FamilyOption = None,
    workspace_dir: WorkspaceOption = None,
) -> None:
    """Pack the family's corpus into token shards, unless they exist.

    The corpus is data/<corpus>/train/<domain>-<n>.jsonl and valid/<domain>-<n>.jsonl, also .jsonl.gz, .jsonl.zst or
    .parquet. If the family's tokenizer has no repo_id, a tokenizer is first trained on the corpus.

    A pack that was stopped goes on with the files that are not finished. With mixhub[fast], text is encoded by
    fastokens after it gave the same ids as tokenizers on a sample of each file.
    """
    from mixhub import workflow
    from mixhub.workspace.manifest import SPLITS

    workspace = find_workspace(workspace_dir)
    family = workspace.family(family_name)
    options = workflow.PackOptions(text_key=text_key, valid_fraction=valid_fraction, skip_bad=skip_bad, workers=workers)
    pack = workflow.pack if shard is None else partial(workflow.pack_shard, shard=shard)
    manifest = pack(workspace, family=family, tokenizer=tokenizer, options=options, progress=progress())
    if manifest is None:
        say(f"packed part {shard}; once all parts are packed, with the same options: {workspace.tokens(family)}")
        return
    domains = [(split, domain, part) for split in SPLITS for domain, part in manifest.domains(split).items()]
    rows = [(split, domain, part.documents, magnitude(part.tokens)) for split, domain, part in domains]
    show_table(["split", "domain", "documents", "tokens"], rows)
    say(f"packed in {workspace.tokens(family)}")
    run = family.runs()[0]
    say_next(f"mixhub train --{run.kind} {run.label}")
