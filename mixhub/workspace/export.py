"""The files of an export."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixhub.errors import ExportError, MixhubError
from mixhub.files import read_json
from mixhub.phrases import listed

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
_OPENED = (WEIGHTS_FILE, WEIGHTS_INDEX_FILE, "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where Transformers looks for weights: it opens the first that exists, or the files that this index names."""
_SHARD = re.compile(r".+-\d+-of-\d+\.safetensors")
_EDGE = 4096
"""Bytes of a tensor by which equal ones are known."""
_SHOWN = 3
"""Maximum number of files in a line."""
TRAIN_CONFIG_FILE = "train_config.yaml"
EXPORT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    TRAIN_CONFIG_FILE,
    "lineage.json",
)
"""Required files beside the weights."""
TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")
"""Optional files of a tokenizer."""

_HINT = "delete the folder, and export the newest checkpoint again: mixhub train --seed N (or --index N)"


@dataclass(frozen=True)
class WeightsIndex:
    """`model.safetensors.index.json`: which file holds which tensor."""

    weight_map: Mapping[str, str]
    """File by tensor."""
    total_size: int | None
    """Bytes of all tensors; None if not stated."""

    @property
    def shards(self) -> list[str]:
        """The files, sorted."""
        return sorted(set(self.weight_map.values()))

    @classmethod
    def read(cls, folder: Path, name: str = WEIGHTS_INDEX_FILE) -> WeightsIndex:
        """Read the index of a folder; raises ExportError if it does not map each tensor to a file."""
        path = folder / name
        data = read_json(path, ExportError)
        names = data.get("weight_map") if isinstance(data, Mapping) else None
        if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
            message = f"{path}: weight_map must map each tensor to its file"
            raise ExportError(message, code="index-malformed", hint=_HINT, path=path)
        metadata = data.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        return cls(names, total if isinstance(total, int) else None)


def has_usual_name(path: str) -> bool:
    """Whether Transformers gives weights this name; others beside a model are another layout, a variant, an adapter."""
    return re.fullmatch(r"model(-\d+(-of-\d+)?)?\.safetensors", path) is not None


def opened_weights(folder: Path, paths: Collection[str]) -> list[str]:
    """Return the files of weights that Transformers opens, even if they are missing; empty if it finds none.

    Args:
        folder: holds config and index.
        paths: all files of the model.

    Raises:
        ExportError: the index cannot be read.
    """
    try:
        config: object = read_json(folder / "config.json", ExportError)
    except MixhubError:  # the rules of configs report it
        config = {}
    stated = config.get("transformers_weights") if isinstance(config, Mapping) else None
    names = (stated,) if isinstance(stated, str) else _OPENED
    name = next((name for name in names if name in paths), None)
    if name is None:
        return []
    return WeightsIndex.read(folder, name).shards if name.endswith(".json") else [name]


@dataclass(frozen=True)
class WeightsProblem:
    """What is wrong with the files of weights, by their names alone."""

    code: str
    what: str
    """Follows the name of a folder or branch: `has …`, `lacks …`."""
    files: Sequence[str]


def weights_problems(folder: Path, paths: Collection[str]) -> Iterator[WeightsProblem]:
    """Find safetensors files that are missing, or that Transformers does not open; arguments as `opened_weights`."""
    opened = opened_weights(folder, paths)
    present = {path for path in paths if path.endswith(".safetensors") and "/" not in path}
    extra = sorted(present - {*opened})
    if not any(path.endswith(".safetensors") for path in opened):
        yield _unopened(extra)
        return
    indexed = WeightsIndex.read(folder).shards if WEIGHTS_INDEX_FILE in paths else []
    if ignored := [path for path in indexed if path not in opened]:
        what = (
            f"has {listed(opened, most=_SHOWN)}, which Transformers opens, and {WEIGHTS_INDEX_FILE}, whose shards it "
            f"does not open ({listed(ignored, most=_SHOWN)})"
        )
        yield WeightsProblem("weights-ambiguous", what, opened)
    if missing := [path for path in opened if path not in paths]:
        what = f"lacks {listed(missing, most=_SHOWN)} of {WEIGHTS_INDEX_FILE}"
        yield WeightsProblem("shard-missing", what, missing)
    if extra := [path for path in extra if path not in ignored]:
        what = f"has {listed(extra, most=_SHOWN)}; Transformers opens only {listed(opened, most=_SHOWN)}"
        yield WeightsProblem("shard-foreign", what, extra)


def _unopened(files: Sequence[str]) -> WeightsProblem:
    """Return the problem of a folder in which Transformers finds no safetensors to open."""
    names = listed(files, most=_SHOWN)
    if any(_SHARD.fullmatch(path) for path in files):
        what = f"lacks {WEIGHTS_INDEX_FILE}, without which Transformers does not open {names}"
        return WeightsProblem("index-missing", what, [WEIGHTS_INDEX_FILE])
    what = f"has neither {WEIGHTS_FILE} nor {WEIGHTS_INDEX_FILE}"
    return WeightsProblem("weights-missing", f"{what}; Transformers does not open {names}" if files else what, files)


def weight_files(export: Path) -> list[str]:
    """Return the names of an export's safetensors files: a single one, or the shards in its index.

    Raises:
        ExportError: there are none, the index cannot be read, a file is missing, or Transformers does not open one.
    """
    paths = {path.name for path in export.iterdir() if path.is_file()}
    if (problem := next(weights_problems(export, paths), None)) is not None:
        raise _incomplete(export, problem.code, problem.what, problem.files)
    return opened_weights(export, paths)


def count_parameters(export: Path, rows: int | None) -> int:
    """Count the parameters in an export's weights, from the headers of its files.

    Integers, such as masks, and single numbers, such as constants of activation functions, are none.

    Args:
        export: the export.
        rows: of the embedding; a head beside it with the same numbers is tied to it, and does not count.

    Raises:
        ExportError: files are missing or malformed.
    """
    sizes: dict[object, int] = {}
    for name in weight_files(export):
        for tensor, entry, edge in _tensors(export / name):
            shape = entry["shape"]
            is_table = rows is not None and len(shape) == 2 and shape[0] == rows
            if shape and entry["dtype"].startswith(("F", "BF")):
                sizes[(tuple(shape), edge) if is_table else tensor] = math.prod(shape)
    return sum(sizes.values())


def _tensors(path: Path) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    """Yield the tensors of a safetensors file: name, entry in the header, and first bytes."""
    try:
        with path.open("rb") as file:
            end = 8 + int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(end - 8))
            for name, entry in entries.items():
                if name != "__metadata__":
                    file.seek(end + entry["data_offsets"][0])
                    yield name, entry, file.read(_EDGE)
    except (OSError, ValueError, LookupError, TypeError, MemoryError) as error:
        raise _incomplete(
            path.parent, "weights-malformed", f"has a malformed {path.name}: {error}", [path.name]
        ) from None


def require_complete(export: Path) -> None:
    """Raise ExportError if files of an export are missing; their content is not read."""
    if not export.is_dir():
        hint = "train it: mixhub train --seed N"
        raise ExportError(f"{export}: no such export", code="export-missing", hint=hint, path=export)
    if missing := [name for name in EXPORT_FILES if not (export / name).is_file()]:
        raise _incomplete(export, "file-missing", f"lacks {listed(missing)}", missing)
    weight_files(export)


def _incomplete(export: Path, code: str, what: str, files: Sequence[str] = ()) -> ExportError:
    return ExportError(f"{export}: the export {what}", code=code, hint=_HINT, path=export, files=tuple(files))
