"""Whether a run was trained with what its family says now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixhub.errors import ABSENT, ExportError, MixhubError, RunError
from mixhub.spec.base import read_yaml
from mixhub.spec.family import Family, Run

NOT_OF_THE_WEIGHTS = (
    "mixhub.training.origins",
    "mixhub.training.checkpoint_interval",
    "mixhub.training.keep_checkpoints",
)
"""Keys of `train_config.yaml` that may change after training: no weight depends on them."""

_SHOWN_CHANGES = 5


def recipe_changes(
    family: Family, run: Run, trained_with: Path, error: type[MixhubError] = ExportError
) -> dict[str, str]:
    """What differs between a `train_config.yaml` and what the family gives now: a line by key; empty when nothing does.

    Raises:
        MixhubError: of type `error`, when the file cannot be read; SpecError when it is not YAML.
    """
    data, wanted = read_yaml(trained_with, error), family.train_config(run)
    if is_adopted(data):
        data, wanted = _as_far_as_known(data, wanted)
    trained, asked = _flat(data), _flat(wanted)
    return {
        key: f"{trained_with}: {key} = {trained.get(key, ABSENT)}, but {family.name} now says {asked.get(key, ABSENT)}"
        for key in sorted({*trained, *asked})
        if trained.get(key, ABSENT) != asked.get(key, ABSENT) and not key.startswith(NOT_OF_THE_WEIGHTS)
    }


def is_adopted(train_config: object) -> bool:
    """Whether a `train_config.yaml` is that of an adopted run, which tells only what is known of it."""
    own = train_config.get("mixhub") if isinstance(train_config, Mapping) else None
    return isinstance(own, Mapping) and own.get("adopted") is True


def _as_far_as_known(data: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both sides cut to what is known of an adopted run; weights as shares, since only they matter."""
    own = {key: value for key, value in data["mixhub"].items() if key != "adopted"}
    known = {**data, "mixhub": own}
    asked = {key: wanted[key] for key in known if key in wanted}
    asked["mixhub"] = {key: wanted["mixhub"][key] for key in own if key in wanted["mixhub"]}
    for side in (known, asked):
        if isinstance(side.get("train"), Mapping):
            side["train"] = _shares(side["train"])
    return known, asked


def _shares(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Weights over their sum, to nine digits; those of zero are left out."""
    if not all(isinstance(weight, int | float) for weight in weights.values()) or not sum(weights.values()):
        return dict(weights)
    total = sum(weights.values())
    return {domain: round(weight / total, 9) for domain, weight in weights.items() if weight}


def require_same_recipe(
    family: Family, run: Run, trained_with: Path, folder: Path, error: type[MixhubError] = ExportError
) -> None:
    """Refuses a run whose `train_config.yaml` is not what the family gives now.

    Args:
        family: what is asked for now.
        run: the run of it.
        trained_with: the `train_config.yaml` beside checkpoints or in an export.
        folder: the run's folder, for the hint.
        error: what is raised when the file cannot be read.

    Raises:
        RunError: a key differs; names key and both values.
    """
    changed = recipe_changes(family, run, trained_with, error)
    if not changed:
        return
    lines = list(changed.values())[:_SHOWN_CHANGES]
    if len(changed) > _SHOWN_CHANGES:
        lines.append(f"{trained_with}: and {len(changed) - _SHOWN_CHANGES} more keys differ")
    raise RunError(
        "\n".join(lines),
        code="recipe-differs",
        hint=f"restore the family, or delete or rename {folder} to train {run.revision} anew",
        path=trained_with,
        keys=tuple(changed),
    )


def _flat(data: object) -> dict[str, object]:
    return dict(_leaves(data, ""))


def _leaves(data: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, data
