"""Whether a run was trained with the family's current recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixhub.errors import ABSENT, ExportError, MixhubError, RunError
from mixhub.spec.base import read_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.parts import Loader

_WITHOUT_EFFECT = tuple(
    f"mixhub.training.{key}"
    for key in (
        *("origins", "checkpoint_interval", "keep_checkpoints", "permanent_checkpoint_interval"),
        *("spike_limit", "validation_interval"),
    )
)
"""Keys of `train_config.yaml` that may change during or after training, since the weights do not depend on them."""
_MAX_LINES = 5


def recipe_changes(
    family: Family, run: Run, trained_with: Path, error: type[MixhubError] = ExportError
) -> dict[str, str]:
    """Compare a `train_config.yaml` with what the family says now; return a line for each key that differs.

    Raises:
        MixhubError: of type `error`, if the file cannot be read; SpecError if it is not YAML.
    """
    trained, current = _renamed(read_yaml(trained_with, error)), family.train_config(run)
    if isinstance(trained, Mapping) and isinstance(trained.get("mixhub"), Mapping) and trained["mixhub"].get("adopted"):
        trained, current = _known_part(trained, current)
    then, now = dict(_leaves(trained)), dict(_leaves(current))
    return {
        key: f"{trained_with}: {key} = {then.get(key, ABSENT)}, but {family.name} now has {now.get(key, ABSENT)}"
        for key in sorted({*then, *now})
        if then.get(key, ABSENT) != now.get(key, ABSENT) and not key.startswith(_WITHOUT_EFFECT)
    }


def _renamed(config: Any) -> Any:
    """Return a `train_config.yaml` in today's words: the order `regmix` was called `original`, and had no sizes."""
    try:
        own, domains = config["mixhub"], list(config["train"])
        is_old = own["training"]["order"] == "original"
    except (LookupError, TypeError):  # not a recipe, or not a whole one
        return config
    if not is_old:
        return config
    training = {**own["training"], "order": "regmix", "loader": Loader().to_data()}
    return {**config, "mixhub": {**own, "training": training, "domains": domains}}


def _known_part(adopted: Mapping[str, Any], current: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reduce both sides to what is known of an adopted run, with weights as shares, since only they matter."""
    ours = {key: value for key, value in adopted["mixhub"].items() if key != "adopted"}
    known = {**adopted, "mixhub": ours}
    current_keys = {key: current[key] for key in known if key in current}
    current_keys["mixhub"] = {key: current["mixhub"][key] for key in ours if key in current["mixhub"]}
    for side in (known, current_keys):
        if isinstance(side.get("train"), Mapping):
            side["train"] = _shares(side["train"])
    return known, current_keys


def _shares(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Divide weights by their sum, rounded to nine digits, without zeros."""
    if not all(isinstance(weight, int | float) for weight in weights.values()) or not sum(weights.values()):
        return dict(weights)
    total = sum(weights.values())
    return {domain: round(weight / total, 9) for domain, weight in weights.items() if weight}


def require_same_recipe(
    family: Family, run: Run, trained_with: Path, folder: Path, error: type[MixhubError] = ExportError
) -> None:
    """Raise RunError if a run's `train_config.yaml` is not what the family says now.

    Args:
        family: the current recipe.
        run: the run.
        trained_with: the `train_config.yaml` beside checkpoints or in an export.
        folder: the run's folder, for the hint.
        error: raised if the file cannot be read.
    """
    if changed := recipe_changes(family, run, trained_with, error):
        lines = list(changed.values())[:_MAX_LINES]
        if len(changed) > _MAX_LINES:
            lines.append(f"{trained_with}: and {len(changed) - _MAX_LINES} more keys differ")
        hint = f"restore the family, or delete or rename {folder} to train {run.revision} again"
        raise RunError("\n".join(lines), code="recipe-differs", hint=hint, path=trained_with, keys=tuple(changed))


def _leaves(data: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, data
