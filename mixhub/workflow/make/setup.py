"""A new workspace, and a new family for a mixture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixhub.endpoint import checked_hub
from mixhub.errors import MixhubError, UsageError
from mixhub.spec import Family, Mixture, catalog
from mixhub.spec.base import read_yaml, validated
from mixhub.workspace.paths import Workspace


def init(
    folder: str | os.PathLike[str],
    *,
    family: str = "human-1b",
    mixture: str | os.PathLike[str] | None = None,
    name: str | None = None,
    namespace: str | None = None,
    hub: str = "local",
) -> Workspace:
    """Makes a workspace: writes its mixhub.yaml.

    Args:
        folder: where; made if it does not exist.
        family: the family to work on; with `mixture`, the one whose recipe is taken.
        mixture: a file with the mixture of a new family: RegMix's YAML, or `domain: weight`.
        name: the name of the new family.
        namespace: owner of the repos that are pushed to; None: as the family says.
        hub: `local` for the embedded hub, or an address.

    Raises:
        UsageError: mixture and name do not come together, the name is taken, or the hub is not an address.
        SpecError: the mixture breaks a rule; every problem is listed.
        UnknownNameError: there is no such family.
        WorkspaceError: the folder is a workspace already, or cannot be written.
    """
    config: dict[str, Any] = {"family": family, "hub": checked_hub(hub, "--hub")}
    if namespace is not None:
        config["namespace"] = namespace
    if (mixture is None) != (name is None):
        raise UsageError(
            "--mixture and --name go together: a new mixture makes a new family",
            code="option-missing",
            option="--name" if name is None else "--mixture",
        )
    if mixture is not None and name is not None:
        config |= {"family": name, "families": {name: _new_family(name, family, Path(mixture), namespace)}}
    return Workspace.create(Path(folder), config)


def _new_family(name: str, base: str, mixture: Path, namespace: str | None) -> dict[str, Any]:
    """Plain data of a family with the recipe of a shipped one and a new mixture.

    Domains that do not have the prefix of the shipped family belong to a corpus of their own, named as the family. If
    the file has no `valid`, every domain of the mixture is validated.
    """
    if name in catalog.names():
        raise UsageError(
            f"--name = {name!r}: is a shipped family",
            code="option-value",
            hint="choose another name",
            option="--name",
            value=name,
        )
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
