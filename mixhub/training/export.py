"""The weights of a step as a folder that Transformers opens."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from transformers import LlamaForCausalLM

from mixhub.data.pack import TOKENIZER_FOLDER
from mixhub.errors import RunError
from mixhub.files import new_folder, write_json, write_text
from mixhub.spec.base import data_sha256, to_yaml
from mixhub.spec.family import Family, Run
from mixhub.spec.schedule import tokens_per_step
from mixhub.training.checkpoints import PACKAGES, load_weights, read_state
from mixhub.training.model import build_model
from mixhub.workspace.export import require_complete
from mixhub.workspace.lineage import LINEAGE_FILE, UNKNOWN, Lineage, Unknown, versions, weights_sha256
from mixhub.workspace.manifest import Manifest, read_manifest
from mixhub.workspace.paths import RunFolder


@dataclass(frozen=True)
class TrainedModel:
    """A model after some steps of its run, and what its lineage says of how it was trained."""

    model: LlamaForCausalLM
    step: int
    """Updates made."""
    initial_weights_sha256: str
    """Hash of the weights at step 0."""
    device: str = UNKNOWN
    """Kind of device that trained, where that is known."""
    processes: int | Unknown = UNKNOWN
    """How many trained together, where that is known."""


def write_export(
    trained: TrainedModel, family: Family, run: Run, *, tokens: Path, manifest: Manifest, folder: RunFolder
) -> Path:
    """Writes the export of a step, whole or not at all; the same run gives the same bytes.

    Args:
        trained: the weights.
        family: the recipe.
        run: whose weights these are.
        tokens: folder of token shards, for its tokenizer.
        manifest: the part of the tokens' manifest that the family reads.
        folder: where the export goes.
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
            init_seed=_known(run.init_seed),
            order_seed=_known(run.order_seed),
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
    """Writes the export of a checkpoint that is there; which device trained it, a checkpoint does not tell.

    Args:
        family: the recipe.
        run: whose checkpoint it is.
        step: its step.
        tokens: folder of token shards, for its tokenizer.
        folder: of the run.

    Raises:
        RunError: there is no such checkpoint, it cannot be read, or it was trained with something else.
        CorpusError: the token shards are not there.
    """
    path = folder.checkpoint(step)
    state = read_state(path)
    manifest = read_manifest(tokens).for_family(family)
    for then, now, what in (
        (state.train_config_sha256, data_sha256(family.train_config(run)), "recipe"),
        (state.corpus_sha256, manifest.sha256(), "set of token shards"),
    ):
        if then != now:
            raise RunError(
                f"{path}: was trained with another {what} than {family.name} has now",
                code="recipe-differs" if what == "recipe" else "tokens-changed",
                hint="restore it, or publish the steps that are exported",
                path=path,
            )
    model = build_model(family.architecture, family.training, init_seed=_known(run.init_seed), eos_id=manifest.eos_id)
    load_weights(path, model)
    trained = TrainedModel(model, step, state.initial_weights_sha256)
    return write_export(trained, family, run, tokens=tokens, manifest=manifest, folder=folder)


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
