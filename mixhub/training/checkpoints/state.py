"""The state of a run at a step, beside its weights; without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from mixhub.errors import MixhubError, RunError, SpecError
from mixhub.files import read_json
from mixhub.spec.base import FrozenMap, Spec, data_sha256, read_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.values import Count, NonNegativeFloat, PositiveInt
from mixhub.workspace.lineage import Sha256, versions
from mixhub.workspace.manifest import Manifest
from mixhub.workspace.paths import STATE_FILE, RunFolder
from mixhub.workspace.recipe_diff import require_same_recipe

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
"""Packages whose versions are written into checkpoints and exports."""


class StoredFile(Spec):
    """A file of a checkpoint."""

    size: Count
    """Bytes."""
    content_sha256: Sha256
    """Hash of the file."""


class State(Spec):
    """The content of `state.json`, which is written last: a folder without it is not a checkpoint."""

    format: Literal[1, 2] = 2
    """Version of the folder's layout; 1 has whole weights in `model.safetensors` and moments in `optimizer.pt`."""
    step: Count
    """Updates made."""
    train_config_sha256: Sha256
    """Hash of the content of `train_config.yaml`: in format 2 the one beside this file, in format 1 the run's."""
    corpus_sha256: Sha256
    """Hash of the part of the tokens' manifest that the family reads."""
    initial_weights_sha256: Sha256
    """Hash of the weights at step 0."""
    versions: FrozenMap[str, str]
    """Packages that made it."""
    device: str | None = None
    """Kind of device that trained, such as `cpu` or `cuda`; None in format 1."""
    processes: PositiveInt | None = None
    """Processes that trained together; None in format 1."""
    sharding: str | None = None
    """What they divided between them (see `TrainOptions`); None in format 1."""
    device_name: str | None = None
    """Name of the devices; several names if the run was resumed on others. None if unknown, as of older checkpoints."""
    device_seconds: NonNegativeFloat | None = None
    """Seconds of all updates that count × processes; None if unknown."""
    files: FrozenMap[str, StoredFile] | None = None
    """The files with weights and moments, by name; None in format 1."""


def first_state(family: Family, run: Run, manifest: Manifest, initial_weights_sha256: str) -> State:
    """Return the state of a run before its first update."""
    return State(
        step=0,
        train_config_sha256=data_sha256(family.train_config(run)),
        corpus_sha256=manifest.sha256(),
        initial_weights_sha256=initial_weights_sha256,
        versions=versions(*PACKAGES),
        device_seconds=0.0,
    )


def newest_state(family: Family, run: Run, folder: RunFolder, manifest: Manifest) -> State | None:
    """Return the state of the newest checkpoint; None if there is none.

    Raises:
        RunError: it cannot be read, or was made with another recipe or other tokens.
    """
    if not (steps := folder.checkpoint_steps()):
        return None
    path = folder.checkpoint(steps[-1])
    state = read_state(path)
    require_unchanged(path, state, family, run, manifest)
    return state


def resaved(
    start: State, config: Mapping[str, Any], *, device: str, device_name: str, processes: int, sharding: str
) -> State:
    """Return the state that the checkpoints of this training have, which may have begun from an older one.

    Args:
        start: the state that it began from.
        config: content of its `train_config.yaml`.
        device: kind of device.
        device_name: its name.
        processes: how many train together.
        sharding: what they divide between them.
    """
    name: str | None = device_name
    if start.step > 0 and start.device_name != name:
        name = None if start.device_name is None else _with(start.device_name, device_name)
    ours: dict[str, Any] = {"train_config_sha256": data_sha256(config), "versions": versions(*PACKAGES), "files": None}
    ours |= {"format": 2, "device": device, "device_name": name, "processes": processes, "sharding": sharding}
    return start.model_copy(update=ours)


def _with(names: str, name: str) -> str:
    return ", ".join(dict.fromkeys([*names.split(", "), name]))


def read_state(path: Path) -> State:
    """Read the state of a checkpoint; raises RunError if it cannot be read."""
    try:
        state = State.from_data(read_json(path / STATE_FILE, RunError), str(path / STATE_FILE))
    except (RunError, SpecError) as error:
        raise unreadable(path, error.message) from None
    if path.name != RunFolder(path.parents[1]).checkpoint(state.step).name:
        raise unreadable(path, f"{STATE_FILE}: step = {state.step}: must be that of the folder, which was renamed")
    return state


def require_unchanged(path: Path, state: State, family: Family, run: Run, manifest: Manifest) -> None:
    """Raise RunError if a checkpoint was made with another recipe or other tokens than the family has now."""
    folder = RunFolder(path.parents[1])
    hint = f"restore them, or delete or rename {folder.path} to train {run.revision} again"
    then, now = state.train_config_sha256, data_sha256(family.train_config(run))
    configs = (config for config in (folder.train_config, path / folder.train_config.name) if config.is_file())
    config = next((config for config in configs if _content_sha256(config) == then), None)
    if config is not None:
        require_same_recipe(family, run, config, folder.path, RunError)
    elif then != now:
        message = f"{path}: the recipe changed since this checkpoint (sha256 {then[:12]}, now {now[:12]})"
        raise RunError(message, code="recipe-differs", hint=hint, path=path)
    then, now = state.corpus_sha256, manifest.sha256()
    if then != now:
        message = f"{path}: the token shards changed since this checkpoint (sha256 {then[:12]}, now {now[:12]})"
        raise RunError(message, code="tokens-changed", hint=hint, path=path)


def _content_sha256(config: Path) -> str | None:
    try:
        return data_sha256(read_yaml(config))
    except MixhubError:  # not YAML, or not plain
        return None


def unreadable(path: Path, reason: str) -> RunError:
    """Return the error of a checkpoint that cannot be read."""
    hint = f"delete {path}; training then resumes from the checkpoint before it, or starts again"
    message = f"{path}: unreadable checkpoint: {' '.join(reason.split())}"
    return RunError(message, code="checkpoint-unreadable", hint=hint, path=path)
