"""Whether a run was trained with what its family says now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mixhub.errors import ABSENT, ExportError, MixhubError, RunError
from mixhub.family import Family, Run
from mixhub.spec import read_yaml

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
    trained, asked = _flat(read_yaml(trained_with, error)), _flat(family.train_config(run))
    return {
        key: f"{trained_with}: {key} = {trained.get(key, ABSENT)}, but {family.name} now says {asked.get(key, ABSENT)}"
        for key in sorted({*trained, *asked})
        if trained.get(key, ABSENT) != asked.get(key, ABSENT) and not key.startswith(NOT_OF_THE_WEIGHTS)
    }


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
