"""The state of a run at a step, beside its weights; without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mixhub.errors import RunError, SpecError
from mixhub.files import read_json
from mixhub.spec.base import FrozenMap, Spec, data_sha256
from mixhub.spec.family import Family, Run
from mixhub.spec.values import Count
from mixhub.workspace.lineage import Sha256
from mixhub.workspace.manifest import Manifest

STATE_FILE = "state.json"

PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "safetensors", "numpy")
"""Packages whose versions are written into checkpoints and exports."""


class State(Spec):
    """The content of `state.json`."""

    format: Literal[1] = 1
    """Version of the folder's layout."""
    step: Count
    """Updates made."""
    train_config_sha256: Sha256
    """Hash of the content of `train_config.yaml`."""
    corpus_sha256: Sha256
    """Hash of the part of the tokens' manifest that the family reads."""
    initial_weights_sha256: Sha256
    """Hash of the weights at step 0."""
    versions: FrozenMap[str, str]
    """Packages that made it."""


def read_state(path: Path) -> State:
    """Read the state of a checkpoint; raises RunError if it cannot be read."""
    try:
        return State.from_data(read_json(path / STATE_FILE, RunError), str(path / STATE_FILE))
    except (RunError, SpecError) as error:
        raise unreadable(path, error.message) from None


def require_unchanged(path: Path, state: State, family: Family, run: Run, manifest: Manifest) -> None:
    """Raise RunError if a checkpoint was made with another recipe or other tokens than the family has now."""
    for code, what, then, now in (
        ("recipe-differs", "the recipe", state.train_config_sha256, data_sha256(family.train_config(run))),
        ("tokens-changed", "the token shards", state.corpus_sha256, manifest.sha256()),
    ):
        if then != now:
            hint = f"restore them, or delete or rename {path.parents[1]} to train {run.revision} again"
            message = f"{path}: {what} changed since this checkpoint (sha256 {then[:12]}, now {now[:12]})"
            raise RunError(message, code=code, hint=hint, path=path)


def unreadable(path: Path, reason: str) -> RunError:
    """Return the error of a checkpoint that cannot be read."""
    hint = f"delete {path}; training then resumes from the checkpoint before it, or starts again"
    message = f"{path}: unreadable checkpoint: {' '.join(reason.split())}"
    return RunError(message, code="checkpoint-unreadable", hint=hint, path=path)
