"""What an export must hold before anything is evaluated, rendered or published from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import read_json

WEIGHTS_FILE = "model.safetensors"
WEIGHTS_INDEX_FILE = "model.safetensors.index.json"
EXPORT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "train_config.yaml",
    "lineage.json",
)
"""What lies beside the weights."""

_HINT = "delete the folder and make it again from the newest checkpoint: mixhub train --seed N (or --index N)"


def weight_files(export: Path) -> list[str]:
    """Names of the safetensors files that an export's weights consist of: one, or the shards that its index names.

    Raises:
        ExportError: there is neither, or both; the index cannot be read; a shard is missing; or a safetensors file
            lies there that does not belong to the weights.
    """
    index = export / WEIGHTS_INDEX_FILE
    single = export / WEIGHTS_FILE
    if index.is_file() and single.is_file():
        raise _incomplete(export, f"both {WEIGHTS_FILE} and {WEIGHTS_INDEX_FILE}, which contradict each other")
    if index.is_file():
        names = _shards(index)
    elif single.is_file():
        names = [WEIGHTS_FILE]
    else:
        raise _incomplete(export, f"neither {WEIGHTS_FILE} nor {WEIGHTS_INDEX_FILE}")
    present = {path.name for path in export.glob("*.safetensors")}
    if missing := [name for name in names if name not in present]:
        raise _incomplete(export, f"no {', '.join(missing)}, which {WEIGHTS_INDEX_FILE} names")
    if extra := sorted(present.difference(names)):
        raise _incomplete(export, f"{', '.join(extra)}, which no part of the weights is")
    return names


def require_complete(export: Path) -> None:
    """Refuses an export that lacks a file, or has weights that do not go together.

    Only presence is checked, so it is instant; hashes are in `lineage.json` (see `mixhub.workspace.lineage`).

    Raises:
        ExportError: names every missing file, and the command that makes them.
    """
    if not export.is_dir():
        raise ExportError(f"{export}: no such export", hint="train it: mixhub train --seed N", path=export)
    missing = [name for name in EXPORT_FILES if not (export / name).is_file()]
    if missing:
        raise _incomplete(export, f"no {', '.join(missing)}")
    weight_files(export)


def _shards(index: Path) -> list[str]:
    data = read_json(index, ExportError)
    names = data.get("weight_map") if isinstance(data, Mapping) else None
    if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
        raise ExportError(f"{index}: weight_map must map each tensor to its file", hint=_HINT, path=index)
    return sorted(set(names.values()))


def _incomplete(export: Path, what: str) -> ExportError:
    return ExportError(f"{export}: an export must be complete, but it has {what}", hint=_HINT, path=export)
