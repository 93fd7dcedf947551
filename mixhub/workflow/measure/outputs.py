"""Where the cells of a model lie below `--output`: models, dtypes and seeds of the shots each have their own folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixhub.errors import ResultsError
from mixhub.spec.base import data_sha256
from mixhub.workspace.cells import Cell, cells_in

if TYPE_CHECKING:
    from mixhub.evaluation.provenance import ModelUnderTest

LOCAL = "local"
"""Revision of a model in a folder."""
_DTYPE, _SEED = "float32", 1234
"""Cells of this dtype and this seed of the shots, lm-eval's, lie in the model's folder, and others in folders in it."""


def results_folder(
    output: Path, model: ModelUnderTest, dtype: str, fewshot_seed: int, of_prompts: Mapping[str, Any]
) -> tuple[Path, ModelUnderTest]:
    """Return the folder of the cells of a model, and the model as its cells name it.

    `output/EleutherAI__pythia-160m@main/bfloat16/fewshot-seed-7`; dtype and seed are omitted if they are the usual
    ones. Prompts with a chat template or a system instruction have a folder of their own: `prompts-<hash>`. If the
    model's folder has cells of other weights, a part of the hash of the weights is added to the revision. The folder
    is `output` itself if it has cells of just this model, which mixhub 0.1.0 wrote there.
    """
    expected = (model.name, model.revision, model.weights_sha256, dtype, fewshot_seed)
    flat = {(one.model, one.revision, one.weights_sha256, one.dtype, one.fewshot_seed) for one in _cells(output)}
    if flat == {expected} and not of_prompts:
        return output, model
    short = f"-{model.weights_sha256[:8]}"
    folder, unique = output / _folder_name(model), output / _folder_name(model, short)
    if unique.is_dir() or {one.weights_sha256 for one in _cells_below(folder)} - {model.weights_sha256}:
        folder, model = unique, replace(model, revision=f"{model.revision}{short}")
    parts = [dtype] if dtype != _DTYPE else []
    parts += [f"fewshot-seed-{fewshot_seed}"] if fewshot_seed != _SEED else []
    parts += [f"prompts-{data_sha256(dict(of_prompts))[:8]}"] if of_prompts else []
    return folder.joinpath(*parts), model


def _folder_name(model: ModelUnderTest, short: str = "") -> str:
    """Return `EleutherAI__pythia-160m@main`, or the name of a local folder, which must not be hidden."""
    at = "" if model.revision == LOCAL else f"@{model.revision}"
    return f"{model.name}{at}{short}".replace("/", "__").lstrip(".") or "model"


def _cells_below(folder: Path) -> Iterator[Cell]:
    yield from _cells(folder)
    for below in folder.iterdir() if folder.is_dir() else ():
        if below.is_dir() and not below.name.startswith("."):
            yield from _cells_below(below)


def _cells(folder: Path) -> list[Cell]:
    with suppress(ResultsError):  # the error of a file that is in the way comes when its cell is measured
        return cells_in(folder)
    return []
