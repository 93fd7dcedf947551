"""`mixhub data seen`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common import console, options

if TYPE_CHECKING:
    from mixhub.workflow import SeenDocument, SeenDocuments

_STEP_HELP = "Step, counted from 1 as in metrics.jsonl: step 1 makes the first update."
_TO_HELP = "Last step. [default: only --step]"


def seen(
    step: Annotated[int, typer.Option(help=_STEP_HELP, metavar="N")],
    to: Annotated[int | None, typer.Option(help=_TO_HELP, metavar="N")] = None,
    text: Annotated[bool, typer.Option("--text", help="Also print the text that was read.")] = False,
    seed: options.SeedOption = None,
    index: options.IndexOption = None,
    as_json: options.JsonOption = False,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Show which documents some steps of a run read, whether it is trained or not.

    A sample is a stretch of one domain, so it has parts of one or more documents. Each row is the part of one document:
    the number of its sample in the run, its file, the number of the document in the file (its line, unless
    lines were blank or not packed), the first token of the part, counted from 0, its tokens, and those of the document.
    A sample is one token longer than a sequence: its last token is only a target.
    """
    from mixhub import workflow

    workspace = options.find_workspace(workspace_dir)
    name = workflow.RunName(seed=seed, index=index, family=family_name)
    progress = console.progress(as_json=as_json)
    read = workflow.seen_documents(workspace, step=step, to=to, text=text, progress=progress, **name)
    if as_json:
        console.say_json(read.to_data())
    else:
        _show(read, with_text=text)


def _show(read: SeenDocuments, *, with_text: bool) -> None:
    """Print the parts of documents, and the totals of the domains."""
    from mixhub.phrases import listed

    many = read.last_step > read.first_step
    title = f"{read.revision}, step{f's {read.first_step} to' if many else ''} {read.last_step}"
    if with_text:
        console.say(title)
        for part in read.documents:
            _show_text(part)
        console.say("")
    else:
        rows = [_row(part) for part in read.documents]
        # The names of packed files begin with their domain, those of imported files do not.
        hidden = {"step": not many, "domain": all(row["file"].startswith(f"{row['domain']}-") for row in rows)}
        columns = [column for column in rows[0] if not hidden.get(column)]
        console.show_table(columns, [[row[column] for column in columns] for row in rows], title=title)
    if read.partial:
        files = listed(read.partial, most=5)
        console.say_wrapped(f"documents are counted without rows that were held out or skipped in {files}")
        console.say("")
    totals = [(domain, *total.values()) for domain, total in read.totals.items()]
    console.show_table(["domain", "samples", "documents", "tokens"], totals, title="by domain")


def _row(part: SeenDocument) -> dict[str, Any]:
    place = {"step": part.step, "sample": part.sample, "domain": part.domain, "file": part.file.removeprefix("train/")}
    return place | {"document": part.document, "first": part.first, "tokens": part.tokens, "of": part.document_tokens}


def _show_text(part: SeenDocument) -> None:
    """Print where a part is from, and its text."""
    tokens = f"tokens {part.first:,} to {part.first + part.tokens - 1:,} of {part.document_tokens:,}"
    console.say(f"step {part.step}, sample {part.sample:,}: {part.file}, document {part.document:,}, {tokens}")
    for line in (part.text or "").split("\n"):
        console.say(f"    {line}")
