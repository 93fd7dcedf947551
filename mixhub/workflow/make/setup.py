"""A new workspace, and a new family for a mixture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixhub.endpoint import checked_hub
from mixhub.errors import UsageError
from mixhub.spec import Family, catalog
from mixhub.spec.revisions import Revisions
from mixhub.workflow.inputs import read_mixtures
from mixhub.workspace.paths import Workspace

_SEED_STEP = 1000
"""A chosen seed is this times the seed or index of the run."""


def init(
    folder: str | os.PathLike[str],
    *,
    family: str = "human-1b",
    mixture: str | os.PathLike[str] | None = None,
    name: str | None = None,
    namespace: str | None = None,
    hub: str = "local",
) -> Workspace:
    """Create a workspace: write its mixhub.yaml.

    Args:
        folder: the workspace's folder; created if missing.
        family: the family to work on; with `namespace`, the one to replicate; with `mixture`, the one whose recipe to
            use.
        mixture: a file with the mixture of a new family: RegMix's YAML, or `domain: weight`.
        name: the name of the new family; None: that of the replicated one, and `-replication`.
        namespace: owner of the repos to push to. Without a mixture, the workspace is for a replication of `family`: the
            same recipe and mixture, with its own runs. None: the published models are worked on.
        hub: `local` for the embedded hub, or an address.

    Raises:
        UsageError: a new family lacks a mixture or a name, the name is taken, or the hub is not an address.
        SpecError: the mixture breaks rules; lists every problem.
        UnknownNameError: there is no such family.
        WorkspaceError: the folder is already a workspace, or cannot be written.
    """
    config: dict[str, Any] = {"family": family, "hub": checked_hub(hub, "--hub")}
    is_replication = mixture is None and (namespace is not None or catalog.get(family).name not in catalog.published())
    if is_replication:
        name = name or f"{family}-replication"
        own = _replication(family, namespace)
    elif mixture is not None and name is not None:
        own = _new_family(name, family, Path(mixture), namespace)
        config |= {"namespace": namespace} if namespace is not None else {}
    elif mixture is None and name is None:
        return Workspace.create(Path(folder), config)
    else:
        message = "--mixture and --name require each other: a new mixture is a new family"
        hint = "mixhub init DIR --mixture FILE --name NAME; --namespace NS --name NAME is a replication"
        raise UsageError(message, code="option-missing", hint=hint, options=("--mixture", "--name"))
    require_new_name(name)
    return Workspace.create(Path(folder), {**config, "family": name, "families": {name: own}})


def require_new_name(name: str) -> None:
    """Raise UsageError if a new family would have the name of a built-in one."""
    if name in catalog.names():
        message = f"--name = {name!r}: is the name of a built-in family"
        raise UsageError(message, code="option-value", hint="choose another name")


def _replication(base: str, namespace: str | None) -> dict[str, Any]:
    """Return plain data of a family that replicates a shipped one; seeds that are not published are chosen.

    Neighbouring seeds would share permutations in RegMix's order, which adds the rank to the seed.
    """
    original = catalog.get(base)
    own: dict[str, Any] = {"replicates": base, "repo_id": f"{namespace or 'local'}/{original.repo_id.split('/')[1]}"}
    if original.runs()[0].seed is None:
        stated, labels = original.revisions.to_data(), original.revisions.labels
        key = Revisions.plural(original.revisions.kind)
        chosen = {label: _SEED_STEP * label for label in labels if isinstance(label, int)}
        own["revisions"] = {"pattern": stated["pattern"], key: stated[key], "chosen_seeds": chosen}
    return own


def _new_family(name: str, base: str, mixture: Path, namespace: str | None) -> dict[str, Any]:
    """Return plain data of a family with the recipe of a shipped one and a new mixture.

    Domains without the prefix of the shipped family belong to a new corpus, named as the family. Without a validation
    mixture, every domain of the mixture is validated.
    """
    recipe = catalog.get(base)
    train, valid = read_mixtures(mixture)
    prefixes = mixture_prefixes(train.domain_weights, recipe)
    validation = {prefixes[1] + domain.removeprefix(prefixes[0]): 1.0 for domain in train.shares}
    family: dict[str, Any] = {
        "extends": base,
        "repo_id": f"{namespace or 'local'}/data-mixture-{name}",
        "revisions": {"pattern": "seed-{seed}", "seeds": "1-5"},
        "mixture": dict(train.domain_weights),
        "validation": validation if valid is None else dict(valid.domain_weights),
        "training": {"order": "iid", "initialisation": "as_written"},
        "card": {
            "title": f"{name}: one data mixture, several seeds",
            "summary": "Language models that differ only in the seed, trained on one data mixture.",
            "license": recipe.card.license,
            "language": list(recipe.card.language),
        },
    }
    if recipe.training.seed is not None:
        family["training"]["seed"] = None  # of runs with an index
    if prefixes == (recipe.data.train_prefix, recipe.data.valid_prefix):
        family["card"]["datasets"] = list(recipe.card.datasets)
    else:
        family["data"] = {"corpus": name, "dataset": None, "train_prefix": prefixes[0], "valid_prefix": prefixes[1]}
    return family


def mixture_prefixes(domains: Iterable[str], recipe: Family) -> tuple[str, str]:
    """Return the prefixes of training and validation keys: the recipe's, train_ and valid_, or none."""
    for prefixes in ((recipe.data.train_prefix, recipe.data.valid_prefix), ("train_", "valid_")):
        if all(domain.startswith(prefixes[0]) for domain in domains):
            return prefixes
    return "", ""
