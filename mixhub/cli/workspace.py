"""`mixhub init` and `mixhub status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.options import FamilyOption, WorkspaceOption, open_workspace

if TYPE_CHECKING:
    from mixhub.family import Family
    from mixhub.workspace import Workspace


def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it; made if it is not there.")] = Path(),
    family: Annotated[
        str, typer.Option(help="The family to work on; with --mixture, the one whose recipe is taken.", metavar="NAME")
    ] = "human-1b",
    mixture: Annotated[
        Path | None,
        typer.Option(
            help="A mixture of your own (RegMix's YAML, or domain: weight): makes a new family.", metavar="FILE"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name of the new family.", metavar="NAME")] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Owner of the repos that you push to; else as the family says.", metavar="NAME")
    ] = None,
    hub: Annotated[str, typer.Option(help="`local` for the embedded hub, or an address.", metavar="HUB")] = "local",
) -> None:
    """Make a workspace: a folder with a mixhub.yaml, under which everything lies."""
    from mixhub.cli.console import say
    from mixhub.endpoint import checked_hub
    from mixhub.errors import UsageError
    from mixhub.workspace import Workspace

    config: dict[str, Any] = {"family": family, "hub": checked_hub(hub, "--hub")}
    if namespace is not None:
        config["namespace"] = namespace
    if (mixture is None) != (name is None):
        raise UsageError("--mixture and --name go together: a new mixture makes a new family")
    if mixture is not None and name is not None:
        config |= {"family": name, "families": {name: new_family(name, family, mixture, namespace)}}
    place = Workspace.create(folder, config)
    chosen = place.family()
    run = chosen.runs()[0]
    say(f"made {place.root} for {chosen.name} ({chosen.repo_id} on hub {place.config.hub})")
    corpus = place.corpus(chosen).relative_to(place.root)
    say(f"next: put text into {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.number}")


def new_family(name: str, base: str, mixture: Path, namespace: str | None) -> dict[str, Any]:
    """Plain data of a family with the recipe of a shipped one and a mixture of one's own.

    Raises:
        SpecError: the mixture breaks a rule; every problem is listed.
        UnknownNameError: no such family to take the recipe from.
    """
    from mixhub import catalog
    from mixhub.errors import MixhubError
    from mixhub.mixture import Mixture
    from mixhub.spec import read_yaml, validated

    recipe = catalog.get(base)
    data = read_yaml(mixture, MixhubError)
    weights = data["train"] if isinstance(data, dict) and isinstance(data.get("train"), dict) else data
    own = validated(Mixture, weights, str(mixture))
    family: dict[str, Any] = {
        "extends": base,
        "repo_id": f"{namespace or 'local'}/data-mixture-{name}",
        "revisions": {"pattern": "seed-{seed}", "seeds": "1-5"},
        "mixture": dict(own.domain_weights),
        "training": {"order": "iid", "initialisation": "as_written"},
        "card": {
            "title": f"{name}: five seeds of one data mixture",
            "summary": f"Language models with the recipe of {base}, alike but for the seed, on another data mixture.",
            "license": recipe.card.license,
            "language": list(recipe.card.language),
            "datasets": list(recipe.card.datasets),
        },
    }
    if isinstance(data, dict) and isinstance(data.get("valid"), dict):
        family["validation"] = data["valid"]
    return family


def status(
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Show how far each run is: trained, evaluated, pushed."""
    from mixhub.cli.console import say

    place = open_workspace(workspace)
    chosen = place.family(family)
    say(f"{chosen.name} ({chosen.repo_id}) in {place.root}")
    show_status(place, chosen)


def show_status(workspace: Workspace, family: Family) -> None:
    """Prints the table of `mixhub status`."""
    from mixhub.cli.console import show_table
    from mixhub.hub.status import family_status

    rows = []
    for state in family_status(workspace, family):
        rows.append(
            (
                state.revision,
                f"{state.step} of {state.steps}" if state.step is not None else "-",
                state.weights_sha256[:12] if state.weights_sha256 else "-",
                f"{state.cells} of {state.cells_expected}" if state.weights_sha256 else "-",
                ", ".join(f"{hub} {commit[:12]}" for hub, commit in state.pushed.items()) or "-",
            )
        )
    show_table(["revision", "trained (steps)", "export (weights)", "evaluated (cells)", "pushed (commit)"], rows)
