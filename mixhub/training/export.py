"""Exports: the weights of a step in Transformers format."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from transformers import LlamaForCausalLM

from mixhub.data.tokenizer import TOKENIZER_FILE, TOKENIZER_FOLDER
from mixhub.files import new_folder, write_json, write_text, writing
from mixhub.spec.base import to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.checkpoints.state import PACKAGES, State, read_state, require_unchanged
from mixhub.training.checkpoints.store import load_weights
from mixhub.training.model import build_model
from mixhub.workspace.export import require_complete
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, Unknown, file_sha256, versions, weights_sha256
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.paths import RunFolder


def write_export(
    model: LlamaForCausalLM,
    state: State,
    family: Family,
    run: Run,
    *,
    tokens: Path,
    folder: RunFolder,
    device: str = UNKNOWN,
    processes: int | Unknown = UNKNOWN,
) -> Path:
    """Write the export of a step atomically; the same run gives the same bytes.

    Args:
        model: the weights.
        state: what is known about their training.
        family: the recipe.
        run: the run that they belong to.
        tokens: folder of token shards, for its tokenizer.
        folder: the run's folder.
        device: kind of device that trained.
        processes: how many trained together.
    """
    path = folder.export(state.step)
    training = family.training
    with new_folder(path) as building:
        _save_weights(model, building)
        for file in sorted((tokens / TOKENIZER_FOLDER).iterdir()):
            shutil.copyfile(file, building / file.name)
        write_text(building / folder.train_config.name, to_yaml(family.train_config(run)))
        lineage = Lineage(
            family=family.name,
            revision=run.revision,
            kind=run.kind,
            number=run.number,
            replicates=family.replicates,
            seeds=family.seeds_origin if family.replicates else None,
            step=state.step,
            steps=training.steps,
            tokens=state.step * tokens_per_step(training.global_batch_size, training.sequence_length),
            init_seed=UNKNOWN if run.init_seed is None else run.init_seed,
            order_seed=UNKNOWN if run.order_seed is None else run.order_seed,
            train_config_sha256=state.train_config_sha256,
            corpus_sha256=state.corpus_sha256,
            datasets=read_manifest(tokens).for_family(family).datasets,
            tokenizer_sha256=file_sha256(building / TOKENIZER_FILE),
            initial_weights_sha256=state.initial_weights_sha256,
            weights_sha256=weights_sha256(building),
            device=device,
            processes=processes,
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
    model = build_model(family.architecture, family.training, init_seed=0, eos_id=manifest.eos_id)
    load_weights(path, model)  # replaces the initial weights
    return write_export(model, state, family, run, tokens=tokens, folder=folder)


def saved_weights_sha256(model: LlamaForCausalLM, scratch: Path) -> str:
    """Return the `weights_sha256` that an export of `model` would have, from a temporary copy in `scratch`."""
    with writing(scratch), tempfile.TemporaryDirectory(prefix=".tmp-weights-", dir=scratch) as building:
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
