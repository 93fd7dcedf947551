"""`mixhub init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FolderArgument = Annotated[Path, typer.Argument(help="Where to make it; made if it is not there.")]
BaseOption = Annotated[
    str, typer.Option(help="The family to work on; with --mixture, the one whose recipe is taken.", metavar="NAME")
]
MixtureOption = Annotated[
    Path | None,
    typer.Option(help="A mixture of your own (RegMix's YAML, or domain: weight): makes a new family.", metavar="FILE"),
]
NameOption = Annotated[str | None, typer.Option(help="The name of the new family.", metavar="NAME")]
NamespaceOption = Annotated[
    str | None, typer.Option(help="Owner of the repos that you push to; else as the family says.", metavar="NAME")
]
HubOption = Annotated[str, typer.Option(help="`local` for the embedded hub, or an address.", metavar="HUB")]


def init(
    folder: FolderArgument = Path(),
    family: BaseOption = "human-1b",
    mixture: MixtureOption = None,
    name: NameOption = None,
    namespace: NamespaceOption = None,
    hub: HubOption = "local",
) -> None:
    """Make a workspace: a folder with a mixhub.yaml, under which everything lies."""
    from mixhub import workflow
    from mixhub.cli.common.console import say

    workspace = workflow.init(folder, family=family, mixture=mixture, name=name, namespace=namespace, hub=hub)
    chosen = workspace.family()
    run = chosen.runs()[0]
    say(f"made {workspace.root} for {chosen.name} ({chosen.repo_id} on hub {workspace.config.hub})")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    adopt = f"{where}mixhub adopt DIR --{run.kind} {run.number}"
    if chosen.training.order == "original":
        say("it cannot be trained here: its order of samples, that of the original loader, is not built yet")
        say("for a family that can, give a mixture: mixhub init DIR --mixture FILE --name NAME")
        say(f"next, where it was trained elsewhere: {adopt}")
        return
    corpus = workspace.corpus(chosen).relative_to(workspace.root)
    say(f"next: put text into {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.number}")
    say(f"or, where it was trained elsewhere: {adopt}")
    if mixture is not None:
        say("before you publish, see to license, language, datasets and seeds in mixhub.yaml: they are set for you")
