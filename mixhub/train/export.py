"""The weights of a step as a folder that Transformers opens."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from transformers import LlamaForCausalLM

from mixhub.data.pack import TOKENIZER_FOLDER
from mixhub.export import require_complete
from mixhub.family import Family, Run
from mixhub.files import new_folder, write_json, write_text
from mixhub.lineage import LINEAGE_FILE, Lineage, versions, weights_sha256
from mixhub.manifest import Manifest
from mixhub.schedule import tokens_per_step
from mixhub.spec import data_sha256, to_yaml
from mixhub.train.checkpoints import PACKAGES
from mixhub.workspace import RunFolder


def write_export(
    model: LlamaForCausalLM,
    family: Family,
    run: Run,
    *,
    step: int,
    tokens: Path,
    manifest: Manifest,
    folder: RunFolder,
    initial_weights_sha256: str,
    device: str,
    processes: int,
) -> Path:
    """Writes the export of a step, whole or not at all; the same run gives the same bytes.

    Args:
        model: the trained weights.
        family: the recipe.
        run: whose weights these are.
        step: updates made.
        tokens: folder of token shards, for its tokenizer.
        manifest: the part of the tokens' manifest that the family reads.
        folder: where the export goes.
        initial_weights_sha256: hash of the weights at step 0.
        device: kind of device that trained.
        processes: how many trained together.
    """
    path = folder.export(step)
    train_config = family.train_config(run)
    training = family.training
    with new_folder(path) as building:
        _save_weights(model, building)
        for file in sorted((tokens / TOKENIZER_FOLDER).iterdir()):
            shutil.copyfile(file, building / file.name)
        write_text(building / folder.train_config.name, to_yaml(train_config))
        lineage = Lineage(
            family=family.name,
            revision=run.revision,
            kind=run.kind,
            number=run.number,
            step=step,
            steps=training.steps,
            tokens=step * tokens_per_step(training.global_batch_size, training.sequence_length),
            init_seed=_known(run.init_seed),
            order_seed=_known(run.order_seed),
            train_config_sha256=data_sha256(train_config),
            corpus_sha256=manifest.sha256(),
            tokenizer_sha256=manifest.tokenizer_sha256,
            initial_weights_sha256=initial_weights_sha256,
            weights_sha256=weights_sha256(building),
            device=device,
            processes=processes,
            versions=versions(*PACKAGES),
        )
        write_json(building / LINEAGE_FILE, lineage.to_data())
        require_complete(building)
    return path


def saved_weights_sha256(model: LlamaForCausalLM, scratch: Path) -> str:
    """The `weights_sha256` that an export of `model` would have; `scratch` needs room for its weights for a moment."""
    with tempfile.TemporaryDirectory(prefix=".tmp-weights-", dir=scratch) as building:
        _save_weights(model, Path(building))
        return weights_sha256(Path(building))


def _save_weights(model: LlamaForCausalLM, folder: Path) -> None:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model.save_pretrained(folder)
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _known(seed: int | None) -> int:
    assert seed is not None, "a run without seeds is refused before it is trained"
    return seed
