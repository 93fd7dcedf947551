"""`mixhub init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixhub.cli.common.console import say

_NAMESPACE_HELP = "Owner of the repos to push to. [default: the owner in the family's repo_id]"


def init(
    folder: Annotated[Path, typer.Argument(help="Workspace folder; created if missing.", metavar="DIR")] = Path(),
    family: Annotated[str, typer.Option(help="Family to work on or to extend.", metavar="NAME")] = "human-1b",
    mixture: Annotated[
        Path | None, typer.Option(help="YAML file with the mixture of the new family.", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new family.", metavar="NAME")] = None,
    namespace: Annotated[str | None, typer.Option(help=_NAMESPACE_HELP, metavar="NAME")] = None,
    hub: Annotated[str, typer.Option(help="`local` for the embedded hub, or an address.", metavar="HUB")] = "local",
) -> None:
    """Create a workspace: a folder with a mixhub.yaml, where mixhub keeps everything it makes.

    With --mixture and --name, also define a new family that extends --family. The mixture file is in RegMix's YAML
    format, or has one line `domain: weight` per domain.
    """
    from mixhub import workflow

    workspace = workflow.init(folder, family=family, mixture=mixture, name=name, namespace=namespace, hub=hub)
    default = workspace.family()
    run = default.runs()[0]
    say(f"created {workspace.root} for {default.name} ({default.repo_id} on hub {workspace.config.hub})")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    adopt = f"{where}mixhub adopt DIR --{run.kind} {run.number}"
    if default.training.order != "iid":
        say("it cannot be trained here, because its order of samples is not implemented yet")
        say("for a family that can be trained, pass a mixture: mixhub init DIR --mixture FILE --name NAME")
        say(f"next, if it was trained elsewhere: {adopt}")
        return
    corpus = workspace.corpus(default).relative_to(workspace.root)
    say(f"next: add text as {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.number}")
    say(f"or, if it was trained elsewhere: {adopt}")
    if mixture is not None:
        say("before you publish, review license, language, datasets and seeds in mixhub.yaml")
