"""`mixhub init` and `mixhub status`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mixhub.cli.common.options import FamilyOption, WorkspaceOption, open_workspace

if TYPE_CHECKING:
    from mixhub.spec.family import Family
    from mixhub.workflow.status import RunStatus
    from mixhub.workspace.paths import Workspace


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
    from mixhub.cli.common.console import say
    from mixhub.endpoint import checked_hub
    from mixhub.errors import UsageError
    from mixhub.workspace.paths import Workspace

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
    where = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    adopted = f"{where}mixhub adopt DIR --{run.kind} {run.number}"
    if chosen.training.order == "original":
        say("it cannot be trained here: its order of samples, that of the original loader, is not built yet")
        say("for a family that can, give a mixture: mixhub init DIR --mixture FILE --name NAME")
        say(f"next, where it was trained elsewhere: {adopted}")
        return
    corpus = place.corpus(chosen).relative_to(place.root)
    say(f"next: put text into {corpus}/train/<domain>-<n>.jsonl and {corpus}/valid/<domain>-<n>.jsonl, then")
    say(f"  {where}mixhub data pack && mixhub train --{run.kind} {run.number}")
    say(f"or, where it was trained elsewhere: {adopted}")
    if mixture is not None:
        say("before you publish, see to license, language, datasets and seeds in mixhub.yaml: they are set for you")


def new_family(name: str, base: str, mixture: Path, namespace: str | None) -> dict[str, Any]:
    """Plain data of a family with the recipe of a shipped one and a mixture of one's own.

    Domains that do not have the prefix of the shipped family are of a corpus of one's own, named as the family. Where
    the file has no `valid`, every domain of the mixture is validated.

    Raises:
        SpecError: the mixture breaks a rule; every problem is listed.
        UnknownNameError: no such family to take the recipe from.
        UsageError: the new name is that of a shipped family.
    """
    from mixhub.errors import MixhubError, UsageError
    from mixhub.spec import catalog
    from mixhub.spec.base import read_yaml, validated
    from mixhub.spec.mixture import Mixture

    if name in catalog.names():
        raise UsageError(f"--name = {name!r}: is a shipped family", hint="choose another name")
    recipe = catalog.get(base)
    data = read_yaml(mixture, MixhubError)
    whole = data if isinstance(data, dict) and "train" in data else {"train": data}
    own = validated(Mixture, whole["train"], str(mixture))
    prefixes = _prefixes(own.domain_weights, recipe)
    family: dict[str, Any] = {
        "extends": base,
        "repo_id": f"{namespace or 'local'}/data-mixture-{name}",
        "revisions": {"pattern": "seed-{seed}", "seeds": "1-5"},
        "mixture": dict(own.domain_weights),
        "validation": {prefixes[1] + domain.removeprefix(prefixes[0]): 1.0 for domain in own.shares},
        "training": {"order": "iid", "initialisation": "as_written"},
        "card": {
            "title": f"{name}: one data mixture, several seeds",
            "summary": "Language models that are alike but for the seed, trained on one data mixture.",
            "license": recipe.card.license,
            "language": list(recipe.card.language),
        },
    }
    if "valid" in whole:
        family["validation"] = dict(validated(Mixture, whole["valid"], f"{mixture} (valid)").domain_weights)
    if prefixes == (recipe.data.train_prefix, recipe.data.valid_prefix):
        family["card"]["datasets"] = list(recipe.card.datasets)
    else:
        family["data"] = {"corpus": name, "dataset": None, "train_prefix": prefixes[0], "valid_prefix": prefixes[1]}
    return family


def _prefixes(domains: Iterable[str], recipe: Family) -> tuple[str, str]:
    """Prefixes of training and validation keys: the recipe's where they fit, else train_ and valid_, else none."""
    for prefixes in ((recipe.data.train_prefix, recipe.data.valid_prefix), ("train_", "valid_")):
        if all(domain.startswith(prefixes[0]) for domain in domains):
            return prefixes
    return "", ""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    family: FamilyOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Show how far each run is: trained, checked, evaluated, card, pushed, verified. Nothing is asked of a hub.

    What is pushed and verified is what this workspace's receipts know: others may have pushed since.
    """
    from mixhub.cli.common.console import say

    place = open_workspace(workspace)
    chosen = place.family(family)
    if as_json:
        show_status_json(place, chosen)
        return
    say(f"{chosen.name} ({chosen.repo_id}) in {place.root}")
    show_status(place, chosen)


def show_status(workspace: Workspace, family: Family) -> None:
    """Prints the table of `mixhub status`."""
    from mixhub.cli.common.console import say, show_table
    from mixhub.workflow.status import family_status

    rows = []
    states = family_status(workspace, family)
    for state in states:
        known = state.weights_sha256 is not None
        rows.append(
            (
                state.revision,
                _trained(state),
                str(state.weights_sha256)[:12] if known else "-",
                ("yes" if state.checked else "no") if known else "-",
                f"{state.cells} of {state.cells_expected}" if known else "-",
                state.card or "-",
                ", ".join(f"{hub} {commit[:12]}" for hub, commit in state.pushed.items()) or "-",
                ", ".join(state.verified.values()) or "-",
            )
        )
    columns = ["revision", "trained (steps)", "export (weights)", "checked", "evaluated (cells)", "card"]
    show_table([*columns, "pushed (commit)", "verified"], rows)
    for state in states:
        if state.withdrawn:
            say(f"{state.revision}: withdrawn: {state.withdrawn}")
        if state.problem:
            say(f"{state.revision}: {state.problem}")


def _trained(state: RunStatus) -> str:
    if state.step is None:
        return "-"
    return f"{state.step} of {state.steps}" if state.is_step_known else "elsewhere"


def show_status_json(workspace: Workspace, family: Family) -> None:
    """Prints the same as one JSON object."""
    import json
    from dataclasses import asdict

    from mixhub.cli.common.console import say
    from mixhub.workflow.status import family_status

    runs = [
        {**asdict(state), "pushed": dict(state.pushed), "verified": dict(state.verified)}
        for state in family_status(workspace, family)
    ]
    say(json.dumps({"family": family.name, "repo_id": family.repo_id, "runs": runs}, indent=2))
