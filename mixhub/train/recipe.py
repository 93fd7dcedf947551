"""What a run is trained with, and whether that is what was asked for. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mixhub.errors import ABSENT, ExportError, RunError
from mixhub.export import require_complete
from mixhub.family import Family, Run
from mixhub.files import write_text
from mixhub.spec import read_yaml, to_yaml
from mixhub.workspace import RunFolder

_SHOWN_CHANGES = 5


def finished_export(family: Family, run: Run, folder: RunFolder) -> Path | None:
    """The export of a run's last step, or None when the run is not trained to its end.

    Raises:
        RunError: the run was trained with another `train_config.yaml` than the family gives now.
        ExportError: the export lacks a file.
    """
    steps = family.training.steps
    if steps not in folder.export_steps():
        return None
    export = folder.export(steps)
    require_complete(export)
    _require_same(family, run, export / folder.train_config.name, folder, ExportError)
    return export


def settle_recipe(family: Family, run: Run, folder: RunFolder) -> None:
    """Writes `train_config.yaml` where nothing was trained yet; refuses to go on with another one.

    Raises:
        RunError: a key differs from what the checkpoints or exports there were made with; names key and both values.
    """
    path = folder.train_config
    if path.is_file() and (folder.checkpoint_steps() or folder.export_steps()):
        _require_same(family, run, path, folder, RunError)
    else:
        write_text(path, to_yaml(family.train_config(run)))


def _require_same(
    family: Family, run: Run, path: Path, folder: RunFolder, error: type[RunError] | type[ExportError]
) -> None:
    trained, asked = _flat(read_yaml(path, error)), _flat(family.train_config(run))
    changed = [key for key in sorted({*trained, *asked}) if trained.get(key, ABSENT) != asked.get(key, ABSENT)]
    if not changed:
        return
    lines = [
        f"{path}: {key} = {trained.get(key, ABSENT)}, but {family.name} now says {asked.get(key, ABSENT)}"
        for key in changed[:_SHOWN_CHANGES]
    ]
    if len(changed) > _SHOWN_CHANGES:
        lines.append(f"{path}: and {len(changed) - _SHOWN_CHANGES} more keys differ")
    raise RunError(
        "\n".join(lines),
        hint=f"restore the family, or delete or rename {folder.path} to train {run.revision} anew",
        keys=tuple(changed),
        path=path,
    )


def _flat(data: Any) -> dict[str, object]:
    return dict(_leaves(data, ""))


def _leaves(data: object, key: str) -> Iterator[tuple[str, object]]:
    if isinstance(data, Mapping) and data:
        for name, value in data.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, data
