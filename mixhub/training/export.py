"""Exports: the weights of a step in Transformers format."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from transformers import LlamaForCausalLM

from mixhub.data.pack import TOKENIZER_FOLDER
from mixhub.files import new_folder, write_json, write_text
from mixhub.spec.base import data_sha256, to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.checkpoints import PACKAGES, load_weights, read_state, require_unchanged
from mixhub.training.model import build_model
from mixhub.workspace.export import require_complete
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, Unknown, versions, weights_sha256
from mixhub.workspace.manifest import Manifest, read_manifest
from mixhub.workspace.paths import RunFolder


@dataclass(frozen=True)
class TrainedModel:
    """A model after some steps of its run, and what is known about its training."""

    model: LlamaForCausalLM
    step: int
    """Updates made."""
    initial_weights_sha256: str
    """Hash of the weights at step 0."""
    device: str = UNKNOWN
    """Kind of device that trained."""
    processes: int | Unknown = UNKNOWN
    """Processes that trained together."""


def write_export(
    trained: TrainedModel, family: Family, run: Run, *, tokens: Path, manifest: Manifest, folder: RunFolder
) -> Path:
    """Write the export of a step atomically; the same run gives the same bytes.

    Args:
        trained: the weights.
        family: the recipe.
        run: the run that they belong to.
        tokens: folder of token shards, for its tokenizer.
        manifest: the part of the tokens' manifest that the family reads.
        folder: the run's folder.
    """
    path = folder.export(trained.step)
    train_config = family.train_config(run)
    training = family.training
    with new_folder(path) as building:
        _save_weights(trained.model, building)
        for file in sorted((tokens / TOKENIZER_FOLDER).iterdir()):
            shutil.copyfile(file, building / file.name)
        write_text(building / folder.train_config.name, to_yaml(train_config))
        lineage = Lineage(
            family=family.name,
            revision=run.revision,
            kind=run.kind,
            number=run.number,
            step=trained.step,
            steps=training.steps,
            tokens=trained.step * tokens_per_step(training.global_batch_size, training.sequence_length),
            init_seed=_seed(run.init_seed),
            order_seed=_seed(run.order_seed),
            train_config_sha256=data_sha256(train_config),
            corpus_sha256=manifest.sha256(),
            tokenizer_sha256=manifest.tokenizer_sha256,
            initial_weights_sha256=trained.initial_weights_sha256,
            weights_sha256=weights_sha256(building),
            device=trained.device,
            processes=trained.processes,
            versions=versions(*PACKAGES),
        )
        write_json(building / LINEAGE_FILE, lineage.to_data())
        require_complete(building)
    return path


def export_checkpoint(family: Family, run: Run, step: int, *, tokens: Path, folder: RunFolder) -> Path:
    """Export a checkpoint; which device trained it is recorded as unknown.

    Args:
        family: the recipe.
        run: the run of the checkpoint.
        step: its step.
        tokens: folder of token shards, for its tokenizer.
        folder: the run's folder.

    Raises:
        RunError: the checkpoint is missing or unreadable, or belongs to another recipe or other tokens.
        CorpusError: the token shards are missing.
    """
    path = folder.checkpoint(step)
    state = read_state(path)
    manifest = read_manifest(tokens).for_family(family)
    require_unchanged(path, state, family, run, manifest)
    model = build_model(family.architecture, family.training, init_seed=_seed(run.init_seed), eos_id=manifest.eos_id)
    load_weights(path, model)
    trained = TrainedModel(model, step, state.initial_weights_sha256)
    return write_export(trained, family, run, tokens=tokens, manifest=manifest, folder=folder)


def saved_weights_sha256(model: LlamaForCausalLM, scratch: Path) -> str:
    """Return the `weights_sha256` that an export of `model` would have, from a temporary copy in `scratch`."""
    with tempfile.TemporaryDirectory(prefix=".tmp-weights-", dir=scratch) as building:
        _save_weights(model, Path(building))
        return weights_sha256(Path(building))


def _save_weights(model: LlamaForCausalLM, folder: Path) -> None:
    from transformers.utils import logging

    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model.save_pretrained(folder)
    finally:
        if had_bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _seed(seed: int | None) -> int:
    assert seed is not None, "a run without seeds is refused before it is trained"
    return seed
