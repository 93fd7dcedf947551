"""Exports: the weights of a step in Transformers format."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM

from mixhub.data.tokenizer import TOKENIZER_FILE, TOKENIZER_FOLDER
from mixhub.files import new_folder, write_json, write_text, writing
from mixhub.spec.base import data_sha256, to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.checkpoints.reader import load_weights
from mixhub.training.checkpoints.state import PACKAGES, State, read_state, require_unchanged
from mixhub.training.devices import mfu
from mixhub.training.model import build_model
from mixhub.training.weights import save_weights
from mixhub.workspace.export import TRAIN_CONFIG_FILE, require_complete
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, file_sha256, versions, weights_sha256
from mixhub.workspace.manifest import read_manifest
from mixhub.workspace.paths import RunFolder

_ARCHITECTURE = "LlamaForCausalLM"


def write_export(
    model: LlamaForCausalLM,
    state: State,
    family: Family,
    run: Run,
    *,
    tokens: Path,
    path: Path | None,
    dtype: str = "float32",
) -> None:
    """Write an export atomically; every process of a sharded model calls this.

    The same run gives the same bytes, but for the times in its lineage.

    Args:
        model: the weights.
        state: what is known about their training.
        family: the recipe.
        run: the run that they belong to.
        tokens: folder of token shards, for its tokenizer.
        path: the folder to write; None in processes that write nothing.
        dtype: one of `mixhub.training.options.DTYPES`.
    """
    torch_dtype = getattr(torch, dtype)
    if path is None:
        save_weights(model, None, torch_dtype)
        return
    training = family.training
    with new_folder(path) as building:
        save_weights(model, building, torch_dtype)
        _write_configs(model, building, torch_dtype)
        for file in sorted((tokens / TOKENIZER_FOLDER).iterdir()):
            shutil.copyfile(file, building / file.name)
        config = family.train_config(run)
        write_text(building / TRAIN_CONFIG_FILE, to_yaml(config))
        lineage = Lineage(
            family=family.name,
            revision=run.revision,
            kind=run.kind,
            number=run.label,
            replicates=family.replicates,
            seeds=family.seeds_origin if family.replicates else None,
            step=state.step,
            steps=training.steps,
            tokens=state.step * tokens_per_step(training.global_batch_size, training.sequence_length),
            init_seed=UNKNOWN if run.init_seed is None else run.init_seed,
            order_seed=UNKNOWN if run.order_seed is None else run.order_seed,
            train_config_sha256=data_sha256(config),
            corpus_sha256=state.corpus_sha256,
            datasets=read_manifest(tokens).for_family(family).datasets,
            tokenizer_sha256=file_sha256(building / TOKENIZER_FILE),
            initial_weights_sha256=state.initial_weights_sha256,
            weights_sha256=weights_sha256(building),
            device=state.device or UNKNOWN,
            processes=state.processes or UNKNOWN,
            versions=versions(*PACKAGES),
            **_time(family, state),
        )
        write_json(building / LINEAGE_FILE, lineage.to_data())
        require_complete(building)


def _time(family: Family, state: State) -> dict[str, Any]:
    """Return the keys of a lineage that say on what the updates ran, and how long, where that is known."""
    known: dict[str, Any] = {} if state.device == "cpu" else {"device_name": state.device_name}
    if not state.device_seconds:
        return known
    known["device_hours"] = round(state.device_seconds / 3600, 6)
    per_step = tokens_per_step(family.training.global_batch_size, family.training.sequence_length)
    if state.device_name is not None and "," not in state.device_name:
        share = mfu(family, state.step * per_step / state.device_seconds, state.device_name, 1)
        known["mfu"] = None if share is None else round(share, 4)
    return known


def export_checkpoint(
    family: Family, run: Run, step: int, *, tokens: Path, folder: RunFolder, path: Path, dtype: str = "float32"
) -> None:
    """Export a checkpoint.

    Args:
        family: the recipe.
        run: the run of the checkpoint.
        step: its step.
        tokens: folder of token shards, for its tokenizer.
        folder: the run's folder.
        path: the folder to write.
        dtype: one of `mixhub.training.options.DTYPES`.

    Raises:
        RunError: the checkpoint is missing or unreadable, or belongs to another recipe or other tokens.
        CorpusError: the token shards are missing.
    """
    checkpoint = folder.checkpoint(step)
    state = read_state(checkpoint)
    manifest = read_manifest(tokens).for_family(family)
    require_unchanged(checkpoint, state, family, run, manifest)
    model = build_model(family.llama, family.training, init_seed=0, eos_id=manifest.eos_id)
    load_weights(checkpoint, state, model)  # replaces the initial weights
    write_export(model, state, family, run, tokens=tokens, path=path, dtype=dtype)


def saved_weights_sha256(model: LlamaForCausalLM, scratch: Path) -> str:
    """Return the `weights_sha256` that a float32 export of `model` would have, from a temporary copy in `scratch`."""
    with writing(scratch), tempfile.TemporaryDirectory(prefix=".tmp-weights-", dir=scratch) as building:
        save_weights(model, Path(building), torch.float32)
        return weights_sha256(Path(building))


def _write_configs(model: LlamaForCausalLM, folder: Path, dtype: torch.dtype) -> None:
    """Write `config.json` and `generation_config.json`."""
    config = copy.deepcopy(model.config)
    config.architectures, config.dtype = [_ARCHITECTURE], dtype
    config.save_pretrained(folder)
    assert model.generation_config is not None
    model.generation_config.save_pretrained(folder)
