"""Whether a run is finished, and whether it can be trained or resumed; without torch."""

from __future__ import annotations

from pathlib import Path

from mixhub.data.batches import require_divisible, validation_starts
from mixhub.data.orders.choice import order_of, seedless
from mixhub.data.shards import TokenShards
from mixhub.errors import RunError
from mixhub.files import write_text
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.workspace.export import require_complete
from mixhub.workspace.paths import RunFolder
from mixhub.workspace.recipe_diff import require_same_recipe


def finished_export(family: Family, run: Run, folder: RunFolder) -> Path | None:
    """Return the export of a run's last step, or None if the run is not finished.

    Raises:
        RunError: the run was trained with another recipe than the family has now.
        ExportError: the export lacks a file.
    """
    steps = family.training.steps
    if steps not in folder.export_steps():
        return None
    export = folder.export(steps)
    require_complete(export)
    require_same_recipe(family, run, export / folder.train_config.name, folder.path)
    return export


def require_trainable(family: Family, run: Run, tokens: Path, processes: int = 1) -> TokenShards:
    """Return the token shards of a run that can be trained by a number of processes.

    Raises:
        RunError: its seed is unknown, or its global batch cannot be divided over the processes.
        CorpusError: there are no tokens, not those of the family, or too few for its order of samples.
    """
    if run.init_seed is None:
        raise seedless(run, "init_seed")
    require_divisible(family.training, processes)
    shards = TokenShards(tokens, family.training.sequence_length)
    manifest = shards.manifest.for_family(family)
    no_steps = family.model_copy(update={"training": family.training.model_copy(update={"steps": 0})})
    order_of(no_steps, run, manifest)  # for its errors
    validation_starts(family, run, manifest)
    return shards


def write_recipe(family: Family, run: Run, folder: RunFolder) -> None:
    """Write `train_config.yaml`; raises RunError if the run has checkpoints or exports of another recipe."""
    path = folder.train_config
    if path.is_file() and (folder.checkpoint_steps() or folder.export_steps()):
        require_same_recipe(family, run, path, folder.path, RunError)
    else:
        write_text(path, to_yaml(family.train_config(run)))
