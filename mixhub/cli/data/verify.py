"""`mixhub data verify`."""

from __future__ import annotations

import typer

from mixhub.cli.common import console, options


def verify(
    as_json: options.JsonOption = False,
    family_name: options.FamilyOption = None,
    workspace_dir: options.WorkspaceOption = None,
) -> None:
    """Read all token shards and compare them with the manifest; exit with 1 if one has changed.

    Also compares where documents end and the tokenizer, and the corpus if it is there: text that changed since is a
    warning, since the shards keep what was packed. Runs do this on their own for shards whose date or size changed.
    """
    from mixhub import workflow
    from mixhub.findings import exit_status
    from mixhub.phrases import plural

    workspace = options.find_workspace(workspace_dir)
    verified = workflow.verify_data(workspace, family=family_name, progress=console.progress(as_json=as_json))
    if as_json:
        console.say_json(verified.to_data())
    else:
        console.show_findings(verified.findings)
        end = plural(len(verified.findings), "finding") if verified.findings else "as they were packed"
        text = f" and {plural(verified.sources, 'file')} of text" if verified.sources else ""
        console.say_wrapped(f"{verified.tokens}: {plural(verified.files, 'file')} of tokens{text}, {end}")
    if status := exit_status(verified.findings):
        raise typer.Exit(status)
