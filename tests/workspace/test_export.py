"""Incomplete exports are refused, naming what is missing."""

import json
from pathlib import Path

import pytest

from mixhub.errors import ExportError
from mixhub.workspace.export import (
    EXPORT_FILES,
    WEIGHTS_FILE,
    WEIGHTS_INDEX_FILE,
    WeightsIndex,
    opened_weights,
    require_complete,
    weight_files,
)
from tests.refusals import refused

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A folder with all files of an export, all empty, since only their presence is checked."""
    for name in (*EXPORT_FILES, WEIGHTS_FILE):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


@pytest.fixture
def sharded(export: Path) -> Path:
    """The same with weights in two shards."""
    (export / WEIGHTS_FILE).rename(export / SHARDS[0])
    (export / SHARDS[1]).write_bytes(b"")
    weight_map = {"a": SHARDS[1], "b": SHARDS[0], "c": SHARDS[1]}
    (export / WEIGHTS_INDEX_FILE).write_text(json.dumps({"metadata": {"total_size": 12}, "weight_map": weight_map}))
    return export


@pytest.mark.parametrize("name", EXPORT_FILES)
def test_a_missing_file_is_named(export: Path, name: str) -> None:
    require_complete(export)
    (export / name).unlink()
    with refused("file-missing", ExportError, path=export, files=(name,)) as caught:
        require_complete(export)
    assert caught.value.hint is not None
    assert "mixhub train" in caught.value.hint


def test_no_export_says_how_to_make_one(tmp_path: Path) -> None:
    with refused("export-missing", ExportError, path=tmp_path / "step-000012") as caught:
        require_complete(tmp_path / "step-000012")
    assert caught.value.hint is not None
    assert "mixhub train" in caught.value.hint


def test_the_files_of_weights(export: Path) -> None:
    assert weight_files(export) == [WEIGHTS_FILE]
    (export / WEIGHTS_FILE).rename(export / "other.safetensors")
    with refused("weights-missing", ExportError, path=export):
        weight_files(export)


def test_the_shards_of_weights(sharded: Path) -> None:
    require_complete(sharded)
    assert weight_files(sharded) == list(SHARDS)
    (sharded / SHARDS[1]).unlink()
    with refused("shard-missing", ExportError, files=(SHARDS[1],)):
        weight_files(sharded)


def test_a_file_that_is_no_part_of_the_weights(sharded: Path) -> None:
    (sharded / "stray.safetensors").write_bytes(b"")
    with refused("shard-foreign", ExportError, files=("stray.safetensors",)):
        weight_files(sharded)


def test_shards_and_a_single_file(sharded: Path) -> None:
    (sharded / WEIGHTS_FILE).write_bytes(b"")
    with refused("weights-ambiguous", ExportError, path=sharded):
        weight_files(sharded)


def test_an_index_of_a_single_file(export: Path) -> None:
    (export / WEIGHTS_INDEX_FILE).write_text(json.dumps({"weight_map": {"a": WEIGHTS_FILE}}))
    assert weight_files(export) == [WEIGHTS_FILE]


def test_shards_without_their_index(sharded: Path) -> None:
    (sharded / WEIGHTS_INDEX_FILE).unlink()
    with refused("index-missing", ExportError, files=(WEIGHTS_INDEX_FILE,)):
        weight_files(sharded)


@pytest.mark.parametrize(
    ("names", "opened"),
    [
        ([WEIGHTS_FILE, WEIGHTS_INDEX_FILE, *SHARDS], [WEIGHTS_FILE]),
        ([WEIGHTS_INDEX_FILE, *SHARDS, "pytorch_model.bin"], list(SHARDS)),
        (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
        ([*SHARDS, "pytorch_model.bin"], ["pytorch_model.bin"]),
        (SHARDS, []),
    ],
)
def test_the_files_that_transformers_opens(sharded: Path, names: list[str], opened: list[str]) -> None:
    assert opened_weights(sharded, names) == opened


def test_a_config_that_names_the_weights(sharded: Path) -> None:
    (sharded / "config.json").write_text(json.dumps({"transformers_weights": "other.safetensors"}))
    assert opened_weights(sharded, [WEIGHTS_FILE, "other.safetensors"]) == ["other.safetensors"]


def test_what_an_index_holds(sharded: Path) -> None:
    index = WeightsIndex.read(sharded)
    assert index.weight_map == {"a": SHARDS[1], "b": SHARDS[0], "c": SHARDS[1]}
    assert (index.shards, index.total_size) == (list(SHARDS), 12)


@pytest.mark.parametrize("metadata", [None, [], {}, {"total_size": "12"}])
def test_an_index_that_states_no_size(sharded: Path, metadata: object) -> None:
    path = sharded / WEIGHTS_INDEX_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "metadata": metadata}))
    assert WeightsIndex.read(sharded).total_size is None


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', '{"weight_map": ["a"]}']
)
def test_an_index_that_maps_no_tensors_to_files(sharded: Path, text: str) -> None:
    (sharded / WEIGHTS_INDEX_FILE).write_text(text)
    with refused("index-malformed", ExportError, path=sharded / WEIGHTS_INDEX_FILE):
        require_complete(sharded)


def test_an_index_that_is_no_json(sharded: Path) -> None:
    (sharded / WEIGHTS_INDEX_FILE).write_text("{")
    with refused("file-malformed", ExportError, path=sharded / WEIGHTS_INDEX_FILE):
        require_complete(sharded)
