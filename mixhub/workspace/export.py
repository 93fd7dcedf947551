"""What an export must hold before anything is evaluated, rendered or published from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixhub.errors import ExportError
from mixhub.files import read_json
from mixhub.phrases import listed

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
TOKENIZER_EXTRAS = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja")
"""Files of a tokenizer that may lie beside `tokenizer.json`."""

_HINT = "delete the folder and make it again from the newest checkpoint: mixhub train --seed N (or --index N)"


@dataclass(frozen=True)
class WeightsIndex:
    """`model.safetensors.index.json`: which file holds each tensor of weights in several files."""

    weight_map: Mapping[str, str]
    """The file of each tensor."""
    total_size: int | None
    """Bytes of all tensors; None if it is not stated."""

    @property
    def shards(self) -> list[str]:
        """The files, sorted."""
        return sorted(set(self.weight_map.values()))

    @classmethod
    def read(cls, folder: Path) -> WeightsIndex:
        """Reads the index of a folder.

        Raises:
            ExportError: it cannot be read, or does not map each tensor to a file.
        """
        path = folder / WEIGHTS_INDEX_FILE
        data = read_json(path, ExportError)
        names = data.get("weight_map") if isinstance(data, Mapping) else None
        if not isinstance(names, Mapping) or not names or not all(isinstance(name, str) for name in names.values()):
            message = f"{path}: weight_map must map each tensor to its file"
            raise ExportError(message, code="index-malformed", hint=_HINT, path=path)
        metadata = data.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
        return cls(names, total if isinstance(total, int) else None)


def weight_files(export: Path) -> list[str]:
    """Names of the safetensors files that an export's weights consist of: one, or the shards that its index names.

    Raises:
        ExportError: there is neither, or both; the index cannot be read; a shard is missing; or a safetensors file
            lies there that does not belong to the weights.
    """
    has_index, has_single = (export / WEIGHTS_INDEX_FILE).is_file(), (export / WEIGHTS_FILE).is_file()
    if has_index and has_single:
        what = f"both {WEIGHTS_FILE} and {WEIGHTS_INDEX_FILE}, which contradict each other"
        raise _incomplete(export, "weights-ambiguous", what)
    if has_index:
        names = WeightsIndex.read(export).shards
    elif has_single:
        names = [WEIGHTS_FILE]
    else:
        raise _incomplete(export, "weights-missing", f"neither {WEIGHTS_FILE} nor {WEIGHTS_INDEX_FILE}")
    present = {path.name for path in export.glob("*.safetensors")}
    if missing := [name for name in names if name not in present]:
        what = f"no {listed(missing)}, which {WEIGHTS_INDEX_FILE} names"
        raise _incomplete(export, "shard-missing", what, missing)
    if extra := sorted(present.difference(names)):
        what = f"{listed(extra)}, which no part of the weights is"
        raise _incomplete(export, "shard-foreign", what, extra)
    return names


def require_complete(export: Path) -> None:
    """Refuses an export that lacks a file, or has weights that do not go together.

    Only presence is checked, so it is instant; hashes are in `lineage.json` (see `mixhub.workspace.lineage`).

    Raises:
        ExportError: names every missing file, and the command that makes them.
    """
    if not export.is_dir():
        message = f"{export}: no such export"
        raise ExportError(message, code="export-missing", hint="train it: mixhub train --seed N", path=export)
    if missing := [name for name in EXPORT_FILES if not (export / name).is_file()]:
        raise _incomplete(export, "file-missing", f"no {listed(missing)}", missing)
    weight_files(export)


def _incomplete(export: Path, code: str, what: str, files: Sequence[str] = ()) -> ExportError:
    message = f"{export}: an export must be complete, but it has {what}"
    return ExportError(message, code=code, hint=_HINT, path=export, files=tuple(files))
