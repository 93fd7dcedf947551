"""`mixhub init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixhub.cli.common.console import say

if TYPE_CHECKING:
    from mixhub.spec import Family

_NAMESPACE_HELP = (
    "Owner of the repos to push to. Without --mixture, the workspace is for your own runs of the family's recipe. "
    "[default: the owner in the family's repo_id]"
)
_NAME_HELP = "Name of the new family. [default for a replication: <family>-replication]"


def init(
    folder: Annotated[Path, typer.Argument(help="Workspace folder; created if missing.", metavar="DIR")] = Path(),
    family: Annotated[
        str, typer.Option(help="Family to work on, to replicate or to extend.", metavar="NAME")
    ] = "human-1b",
    mixture: Annotated[
        Path | None, typer.Option(help="YAML file with the mixture of the new family.", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option(help=_NAME_HELP, metavar="NAME")] = None,
    namespace: Annotated[str | None, typer.Option(help=_NAMESPACE_HELP, metavar="NAME")] = None,
    hub: Annotated[str, typer.Option(help="`local` for the embedded hub, or an address.", metavar="HUB")] = "local",
) -> None:
    """Create a workspace: a folder with a mixhub.yaml, where mixhub keeps everything it makes.

    With --family alone, work on the published models: evaluate, verify, adopt. With --namespace as well, train your own
    runs of its recipe, a replication; seeds that are not published are chosen, and written to mixhub.yaml.

    With --mixture and --name, also define a new family that extends --family. The mixture file is in RegMix's YAML
    format, or has one line `domain: weight` per domain.
    """
    from mixhub import workflow

    workspace = workflow.init(folder, family=family, mixture=mixture, name=name, namespace=namespace, hub=hub)
    made = workspace.family()
    run = made.runs()[0]
    say(f"created {workspace.root} for {made.name} ({made.repo_id} on hub {workspace.config.hub})")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    adopt = f"{where}mixhub adopt DIR --{run.kind} {run.number}"
    if run.seed is None:
        say(f"it is for the published models; next: {adopt}")
        say(f"to train your own runs of the recipe: mixhub init DIR --family {made.name} --namespace NAME")
        return
    if made.replicates is not None:
        _explain_replication(made)
        download = f"mixhub data download --for {made.name} --subset"
        say("next: see how much text it needs, download it, then pack and train")
        say(f"  {where}{download} --dry-run")
        say(f"  {download}")
        say(f"  mixhub data pack && mixhub train --{run.kind} {run.number}")
        return
    corpus = workspace.corpus(made).relative_to(workspace.root)
    say(f"next: add text as {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.number}")
    say(f"or, if it was trained elsewhere: {adopt}")
    if mixture is not None:
        say("before you publish, review license, language, datasets and seeds in mixhub.yaml")


def _explain_replication(family: Family) -> None:
    seeds = [run.seed for run in family.runs()]
    say(f"it replicates {family.replicates}: the same recipe and mixture, with your own runs")
    if family.seeds_origin == "published":
        say(f"seed of its runs, as published: {seeds[0]}")
    else:
        say(
            f"seeds, chosen because those of the original runs are not published: {seeds[0]}, {seeds[1]}, … {seeds[-1]}"
        )
        say("to choose others, change revisions.chosen_seeds in mixhub.yaml before you train")
